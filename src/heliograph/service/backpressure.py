"""When writers are told to come again: the applier lags, or the log has no room left."""

from collections.abc import Callable

from heliograph.core.clock import Clock
from heliograph.core.errors import Unavailable

LAG_S_MAX = 10.0
RETRY_AFTER_S = 5.0


class Backpressure:
    """*behind* says whether frames wait; since when, is measured here. *log_bytes* is its size."""

    def __init__(
        self,
        clock: Clock,
        *,
        end: Callable[[], int],
        applied: Callable[[], int],
        log_bytes: Callable[[], int],
        log_bytes_max: int,
    ) -> None:
        self._clock = clock
        self._end = end
        self._applied = applied
        self._log_bytes = log_bytes
        self._log_bytes_max = log_bytes_max
        # The frame we wait to see applied, and since when.
        self._awaited = 0
        self._since_s = 0.0

    def lag_s(self) -> float:
        """At least how long the oldest frame that is not applied has waited."""
        applied, end = self._applied(), self._end()
        now_s = self._clock.monotonic_s()
        if applied >= self._awaited:
            # The time first: another thread must not see the new frame with the old time.
            self._since_s = now_s
            self._awaited = end
        return now_s - self._since_s if applied < self._awaited else 0.0

    def check(self) -> None:
        """Raise Unavailable when new data should wait."""
        lag_s = self.lag_s()
        if lag_s > LAG_S_MAX:
            raise Unavailable(
                f"the applier is {lag_s:.0f} s behind", code="lag", retry_after_s=RETRY_AFTER_S
            )
        used = self._log_bytes()
        if used > self._log_bytes_max:
            raise Unavailable(
                f"the log holds {used} bytes, limit {self._log_bytes_max}",
                code="log_full",
                retry_after_s=RETRY_AFTER_S,
            )
