"""What is known of a workload's training: rows with their run, runs, the present state, checkpoints.

Runs are computed when they are asked for, from all rows of the workload's pods, so that a row that
comes late puts itself where it belongs. The computation is kept until something changed; one that
took long is kept for twenty times what all that was asked for lately took, so that a busy page of
many workloads costs a bounded share of a core. Rows that come meanwhile count to the last run that
is known.
"""

import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from itertools import takewhile
from typing import NamedTuple

from heliograph.core.clock import Clock
from heliograph.core.errors import Refused
from heliograph.core.owner import Pod
from heliograph.core.record import Record
from heliograph.core.training import WANDB, TrainingRow
from heliograph.service.owners import Owners
from heliograph.store.state import training
from heliograph.store.state.state import State
from heliograph.training import checkpoints, framework
from heliograph.training.checkpoints import Checkpoint, CheckpointEvent
from heliograph.training.rows import one_step
from heliograph.training.runs import Run, runs
from heliograph.workloads.directory import Directory

KEPT_MAX = 500
# How far back the parts of the step that is shown as the present one are looked for.
STEP_NS_MAX = 60 * 10**9
STEP_ROWS_MAX = 1000
AGE_PER_COST = 20
# How long a workload that was asked for counts as one that will be asked for again.
ASKED_S_MAX = 300.0
# What takes less is computed anew at any change: what was written is read at once.
COST_S_MIN = 0.1
ROWS_READ_MAX = training.READ_ROWS_MAX - 1


class Row(NamedTuple):
    """A training row and the serial and id of its run."""

    row: TrainingRow
    run: int
    run_id: str


class Present(NamedTuple):
    """Where a workload stands: its newest row, and the run that it belongs to."""

    row: TrainingRow
    run: Run


class _Kept(NamedTuple):
    stored: float
    changed: int
    at_s: float
    asked_s: float
    cost_s: float
    runs: list[Run]


class Trainings:
    """Reads training of workloads. *stored* counts rows as they are stored. Thread-safe."""

    def __init__(
        self, state: State, owners: Owners, clock: Clock, *, stored: Callable[[], float]
    ) -> None:
        self._state = state
        self._owners = owners
        self._clock = clock
        self._stored = stored
        # In the order in which they were asked for last.
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def runs(self, uid: str) -> list[Run]:
        """The runs of workload *uid*, by serial."""
        stored, changed = self._stored(), self._owners.changed
        now_s = self._clock.monotonic_s()
        kept = self._kept.get(uid)
        if kept is not None and (
            (kept.stored, kept.changed) == (stored, changed)
            or (
                kept.cost_s > COST_S_MIN
                and now_s - kept.at_s < AGE_PER_COST * self._cost_s(now_s)
            )
        ):
            self._keep(uid, kept._replace(asked_s=now_s), kept)
            return kept.runs
        found = self._computed(uid)
        cost_s = self._clock.monotonic_s() - now_s
        self._keep(uid, _Kept(stored, changed, now_s, now_s, cost_s, found), None)
        return found

    def _keep(self, uid: str, one: _Kept, before: _Kept | None) -> None:
        """Keep *one*, asked for last; in place of *before*, where that is not None, and no other."""
        with self._lock:
            if before is not None and self._kept.get(uid) is not before:
                return
            self._kept[uid] = one
            self._kept.move_to_end(uid)
            while len(self._kept) > KEPT_MAX:
                self._kept.popitem(last=False)

    def _cost_s(self, now_s: float) -> float:
        """What all that was asked for lately took: a page of many workloads costs no more than one
        of few."""
        with self._lock:
            lately = takewhile(
                lambda kept: now_s - kept.asked_s <= ASKED_S_MAX, reversed(self._kept.values())
            )
            return sum(kept.cost_s for kept in lately)

    def rows(self, uid: str, run: str, *, start_ns: int, end_ns: int) -> tuple[list[Row], bool]:
        """Rows by run, iteration and time; and whether there were more than ROWS_READ_MAX.

        *run* is a serial, an id, or "" for all. Raises Refused when there is no such run.
        """
        known = self.runs(uid)
        chosen = _chosen(known, run)
        if chosen is not None:
            start_ns = max(start_ns, chosen.start_ns)
            end_ns = min(end_ns, chosen.end_ns)
        found = self._state.read(
            lambda tx: training.rows(
                tx,
                self._pod_uids(uid),
                start_ns=start_ns,
                end_ns=end_ns,
                limit=ROWS_READ_MAX + 1,
            )
        )
        placed = _steps(Row(row, *_run_of(row, known)) for row in found if row.marker is None)
        if chosen is not None:
            placed = [row for row in placed if row.run == chosen.serial]
        placed.sort(key=lambda r: (r.run, r.row.iteration or 0, r.row.at_ns, r.row.rank_group))
        return placed[:ROWS_READ_MAX], len(found) > ROWS_READ_MAX

    def present(self, uid: str) -> Present | None:
        """Where workload *uid* stands; None when it never printed a row."""
        known = self.runs(uid)
        newest = self._state.read(lambda tx: training.latest(tx, self._pod_uids(uid)))
        rows = [row for row in newest if row.marker is None]
        if not rows or not known:
            return None
        # Of one place the last, which has the greatest epoch.
        row = max(
            reversed(rows), key=lambda row: (row.at_ns, row.iteration or 0, row.rank_group)
        )
        if row.source == WANDB:
            row = self._step(row)
        serial, _ = _run_of(row, known)
        return Present(row, known[serial - 1])

    def _step(self, row: TrainingRow) -> TrainingRow:
        """*row* with what else its step logged shortly before."""
        found = self._state.read(
            lambda tx: training.rows(
                tx,
                [row.pod_uid],
                start_ns=row.at_ns - STEP_NS_MAX,
                end_ns=row.at_ns + 1,
                limit=STEP_ROWS_MAX,
            )
        )
        same = (row.source, row.rank_group, row.iteration)
        parts = [one for one in found if (one.source, one.rank_group, one.iteration) == same]
        # What a script logs itself names no framework; the lines beside it do.
        shown = reduce(framework.combined, (one.framework for one in found), row.framework)
        return one_step([row, *parts])._replace(framework=shown)

    def pods(self, uid: str) -> Sequence[Pod]:
        """The pods of workload *uid* and of its descendants."""
        return self._owners.directory().pods_of(uid)

    def _pod_uids(self, uid: str) -> list[str]:
        return [pod.uid for pod in self.pods(uid)]

    def _computed(self, uid: str) -> list[Run]:
        pods = self.pods(uid)
        uids = [pod.uid for pod in pods]
        edges = self._state.read(lambda tx: training.edges(tx, uids))
        return runs(
            map(TrainingRow._make, edges),
            pod_names={pod.uid: (pod.namespace, pod.name) for pod in pods},
        )


def _steps(rows: Iterable[Row]) -> list[Row]:
    """*rows*, those of one step of a wandb run as one; what is printed stands beside it."""
    placed: list[Row] = []
    steps: dict[tuple[int, str, int | None], list[Row]] = {}
    for row in rows:
        if row.row.source == WANDB:
            step = row.run, row.row.rank_group, row.row.iteration
            steps.setdefault(step, []).append(row)
        else:
            placed.append(row)
    joined = (
        some[0]._replace(row=one_step(one.row for one in some)) for some in steps.values()
    )
    return [*placed, *joined]


def checkpoints_of(records: Sequence[Record]) -> list[Checkpoint]:
    """The checkpoints that *records* of type `checkpoint_…` tell of, oldest first."""
    return checkpoints.joined(
        CheckpointEvent(
            record.timestamp_ns,
            record.session_id,
            str(record.resource.get("speaker", "")),
            record.event_type,
            record.attributes,
        )
        for record in records
    )


def workload_or_404(directory: Directory, uid: str) -> None:
    """Raise Refused 404 when *uid* is not known."""
    if uid not in directory.workloads:
        raise Refused(f"no workload {uid[:100]!r}", code="not_found", status=404)


def _chosen(known: Sequence[Run], run: str) -> Run | None:
    if not run:
        return None
    for one in known:
        if run in {str(one.serial), one.id}:
            return one
    raise Refused(
        f"no run {run[:100]!r}; there are {len(known)}",
        field="run",
        code="not_found",
        status=404,
    )


def _run_of(row: TrainingRow, known: Sequence[Run]) -> tuple[int, str]:
    """Serial and id of the run that *row*'s time is in."""
    if not known:
        return 0, ""
    at = bisect_right(known, row.at_ns, key=lambda run: run.start_ns) - 1
    run = known[max(at, 0)]
    return run.serial, run.id
