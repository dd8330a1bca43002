"""The time that the alert engine goes by."""

import threading
from typing import NamedTuple

from heliograph.core.clock import Clock

# Of the time that passes, what the engine's time goes on by while it is ahead of the wall clock.
SLEWED = 0.75


class Instant(NamedTuple):
    """Now by the engine's time, and how much of that is ahead of the wall clock."""

    now_ns: int
    ahead_ns: int


class EngineTime:
    """Wall time for the engine: it follows the wall clock forwards and never goes back. Thread-safe.

    A clock that an operator sets back an hour must not hold flushes for an hour: time then goes on,
    a quarter slower until the wall clock has caught up. What senders name as the end of an alert is
    of the wall clock, and must be moved by `ahead_ns` before it is compared.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._now_ns = clock.now_ns()
        self._seen_s = clock.monotonic_s()

    def now_ns(self) -> int:
        """Now."""
        return self.read().now_ns

    def read(self) -> Instant:
        """Now; what it was plus what has passed or most of it, and at least the wall clock."""
        with self._lock:
            seen_s, wall_ns = self._clock.monotonic_s(), self._clock.now_ns()
            passed_ns = round(max(0.0, seen_s - self._seen_s) * SLEWED * 1e9)
            self._now_ns = max(wall_ns, self._now_ns + passed_ns)
            self._seen_s = seen_s
            return Instant(self._now_ns, self._now_ns - wall_ns)
