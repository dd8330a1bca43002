"""The one thread that owns the alert engine: posts, edits and time in, one transaction a turn out.

    turn    what waits (posts, edits, questions, outcomes of attempts), then the engine's own step
            ── one transaction ──► commit ──► answers, attempts

Between two turns, and while a transaction is written, others may note repeats (`in_passing`).

The engine changes in memory first. When the transaction fails it goes back to where it was, and all
who waited for the turn are told to come again: memory is never ahead of the store, except for
repeats that move an end alone, which are written by checkpoints.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection

from heliograph.alert.changes import Changes
from heliograph.alert.engine.engine import Engine
from heliograph.core.clock import Clock
from heliograph.core.errors import HeliographError, Refused, Unavailable
from heliograph.service.alert_jobs import Job, Jobs, Together
from heliograph.service.alert_meters import AlertMeters
from heliograph.service.alert_outbound import Outbound
from heliograph.service.awaited import Answers, Asked
from heliograph.service.engine_time import EngineTime
from heliograph.service.ledger_rest import ENTRIES_PER_TRANSACTION, LedgerRest
from heliograph.service.supervisor import Supervisor
from heliograph.store.state import alerts
from heliograph.store.state.lanes import Lane
from heliograph.store.state.state import State

log = logging.getLogger(__name__)

T = TypeVar("T")

# New or changed alerts after which a turn ends (5 to 10 ms on the writer): four senders of a hundred
# wait for one turn, where fewer would have one of them wait for two.
ALERTS_PER_TURN = 400
CHECKPOINT_EVERY_S = 2.0
# Moved ends that one transaction of a checkpoint writes.
MOVED_PER_TRANSACTION = 1000
# … and at least, however much changed: a checkpoint comes to its end.
MOVED_MIN = 100
IDLE_S = 1.0
# How long the end may take to write what moved.
CLOSE_S = 3.0
RETRY_S = 0.5


class Turn:
    """What a job works with: the engine, the instant, and what goes into the turn's transaction.

    now_ns     the engine's time: it never goes back while the process lives
    ahead_ns   how far that is ahead of the wall clock
    """

    def __init__(self, engine: Engine, now_ns: int, ahead_ns: int = 0) -> None:
        self.engine = engine
        self.now_ns = now_ns
        self.ahead_ns = ahead_ns
        self.writes: list[Callable[[Connection], Any]] = []

    def also(self, write: Callable[[Connection], Any]) -> None:
        """Have *write* be part of the turn's transaction."""
        self.writes.append(write)


class AtOnce(NamedTuple):
    """What a job answers that need not wait for the turn's transaction: it changed nothing, but
    for ends that repeats moved."""

    value: Any


class Alerting:
    """Runs *engine*. Thread-safe. *deliveries* begins attempts in a turn and makes them after it."""

    def __init__(
        self,
        engine: Engine,
        state: State,
        supervisor: Supervisor,
        meters: AlertMeters,
        clock: Clock,
        *,
        deliveries: "Outbound[Alerting]",
    ) -> None:
        self._engine = engine
        self._state = state
        self._supervisor = supervisor
        self._meters = meters
        self._clock = clock
        self._time = EngineTime(clock)
        self._rest = LedgerRest(state)
        self._deliveries = deliveries
        self._jobs = Jobs()
        self._answers = Answers()
        # Who has it may work with the engine.
        self._mine = threading.Lock()
        self._thread: threading.Thread | None = None
        self._checkpoint_due_s = clock.monotonic_s() + CHECKPOINT_EVERY_S
        # Whether a checkpoint has begun that is not complete.
        self._behind = False

    def start(self) -> None:
        """Begin to take turns."""
        self._thread = self._supervisor.thread("alerts", self._run)

    def close(self) -> None:
        """Take no more, finish what waits, write what moved."""
        self._jobs.close()
        if self._thread is not None:
            self._thread.join()

    @property
    def closing(self) -> bool:
        """Whether no more turns will be taken than those for what waits."""
        return self._jobs.closing

    @property
    def waiting(self) -> int:
        """Jobs that wait for their turn."""
        return len(self._jobs)

    def gauges(self) -> dict[str, int]:
        """How much the engine holds of what can grow."""
        return self._engine.gauges()

    def counts(self) -> dict[str, int]:
        """What the engine did, by name."""
        return {**self._engine.counts, "entries_lost": self._rest.lost}

    def submit(
        self, work: Callable[[Turn], T], *, urgent: bool = False, alone: bool = False
    ) -> Future[T]:
        """Run *work* in a turn; the future is done when what it changed is on disk.

        *work* raises what it has to say before it changes anything; what it answers as `AtOnce` is
        told before the turn is on disk. *urgent* goes first, and is
        not refused for a full queue; *alone* has a transaction of its own, for what the store
        may refuse. Raises Unavailable when too many wait.
        """
        done: Future[T] = Future()
        self._jobs.put(Job(work, done, alone), urgent=urgent)
        return done

    def awaited(
        self,
        work: Callable[[Turn], T],
        *,
        urgent: bool = False,
        alone: bool = False,
        together: Together | None = None,
    ) -> "asyncio.Future[T]":
        """As `submit`, for tasks of an event loop, which it serves at half the cost. *together* does
        several such works of a turn at once, where it can."""
        one = self._answers.awaited()
        self._jobs.put(Job(work, one, alone, together), urgent=urgent)
        return one.future

    def ask(self, work: Callable[[Turn], T]) -> "asyncio.Future[T]":
        """What *work* answers, which changes nothing, between two turns: what it sees is on disk, and
        it sees it though nothing can be written now. For tasks of an event loop. Raises
        Unavailable when too many wait."""
        one = self._answers.awaited()
        self._jobs.ask(Job(work, one))
        return one.future

    def asked(self, work: Callable[[Turn], T]) -> T:
        """As `ask`, for threads."""
        done: Future[T] = Future()
        self._jobs.ask(Job(work, done))
        return done.result()

    def in_passing(self, work: Callable[[Turn], bool]) -> bool:
        """What *work* answers, run here and now; False where the engine is busy or others wait.

        *work* may call nothing of the engine but `repeat`, and must be quick.
        """
        if self._jobs or self._jobs.closing or not self._mine.acquire(blocking=False):
            return False
        try:
            return work(Turn(self._engine, *self._time.read()))
        finally:
            self._mine.release()

    def wake(self) -> None:
        """Have a look at what is due, soon."""
        self._jobs.wake()

    def _run(self) -> None:
        try:
            while (jobs := self._jobs.gather(self._idle_s)) or not self._jobs.closing:
                self._answer()
                self._turn(jobs)
            until_s = self._clock.monotonic_s() + CLOSE_S
            self._turn([])
            while self._behind and self._clock.monotonic_s() < until_s:
                self._turn([])
        finally:
            self._refuse_the_rest()

    def _refuse_the_rest(self) -> None:
        """There are no more turns: nobody must wait for one."""
        for job in self._jobs.end():
            if job.done.set_running_or_notify_cancel():
                job.done.set_exception(Unavailable("the service stops", code="closed"))
        self._answers.send()

    def _answer(self) -> None:
        """Answer questions, as many as a turn has jobs."""
        asked = self._jobs.asked()
        if not asked:
            return
        with self._mine:
            turn = Turn(self._engine, *self._time.read())
            for job in asked:
                if job.done.set_running_or_notify_cancel():
                    self._supervisor.settle(
                        job.done,
                        lambda job=job: job.work(turn),  # type: ignore[misc]
                        where="alerts",
                    )
        self._answers.send()

    def _idle_s(self) -> float:
        if self._behind:
            return 0.0
        # What has no room is looked at when an attempt has ended.
        due_ns = self._engine.due_ns(self._deliveries.full)
        if due_ns is None:
            return IDLE_S
        return min(IDLE_S, max(0.0, (due_ns - self._time.now_ns()) / 1e9))

    def _turn(self, jobs: Sequence[Job]) -> None:
        """Do *jobs* as far as they fit one transaction, step, write, answer, send."""
        started_s = self._clock.monotonic_s()
        with self._mine:
            turn = Turn(self._engine, *self._time.read())
            answers, failed = self._worked(jobs, turn)
            if failed is None:
                failed = self._supervisor.attempt(
                    lambda: self._stepped(turn), where="alert_step"
                )
            made: list[Changes] = []
            if failed is None:
                failed = self._supervisor.attempt(
                    lambda: made.append(self._changes(started_s)), where="alert_changes"
                )
        # To those who need not wait for the disk.
        self._answers.send()
        if failed is None:
            failed = self._written(made[0], turn)
        with self._mine:
            if failed is None:
                self._engine.commit()
            else:
                self._engine.abort()
                self._deliveries.drop()
        for done, answer in answers:
            if failed is None:
                done.set_result(answer)
            else:
                done.set_exception(_told(failed, alone=len(answers) == 1))
        self._meters.turn_seconds.observe(self._clock.monotonic_s() - started_s)
        if failed is None:
            self._deliveries.send(self)
        # Last, for it wakes the event loop, and there is one interpreter for both.
        self._answers.send()
        if failed is not None and not answers:
            # Nobody waits for the answer, so nobody slows it down: a full disk, a lost database.
            self._clock.sleep(RETRY_S)

    def _worked(
        self, jobs: Sequence[Job], turn: Turn
    ) -> tuple[list[tuple[Asked, Any]], Exception | None]:
        """What *jobs* answered, and the bug that ended them; those that did not fit go back."""
        answers, bug = self._worked_together(jobs, turn)
        if bug is not None:
            # Whose it is shows when they are done one by one, in the next turn.
            self._jobs.back([job._replace(together=None) for job in jobs])
            return [], bug
        left = deque(jobs if not answers else [job for job in jobs if job.together is None])
        while left and bug is None and self._engine.pending < ALERTS_PER_TURN:
            job = left.popleft()
            if not job.done.set_running_or_notify_cancel():
                continue
            found: list[Any] = []
            writes = len(turn.writes)
            error = self._supervisor.attempt(
                lambda job=job, found=found: found.append(job.work(turn)),  # type: ignore[misc]
                where="alerts",
            )
            if error is None and isinstance(found[0], AtOnce):
                job.done.set_result(found[0].value)
            elif error is None:
                answers.append((job.done, found[0]))
            else:
                job.done.set_exception(error.with_traceback(None))
                del turn.writes[writes:]
                # What a bug left half done goes, and with it the turn.
                bug = None if isinstance(error, HeliographError) else error
        self._jobs.back(left)
        return answers, bug

    def _worked_together(
        self, jobs: Sequence[Job], turn: Turn
    ) -> tuple[list[tuple[Asked, Any]], Exception | None]:
        """The answers of those *jobs* that were done together, and the bug that ended them: all that
        are of a kind, or none."""
        some = [job for job in jobs if job.together is not None]
        together = some[0].together if len(some) > 1 else None
        if together is None:
            return [], None
        complete: list[bool] = []
        bug = self._supervisor.attempt(
            lambda: complete.append(together(turn, [job.work for job in some])), where="alerts"
        )
        if isinstance(bug, HeliographError) or (bug is None and not complete[0]):
            # Nothing has changed: one by one each is told its own.
            return [], None
        if bug is not None:
            return [], bug
        return [
            (job.done, True) for job in some if job.done.set_running_or_notify_cancel()
        ], None

    def _stepped(self, turn: Turn) -> None:
        self._engine.step(turn.now_ns)
        self._deliveries.begin(self._engine, turn.now_ns)

    def _changes(self, now_s: float) -> Changes:
        """What the turn's transaction writes.

        Ends that repeats moved are written now and then, some at a time, and most of them late:
        what of them is lost is made good at start-up.
        """
        due = now_s >= self._checkpoint_due_s or self._jobs.closing
        # What changed in this turn leaves less room for them.
        room = max(MOVED_MIN, MOVED_PER_TRANSACTION - 3 * self._engine.pending)
        changes = self._engine.changes(checkpoint=room if due else 0, early=self._jobs.closing)
        self._behind = due and not changes.alive_ns
        if due and not self._behind:
            # Else there is more of it, for the next turn.
            self._checkpoint_due_s = now_s + CHECKPOINT_EVERY_S
        return changes

    def _written(self, changes: Changes, turn: Turn) -> Exception | None:
        """Write what the turn changed, in one transaction; why not, where it could not be."""
        if not changes and not turn.writes and not changes.alive_ns:
            self._write_rest()
            return None

        rest = changes.entries[ENTRIES_PER_TRANSACTION:]
        del changes.entries[ENTRIES_PER_TRANSACTION:]

        def write(tx: Connection) -> None:
            alerts.write(tx, changes)
            for one in turn.writes:
                one(tx)

        failed = self._supervisor.attempt(
            lambda: self._state.run(write, lane=Lane.ALERTS), where="alert_write"
        )
        if failed is not None:
            if isinstance(failed, Unavailable | Refused):
                self._meters.failed_turns.add(1, failed.code)
                log.warning("alerts are not kept", extra={"why": failed.detail})
            # Also when there was no more of it; after a while, for it may fail again.
            self._checkpoint_due_s, self._behind = 0.0, False
            return failed
        self._rest.add(rest)
        self._write_rest()
        changes.entries += rest
        self._meters.count(changes, turn.now_ns)
        return None

    def _write_rest(self) -> None:
        # What the turn changed is on disk, whatever becomes of these lines.
        self._supervisor.attempt(self._rest.write, where="alert_ledger")


def _told(failed: Exception, *, alone: bool) -> Exception:
    """What those are told who waited for a turn that failed; *alone*: it was one's turn only, so that
    what the store can never hold is that one's."""
    if isinstance(failed, HeliographError) and (alone or not isinstance(failed, Refused)):
        return failed
    return Unavailable("the turn failed; come again", code="turn_failed")
