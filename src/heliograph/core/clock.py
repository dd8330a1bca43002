"""The only module that reads the machine's time; everything else is handed a `Clock` or an instant.

Instants are `_ns`: integer nanoseconds since 1970-01-01 UTC. Spans are `_s` (float seconds) or
`_ns`. Time-outs and durations use the monotonic clock, which no operator can set back.
"""

import time
from typing import Protocol


class Clock(Protocol):
    """Source of time. Implementations are thread-safe."""

    def now_ns(self) -> int:
        """Wall clock, UTC nanoseconds; may jump in either direction."""
        ...

    def monotonic_s(self) -> float:
        """Seconds from an arbitrary start; never goes back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Block this thread for *seconds*."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic_s(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class ManualClock:
    """A clock that stands still until it is told to move; for tests and for replay."""

    def __init__(self, now_ns: int = 0) -> None:
        self._now_ns = now_ns
        self._monotonic_s = 0.0

    def now_ns(self) -> int:
        return self._now_ns

    def monotonic_s(self) -> float:
        return self._monotonic_s

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Move both clocks forward by *seconds*."""
        self._now_ns += round(seconds * 1e9)
        self._monotonic_s += seconds

    def set_wall(self, now_ns: int) -> None:
        """Jump the wall clock, as an operator or NTP would; the monotonic clock stays."""
        self._now_ns = now_ns
