"""How well a collector does: healthy, degraded, unhealthy, and when to try again.

    health = CollectorHealth()
    health.failed("device lost", now_ns=now_ns)      "collector_degraded", the event to record
    health.due(now_ns)                               False for a second; then 2, 4 … 30 s
    health.succeeded(now_ns=now_ns)                  "collector_recovered"

A collector that tells only part of its fields is degraded; one that failed several times in a row is
unhealthy. While it is not due nothing is sampled: a gap says more than zeros.
"""

from collections.abc import Sequence
from typing import Any, Literal

Status = Literal["healthy", "degraded", "unhealthy"]
Change = Literal["collector_degraded", "collector_recovered"]

INITIAL_DELAY_S = 1.0
FACTOR = 2.0
MAX_DELAY_S = 30.0
UNHEALTHY_FAILURES = 3
# A factor that is raised to a higher power would overflow long after any delay is reached.
_DOUBLINGS_MAX = 1000


def collector_retry_delay_seconds(
    consecutive_failures: int,
    *,
    initial_delay_s: float = INITIAL_DELAY_S,
    factor: float = FACTOR,
    max_delay_s: float = MAX_DELAY_S,
) -> float:
    """Seconds to wait after so many failures in a row: *initial_delay_s*, then *factor* times as long
    each, *max_delay_s* at most; 0 without a failure. A factor below 1 counts as 1."""
    if consecutive_failures <= 0 or max_delay_s <= 0:
        return 0.0
    times = min(consecutive_failures - 1, _DOUBLINGS_MAX)
    try:
        delay_s = initial_delay_s * max(factor, 1) ** times
    except OverflowError:
        return max_delay_s
    return max(0.0, min(delay_s, max_delay_s))


class CollectorHealth:
    """The state of one collector; not thread-safe."""

    def __init__(self) -> None:
        self._failures = 0
        self._error: str | None = None
        self._partial: tuple[str, ...] = ()
        self._next_ns: int | None = None

    @property
    def status(self) -> Status:
        """How well it does."""
        if self._failures >= UNHEALTHY_FAILURES:
            return "unhealthy"
        return "degraded" if self._failures or self._partial else "healthy"

    def due(self, now_ns: int) -> bool:
        """Whether it is time to try it."""
        return self._next_ns is None or now_ns >= self._next_ns

    def failed(self, error: object, *, now_ns: int) -> Change | None:
        """It failed with *error*; what is to be recorded, if anything."""
        was = self.status
        self._failures += 1
        self._error = str(error)
        delay_s = collector_retry_delay_seconds(self._failures)
        self._next_ns = now_ns + round(delay_s * 1e9)
        return "collector_degraded" if was != self.status else None

    def succeeded(self, *, partial_fields: Sequence[str] = ()) -> Change | None:
        """It told its fields, all but *partial_fields*; what is to be recorded, if anything."""
        was = self.status
        self._failures, self._next_ns = 0, None
        self._partial = tuple(sorted(partial_fields))
        if not self._partial:
            self._error = None
        if was == self.status:
            return None
        return "collector_recovered" if self.status == "healthy" else "collector_degraded"

    def metadata(self) -> dict[str, Any]:
        """What every event of the collector carries in its metadata."""
        return {
            "collector_health_status": self.status,
            "telemetry_partial": bool(self._partial),
            "collector_partial_fields": list(self._partial),
            "collector_last_error": self._error,
            "collector_consecutive_failures": self._failures,
            "collector_next_retry_epoch_s": None
            if self._next_ns is None
            else self._next_ns / 1e9,
        }
