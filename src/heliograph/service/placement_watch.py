"""The thread that looks after a placement file: read again when it changes, last good one in force."""

import logging
import threading
from pathlib import Path

from heliograph.core.errors import HeliographError
from heliograph.receive import placements
from heliograph.service.meters import Meters
from heliograph.service.owners import Owners
from heliograph.service.supervisor import Supervisor
from heliograph.workloads.sources import PlacementFile

log = logging.getLogger(__name__)


class PlacementWatch:
    """Polls *path* every *every_s* seconds. *error* is what is wrong with it now, or None."""

    def __init__(
        self,
        path: Path,
        owners: Owners,
        supervisor: Supervisor,
        meters: Meters,
        *,
        every_s: float,
        list_max: int,
    ) -> None:
        media = "application/json" if path.suffix == ".json" else "application/yaml"
        self._source = PlacementFile(
            path, lambda body: placements.decode(body, content_type=media, list_max=list_max)
        )
        self._path = path
        self._owners = owners
        self._supervisor = supervisor
        self._meters = meters
        self._every_s = every_s
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self.error: str | None = None

    def start(self) -> None:
        """Read it once now, then watch it."""
        self._poll()
        self._thread = self._supervisor.thread("placements", self._run)

    def close(self) -> None:
        """Stop watching."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._closing.wait(self._every_s):
            error = self._supervisor.attempt(self._poll, where="placements")
            if isinstance(error, HeliographError):
                log.warning("placements not stored", extra={"why": str(error)})

    def _poll(self) -> None:
        polled = self._source.poll()
        if polled.error is not None and polled.error != self.error:
            self._meters.rejected.add(1, "placements", "file")
            log.warning(
                "placement file unusable", extra={"path": str(self._path), "why": polled.error}
            )
        self.error = polled.error
        if polled.placements is not None:
            self._meters.received.add(len(polled.placements.pods), "placements", "pods")
            self._owners.place(polled.placements)
