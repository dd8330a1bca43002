"""Code of others inside the recorder: callbacks and user-defined aggregates. Whatever it raises is
counted and does not reach whoever records. Nor does it end a thread of ours, whose work it is to go on.
"""

import threading
from collections.abc import Callable

# Callbacks that record, which calls back, which records …
DEPTH_MAX = 8


class Faults:
    """Runs callbacks, but none inside DEPTH_MAX others. *raised* of them raised."""

    def __init__(self, tell: Callable[[str, Exception], None]) -> None:
        self.raised = 0
        self._tell = tell
        self._depth = threading.local()

    def run(self, what: str, call: Callable[[], object]) -> None:
        """`call()`; what it raises is told as of *what*."""
        depth = getattr(self._depth, "now", 0)
        if depth >= DEPTH_MAX:
            return
        self._depth.now = depth + 1
        try:
            call()
        except Exception as error:
            self.raised += 1
            self._tell(what, error)
        finally:
            self._depth.now = depth


def raised_by(call: Callable[[], object]) -> Exception | None:
    """What `call()` raised; None where it raised nothing."""
    try:
        call()
    except Exception as error:
        return error
    return None
