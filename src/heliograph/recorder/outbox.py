"""The outbox of the HTTP store: items wait, a thread sends them in order, in batches.

    put ──► [ … items_max ] ──► send(path, items)      sent · refused for good · later

What cannot be sent now waits, and is tried again after RETRY_S, doubling to RETRY_S_MAX, or when the
service said so. What is refused for good is counted and given up; a full outbox takes nothing more.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence

from heliograph.core import thread_name
from heliograph.core.errors import Refused, Unavailable
from heliograph.recorder.store import Usage

BUFFERED_MAX = 100_000
FLUSH_EVERY_S = 0.2
RETRY_S = 0.1
RETRY_S_MAX = 30.0

Item = bytes
Send = Callable[[str, Sequence[Item]], None]


class Outbox:
    """Thread-safe. *closing_s* is how long `close` and `flush` wait at most.

    counts   `sent`, `refused` items; `lost` those that still waited when it closed
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
        self._waiting: deque[tuple[str, Item]] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        # How many wait for a flush.
        self._hurried = 0

    def put(self, items: Sequence[tuple[str, Item]]) -> None:
        """Take all of *items* or, raising Unavailable, none."""
        with self._changed:
            if self._closed:
                raise Unavailable("the store is closed", code="closed")
            if len(self._waiting) + len(items) > self._items_max:
                words = f"{len(self._waiting)} items wait, limit {self._items_max}"
                raise Unavailable(f"{words}; {self._failing}".rstrip("; "), code="full")
            self._waiting.extend(items)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="recorder-outbox", daemon=True
                )
                self._thread.start()
            if len(self._waiting) >= self._batch_max:
                self._changed.notify_all()

    def usage(self) -> Usage:
        """How full it is."""
        with self._changed:
            share = 100 * len(self._waiting) / self._items_max
            return Usage(share, dict(self.counts), self._failing)

    def flush(self) -> None:
        """Return when all that was put is sent. Raises Unavailable when it is not for *closing_s*."""
        with self._changed:
            self._hurried += 1
            self._changed.notify_all()
            done = self._changed.wait_for(lambda: not self._waiting, self._closing_s)
            self._hurried -= 1
            if not done:
                raise Unavailable(self._failing or "items still wait", code="waiting")

    def close(self) -> None:
        """Send what waits, for at most *closing_s*; what is left is `lost`. May be called again."""
        with self._changed:
            if self._closed:
                return
            self._hurried += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._waiting, self._closing_s)
            self._closed = True
            self.counts["lost"] += len(self._waiting)
            self._waiting.clear()
            self._changed.notify_all()
            thread = self._thread
        if thread is not None and thread.is_alive():
            thread.join(self._closing_s)

    def _run(self) -> None:
        thread_name.show()
        wait_s = RETRY_S
        while True:
            batch = self._next()
            if not batch:
                return
            path = batch[0][0]
            try:
                self._send(path, [item for _, item in batch])
            except Unavailable as error:
                self._later(error, max(wait_s, error.retry_after_s))
                wait_s = min(2 * wait_s, RETRY_S_MAX)
                continue
            except Refused as error:
                self._done(len(batch), "refused", error.detail)
            else:
                self._done(len(batch), "sent", "")
            wait_s = RETRY_S

    def _next(self) -> list[tuple[str, Item]]:
        """The oldest items of one path; they stay until they are settled. [] once it is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if not self._hurried and len(self._waiting) < self._batch_max:
                self._changed.wait_for(self._is_due, FLUSH_EVERY_S)
            batch: list[tuple[str, Item]] = []
            for one in self._waiting:
                if len(batch) >= self._batch_max or (batch and one[0] != batch[0][0]):
                    break
                batch.append(one)
            return batch

    def _is_due(self) -> bool:
        return bool(self._hurried or self._closed or len(self._waiting) >= self._batch_max)

    def _later(self, error: Unavailable, wait_s: float) -> None:
        with self._changed:
            self._failing = error.detail
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._closed, wait_s)

    def _done(self, count: int, what: str, failing: str) -> None:
        with self._changed:
            for _ in range(min(count, len(self._waiting))):
                self._waiting.popleft()
            self.counts[what] += count
            self._failing = failing
            self._changed.notify_all()
