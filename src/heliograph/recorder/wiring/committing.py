"""One thread that makes what callers bring durable: everything that waited while the last fsync ran
goes to the disk together, and each caller waits for the fsync that carries its own.

    committer.submit(points, records)     returns when both are durable; raises Unavailable
    committer.offer(key, at_ns, value)    returns at once; durable within FLUSH_S, or at `flush`

What is offered waits in a bounded buffer, numbers as rows, to which callers may also add by
themselves. While the disk refuses it stays there, and nothing is lost; once the buffer is full, who
offers is refused.
"""

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Protocol

from heliograph.core import thread_name
from heliograph.core.errors import Unavailable
from heliograph.core.record import Record
from heliograph.kernels.metric_rows import Key, Rows, Taken
from heliograph.recorder.points import Point

# What one fsync carries of what was offered, and of calls that wait.
GROUP_MAX = 20_000
CALLS_MAX = 10_000
FLUSH_S = 0.05
# How long the next group waits to be as large as the last.
GATHER_S = 0.0005
RETRY_S = 0.5
# How long a full buffer makes a caller wait for room.
ROOM_S = 5.0


class Write(Protocol):
    """Makes points, records and rows durable together, or none of it: raises Unavailable."""

    def __call__(
        self, points: Sequence[Point], records: Sequence[Record], rows: Taken | None = None, /
    ) -> None: ...


class _Call:
    """Somebody who waits, on a lock that is let go of when it is done."""

    __slots__ = ("done", "error", "points", "records")

    def __init__(self, points: Sequence[Point], records: Sequence[Record]) -> None:
        self.points = points
        self.records = records
        self.error: Unavailable | None = None
        self.done = threading.Lock()
        self.done.acquire()


class Committer:
    """*write* makes points and records durable together, all or none. At most *buffer_max* offered
    items wait, in *rows* or beside them; whoever adds to *rows* wakes us.

    failing    why the last write did not succeed, "" when it did
    lost       offered items given up when it was closed while the disk refused
    """

    def __init__(self, write: Write, rows: Rows, *, buffer_max: int) -> None:
        self.failing = ""
        self.lost = 0
        self._write = write
        self._buffer_max = buffer_max
        self._rows = rows
        self._records: deque[Record] = deque()
        self._calls: list[_Call] = []
        self._flushes: list[_Call] = []
        self._changed = threading.Condition()
        # Whose it is writes: the thread, or a caller who is alone.
        self._turn = threading.Lock()
        self._idle = False
        # Calls of the last group.
        self._expected = 0
        self._closed = False
        rows.wake = self._wake
        self._thread = threading.Thread(target=self._run, name="recorder-commit", daemon=True)
        self._thread.start()

    @property
    def buffered(self) -> int:
        """Offered items that wait."""
        return self._rows.waiting

    def submit(self, points: Sequence[Point], records: Sequence[Record]) -> None:
        """Make *points* and *records* durable. Unavailable: none of them is kept."""
        call = _Call(points, records)
        with self._changed:
            self._check_open()
            if len(self._calls) >= CALLS_MAX:
                raise Unavailable(f"more than {CALLS_MAX} calls wait", code="overloaded")
            alone = self._idle and self._expected <= 1 and not self._calls
            if not (alone and self._turn.acquire(blocking=False)):
                self._calls.append(call)
                if self._idle or len(self._calls) == self._expected:
                    self._changed.notify()
                alone = False
        if alone:
            # Nobody to share an fsync with, so that the way to the other thread is saved.
            try:
                call.error = self._attempt(points, records)
            finally:
                self._turn.release()
            call.done.release()
        _wait(call)

    def offer(self, rows: Iterable[tuple[Key, int, float]], records: Sequence[Record]) -> None:
        """Take a number for a series at an instant each, and *records*; many make the buffer that much
        longer. Unavailable when there is no room for ROOM_S, at once while writes fail."""
        if self._rows.waiting >= self._buffer_max or self._closed:
            self._make_room()
        self._rows.put_all(rows)
        if records:
            self._rows.hold(len(records))
            self._records.extend(records)
            if self._idle:
                self._wake()

    def flush(self) -> None:
        """Return when all that was offered is durable. Unavailable when the disk refuses."""
        call = _Call((), ())
        with self._changed:
            if self._closed:
                return
            self._flushes.append(call)
            self._changed.notify()
        _wait(call)

    def close(self) -> None:
        """Make all that waits durable, if the disk lets us, and stop."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify()

    def _make_room(self) -> None:
        with self._changed:
            self._check_open()
            self._changed.notify_all()
            there_is = self._changed.wait_for(
                lambda: self._rows.waiting < self._buffer_max or self._closed,
                0.0 if self.failing else ROOM_S,
            )
            self._check_open()
        if not there_is:
            why = self.failing or "the disk is too slow"
            raise Unavailable(f"{self._buffer_max} items wait already: {why}", code="full")

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("the recorder is closed", code="closed")

    def _run(self) -> None:
        thread_name.show()
        try:
            while self._wait():
                self._settle()
        finally:
            # Whatever ended us: nobody waits for ever.
            with self._changed:
                self._closed = True
                left = [*self._calls, *self._flushes]
                self._calls, self._flushes = [], []
            for call in left:
                call.error = Unavailable("the recorder is closed", code="closed")
                call.done.release()

    def _wait(self) -> bool:
        """Whether there is something to do; False once all is done for good."""
        with self._changed:
            self._idle = self._rows.asleep = True
            self._changed.wait_for(self._has_work)
            self._idle = self._rows.asleep = False
            if self._calls and not self._closed:
                # Who was answered a moment ago is likely to be back: one fsync for all of them.
                self._changed.wait_for(self._is_complete, GATHER_S)
            elif not (self._flushes or self._closed):
                wait_s = RETRY_S if self.failing else FLUSH_S
                # Let some more come together.
                self._changed.wait_for(self._is_urgent, wait_s)
            return self._has_work() and not (self._closed and self._nothing_left())

    def _has_work(self) -> bool:
        return bool(self._calls or self._rows.waiting or self._flushes or self._closed)

    def _is_urgent(self) -> bool:
        full = self._rows.waiting >= self._buffer_max and not self.failing
        return bool(self._calls or self._flushes or self._closed or full)

    def _is_complete(self) -> bool:
        return len(self._calls) >= self._expected or self._closed

    def _nothing_left(self) -> bool:
        return not (self._calls or self._rows.waiting or self._flushes)

    def _settle(self) -> None:
        with self._turn:
            self._settle_in_turn()

    def _settle_in_turn(self) -> None:
        with self._changed:
            calls, self._calls = self._calls, []
            self._expected = len(calls)
            flushes, self._flushes = self._flushes, []
        error = self._commit_calls(calls) if calls else None
        if self._rows.waiting and error is None:
            error = self._commit_buffer(everything=bool(flushes))
        for call in flushes:
            call.error = error
            call.done.release()
        if error is not None and self._closed:
            self._give_up()

    def _commit_calls(self, calls: Sequence[_Call]) -> Unavailable | None:
        try:
            error = self._attempt(
                [point for call in calls for point in call.points],
                [record for call in calls for record in call.records],
            )
        except BaseException:
            self._release(calls, Unavailable("the recorder has failed", code="closed"))
            raise
        self._release(calls, error)
        return error

    def _commit_buffer(self, *, everything: bool) -> Unavailable | None:
        """Write what was offered, GROUP_MAX at a time: all that is there now, or one group."""
        left = self._rows.waiting
        while left > 0:
            rows = self._rows.take()
            records = [
                self._records.popleft() for _ in range(min(len(self._records), GROUP_MAX))
            ]
            error = self._attempt((), records, rows)
            if error is not None:
                self._records.extendleft(reversed(records))
                if rows is not None:
                    self._rows.give_back(rows)
                return error
            self._rows.hold(-len(records))
            with self._changed:
                self._changed.notify_all()
            taken = len(records) + (0 if rows is None else rows.size)
            # What is held but not there yet is on its way.
            left = left - taken if taken else 0
            if not everything and self._calls:
                break
        return None

    def _give_up(self) -> None:
        self.lost += self._rows.waiting
        while self._rows.take() is not None:
            pass
        self._rows.hold(-self._rows.waiting)
        self._records.clear()

    def _attempt(
        self, points: Sequence[Point], records: Sequence[Record], rows: Taken | None = None
    ) -> Unavailable | None:
        try:
            self._write(points, records, rows)
        except Unavailable as error:
            self.failing = error.detail
            return error
        self.failing = ""
        return None

    @staticmethod
    def _release(calls: Sequence[_Call], error: Unavailable | None) -> None:
        for call in calls:
            call.error = error
            call.done.release()


def _wait(call: _Call) -> None:
    call.done.acquire()
    error = call.error
    if error is not None:
        raise Unavailable(
            error.detail, code=error.code, retry_after_s=error.retry_after_s
        ) from error
