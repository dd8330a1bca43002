"""When writers are told to come again: the applier lags, or the log has no room left.

While a store is away nobody is late: the log takes what comes, as long as it has room.
"""

import logging
from collections.abc import Callable

from heliograph.core.clock import Clock
from heliograph.core.errors import Unavailable

log = logging.getLogger(__name__)

LAG_S_MAX = 10.0
RETRY_AFTER_S = 5.0


class Backpressure:
    """*end* of the log and how much is *applied* say whether frames wait; since when, is measured here.
    *away*: whether that is for a store. *log_bytes* is the size of the log."""

    def __init__(
        self,
        clock: Clock,
        *,
        end: Callable[[], int],
        applied: Callable[[], int],
        away: Callable[[], bool],
        log_bytes: Callable[[], int],
        log_bytes_max: int,
    ) -> None:
        self._clock = clock
        self._end = end
        self._applied = applied
        self._away = away
        self._log_bytes = log_bytes
        self._log_bytes_max = log_bytes_max
        # The frame we wait to see applied, and since when.
        self._awaited = 0
        self._since_s = 0.0
        # When a store was last seen to be away.
        self._away_s = 0.0
        self._full = False

    def lag_s(self) -> float:
        """At least how long the oldest frame that is not applied has waited."""
        applied, end = self._applied(), self._end()
        now_s = self._clock.monotonic_s()
        if applied >= self._awaited:
            # The time first: another thread must not see the new frame with the old time.
            self._since_s = now_s
            self._awaited = end
        return now_s - self._since_s if applied < self._awaited else 0.0

    def late_s(self) -> float:
        """The same, but for the time that a store was away."""
        lag_s, now_s = self.lag_s(), self._clock.monotonic_s()
        if self._away():
            self._away_s = now_s
        return min(lag_s, now_s - self._away_s)

    def check(self) -> None:
        """Raise Unavailable when new data should wait."""
        late_s = self.late_s()
        if late_s > LAG_S_MAX:
            raise Unavailable(
                f"the applier is {late_s:.0f} s behind", code="lag", retry_after_s=RETRY_AFTER_S
            )
        used = self._log_bytes()
        full = used > self._log_bytes_max
        if full != self._full:
            self._full = full
            event = "the log is full: writers are refused" if full else "the log has room again"
            log.warning(event, extra={"bytes": used, "bytes_max": self._log_bytes_max})
        if full:
            raise Unavailable(
                f"the log holds {used} bytes, limit {self._log_bytes_max}",
                code="log_full",
                retry_after_s=RETRY_AFTER_S,
            )
