"""A thread that does something again and again, and `Done`: to be awaited, or not.

    ticker = Ticker("heliograph-collection", tick)    # tick() → seconds until the next
    ticker.start()
    await ticker.stopping()                           # or ticker.stop(timeout_s=1)

The documents' API is `await collector.start_collection()`. A thread does not care for event loops:
what was started runs on when `asyncio.run` is over, and in programs that have no loop at all.
"""

import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

STOP_WAIT_S = 2.0
# Between two ticks, whatever an interval was set to later on; there is no busy loop.
PAUSE_S_MIN, PAUSE_S_MAX = 0.001, threading.TIMEOUT_MAX
_POLL_S = 0.005


class Done(Coroutine[Any, Any, None]):
    """What has been done already; awaiting it waits until *after* is over too, if given.

    Unlike the coroutine of an `async def` it need not be awaited, and `asyncio.run` takes it.
    """

    def __init__(self, after: Callable[[], Awaitable[None]] | None = None) -> None:
        self._after = after
        self._inner: Coroutine[Any, Any, None] | None = None

    def __await__(self) -> Any:
        return self._started().__await__()

    def send(self, value: Any) -> Any:
        """As of a coroutine."""
        return self._started().send(value)

    def throw(self, *error: Any) -> Any:
        """As of a coroutine."""
        return self._started().throw(*error)

    def close(self) -> None:
        """As of a coroutine."""
        if self._inner is not None:
            self._inner.close()

    def _started(self) -> Coroutine[Any, Any, None]:
        if self._inner is None:
            self._inner = self._wait()
        return self._inner

    async def _wait(self) -> None:
        if self._after is not None:
            await self._after()


class Ticker:
    """Calls *tick* at once and then after as many seconds as it says, in a daemon thread.

    *last* is called there once it is stopped. Neither raises. A forked child has no such thread:
    there `running` is False.
    """

    def __init__(
        self, name: str, tick: Callable[[], float], last: Callable[[], object] = lambda: None
    ) -> None:
        self._name = name
        self._tick = tick
        self._last = last
        self._run: _Run | None = None

    @property
    def running(self) -> bool:
        """Whether it was started, here in this process, and not stopped."""
        run = self._run
        return run is not None and run.pid == os.getpid() and not run.stop.is_set()

    @property
    def thread(self) -> threading.Thread | None:
        """The thread, if it was ever started."""
        return None if self._run is None else self._run.thread

    def start(self) -> bool:
        """Begin; False where it runs already. Raises RuntimeError when there is no thread left."""
        if self.running:
            return False
        previous, self._run = self._run, _Run(self._name, self._tick, self._last)
        if previous is not None:
            previous.stop.set()
        self._run.thread.start()
        return True

    def stop(self, *, timeout_s: float = STOP_WAIT_S) -> bool:
        """End after the tick that is under way; False if that took longer than *timeout_s*."""
        run = self._run
        if run is None or run.pid != os.getpid():
            return True
        run.stop.set()
        if timeout_s > 0 and run.thread is not threading.current_thread():
            run.thread.join(timeout_s)
        return not run.thread.is_alive()

    async def stopping(self, *, timeout_s: float = STOP_WAIT_S) -> None:
        """`stop`, in a way that lets the event loop go on meanwhile."""
        import asyncio

        left = round(timeout_s / _POLL_S)
        while not self.stop(timeout_s=0) and left > 0:
            left -= 1
            await asyncio.sleep(_POLL_S)


class _Run:
    def __init__(
        self, name: str, tick: Callable[[], float], last: Callable[[], object]
    ) -> None:
        self.pid = os.getpid()
        self.stop = threading.Event()
        self._tick = tick
        self._last = last
        self.thread = threading.Thread(target=self._loop, name=name, daemon=True)

    def _loop(self) -> None:
        while not self.stop.is_set():
            self.stop.wait(min(max(PAUSE_S_MIN, float(self._tick())), PAUSE_S_MAX))
        self._last()


def interval_of(given: float, name: str) -> float:
    """*given* where it is a number of seconds above 0; raises ValueError in the words of *name*."""
    try:
        is_one = not isinstance(given, str) and float(given) > 0
    except (TypeError, ValueError, OverflowError):
        is_one = False
    if not is_one:
        raise ValueError(f"{name} is a number of seconds above 0, not {given!r}")
    return given
