"""The rows of one workload → its runs. A pure function of the set of rows, and of nothing else.

A run lasts until something shows that training began anew. What shows it, in a stream (a pod's
one source, one rank group) that is in the current run:

    iteration went back               below the stream's own last one, as `setbacks` tells it from lags
                                      and ends of epochs; equal is a repetition
    epoch went back                   the same of rows that name no iteration
    training_start again              the stream has one in this run, and a row came since
    training_start after its rows     the stream has rows in this run, its own start was not seen
    new incarnation of pod NAME       a pod of this run comes again under another uid
    pod NAME starts over              an unknown pod begins below the run's highest iteration, or
                                      says training_start, when all the others have gone silent
    new wandb run ID                  a run of wandb that was never seen, in a pod whose wandb runs
                                      of this run have gone silent; a stream of wandb has its ID for
                                      rank group

A wandb run is one however often it is resumed: its steps neither go back nor does a pod, which it
comes from, begin anew by it; what that pod prints may show it all the same.

The same in a stream that is still behind (its last row was an earlier run's) only joins it: eight
ranks that restart together are one new run. A row without evidence belongs to the run that is
current at its time; one that an old rank prints after another has begun anew leaves its stream
behind, as the stream's next row shows. Rows are taken in order of event time, so a late row takes
its place among the others, and may move, join or part runs.
"""

import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from heliograph.core.record import record_id
from heliograph.core.training import WANDB, TrainingRow, said
from heliograph.training.setbacks import Step, epoch_of, setbacks

# Evidence kept of one run; the first is why it began, the rest bears it out.
EVIDENCE_MAX = 8

Name = tuple[str, str, str]


class Identity(NamedTuple):
    """What makes a row one of its own, ordered as rows are taken: marks before values.

    A mark has no iteration of its own: the step that a start line names is where the run begins, not
    one that was done.
    """

    at_ns: int
    pod_uid: str
    source: str
    rank_group: str
    is_row: bool
    epoch: float  # -1 where none, as is the iteration
    iteration: int
    done: bool
    marker: str
    said: str


class Run(NamedTuple):
    """One run of a workload.

    id               stable as later rows arrive, for it is computed from the run's first row (its
                     stream and event time); changes when an earlier row of the run arrives late
    serial           1 for the first run in time; an earlier run found late moves those after it
    start_ns         event time of the first row; the run is [start_ns, end_ns)
    end_ns           one past the event time of the last row so far
    first_iteration  of the earliest row that names one; None when none does
    last_iteration   of the latest row that names one
    rows             distinct rows with values; marks are not counted
    evidence         why the run is one of its own: first what opened it, at most EVIDENCE_MAX
    """

    id: str
    serial: int
    start_ns: int
    end_ns: int
    first_iteration: int | None
    last_iteration: int | None
    rows: int
    evidence: tuple[str, ...]


def identity(row: TrainingRow) -> Identity:
    """Two rows of equal identity are one row."""
    at_ns, pod_uid, source, rank_group = row.at_ns, row.pod_uid, row.source, row.rank_group
    if row.marker:
        return Identity(
            at_ns, pod_uid, source, rank_group, False, -1.0, -1, False, row.marker, ""
        )
    epoch, done = epoch_of(row.fields)
    iteration = -1 if row.iteration is None else row.iteration
    says = said(row) if row.fields else ""
    return Identity(at_ns, pod_uid, source, rank_group, True, epoch, iteration, done, "", says)


def runs(rows: Iterable[TrainingRow], *, pod_names: Mapping[str, tuple[str, str]]) -> list[Run]:
    """The runs of one workload, in order of time.

    *rows* in any order, with any repetitions. *pod_names* is pod uid → (namespace, name) of
    the pods that are known; without it, a pod that comes again is told by its iterations only.
    """
    return _trace(rows, pod_names)[0]


def assign(
    rows: Iterable[TrainingRow], *, pod_names: Mapping[str, tuple[str, str]]
) -> list[int]:
    """The serial of each row's run, in the order of *rows*."""
    held = list(rows)
    serials = _trace(held, pod_names)[1]
    return [serials[identity(row)] for row in held]


@dataclass
class _Stream:
    """Where one stream stands."""

    serial: int = 0
    progressed: bool = False  # it has a row in that run that says how far it is
    rows_at_start: int | None = None  # rows of the workload when it last said training_start


@dataclass
class _Current:
    """The run that is current."""

    serial: int
    first: Identity
    rows: int = 0
    last_ns: int = 0
    last_place: int = -1  # of the last item of any stream that has an item in this run
    first_iteration: int | None = None
    last_iteration: int | None = None
    highest: int | None = None
    # Pod uid → the place of the last item of any wandb run of it that is in this run.
    wandb: dict[str, int] = field(default_factory=dict)
    pods: dict[tuple[str, str], str] = field(default_factory=dict)
    evidence: list[str] = field(default_factory=list)

    def bear_out(self, evidence: str | None) -> None:
        if evidence and evidence not in self.evidence and len(self.evidence) < EVIDENCE_MAX:
            self.evidence.append(evidence)

    def finished(self) -> Run:
        return Run(
            record_id("run", *self.first[:4]),
            self.serial,
            self.first.at_ns,
            self.last_ns + 1,
            self.first_iteration,
            self.last_iteration,
            self.rows,
            tuple(self.evidence),
        )


def _trace(
    rows: Iterable[TrainingRow], pod_names: Mapping[str, tuple[str, str]]
) -> tuple[list[Run], dict[Identity, int]]:
    items = sorted({identity(row) for row in rows})
    ends = {item[1:4]: place for place, item in enumerate(items)}
    beginnings, back, falling = _ahead(items)
    streams: dict[Name, _Stream] = {}
    pods: set[str] = set()
    known: set[str] = set()
    serials: dict[Identity, int] = {}
    done: list[Run] = []
    current: _Current | None = None
    rows_seen = 0
    for place, item in enumerate(items):
        pod_uid = item.pod_uid
        stream = streams.setdefault(item[1:4], _Stream())
        evidence = _evidence_of_stream(item, stream, rows_seen, back=item in back)
        ahead = stream.serial == len(done) + 1
        wandb_run = _wandb_run(item)
        resumed = wandb_run in known
        if current is not None and evidence is None and not resumed:
            if wandb_run and current.wandb.get(pod_uid, place) < place:
                evidence = f"new wandb run {wandb_run}"
            elif pod_uid not in pods:
                evidence = _evidence_of_pod(
                    item, current, pod_names.get(pod_uid), beginnings.get(pod_uid), place
                )
            ahead = evidence is not None or ahead
        if current is None:
            current = _Current(1, item, evidence=["first row"])
        elif evidence is not None and ahead:
            done.append(current.finished())
            current = _Current(current.serial + 1, item)
        current.bear_out(evidence)
        if not resumed:
            pods.add(pod_uid)
        if wandb_run:
            known.add(wandb_run)
        serials[item] = current.serial
        behind = 0 < stream.serial < current.serial and evidence is None
        if behind and item in falling and item.iteration > (current.highest or -1):
            current.rows += 1
            current.last_ns = item.at_ns
            continue
        _join(item, stream, current, pod_names.get(pod_uid), ends, rows_seen)
        rows_seen += item.is_row
    return ([*done, current.finished()] if current else []), serials


def _ahead(items: list[Identity]) -> tuple[dict[str, int], set[Identity], set[Identity]]:
    """What is known of later items: each pod's first iteration, the items by which a stream went back,
    and those that are before these."""
    beginnings: dict[str, int] = {}
    streams: dict[Name, list[Identity]] = {}
    for item in items:
        if item.iteration >= 0:
            beginnings.setdefault(item.pod_uid, item.iteration)
        if not _wandb_run(item):
            streams.setdefault(item[1:4], []).append(item)
    back: set[Identity] = set()
    falling: set[Identity] = set()
    for some in streams.values():
        # Of most streams nothing falls at all.
        places = [item.epoch if item.iteration < 0 else item.iteration for item in some]
        if not any(map(operator.gt, places, places[1:])):
            continue
        for n in setbacks([_step(item) for item in some]):
            back.add(some[n])
            falling.add(some[n - 1])
    return beginnings, back, falling


def _step(item: Identity) -> Step:
    starts = item.marker == "training_start"
    return Step(item.at_ns, item.epoch, item.iteration, item.done, starts)


def _wandb_run(item: Identity) -> str:
    """The wandb run that *item* is a step of; "" for others, and where nobody said which."""
    return item.rank_group if item.source == WANDB else ""


def _evidence_of_stream(
    item: Identity, stream: _Stream, rows_seen: int, *, back: bool
) -> str | None:
    """Why *item* cannot be of the run that its stream was last in, or None; *back*: by it the stream
    went back."""
    if back and stream.progressed:
        return "iteration went back" if item.iteration >= 0 else "epoch went back"
    if item.marker == "training_start":
        if stream.rows_at_start is not None:
            return "training_start again" if rows_seen > stream.rows_at_start else None
        if stream.progressed:
            return "training_start after its rows"
    return None


def _evidence_of_pod(
    item: Identity,
    current: _Current,
    name: tuple[str, str] | None,
    beginning: int | None,
    place: int,
) -> str | None:
    """Why the first item of a pod cannot be of the current run, or None.

    That the others have gone silent is knowledge of the whole set: none of the streams that are
    in the run has an item after this one.
    """
    label = "/".join(name) if name else item.pod_uid
    if name is not None and current.pods.get(name, item.pod_uid) != item.pod_uid:
        return f"new incarnation of pod {label}"
    if current.last_place > place or current.highest is None:
        return None
    below = beginning is not None and beginning < current.highest
    return f"pod {label} starts over" if below or item.marker == "training_start" else None


def _join(
    item: Identity,
    stream: _Stream,
    current: _Current,
    name: tuple[str, str] | None,
    ends: Mapping[Name, int],
    rows_seen: int,
) -> None:
    """Counts *item* into the current run, and moves its stream there."""
    if stream.serial != current.serial:
        stream.serial, stream.progressed, stream.rows_at_start = current.serial, False, None
    end = ends[item[1:4]]
    current.last_ns = item.at_ns
    current.last_place = max(current.last_place, end)
    if _wandb_run(item):
        current.wandb[item.pod_uid] = max(current.wandb.get(item.pod_uid, end), end)
    current.rows += item.is_row
    if name is not None and item.marker != "training_end":
        # A pod that says its end may be one that the new run replaces.
        current.pods.setdefault(name, item.pod_uid)
    if item.marker == "training_start":
        stream.rows_at_start = rows_seen
    iteration = item.iteration
    stream.progressed = stream.progressed or max(iteration, item.epoch) >= 0
    if iteration < 0:
        return
    if current.first_iteration is None:
        current.first_iteration = iteration
    current.last_iteration = iteration
    current.highest = iteration if current.highest is None else max(current.highest, iteration)
