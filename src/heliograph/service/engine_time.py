"""The time that the alert engine goes by."""

from heliograph.core.clock import Clock


class EngineTime:
    """Wall time for the engine: it follows the wall clock forwards and never goes back.

    A clock that an operator sets back an hour must not hold flushes for an hour: time then goes on
    as the monotonic clock does.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._now_ns = clock.now_ns()
        self._seen_s = clock.monotonic_s()

    def now_ns(self) -> int:
        """Now; at least what it was plus what has passed."""
        seen_s = self._clock.monotonic_s()
        passed_ns = round((seen_s - self._seen_s) * 1e9)
        self._now_ns = max(self._clock.now_ns(), self._now_ns + max(0, passed_ns))
        self._seen_s = seen_s
        return self._now_ns
