"""The thread that looks after a placement file: read again when it changes, last good one in force."""

import hashlib
import logging
import threading
from pathlib import Path

from heliograph.core.errors import Refused, Unavailable
from heliograph.core.placement import Placements
from heliograph.receive import placements
from heliograph.service.meters import Meters
from heliograph.service.owners import Owners
from heliograph.service.supervisor import Supervisor
from heliograph.store.state import meta
from heliograph.store.state.lanes import Lane
from heliograph.store.state.state import State
from heliograph.workloads.sources import PlacementFile

log = logging.getLogger(__name__)

# Digest of the file that was applied last: a restart must not say again what it said before, for
# events have told of ends since.
APPLIED = "placement_file_sha256"


class PlacementWatch:
    """Polls *path* every *every_s* seconds. *error* is what is wrong with it now, or None."""

    def __init__(
        self,
        path: Path,
        owners: Owners,
        state: State,
        supervisor: Supervisor,
        meters: Meters,
        *,
        every_s: float,
        list_max: int,
    ) -> None:
        self._source = PlacementFile(path, self._decode)
        self._path = path
        self._media = "application/json" if path.suffix == ".json" else "application/yaml"
        self._list_max = list_max
        self._owners = owners
        self._state = state
        self._supervisor = supervisor
        self._meters = meters
        self._every_s = every_s
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._applied = state.read(lambda tx: meta.get(tx, APPLIED))
        self._digest: str | None = None
        # Why the document that was read last is not in force, until another is read.
        self._refused: str | None = None
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
            self._poll()

    def _poll(self) -> None:
        polled = self._source.poll()
        if polled.placements is not None:
            self._refused = self._place(polled.placements)
        error = polled.error or self._refused
        if error is not None and error != self.error:
            self._meters.rejected.add(1, "placements", "file")
            log.warning(
                "placement file unusable", extra={"path": str(self._path), "why": error}
            )
        self.error = error

    def _place(self, document: Placements) -> str | None:
        """Apply *document*; what is wrong, in words, where it cannot be."""
        digest = self._digest
        if digest is None or digest == self._applied:
            return None
        try:
            self._owners.place(document)
            self._state.write(
                lambda tx: meta.put(tx, APPLIED, digest), lane=Lane.CONTROL
            ).result()
        except Refused as refused:
            return refused.detail
        except Unavailable as unavailable:
            self._source.forget()
            return unavailable.detail
        self._applied = digest
        self._meters.received.add(len(document.pods), "placements", "pods")
        return None

    def _decode(self, body: bytes) -> Placements:
        self._digest = hashlib.sha256(body).hexdigest()
        return placements.decode(body, content_type=self._media, list_max=self._list_max)
