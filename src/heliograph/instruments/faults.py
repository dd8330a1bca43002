"""What went wrong inside telemetry: counted always, logged at most once a minute, never raised.

    sdk_errors_total{reason="hook_raised"} 3

The one place of the SDK that catches everything: code of others (hooks, sources, exporters,
`__repr__` of values) runs beneath `Faults.run`, and must not end a training step or our threads.
"""

import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

from heliograph.core.clock import Clock, SystemClock
from heliograph.instruments.family import Family
from heliograph.instruments.metrics import Counter

Result = TypeVar("Result")

ERRORS = "sdk_errors_total"
LOGGED_EVERY_S = 60.0
# Causes that are remembered for throttling; beyond it a log line may come again.
CAUSES_MAX = 256
LOGGER = "heliograph.instruments"


class Faults:
    """Counts by reason; reasons are fixed words of ours, so there are few."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._errors = Counter(ERRORS, "What went wrong inside telemetry, by reason")
        self._told: dict[str, tuple[float, int]] = {}

    def count(self, reason: str) -> None:
        """Count one case of *reason*."""
        self._errors.labels(reason=reason).increment()

    def counts(self) -> dict[str, int]:
        """Reason → cases so far; only those that happened."""
        return {dict(p.labels)["reason"]: int(p.value) for p in self.family().points}

    def family(self) -> Family:
        """`sdk_errors_total` by reason; without points where nothing went wrong."""
        family = self._errors.family()
        return family._replace(points=[p for p in family.points if p.labels])

    def tell(self, reason: str, text: str, *values: object) -> None:
        """Count *reason* and log *text* unless the same was logged within a minute."""
        self.count(reason)
        now_s = self._clock.monotonic_s()
        key = f"{reason} {values[0] if values else ''}"
        last_s, held_back = self._told.get(key, (-LOGGED_EVERY_S, 0))
        if now_s - last_s < LOGGED_EVERY_S:
            self._told[key] = (last_s, held_back + 1)
            return
        if len(self._told) >= CAUSES_MAX:
            self._told.clear()
        self._told[key] = (now_s, 0)
        if held_back:
            text, values = f"{text} (%d more in the last minute)", (*values, held_back)
        try:
            _log(text, *values)
        except Exception:  # handlers of the log are others' code too
            self.count("log_failed")

    def run(
        self, reason: str, what: str, call: Callable[[], Result], otherwise: Result
    ) -> Result:
        """`call()`, or *otherwise* where it raises; that is then told as *what*: why."""
        try:
            return call()
        except Exception as error:  # others' code must not end ours
            self.tell(reason, "%s: %s", what, f"{type(error).__name__}: {shown(error)}")
            return otherwise

    async def awaited(
        self, reason: str, what: str, call: Callable[[], Awaitable[Result]], otherwise: Result
    ) -> Result:
        """`run` of what is to be awaited. Cancellation passes through."""
        try:
            return await call()
        except Exception as error:  # others' code must not end ours
            self.tell(reason, "%s: %s", what, f"{type(error).__name__}: {shown(error)}")
            return otherwise


def _log(text: str, *values: object) -> None:
    loaded = sys.modules.get("logging")
    if loaded is not None and not hasattr(loaded, "getLogger"):
        # Another thread is loading it. In a child that was forked meanwhile nobody is, and to wait
        # for that would be for ever.
        return
    # Loaded when there is something to say: it would cost a third more than all the SDK's import.
    import logging

    logging.getLogger(LOGGER).error(text, *values)


def shown(value: object) -> str:
    """`repr` of an object (`str` of an exception) that holds, whatever its class does."""
    try:
        text = str(value) if isinstance(value, BaseException) else repr(value)
    except Exception:  # others' code must not end ours
        return f"<{type(value).__name__}>"
    return text
