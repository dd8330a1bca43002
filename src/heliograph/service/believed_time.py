"""Wall time as far as deleting may believe it: a jump ahead counts only once it has stood for a day.

A machine whose clock runs a year ahead for a minute must not delete what is kept for a month.
Deleting late is cheap, so a clock that is right after all costs a day. The process sees no jump that
happened while it was not there.
"""

from heliograph.core.clock import Clock

# Of what a wall clock may gain on the monotonic one between two looks: corrections, a short sleep.
JUMP_NS_MAX = 3600 * 10**9
DOUBT_S = 24 * 3600.0


class BelievedTime:
    """The time of *clock*, for one thread at a time that looks at it often."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wall_ns = clock.now_ns()
        self._seen_s = clock.monotonic_s()
        self._doubted_since_s: float | None = None

    def now_ns(self) -> int:
        """The wall clock, or where it would be without the jump that is in doubt."""
        wall_ns, now_s = self._clock.now_ns(), self._clock.monotonic_s()
        expected_ns = self._wall_ns + round((now_s - self._seen_s) * 1e9)
        if wall_ns <= expected_ns + JUMP_NS_MAX:
            self._doubted_since_s = None
        elif self._doubted_since_s is None:
            self._doubted_since_s = now_s
        doubted_s = 0.0 if self._doubted_since_s is None else now_s - self._doubted_since_s
        if self._doubted_since_s is None or doubted_s >= DOUBT_S:
            self._doubted_since_s = None
            expected_ns = wall_ns
        self._wall_ns, self._seen_s = expected_ns, now_s
        return expected_ns
