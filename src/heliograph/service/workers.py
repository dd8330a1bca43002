"""Threads for attempts that may hang: as many as are needed, up to a bound, and none that a stop
has to wait for."""

import threading
from collections import deque
from collections.abc import Callable

# Attempts at once; further ones wait for one to end.
WORKERS_MAX = 256


class Workers:
    """Runs works, which raise nothing, on daemon threads. Thread-safe.

    Python's own pool joins its threads at exit, however long a peer lets them wait.
    """

    def __init__(self, name: str, workers_max: int = WORKERS_MAX) -> None:
        self._name = name
        self._workers_max = workers_max
        self._works: deque[Callable[[], None]] = deque()
        self._changed = threading.Condition()
        self._threads = self._idle = self._open = 0
        self._closed = False

    def submit(self, work: Callable[[], None]) -> None:
        """Run *work* on a thread of its own, when one is free; never, once closed."""
        with self._changed:
            if self._closed:
                return
            self._works.append(work)
            self._open += 1
            if self._idle >= len(self._works) or self._threads >= self._workers_max:
                self._changed.notify()
                return
            self._threads += 1
            number = self._threads
        name = f"{self._name}-{number}"
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def close(self, wait_s: float) -> bool:
        """Begin no more works, and wait at most *wait_s* for those that run; whether all ended."""
        with self._changed:
            self._closed = True
            self._open -= len(self._works)
            self._works.clear()
            self._changed.notify_all()
            return self._changed.wait_for(lambda: not self._open, wait_s)

    def _run(self) -> None:
        while (work := self._next()) is not None:
            try:
                work()
            finally:
                with self._changed:
                    self._open -= 1
                    self._changed.notify_all()

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            self._idle += 1
            self._changed.wait_for(lambda: self._works or self._closed)
            self._idle -= 1
            return None if self._closed else self._works.popleft()
