"""The one place that catches `Exception`: what a bug in a thread, a request or a frame may cost.

A thread that dies takes the process with it, since half a service is worse than a restarted one.
A request that hits a bug is answered 500 by its own future; a log frame that hits one twice is set
aside by the applier. All three are logged and counted here.
"""

import logging
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from heliograph.core import thread_name
from heliograph.core.errors import HeliographError
from heliograph.service.awaited import Asked
from heliograph.service.measure import Registry

log = logging.getLogger(__name__)

T = TypeVar("T")


class Supervisor:
    """Runs threads and single works; *stop* is called once, from any thread, when one has died."""

    def __init__(self, registry: Registry) -> None:
        self._bugs = registry.counter(
            "heliograph_bugs_total", "Unexpected exceptions, by where.", ("where",)
        )
        self._stop: Callable[[], None] = lambda: None
        self.failed = threading.Event()

    def on_failure(self, stop: Callable[[], None]) -> None:
        """Set what is called when a thread has died; at once, if one has died already."""
        self._stop = stop
        if self.failed.is_set():
            stop()

    def thread(self, name: str, run: Callable[[], None]) -> threading.Thread:
        """A started daemon thread of *run*; when *run* raises, the service stops."""

        def supervised() -> None:
            thread_name.show()
            error = self.attempt(run, where=name)
            if error is not None:
                log.error("thread died", extra={"thread_name": name}, exc_info=error)
                self.failed.set()
                self._stop()

        thread = threading.Thread(target=supervised, name=name, daemon=True)
        thread.start()
        return thread

    def attempt(self, work: Callable[[], None], *, where: str) -> Exception | None:
        """Run *work*; the exception it raised, logged and counted, or None."""
        try:
            work()
        except Exception as error:
            self.note(error, where)
            return error
        return None

    def settle(self, future: Asked, work: Callable[[], Any], *, where: str) -> None:
        """Run *work* and give its result or exception to *future*; never raises."""
        try:
            result = work()
        except Exception as error:
            self.note(error, where)
            # The traceback holds this frame, and so *future*, and so the error: a circle that
            # would keep what *work* held, a body of 100 MiB perhaps, until the collector comes.
            future.set_exception(error.with_traceback(None))
        else:
            future.set_result(result)

    async def guarded(self, work: Awaitable[T], otherwise: Callable[[], T], *, where: str) -> T:
        """What *work* gives; where it raises, that is logged and counted, and *otherwise* gives it."""
        try:
            return await work
        except Exception as error:
            self.note(error, where)
            return otherwise()

    def note(self, error: Exception, where: str) -> None:
        """Log and count *error*, if it is one that nobody expected."""
        if isinstance(error, HeliographError):
            return
        self._bugs.add(1, where)
        log.error("bug", extra={"where": where}, exc_info=error)
