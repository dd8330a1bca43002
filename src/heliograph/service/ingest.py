"""The ingest thread: decodes what requests brought, appends it to the log, and answers after one fsync.

Everything that waited while the last fsync ran is decoded and made durable together, so the price
of durability is shared: at a high rate one fsync carries many requests. What is urgent goes before
all that waits, and is made durable as soon as it is in the log.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple, TypeVar

from heliograph.core.clock import Clock
from heliograph.core.errors import Unavailable
from heliograph.service.awaited import Answers, Asked
from heliograph.service.supervisor import Supervisor
from heliograph.store.log.log import Log

T = TypeVar("T")

# What one fsync may carry: more would make the first of the group wait for the decoding of the last.
GROUP_REQUESTS_MAX = 16
GROUP_S_MAX = 0.05
QUEUE_REQUESTS_MAX = 4096
# The code of `Unavailable` once nothing more is taken.
STOPPING = "stopping"


class _Request(NamedTuple):
    work: Callable[[], Any]
    done: Asked


class Done(NamedTuple):
    """What was appended is durable, or *error* says why not."""

    error: Exception | None


class Ingest:
    """One thread, and whoever stands in for it (`run_now`): the log has one writer at a time. Who
    stands in is done before `close`."""

    def __init__(self, log: Log, supervisor: Supervisor, clock: Clock) -> None:
        self._log = log
        self._supervisor = supervisor
        self._clock = clock
        self._urgent: deque[_Request] = deque()
        self._bulk: deque[_Request] = deque()
        self._answers = Answers()
        self._closed = False
        self._changed = threading.Condition()
        # Who has it may append and commit.
        self._mine = threading.Lock()
        self._thread = supervisor.thread("ingest", self._run)

    def submit(self, work: Callable[[], T], *, urgent: bool = False) -> "Future[T]":
        """Run *work*, which decodes and appends, on the ingest thread; before others if *urgent*.

        The future has its result once all it appended is durable. Raises Unavailable when the queue
        is full or closed; the future raises what *work* raised, or Unavailable when the disk refused.
        """
        done: Future[T] = Future()
        self._put(_Request(work, done), self._urgent if urgent else self._bulk)
        return done

    def awaited(self, work: Callable[[], T]) -> "asyncio.Future[T]":
        """As `submit`, for tasks of an event loop, which it serves at half the cost."""
        one = self._answers.awaited()
        self._put(_Request(work, one), self._bulk)
        return one.future

    def run_now(self, work: Callable[[], int]) -> Done | None:
        """Run *work*, which appends for as many requests as it answers, here and now; None where the
        thread is busy, or closed, and nothing was done.

        To hand work over, and the answer back, costs more than to append.
        """
        if self.queued or self._closed or not self._mine.acquire(blocking=False):
            return None
        try:
            requests = work()
            return Done(self._not_kept() if requests else None)
        finally:
            self._mine.release()

    @property
    def queued(self) -> int:
        """Requests that wait."""
        return len(self._urgent) + len(self._bulk)

    def close(self) -> None:
        """Finish what is queued, then stop."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _put(self, request: _Request, waiting: deque[_Request]) -> None:
        with self._changed:
            if self._closed:
                raise Unavailable("the service is stopping", code=STOPPING)
            if len(waiting) >= QUEUE_REQUESTS_MAX:
                raise Unavailable("the ingest queue is full", code="overloaded")
            waiting.append(request)
            self._changed.notify()

    def _run(self) -> None:
        while self._wait():
            with self._mine:
                self._settle_group()
            self._answers.send()

    def _wait(self) -> bool:
        """Whether there is something to do; False once all is done for good."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self.queued)
            return self.queued > 0

    def _next(self) -> _Request | None:
        for waiting in (self._urgent, self._bulk):
            if waiting:
                return waiting.popleft()
        return None

    def _settle_group(self) -> None:
        began_s = self._clock.monotonic_s()
        appended: list[tuple[Asked, Any]] = []
        for _ in range(GROUP_REQUESTS_MAX):
            urgent = len(self._urgent) > 0
            request = self._next()
            if request is None:
                break
            self._settle(request, appended)
            # Who is in a hurry does not wait for the others to be decoded.
            if urgent and not self._urgent:
                break
            if self._clock.monotonic_s() - began_s > GROUP_S_MAX:
                break
        self._commit(appended)

    def _settle(self, request: _Request, appended: list[tuple[Asked, Any]]) -> None:
        # Who asked may be gone; from here on the future cannot be cancelled.
        if not request.done.set_running_or_notify_cancel():
            return
        made: list[Any] = []
        error = self._supervisor.attempt(lambda: made.append(request.work()), where="ingest")
        if error is None:
            appended.append((request.done, made[0]))
        else:
            # Its traceback holds what the work held, a body of 100 MiB perhaps.
            request.done.set_exception(error.with_traceback(None))

    def _commit(self, appended: list[tuple[Asked, Any]]) -> None:
        if not appended:
            return
        error = self._not_kept()
        for done, result in appended:
            if error is None:
                done.set_result(result)
            else:
                done.set_exception(error)

    def _not_kept(self) -> Exception | None:
        """Make what was appended durable; why not, where it could not be."""
        return self._supervisor.attempt(self._log.commit, where="commit")
