"""Bodies of log lines into the log: read on the thread for lines, made durable together, answered.

    read = await intake.submit(body, encoding, sender)

    what waits ─► each body read ─► all of them appended, one commit ─► all answers, in one call
                               └──► ingest is busy: each to its queue

Only the thread for lines has anything to do with a body where ingest is idle: each thread more that
a body goes through costs as much as half its reading.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import NamedTuple, TypeVar

from heliograph.core.clock import Clock
from heliograph.core.errors import Unavailable
from heliograph.receive import logs
from heliograph.receive.lines import encode_block
from heliograph.service.awaited import Answers, Awaited
from heliograph.service.executors import Executors
from heliograph.service.handover import Handover
from heliograph.service.ingest import GROUP_REQUESTS_MAX, QUEUE_REQUESTS_MAX, STOPPING, Ingest
from heliograph.service.line_parses import LineParses, Read
from heliograph.service.meters import Meters
from heliograph.service.supervisor import Supervisor
from heliograph.store.log.log import Log

T = TypeVar("T")

# How long bodies are read before those that were are made durable, and how large they are together:
# a small one must not wait until a large one is read. A compressed one counts for more.
READING_S_MAX = 0.02
GROUP_BYTES_MAX = 4 * 1024 * 1024
PACKED = 10


class Lines(NamedTuple):
    """A body of logs, read: its lines, what each says, and all of them for the log."""

    batch: logs.LogBatch
    read: Read
    payload: bytes


class _Posted(NamedTuple):
    body: bytes
    encoding: str | None
    sender: str
    done: Awaited

    @property
    def size_bytes(self) -> int:
        """What there is to read, about."""
        return len(self.body) * (PACKED if self.encoding else 1)


class _Taken(NamedTuple):
    lines: Lines
    done: Awaited


class LineIntake:
    """Takes bodies, for tasks of an event loop."""

    def __init__(
        self,
        ingest: Ingest,
        log: Log,
        executors: Executors,
        supervisor: Supervisor,
        meters: Meters,
        clock: Clock,
        *,
        limits: logs.LogLimits,
        parses: LineParses,
        handover: Handover,
    ) -> None:
        self._ingest = ingest
        self._log = log
        self._executors = executors
        self._supervisor = supervisor
        self._meters = meters
        self._clock = clock
        self._limits = limits
        self._parses = parses
        self._handover = handover
        self._answers = Answers()
        self._waiting: deque[_Posted] = deque()
        # Whether the thread for lines is at it, or will be.
        self._begun = False
        self._lock = threading.Lock()

    def submit(self, body: bytes, encoding: str | None, sender: str) -> "asyncio.Future[Lines]":
        """The lines of *body* once they are durable; *sender* is told of lines that name no node.

        Raises Unavailable when too many wait or the service stops; the future raises what reading or
        the log has to say.
        """
        done = self._answers.awaited()
        with self._lock:
            if len(self._waiting) >= QUEUE_REQUESTS_MAX:
                raise Unavailable("too many bodies of lines wait", code="overloaded")
            if not self._begun:
                self._begin()
            self._waiting.append(_Posted(body, encoding, sender, done))
        return done.future

    def _begin(self) -> None:
        """Have what waits taken after what else the thread was given. With the lock."""
        try:
            self._executors.begin_lines(self._go_on)
        except RuntimeError as error:
            raise Unavailable("the service is stopping", code=STOPPING) from error
        self._begun = True

    def _go_on(self) -> None:
        """On the thread for lines: take a group."""
        taken: list[_Taken] = []
        try:
            bug = self._supervisor.attempt(lambda: self._take(taken), where="lines")
            if bug is not None:
                self._tell(taken, bug)
            self._answers.send()
        finally:
            with self._lock:
                self._begun = False
                if self._waiting:
                    # Whoever waited for an answer is gone where the service stops.
                    with suppress(Unavailable):
                        self._begin()

    def _take(self, taken: list[_Taken]) -> None:
        self._read_group(taken)
        if not taken:
            return
        kept: list[_Taken] = []
        done = self._ingest.run_now(lambda: self._append(taken, kept))
        if done is not None:
            self._tell(kept, done.error)
            return
        # Each in its turn, while the next are read.
        for one in taken:
            try:
                appended = self._ingest.submit(partial(self._put, one.lines))
            except Unavailable as busy:
                one.done.set_exception(busy)
            else:
                appended.add_done_callback(partial(self._appended, one))

    def _read_group(self, taken: list[_Taken]) -> None:
        """Read those that wait into *taken*, as far as one commit should carry them; what has no
        lines, and what cannot be read, is answered."""
        began_s, size_bytes = self._clock.monotonic_s(), 0
        while self._waiting and len(taken) < GROUP_REQUESTS_MAX:
            begun, size_bytes = size_bytes > 0, size_bytes + self._waiting[0].size_bytes
            if begun and size_bytes > GROUP_BYTES_MAX:
                break
            posted = self._waiting.popleft()
            # Who asked may be gone.
            if posted.done.set_running_or_notify_cancel():
                lines = self._made(posted.done, partial(self._read, posted))
                if lines is not None and lines.batch.lines:
                    taken.append(_Taken(lines, posted.done))
                elif lines is not None:
                    posted.done.set_result(lines)
            if self._clock.monotonic_s() - began_s > READING_S_MAX:
                break

    def _made(self, done: Awaited, work: Callable[[], T]) -> T | None:
        """What *work* gives; None where it raised, which *done* is told."""
        made: list[T] = []
        error = self._supervisor.attempt(lambda: made.append(work()), where="lines")
        if error is None:
            return made[0]
        # Its traceback holds what the work held, a body of 100 MiB perhaps.
        done.set_exception(error.with_traceback(None))
        return None

    def _read(self, posted: _Posted) -> Lines:
        started_s = self._clock.monotonic_s()
        batch = logs.decode(
            posted.body,
            content_encoding=posted.encoding,
            arrival_ns=self._clock.now_ns(),
            sender=posted.sender,
            limits=self._limits,
        )
        # A line that goes on in another request is parsed when it is whole, by the applier.
        read = self._parses.read(batch.lines)
        payload = encode_block(batch.lines)
        self._meters.stage_seconds.observe(self._clock.monotonic_s() - started_s, "read_lines")
        return Lines(batch, read, payload)

    def _append(self, taken: Sequence[_Taken], kept: list[_Taken]) -> int:
        """Append *taken*; those that were are *kept* now, as many as it answers."""
        kept.extend(
            one
            for one in taken
            if self._made(one.done, partial(self._put, one.lines)) is not None
        )
        return len(kept)

    def _put(self, lines: Lines) -> int:
        """Append *lines*. With the log to oneself."""
        seq = self._log.append_lines(lines.payload, len(lines.batch.lines))
        self._handover.put(seq, lines.read, lines.payload)
        return seq

    def _appended(self, one: _Taken, appended: "Future[int]") -> None:
        """On the ingest thread: *one* is durable, or it is not."""
        self._tell([one], appended.exception())
        self._answers.send()

    def _tell(self, taken: Sequence[_Taken], error: BaseException | None) -> None:
        for lines, done in taken:
            if error is None:
                done.set_result(lines)
            else:
                done.set_exception(error.with_traceback(None))
