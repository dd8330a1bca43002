"""The outbox of the HTTP store: items wait, a thread sends them in order, in batches of one path.

    put ──► [ … items_max ] ──► send(path, items)      sent · refused for good · later
             m e m e m e         m m m, then e e e

What cannot be sent now waits, and is tried again after RETRY_S, doubling to RETRY_S_MAX, or when the
service said so, or when somebody begins to wait for it. What is refused for good is counted and given
up; a full outbox takes nothing more.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice

from heliograph.core import thread_name
from heliograph.core.errors import Refused, Unavailable
from heliograph.recorder.faults import raised_by
from heliograph.recorder.store import Usage

BUFFERED_MAX = 100_000
FLUSH_EVERY_S = 0.2
RETRY_S = 0.1
RETRY_S_MAX = 30.0
# For the thread to notice that it is over; what is on its way may take as long as a request may.
ENDING_S = 0.1

Item = bytes
Send = Callable[[str, Sequence[Item]], None]


class SomeRefused(Refused):
    """*count* items of a request can never be accepted; the others were."""

    def __init__(self, detail: str, *, code: str, count: int) -> None:
        super().__init__(detail, code=code)
        self.count = count


class Outbox:
    """Thread-safe. `close` and `flush` wait for *closing_s* at most.

    counts   `sent`, `refused` items; `lost` those that still waited when it closed. What is on its way
             then is none of these until there is an answer.
    """

    def __init__(self, send: Send, *, items_max: int, batch_max: int, closing_s: float) -> None:
        self._send = send
        self._items_max = items_max
        self._batch_max = batch_max
        self._closing_s = closing_s
        # Why nothing goes, "" while it does.
        self._failing = ""
        self._closed = False
        self.counts: Counter[str] = Counter()
        self.begin_again()

    def begin_again(self) -> None:
        """For a child that was forked: what waited is the parent's to send, and so is its thread."""
        # By path, each with its number: how many were put before it. What a path has may be sent, or
        # given up, in the middle of a `put` that a signal handler interrupts: its deque stays.
        self._waiting: dict[str, deque[tuple[int, Item]]] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        # Items ever put, and those that wait.
        self._put = self._count = 0
        # The least number that was given up.
        self._lost_from: int | None = None
        # So many of a path, its first, are on their way.
        self._on_way = ("", 0)
        # How many wait for a flush, and how many ever did.
        self._hurried = self._hurries = 0

    def put(self, items: Sequence[tuple[str, Item]]) -> None:
        """Take all of *items* or, raising Unavailable, none."""
        with self._changed:
            if self._closed:
                raise Unavailable("the store is closed", code="closed")
            if self._count + len(items) > self._items_max:
                words = f"{self._count} items wait, limit {self._items_max}"
                raise Unavailable(f"{words}; {self._failing}".rstrip("; "), code="full")
            for path, item in items:
                self._waiting.setdefault(path, deque()).append((self._put, item))
                self._put += 1
                self._count += 1
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="recorder-outbox", daemon=True
                )
                self._thread.start()
            if self._count >= self._batch_max:
                self._changed.notify_all()

    def usage(self) -> Usage:
        """How full it is."""
        with self._changed:
            share = 100 * self._count / self._items_max
            return Usage(share, dict(self.counts), self._failing)

    def flush(self) -> None:
        """Return when all that was put before is settled, whatever others put meanwhile.

        Raises Unavailable when it is not within the outbox's *closing_s*, or never will be.
        """
        with self._changed:
            if not self._settle(self._put):
                words = "the store is closed" if self._closed else "items still wait"
                raise Unavailable(self._failing or words, code="waiting")

    def close(self) -> None:
        """Send what waits, for as long as the outbox's *closing_s*; what is left is `lost`. May be
        called again."""
        with self._changed:
            if self._closed:
                return
            self._settle(self._put)
            self._closed = True
            self._lose()
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(ENDING_S)

    def _settle(self, number: int) -> bool:
        """Whether the first *number* items that were ever put are settled within *closing_s*."""
        self._hurried += 1
        self._hurries += 1
        self._changed.notify_all()
        try:
            self._changed.wait_for(
                lambda: self._is_settled(number) or self._closed, self._closing_s
            )
        finally:
            # Also where Ctrl-C ends the wait: later batches shall be whole ones again.
            self._hurried -= 1
        return self._is_settled(number)

    def _is_settled(self, number: int) -> bool:
        if self._lost_from is not None and self._lost_from < number:
            return False
        return all(waiting[0][0] >= number for waiting in self._waiting.values() if waiting)

    def _lose(self) -> None:
        """Give up what waits and is not on its way."""
        on_way, count = self._on_way
        lost = []
        for path, waiting in self._waiting.items():
            while len(waiting) > (count if path == on_way else 0):
                lost.append(waiting.pop()[0])
        if lost:
            self._count -= len(lost)
            self._lost_from = min(lost)
            self.counts["lost"] += len(lost)

    def _run(self) -> None:
        thread_name.show()
        wait_s = RETRY_S
        while batch := self._next():
            path, items = batch
            error = raised_by(partial(self._send, path, items))
            if error is None or isinstance(error, Refused):
                self._done(path, len(items), error)
                wait_s = RETRY_S
                continue
            # What is no word of the service's may pass later too; it must not end this thread.
            self._later(error, wait_s)
            wait_s = min(2 * wait_s, RETRY_S_MAX)

    def _next(self) -> tuple[str, list[Item]] | None:
        """The path of the oldest item, and its oldest; they stay until they are settled. None once it
        is closed."""
        with self._changed:
            self._changed.wait_for(lambda: any(self._waiting.values()) or self._closed)
            if not self._is_due():
                self._changed.wait_for(self._is_due, FLUSH_EVERY_S)
            oldest = [
                (waiting[0][0], path) for path, waiting in self._waiting.items() if waiting
            ]
            if not oldest:
                return None
            _, path = min(oldest)
            batch = [item for _, item in islice(self._waiting[path], self._batch_max)]
            self._on_way = (path, len(batch))
            return path, batch

    def _is_due(self) -> bool:
        return bool(self._hurried or self._closed or self._count >= self._batch_max)

    def _later(self, error: Exception, wait_s: float) -> None:
        """Wait *wait_s*, or longer where the service asked for it, before the same is sent again."""
        asked_s, words = 0.0, f"{type(error).__name__}: {error}"
        if isinstance(error, Unavailable):
            asked_s, words = error.retry_after_s, error.detail
        with self._changed:
            self._failing = words
            self._on_way = ("", 0)
            if self._closed:
                self._lose()
            hurries = self._hurries
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: self._closed or (not asked_s and self._hurries > hurries),
                max(wait_s, asked_s),
            )

    def _done(self, path: str, count: int, refused: Refused | None) -> None:
        """The first *count* items of *path* are settled."""
        no = 0
        if refused is not None:
            no = refused.count if isinstance(refused, SomeRefused) else count
        with self._changed:
            waiting = self._waiting[path]
            for _ in range(count):
                waiting.popleft()
            self._on_way = ("", 0)
            self._count -= count
            for what, items in (("sent", count - no), ("refused", no)):
                if items:
                    self.counts[what] += items
            self._failing = "" if refused is None else refused.detail
            self._changed.notify_all()
