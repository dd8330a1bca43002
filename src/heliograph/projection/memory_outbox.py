"""The way of events out of the tracker: what waits, and the sinks that take it.

    outbox.put(event)       in the training step: appends, no more
    outbox.drain()          in the tracker's thread: to each sink, in order

A sink has `append(event)`, and `start_session(session_id)`, `flush()` and `close(session_status)`
where it needs them, as `projection.sink.TelemetrySink` does; or it is any function of an event. What
a sink raises is counted and costs that sink this event. Beyond WAITING_MAX events the oldest are
given up and counted.
"""

import json
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from heliograph.core.errors import ConfigError
from heliograph.projection.memory_faults import Faults

WAITING_MAX = 20_000
Event = Mapping[str, Any]


class Appending(Protocol):
    """A sink with a method: `projection.sink.TelemetrySink` is one."""

    def append(self, event: Any, /) -> object:
        """Take one event."""
        ...


class RecordsLane(Protocol):
    """What ships records: `memory_shipping.Lane` is one."""

    def records(self, documents: Sequence[bytes], /) -> None:
        """Take JSON documents; they are delivered later. Does not raise."""
        ...

    def counts(self) -> Mapping[str, float]:
        """What became of them, by fixed words."""
        ...

    def close(self) -> None:
        """No more will come."""
        ...


class Outbox:
    """Events on their way; *sinks* as above, *lane*, once it is set, ships them to a service."""

    def __init__(
        self, sinks: Iterable[Appending | Callable[[Event], object]], faults: Faults
    ) -> None:
        self._sinks = list(sinks)
        self._append = [_appender(sink) for sink in self._sinks]
        self.lane: RecordsLane | None = None
        self._faults = faults
        self._waiting: deque[Event] = deque()
        self._draining = threading.RLock()
        self.dropped = 0

    def open(self, session_id: str) -> None:
        """Begin the session in sinks that have sessions, and none that runs."""
        for sink in self._sinks:
            start = getattr(sink, "start_session", None)
            if callable(start) and getattr(sink, "current_session", None) is None:
                self._faults.run("sink_failed", lambda s=start: s(session_id), None)  # type: ignore[misc]

    def put(self, event: Event) -> None:
        """*event* is to go to all sinks."""
        if not self._append and self.lane is None:
            return
        if len(self._waiting) >= WAITING_MAX:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(event)

    def drain(self) -> None:
        """Hand over what waits."""
        with self._draining:
            # What is put meanwhile is of the next time: a flood must not keep us here.
            events = [self._waiting.popleft() for _ in range(len(self._waiting))]
            for event in events:
                for append in self._append:
                    self._faults.run("sink_failed", lambda a=append, e=event: a(e), None)  # type: ignore[misc]
            if events and (lane := self.lane) is not None:
                self._faults.run("ship_failed", lambda: lane.records(_encoded(events)), None)

    def flush(self) -> None:
        """Hand over what waits, and have sinks write what they hold."""
        self.drain()
        for sink in self._sinks:
            if callable(flush := getattr(sink, "flush", None)):
                self._faults.run("sink_failed", lambda f=flush: f(), None)  # type: ignore[misc]

    def close(self, session_status: str) -> None:
        """Hand over what waits and close sinks that can be closed."""
        self.drain()
        for sink in self._sinks:
            if callable(close := getattr(sink, "close", None)):
                self._faults.run("sink_failed", lambda c=close: c(session_status), None)  # type: ignore[misc]


def _appender(sink: Any) -> Callable[[Event], object]:
    append = getattr(sink, "append", None)
    if callable(append):
        return append  # type: ignore[no-any-return]
    if callable(sink):
        return sink  # type: ignore[no-any-return]
    raise ConfigError(f"a sink has `append`, or is a function: {type(sink).__name__}")


def _encoded(events: Sequence[Event]) -> list[bytes]:
    # What JSON has no word for is written as its text, as the ids of records are made.
    return [json.dumps(event, default=str, separators=(",", ":")).encode() for event in events]
