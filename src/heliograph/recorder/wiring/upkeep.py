"""A thread that tends to a folder's stores every second or so, and sooner when much waits."""

import threading
from collections.abc import Callable

from heliograph.core import thread_name
from heliograph.core.clock import Clock
from heliograph.core.errors import Unavailable

LOOK_EVERY_S = 1.0
MAINTAIN_EVERY_S = 60.0
RETAIN_EVERY_S = 300.0


class Upkeep:
    """*tend* at every look, *maintain* and *retain* at their own pace. What is unavailable is tried
    again; *failing* says why, "" when all went well.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        tend: Callable[[], None],
        maintain: Callable[[], None],
        retain: Callable[[], None],
    ) -> None:
        self.failing = ""
        self._clock = clock
        self._tend = tend
        self._paced = ((MAINTAIN_EVERY_S, maintain), (RETAIN_EVERY_S, retain))
        self._due_s = [clock.monotonic_s(), clock.monotonic_s()]
        self._closed = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recorder-keep", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Look now."""
        self._wake.set()

    def close(self) -> None:
        """Stop after the look in work."""
        self._closed = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        thread_name.show()
        while True:
            self._wake.wait(LOOK_EVERY_S)
            self._wake.clear()
            if self._closed:
                return
            try:
                self._look()
                self.failing = ""
            except Unavailable as error:
                self.failing = error.detail

    def _look(self) -> None:
        try:
            self._tend()
        finally:
            # Also on a full disk: these make room.
            self._work_at_its_pace()

    def _work_at_its_pace(self) -> None:
        now_s = self._clock.monotonic_s()
        for place, (every_s, work) in enumerate(self._paced):
            if now_s >= self._due_s[place]:
                self._due_s[place] = now_s + every_s
                work()
