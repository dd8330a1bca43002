"""Who goes first on the one writer: a bounded queue a lane, the most urgent lane emptied first."""

from collections import deque
from enum import IntEnum
from threading import Condition
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
    """First in, first out within a lane. Thread-safe."""

    def __init__(self) -> None:
        self._waiting: dict[Lane, deque[Job]] = {lane: deque() for lane in Lane}
        self._changed = Condition()
        self._closed = False

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
            self._changed.notify()

    def take(self) -> tuple[Lane, Job] | None:
        """The next job, waiting for one; None once closed and empty."""
        with self._changed:
            while True:
                for lane, jobs in self._waiting.items():
                    if jobs:
                        return lane, jobs.popleft()
                if self._closed:
                    return None
                self._changed.wait()

    def close(self) -> None:
        """Take no more; what waits is still handed out."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def waiting(self) -> dict[Lane, int]:
        """How many jobs wait, by lane."""
        with self._changed:
            return {lane: len(jobs) for lane, jobs in self._waiting.items()}
