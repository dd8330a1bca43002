"""What waits for the thread of the alert engine: jobs, in their order, and questions.

    jobs.put(job, urgent=False); jobs.ask(job)     any thread
    jobs.gather(idle_s); jobs.asked()              the engine's: those of its next turn

Senders that were answered together send again together, and a transaction costs the same for one of
them as for all: so a turn waits a little for as many jobs as the last one had, beside those that came
meanwhile, and is woken once. Else senders that come to be two halves stay so.
"""

from collections import deque
from collections.abc import Callable, Sequence
from threading import Condition, Lock
from typing import Any, NamedTuple

from heliograph.core.errors import Unavailable
from heliograph.service.awaited import Asked

# Jobs, or questions, that may wait; one more is told to come again.
WAITING_MAX = 10_000
# Jobs of one turn.
JOBS_PER_TURN = 64
# How long a turn waits for jobs of those who were answered by the last one.
TOGETHER_S = 0.001


# Of a turn and the works of several jobs: whether all of them were done, and completely (True is
# what each would have answered); else nothing has changed, and after a bug nothing but the engine.
Together = Callable[[Any, Sequence[Any]], bool]


class Job(NamedTuple):
    """Work with a turn of the engine, and what is told of it; *alone*: in a turn of its own;
    *together*: does it with others of its kind at once, where it can."""

    work: Callable[[Any], Any]
    done: Asked
    alone: bool = False
    together: Together | None = None


class Jobs:
    """Bounded. Thread-safe, but for `gather`, which is one thread's.

    together   jobs of the last turn, but for those that it had no room for
    """

    def __init__(self) -> None:
        self._jobs: deque[Job] = deque()
        self._questions: deque[Job] = deque()
        self._changed = Condition(Lock())
        # How many must wait for the thread to be woken.
        self._wanted = 1
        self.together = 1
        # Whether the next turn has work that is not to wait for others.
        self._left = False
        self.closing = self._ended = False

    def __len__(self) -> int:
        return len(self._jobs)

    def put(self, job: Job, *, urgent: bool) -> None:
        """Have *job* done; *urgent*: before all others. Raises Unavailable when too many wait, or
        none are taken any more; urgent ones are, until the last turn."""
        with self._changed:
            if self._ended or (self.closing and not urgent):
                raise Unavailable("the service stops", code="closed")
            if len(self._jobs) >= WAITING_MAX and not urgent:
                raise Unavailable(
                    f"{WAITING_MAX} alert requests wait already", code="alerts_busy"
                )
            if urgent:
                self._jobs.appendleft(job)
                # A turn that begins now waits for nobody.
                self._left = True
            else:
                self._jobs.append(job)
            if urgent or len(self._jobs) >= self._wanted:
                self._changed.notify()

    def ask(self, question: Job) -> None:
        """Have *question* answered between two turns. Raises Unavailable when too many wait."""
        with self._changed:
            if self._ended or len(self._questions) >= WAITING_MAX:
                raise Unavailable("too many ask, or the service stops", code="alerts_busy")
            self._questions.append(question)
            self._changed.notify()

    def back(self, jobs: Sequence[Job]) -> None:
        """Have *jobs*, which `gather` gave, done before all others after all."""
        if jobs:
            with self._changed:
                self._jobs.extendleft(reversed(jobs))
                self.together -= len(jobs)
                self._left = True

    def wake(self) -> None:
        """End the wait of `gather`."""
        with self._changed:
            self._changed.notify()

    def close(self) -> None:
        """Take no more jobs but urgent ones."""
        with self._changed:
            self.closing = True
            self._changed.notify()

    def end(self) -> list[Job]:
        """There will be no more turns: all that waits, and nobody may wait any more."""
        with self._changed:
            self._ended = True
            left = [*self._jobs, *self._questions]
            self._jobs.clear()
            self._questions.clear()
        return left

    def asked(self) -> list[Job]:
        """Questions that wait, as many as a turn has jobs."""
        if not self._questions:
            return []
        with self._changed:
            count = min(JOBS_PER_TURN, len(self._questions))
            return [self._questions.popleft() for _ in range(count)]

    def gather(self, idle_s: Callable[[], float]) -> list[Job]:
        """The jobs of the next turn, after waiting for one, a question, or *idle_s*."""
        with self._changed:
            # Those of the last turn send again, and those who came meanwhile are here. What was
            # left of that fills this one too.
            expected = min(JOBS_PER_TURN, self.together + len(self._jobs))
            at_once = self._left or (self._jobs and self._jobs[0].alone)
            if expected > 1 and not at_once:
                self._wait_for(expected, TOGETHER_S)
            if not self._jobs:
                self._wait_for(1, idle_s())
                if self._jobs:
                    self._wait_for(self.together, TOGETHER_S)
            self._left = False
            jobs: list[Job] = []
            while self._jobs and len(jobs) < JOBS_PER_TURN:
                if self._jobs[0].alone and jobs:
                    break
                jobs.append(self._jobs.popleft())
                if jobs[-1].alone:
                    break
            if jobs:
                self.together = len(jobs)
            return jobs

    def _wait_for(self, count: int, wait_s: float) -> None:
        """Wait *wait_s* or until *count* jobs wait, or anything else is wanted."""
        if len(self._jobs) < count and not self._questions and not self.closing:
            self._wanted = count
            self._changed.wait(wait_s)
            self._wanted = 1
