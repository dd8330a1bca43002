"""Owners: who runs where, kept in state and held in memory as one immutable directory.

Changes come one at a time: computed against what is stored, committed, then absorbed. Readers and
the applier take the directory of the moment; it is built again on the first read after a change.
"""

import threading
from collections.abc import Callable, Sequence

from sqlalchemy import Connection

from heliograph.core.clock import Clock
from heliograph.core.owner import Hold, Workload
from heliograph.core.placement import ContainerEvent, Placements
from heliograph.store.state import dirty as dirty_spans
from heliograph.store.state import owners as rows
from heliograph.store.state.lanes import Lane
from heliograph.store.state.state import State
from heliograph.workloads import observed, placed
from heliograph.workloads.change import Change, Stored, updated
from heliograph.workloads.directory import Directory

# Pods that one transaction writes with their holds (20 ms on the writer).
PODS_PER_TRANSACTION = 50


class Owners:
    """The directory and the changes to it. Thread-safe.

    *changed* counts changes, so that caches of attribution know to start afresh.
    """

    def __init__(self, state: State, clock: Clock) -> None:
        self._state = state
        self._clock = clock
        self._lock = threading.Lock()
        self._building = threading.Lock()
        workloads, pods, holds = state.read(rows.load_all)
        by_pod: dict[str, list[Hold]] = {}
        for hold in holds:
            by_pod.setdefault(hold.pod_uid, []).append(hold)
        self._stored = Stored(
            {workload.uid: workload for workload in workloads},
            {pod.uid: pod for pod in pods},
            {uid: tuple(sorted(of, key=lambda h: h.start_ns)) for uid, of in by_pod.items()},
        )
        self._built: tuple[int, Directory] | None = None
        self.changed = 0

    def directory(self) -> Directory:
        """The directory as of the last change."""
        built = self._built
        if built is not None and built[0] == self.changed:
            return built[1]
        with self._building:
            # The number first: a change in between makes this one look old, never new.
            changed = self.changed
            built = self._built
            if built is None or built[0] != changed:
                built = self._built = (changed, Directory.of(self._stored))
            return built[1]

    def place(self, placements: Placements) -> Change:
        """Take a placement document; what it changed, which is nothing for one known already."""
        return self._take(
            lambda stored, now_ns: placed.apply(stored, placements, now_ns=now_ns)
        )

    def observe(self, events: Sequence[ContainerEvent]) -> Change:
        """Take container events, in their order."""
        return self._take(lambda stored, now_ns: observed.apply(stored, events, now_ns=now_ns))

    def _take(self, apply: Callable[[Stored, int], Change]) -> Change:
        with self._lock:
            now_ns = self._clock.now_ns()
            change = apply(self._stored, now_ns)
            if change.empty:
                return change
            for work in _transactions(change, now_ns):
                self._state.write(work, lane=Lane.CONTROL).result()
            self._stored = updated(self._stored, change)
            self.changed += 1
            return change


def _transactions(change: Change, now_ns: int) -> list[Callable[[Connection], None]]:
    """The writes of *change*, each short; one, of all or nothing, in the usual case that it is small.

    Workloads first, then pods with their holds; the dirty spans go before the holds they speak of,
    so that a crash in between leaves too many, not too few.
    """
    works: list[Callable[[Connection], None]] = []
    size = rows.BATCH_MAX
    works.extend(
        _workloads_written(change.workloads[start : start + size], now_ns)
        for start in range(0, len(change.workloads), size)
    )
    if change.dirty:
        works.append(lambda tx: _add_dirty(tx, change))
    uids = sorted({pod.uid for pod in change.pods} | change.holds.keys())
    works.extend(
        _pods_written(change, uids[start : start + PODS_PER_TRANSACTION])
        for start in range(0, len(uids), PODS_PER_TRANSACTION)
    )
    if len(uids) > PODS_PER_TRANSACTION or len(change.workloads) > size:
        return works

    def together(tx: Connection) -> None:
        for work in works:
            work(tx)

    return [together]


def _workloads_written(
    workloads: Sequence[Workload], now_ns: int
) -> Callable[[Connection], None]:
    def write(tx: Connection) -> None:
        rows.upsert_workloads(tx, workloads, seen_ns=now_ns)

    return write


def _pods_written(change: Change, uids: Sequence[str]) -> Callable[[Connection], None]:
    chosen = frozenset(uids)

    def write(tx: Connection) -> None:
        rows.upsert_pods(tx, [pod for pod in change.pods if pod.uid in chosen])
        for uid in uids:
            if uid in change.holds:
                rows.replace_holds(tx, uid, change.holds[uid])

    return write


def _add_dirty(tx: Connection, change: Change) -> None:
    for start_ns, end_ns in change.dirty:
        dirty_spans.add_dirty(tx, start_ns, end_ns)
