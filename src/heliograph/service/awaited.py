"""Answers of other threads to tasks of an event loop: all that there are, in one call of the loop.

    one = answers.awaited()            in the loop: something to be answered, …
    await one.future                   … and awaited
    one.set_result(7)                  another thread, for each of many, and then
    answers.send()

A `concurrent.futures.Future` and `asyncio.wrap_future` do the same for one answer at a time, wake
the loop for each, and cost as much as all the rest that a small request waits for.
"""

import asyncio
import threading
from asyncio import AbstractEventLoop
from contextlib import suppress
from typing import Any, Protocol


class Asked(Protocol):
    """What is answered, once; a `concurrent.futures.Future` is one."""

    def set_running_or_notify_cancel(self) -> bool:
        """Whether anybody still waits for it."""
        ...

    def set_result(self, result: Any, /) -> None:
        """Answer *result*."""
        ...

    def set_exception(self, exception: BaseException | None, /) -> None:
        """Answer that *exception* came of it."""
        ...


class Answers:
    """Answers that wait to be sent. `awaited` is for tasks; the rest for other threads."""

    def __init__(self) -> None:
        self._waiting: dict[AbstractEventLoop, list[_Answer]] = {}
        self._lock = threading.Lock()

    def awaited(self) -> "Awaited":
        """Something to be answered to the task that runs."""
        return Awaited(asyncio.get_running_loop(), self)

    def put(self, loop: AbstractEventLoop, answer: "_Answer") -> None:
        """Have *answer* sent by the next `send`."""
        with self._lock:
            self._waiting.setdefault(loop, []).append(answer)

    def send(self) -> None:
        """Tell each loop what waits for it. A loop that is closed needs no answers any more."""
        if not self._waiting:
            return
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        for loop, answers in waiting.items():
            # It may be closed, at any moment.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(_give, answers)


class Awaited:
    """One answer that a task awaits: *future*, of its loop."""

    __slots__ = ("_answers", "_loop", "future")

    def __init__(self, loop: AbstractEventLoop, answers: Answers) -> None:
        self.future: asyncio.Future[Any] = loop.create_future()
        self._loop = loop
        self._answers = answers

    def set_running_or_notify_cancel(self) -> bool:
        """Whether anybody still waits for it."""
        return not self.future.cancelled()

    def set_result(self, result: Any, /) -> None:
        """Answer *result*, with the next `send`."""
        self._answers.put(self._loop, (self.future, result, None))

    def set_exception(self, exception: BaseException | None, /) -> None:
        """Answer that *exception* came of it, with the next `send`."""
        if isinstance(exception, StopIteration):
            # A bug; asyncio takes none, and those who are answered with it would wait for ever.
            exception = RuntimeError(f"{exception!r} came of it")
        self._answers.put(self._loop, (self.future, None, exception))


# A future, what is its result, and the exception where that came of it.
_Answer = tuple["asyncio.Future[Any]", Any, BaseException | None]


def _give(answers: list[_Answer]) -> None:
    for future, result, error in answers:
        if future.done():
            # Cancelled in between.
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
