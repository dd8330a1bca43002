"""Owners: who runs where, kept in state and held in memory as one immutable directory.

Changes come one at a time: computed against what is stored, committed, then absorbed. Readers and
the applier take the directory of the moment; it is built again on the first read after a change.
"""

import threading
from collections.abc import Callable, Iterator, Sequence

from sqlalchemy import Connection

from heliograph.core.clock import Clock
from heliograph.core.errors import Unavailable
from heliograph.core.owner import Hold, Workload
from heliograph.core.placement import ContainerEvent, Placements
from heliograph.store.state import batches
from heliograph.store.state import dirty as dirty_spans
from heliograph.store.state import owners as rows
from heliograph.store.state.dirty import DirtySpan
from heliograph.store.state.lanes import Lane
from heliograph.store.state.state import State
from heliograph.workloads import observed, placed
from heliograph.workloads.change import Change, Span, Stored, updated
from heliograph.workloads.directory import Directory

# Rows of workloads, pods and holds that one transaction writes, and spans that it marks (20 ms on
# the writer). A pod with more holds than that is one transaction still: they are replaced as one.
ROWS_MAX = 100
DIRTY_MAX = 20


class Owners:
    """The directory and the changes to it. Thread-safe. New pods beyond *pods_max* are Unavailable.

    *changed* counts changes, so that caches of attribution know to start afresh.
    """

    def __init__(self, state: State, clock: Clock, *, pods_max: int) -> None:
        self._state = state
        self._clock = clock
        self._lock = threading.Lock()
        self._building = threading.Lock()
        self._stored = _loaded(state)
        self._built: tuple[int, Directory] | None = None
        self._pods_max = pods_max
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

    def dirty(self, limit: int) -> list[DirtySpan]:
        """The earliest spans whose roll-ups must be made anew, all of whose causes the directory
        knows: never while a change is half written."""
        with self._lock:
            return self._state.read(lambda tx: dirty_spans.take_dirty(tx, limit))

    def reload(self) -> None:
        """Take what is stored as it is now, after something else has deleted from it."""
        with self._lock:
            self._stored = _loaded(self._state)
            self.changed += 1

    def _take(self, apply: Callable[[Stored, int], Change]) -> Change:
        with self._lock:
            now_ns = self._clock.now_ns()
            change = apply(self._stored, now_ns)
            if change.empty:
                return change
            new = {pod.uid for pod in change.pods} - self._stored.pods.keys()
            if new and len(self._stored.pods) + len(new) > self._pods_max:
                raise Unavailable(
                    f"{len(self._stored.pods)} pods are known, limit {self._pods_max}",
                    code="owners_full",
                )
            for work in _transactions(change, now_ns):
                self._state.run(work, lane=Lane.CONTROL)
            self._stored = updated(self._stored, change)
            self.changed += 1
            return change


def _loaded(state: State) -> Stored:
    workloads, pods, holds = state.read(rows.load_all)
    by_pod: dict[str, list[Hold]] = {}
    for hold in holds:
        by_pod.setdefault(hold.pod_uid, []).append(hold)
    return Stored(
        {workload.uid: workload for workload in workloads},
        {pod.uid: pod for pod in pods},
        {uid: tuple(sorted(of, key=lambda h: h.start_ns)) for uid, of in by_pod.items()},
    )


def _transactions(change: Change, now_ns: int) -> list[Callable[[Connection], None]]:
    """The writes of *change*, each short; one, of all or nothing, in the usual case that it is small.

    Workloads first, then pods with their holds; the dirty spans go before the holds they speak of,
    so that a crash in between leaves too many, not too few.
    """
    works: list[Callable[[Connection], None]] = [
        _workloads_written(some, now_ns) for some in batches.cut(change.workloads, ROWS_MAX)
    ]
    works.extend(_dirty_marked(some) for some in batches.cut(change.dirty, DIRTY_MAX))
    uids = sorted({pod.uid for pod in change.pods} | change.holds.keys())
    works.extend(_pods_written(change, some) for some in _light(change, uids))
    rows_in_all = len(uids) + len(change.workloads) + sum(map(len, change.holds.values()))
    if rows_in_all > ROWS_MAX or len(change.dirty) > DIRTY_MAX:
        return works

    def together(tx: Connection) -> None:
        for work in works:
            work(tx)

    return [together]


def _light(change: Change, uids: Sequence[str]) -> Iterator[list[str]]:
    """*uids* in pieces of at most ROWS_MAX pods and holds, a single pod at least."""
    piece: list[str] = []
    weight = 0
    for uid in uids:
        more = 1 + len(change.holds.get(uid, ()))
        if piece and weight + more > ROWS_MAX:
            yield piece
            piece, weight = [], 0
        piece.append(uid)
        weight += more
    if piece:
        yield piece


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


def _dirty_marked(spans: Sequence[Span]) -> Callable[[Connection], None]:
    def write(tx: Connection) -> None:
        for start_ns, end_ns in spans:
            dirty_spans.add_dirty(tx, start_ns, end_ns)

    return write
