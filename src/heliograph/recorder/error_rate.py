"""The monitor that is always there: a warning in the journal when too many events tell of errors.

Of the last EVENTS events, once there are EVENTS_MIN: above *limit* percent it is told once, and
again only after it was below.
"""

import threading
from collections import deque
from collections.abc import Mapping
from typing import Any

from heliograph.core.errors import ConfigError
from heliograph.recorder import forking
from heliograph.recorder.journal import BridgeLogger
from heliograph.recorder.points import Event, is_error

EVENTS = 100
EVENTS_MIN = 20
LIMIT_PERCENT = 5.0
CODE = "HIGH_ERROR_RATE"


class ErrorRate:
    """The share of errors among the latest events. Thread-safe. ConfigError for no such limit."""

    def __init__(self, logger: BridgeLogger, config: Mapping[str, Any]) -> None:
        given = config.get("error_threshold_percentage", LIMIT_PERCENT)
        try:
            self.limit_percent = float(given)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"error_threshold_percentage: {given!r} is no number") from error
        self._logger = logger
        self._latest: deque[bool] = deque(maxlen=EVENTS)
        self._errors = 0
        self._above = False
        self.begin_again()
        forking.watch(self)

    def begin_again(self) -> None:
        """In the child of a fork: with a lock of its own."""
        self._lock = threading.RLock()

    @property
    def percent(self) -> float:
        """Errors among the latest events, in percent."""
        with self._lock:
            return self._percent()

    def take(self, event: Event) -> None:
        """Count *event*, and warn if it is one too many."""
        with self._lock:
            if len(self._latest) == EVENTS:
                self._errors -= self._latest[0]
            self._latest.append(error := is_error(event.event_type, event.data))
            self._errors += error
            percent = self._percent()
            above = len(self._latest) >= EVENTS_MIN and percent > self.limit_percent
            tell, self._above = above and not self._above, above
        if tell:
            words = f"{percent:.1f} % of the latest events are errors"
            self._logger.log(
                {
                    "source": "Bridge_Telemetry",
                    "status": "WARNING",
                    "payload": {
                        "error_rate": percent,
                        "error_threshold_percentage": self.limit_percent,
                    },
                    "message": words,
                    "errorDetails": {
                        "errorCode": CODE, "errorMessage": words, "errorTraceback": "",
                    },
                },
                log_level="WARNING",
            )  # fmt: skip

    def _percent(self) -> float:
        return 100 * self._errors / len(self._latest) if self._latest else 0.0
