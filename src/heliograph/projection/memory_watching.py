"""One device under watch: read when it is due, its health, its alerts, its events.

`ok → failed → a pause that doubles → ok`: what could not be read is told once as `collector_degraded`
and once as `collector_recovered`, and between the two there are no samples.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from heliograph.projection.collector_health import CollectorHealth
from heliograph.projection.memory_alerts import Thresholds, Watch
from heliograph.projection.memory_devices import Device, NotInUse, Reading
from heliograph.projection.memory_events import Told, Writer
from heliograph.projection.memory_faults import Faults


class Seen(NamedTuple):
    """What one look came to: its events, and how many allocations were refused since the last."""

    events: list[dict[str, Any]]
    ooms: int = 0


class Watched:
    """A device with all that is remembered of it. For one thread at a time."""

    def __init__(
        self, device: Device, writer: Writer, thresholds: Thresholds, faults: Faults
    ) -> None:
        self.device = device
        self._writer = writer
        self._watch = Watch(thresholds)
        self._health = CollectorHealth()
        self._faults = faults
        self._ooms: int | None = None

    def look(self, at_ns: int, at_s: float, metadata: Mapping[str, Any]) -> Seen:
        """A sample, with what is to be said of it; *metadata* is added to that of the sample."""
        if not self._health.due(at_ns):
            return Seen([])
        reading = self._faults.attempt("read_failed", self._read)
        if reading is None:
            return Seen([])
        if isinstance(reading, Exception):
            said = self._health.failed(reading, now_ns=at_ns)
            told = self._health.metadata()
            return Seen([] if said is None else [self._of(None, at_ns, said, told)])
        said = self._health.succeeded(partial_fields=reading.partial)
        told = {**metadata, **(self._health.metadata() if reading.partial else {})}
        events = []
        if said is not None:
            events.append(self._of(reading, at_ns, said, self._health.metadata()))
        events.append(self._of(reading, at_ns, "sample", told))
        for notice in self._watch.look(reading, at_s):
            values = {"alert": notice.alert, "severity": notice.event_type, **notice.values}
            events.append(
                self._writer.event(
                    reading, at_ns, Told(notice.event_type, notice.text, {**metadata, **values})
                )
            )
        return Seen(events, self._refused(reading))

    def event(self, at_ns: int, told: Told) -> dict[str, Any] | None:
        """One event of a reading of its own; None of a device that is not in use, or pauses."""
        if not self._health.due(at_ns):
            return None
        reading = self._faults.attempt("read_failed", self._read)
        if reading is None or isinstance(reading, Exception):
            return None
        self._refused(reading)
        return self._writer.event(reading, at_ns, told)

    def _read(self) -> Reading | None:
        """A reading; None of a device that is not in use."""
        try:
            return self.device.read()
        except NotInUse:
            return None

    def _of(
        self, reading: Reading | None, at_ns: int, event_type: str, metadata: Mapping[str, Any]
    ) -> dict[str, Any]:
        return self._writer.event(reading, at_ns, Told(event_type, None, metadata))

    def _refused(self, reading: Reading) -> int:
        if reading.ooms is None:
            return 0
        before, self._ooms = self._ooms, reading.ooms
        return 0 if before is None else max(reading.ooms - before, 0)
