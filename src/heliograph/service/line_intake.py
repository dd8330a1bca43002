"""Bodies of log lines into the log: read on the thread for lines, made durable together, answered.

    read = await intake.submit(body, encoding, sender)

    what waits ─► each body read ─► all of them appended, one commit ─► all answers, in one call

Only the thread for lines has anything to do with a body, where ingest is idle meanwhile: each thread
more that a body goes through costs as much as half its reading.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
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
            self._waiting.append(_Posted(body, encoding, sender, done))
            if not self._begun:
                self._begin()
        return done.future

    def _begin(self) -> None:
        """Have what waits taken after what else the thread was given. With the lock."""
        try:
            self._executors.begin_lines(self._go_on)
        except RuntimeError as error:
            self._waiting.clear()
            raise Unavailable("the service is stopping", code=STOPPING) from error
        self._begun = True

    def _go_on(self) -> None:
        """On the thread for lines: take a group."""
        self._supervisor.attempt(lambda: self._append(self._group()), where="lines")
        self._answers.send()
        with self._lock:
            self._begun = False
            if self._waiting:
                # Whoever waited for an answer is gone where the service stops.
                with suppress(Unavailable):
                    self._begin()

    def _group(self) -> list[_Taken]:
        """Those that wait, read, as far as one commit should carry them; what has no lines, and what
        cannot be read, is answered."""
        began_s, taken, size_bytes = self._clock.monotonic_s(), list[_Taken](), 0
        while self._waiting and len(taken) < GROUP_REQUESTS_MAX:
            size_bytes += self._waiting[0].size_bytes
            if taken and size_bytes > GROUP_BYTES_MAX:
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
        return taken

    def _made(self, done: Awaited, work: Callable[[], T]) -> T | None:
        """What *work* gives; None where it raised, which *done* is told."""
        made = list[T]()
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

    def _append(self, taken: Sequence[_Taken]) -> None:
        """Make *taken* durable, and tell each what came of it."""
        if not taken:
            return
        kept = list[_Taken]()

        def append() -> None:
            for one in taken:
                if self._made(one.done, partial(self._put, one.lines)) is not None:
                    kept.append(one)

        error = self._supervisor.attempt(
            lambda: self._ingest.run(append, requests=len(taken)), where="lines"
        )
        if error is None:
            for one in kept:
                one.done.set_result(one.lines)
        else:
            # None was appended where ingest takes nothing. Who was told is not told again.
            for one in kept or taken:
                one.done.set_exception(error.with_traceback(None))

    def _put(self, lines: Lines) -> int:
        seq = self._log.append_lines(lines.payload, len(lines.batch.lines))
        self._handover.put(seq, lines.read)
        return seq
