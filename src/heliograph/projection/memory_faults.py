"""What goes wrong in the watching of memory: counted by reason, logged once a reason, never raised.

The one place of the package that catches everything: sinks, callbacks and what is below a device are
code of others, and run inside a training job.
"""

import logging
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

_log = logging.getLogger("heliograph.projection")


class Faults:
    """Counts by reason; reasons are fixed words of ours, so there are few."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def run(self, reason: str, call: Callable[[], Result], otherwise: Result) -> Result:
        """`call()`, or *otherwise* where it raises."""
        try:
            return call()
        except Exception as error:  # others' code must not end a training step
            self.note(reason, error)
            return otherwise

    def attempt(self, reason: str, call: Callable[[], Result]) -> Result | Exception:
        """`call()`, or what it raised."""
        try:
            return call()
        except Exception as error:  # others' code must not end a training step
            self.note(reason, error)
            return error

    def note(self, reason: str, error: BaseException) -> None:
        """Count *reason*; its first time is logged."""
        self.counts[reason] += 1
        if self.counts[reason] > 1:
            return
        try:
            _log.warning("memory: %s: %s: %s", reason, type(error).__name__, error)
        except Exception:  # handlers of the log are others' code too
            self.counts["log_failed"] += 1
