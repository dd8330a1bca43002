"""One thread that makes what callers bring durable: everything that waited while the last fsync ran
goes to the disk together, and each caller waits for the fsync that carries its own.

    committer.submit(points, records)     returns when both are durable; raises Unavailable
    committer.offer(key, at_ns, value)    returns at once; durable within FLUSH_S, or at `flush`

What is offered waits in a bounded buffer, numbers as rows, to which callers may also add by
themselves. While the disk refuses it stays there, and nothing is lost; once the buffer is full, who
offers is refused.

A signal handler or a finaliser may call in the middle of a call of its own thread. What it brings is
made durable as any other's, for callers wait holding nothing; only where it interrupted the stores
themselves, which go on when it returns, it waits for NESTED_S and is answered: durable soon after.
So it is wherever a thread but the main one interrupts itself: that one may write.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from heliograph.core import thread_name
from heliograph.core.errors import Unavailable
from heliograph.core.record import Record
from heliograph.kernels.metric_rows import Key, Rows, Taken
from heliograph.recorder.points import Point
from heliograph.recorder.wiring.inside import Inside

# What one fsync carries of what was offered, and of calls that wait.
GROUP_MAX = 20_000
CALLS_MAX = 10_000
FLUSH_S = 0.05
# How long the next group waits to be as large as the last.
GATHER_S = 0.0005
RETRY_S = 0.5
# How long a full buffer makes a caller wait for room.
ROOM_S = 5.0
# How long a call waits inside another of its thread, and how often it looks meanwhile.
NESTED_S = 2.0
LOOK_S = 0.002


class Write(Protocol):
    """Makes points, records and rows durable together, or none of it: raises Unavailable."""

    def __call__(
        self, points: Sequence[Point], records: Sequence[Record], rows: Taken | None = None, /
    ) -> None: ...


class _Call:
    """Somebody who waits, on a lock that is let go of when it is done."""

    __slots__ = ("awaited", "done", "error", "points", "records")

    def __init__(self, points: Sequence[Point], records: Sequence[Record]) -> None:
        self.points = points
        self.records = records
        self.error: Unavailable | None = None
        self.awaited = True
        self.done = threading.Lock()
        self.done.acquire()


class Committer:
    """*write* makes points and records durable together, all or none. At most *buffer_max* offered
    items wait, in *rows* or beside them; whoever adds to *rows* wakes us.

    failing    why the last write did not succeed, "" when it did
    lost       offered items given up when it was closed while the disk refused, and items of nested
               calls that the disk refused after these were answered
    at_work    threads in the middle of the stores; whoever uses these beside us enters it too
    """

    def __init__(self, write: Write, rows: Rows, *, buffer_max: int) -> None:
        self.failing = ""
        self.lost = 0
        self.at_work = Inside()
        self._calling = Inside()
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
        nested = self._is_nested()
        with self._calling.enter():
            if self._put(call, nested=nested):
                # Nobody to share an fsync with, so that the way to the other thread is saved.
                try:
                    call.error = self._attempt(points, records)
                finally:
                    self._turn.release()
            elif nested:
                call.awaited = self._settled_inside(call)
            else:
                call.done.acquire()
        _raise(call.error)

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
        nested = self._is_nested()
        with self._calling.enter():
            with self._changed:
                if self._closed:
                    return
                self._flushes.append(call)
                self._changed.notify()
            if not nested:
                call.done.acquire()
            elif not self._settled_inside(call):
                raise Unavailable("what this call interrupted has to end first", code="nested")
        _raise(call.error)

    def close(self) -> None:
        """Make all that waits durable, if the disk lets us, and stop."""
        nested = self._is_nested()
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if nested:
            self._waited_inside(lambda: not self._thread.is_alive())
        else:
            self._thread.join()

    def _put(self, call: _Call, *, nested: bool) -> bool:
        """Have *call* wait its turn; True when it has its turn at once, and is the caller's to write.

        Not in the main thread, whose signal handlers could not record while it writes.
        """
        with self._changed:
            self._check_open()
            if len(self._calls) >= CALLS_MAX:
                raise Unavailable(f"more than {CALLS_MAX} calls wait", code="overloaded")
            alone = self._idle and self._expected <= 1 and not self._calls
            may_write = alone and threading.current_thread() is not threading.main_thread()
            if may_write and not nested and self._turn.acquire(blocking=False):
                return True
            self._calls.append(call)
            if self._idle or len(self._calls) == self._expected:
                self._changed.notify()
            return False

    def _is_nested(self) -> bool:
        return self._calling.mine or self.at_work.mine

    def _settled_inside(self, call: _Call) -> bool:
        """Whether *call*, inside another of its thread, was settled."""
        return self._waited_inside(lambda: call.done.acquire(blocking=False))

    def _waited_inside(self, done: Callable[[], bool]) -> bool:
        """Whether *done*, waited for inside another call of this thread: NESTED_S at most where that
        one may have what others need to go on, and not at all where it is the thread that would do it.
        """
        if threading.get_ident() == self._thread.ident:
            return done()
        may_write = threading.current_thread() is not threading.main_thread()
        looks = 0
        with self._changed:
            while not done():
                if (may_write or self.at_work.mine) and looks * LOOK_S >= NESTED_S:
                    return False
                # Lets go of the lock, also where the call that was interrupted has it.
                self._changed.wait(LOOK_S)
                looks += 1
        return True

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
            self._release(left, Unavailable("the recorder is closed", code="closed"))

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
        self._release(flushes, error)
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
            with self.at_work.enter():
                self._write(points, records, rows)
        except Unavailable as error:
            self.failing = error.detail
            return error
        self.failing = ""
        return None

    def _release(self, calls: Sequence[_Call], error: Unavailable | None) -> None:
        for call in calls:
            call.error = error
            call.done.release()
            if error is not None and not call.awaited:
                self.lost += len(call.points) + len(call.records)


def _raise(error: Unavailable | None) -> None:
    """*error* once more: each caller raises one of his own."""
    if error is not None:
        raise Unavailable(
            error.detail, code=error.code, retry_after_s=error.retry_after_s
        ) from error
