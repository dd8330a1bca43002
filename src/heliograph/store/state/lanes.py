"""Who goes first on the one writer: a bounded queue a lane, the most urgent lane emptied first.

    job = lanes.take()            the writer's thread: the next job, and with it the turn
    if lanes.enter():             anyone else: the turn, where nobody has it and nobody waits for it
        …
    lanes.leave()                 both, when they are done with it

Who has the turn has the writing connection.
"""

from collections import deque
from enum import IntEnum
from threading import Condition, Lock
from typing import Generic, TypeVar

from heliograph.core.errors import Unavailable

Job = TypeVar("Job")


class Lane(IntEnum):
    """The lanes, most urgent first: CRUD, alert posts and flushes, the applier, deleting."""

    CONTROL = 0
    ALERTS = 1
    APPLIER = 2
    RETENTION = 3


# Transactions that may wait; one more is Unavailable.
WAITING_MAX = {Lane.CONTROL: 1000, Lane.ALERTS: 1000, Lane.APPLIER: 64, Lane.RETENTION: 16}


class Lanes(Generic[Job]):
    """First in, first out within a lane, and one turn at a time. Thread-safe."""

    def __init__(self) -> None:
        self._waiting: dict[Lane, deque[Job]] = {lane: deque() for lane in Lane}
        self._count = 0
        self._changed = Condition(Lock())
        self._closed = self._taken = False

    def put(self, lane: Lane, job: Job) -> None:
        """Queue *job*. Unavailable when *lane* is full (`state_busy`) or all is closed."""
        with self._changed:
            if self._closed:
                raise Unavailable("the state is closed", code="closed")
            if len(self._waiting[lane]) >= WAITING_MAX[lane]:
                raise Unavailable(
                    f"{WAITING_MAX[lane]} {lane.name.lower()} transactions wait already",
                    code="state_busy",
                )
            self._waiting[lane].append(job)
            self._count += 1
            if not self._taken:
                self._changed.notify()

    def take(self) -> Job | None:
        """The next job and the turn, waiting for both; None once closed and empty."""
        with self._changed:
            while self._taken or not self._count:
                if self._closed and not self._taken:
                    return None
                self._changed.wait()
            self._count -= 1
            self._taken = True
            return next(jobs for jobs in self._waiting.values() if jobs).popleft()

    def enter(self) -> bool:
        """Whether the turn is the caller's: nobody had it, and no job waited."""
        with self._changed:
            if self._taken or self._count or self._closed:
                return False
            self._taken = True
            return True

    def leave(self) -> None:
        """Give the turn back."""
        with self._changed:
            self._taken = False
            if self._count or self._closed:
                self._changed.notify()

    def close(self) -> None:
        """Take no more; what waits is still handed out."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def waiting(self) -> dict[Lane, int]:
        """How many jobs wait, by lane."""
        with self._changed:
            return {lane: len(jobs) for lane, jobs in self._waiting.items()}
