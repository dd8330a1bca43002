"""The ingest thread: decodes what requests brought, appends it to the log, and answers after one fsync.

Everything that waited while the last fsync ran is decoded and made durable together, so the price
of durability is shared: at a high rate one fsync carries many requests.
"""

import queue
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple, TypeVar

from heliograph.core.errors import HeliographError, Unavailable
from heliograph.service.meters import Meters
from heliograph.service.supervisor import Supervisor
from heliograph.store.log.log import Log

T = TypeVar("T")

# What one fsync may carry: more would make the first of the group wait for the decoding of the last.
GROUP_REQUESTS_MAX = 16
QUEUE_REQUESTS_MAX = 4096


class _Request(NamedTuple):
    work: Callable[[], Any]
    future: "Future[Any]"


class Ingest:
    """One thread, the log's only writer. *committed* is called after each commit."""

    def __init__(
        self, log: Log, supervisor: Supervisor, meters: Meters, *, committed: Callable[[], None]
    ) -> None:
        self._log = log
        self._supervisor = supervisor
        self._meters = meters
        self._committed = committed
        self._queue: queue.Queue[_Request | None] = queue.Queue(QUEUE_REQUESTS_MAX)
        self._thread = supervisor.thread("ingest", self._run)

    def submit(self, work: Callable[[], T]) -> "Future[T]":
        """Run *work*, which decodes and appends, on the ingest thread.

        The future has its result once all it appended is durable. Raises Unavailable when the
        queue is full; the future raises what *work* raised, or Unavailable when the disk refused.
        """
        future: Future[T] = Future()
        try:
            self._queue.put_nowait(_Request(work, future))
        except queue.Full:
            raise Unavailable("the ingest queue is full", code="overloaded") from None
        return future

    @property
    def queued(self) -> int:
        """Requests that wait."""
        return self._queue.qsize()

    def close(self) -> None:
        """Finish what is queued, then stop."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        closing = False
        while not closing:
            group = self._next_group()
            closing = None in group
            self._settle_group([request for request in group if request is not None])

    def _next_group(self) -> list[_Request | None]:
        group = [self._queue.get()]
        while len(group) < GROUP_REQUESTS_MAX and group[-1] is not None:
            try:
                group.append(self._queue.get_nowait())
            except queue.Empty:
                break
        return group

    def _settle_group(self, group: list[_Request]) -> None:
        appended: list[tuple[Future[Any], Any]] = []
        for request in group:
            done: Future[Any] = Future()
            self._supervisor.settle(done, request.work, where="ingest")
            error = done.exception()
            if error is None:
                appended.append((request.future, done.result()))
            else:
                request.future.set_exception(error)
        if not appended:
            return
        try:
            self._log.commit()
        except HeliographError as error:
            self._meters.refused_for_now.add(len(appended), "log")
            for future, _ in appended:
                future.set_exception(error)
            return
        self._committed()
        for future, result in appended:
            future.set_result(result)
