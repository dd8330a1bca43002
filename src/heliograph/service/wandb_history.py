"""The steps of one wandb run, read back from the training rows that they became.

    {"_step": 120, "_timestamp": 1795311305.5, "_runtime": 64.2, "train/loss": 2.31, "my.thing": 7.0}

Names are those that the script gave, values numbers: text and media are not kept. NaN and infinities
stay what they are.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from heliograph.core.errors import Refused
from heliograph.core.training import TrainingRow
from heliograph.service import wandb_places
from heliograph.service.wandb_names import Names
from heliograph.store.state import training
from heliograph.store.state.state import State
from heliograph.store.state.wandb_runs import WandbRun
from heliograph.training import steps

T = TypeVar("T")
# Steps that one question may be about, once those without its keys are left out.
STEPS_MAX = 100_000
# Rows that are read together.
_ROWS_TOGETHER = 10_000
_OWN = ("_step", "_timestamp", "_runtime")


class Wanted(NamedTuple):
    """Which steps: from *start* until before *end* (None: all), those that have all of *keys*, at
    most *samples* of them, evenly chosen."""

    start: int = 0
    end: int | None = None
    keys: tuple[str, ...] = ()
    samples: int = STEPS_MAX


def history(state: State, run: WandbRun, wanted: Wanted) -> list[dict[str, Any]]:
    """The steps of *run* that are *wanted*, in order. Refused where they are more than STEPS_MAX, or
    stand among too many other rows."""
    pod_uids = [uid for _, uid in wandb_places.pods(run)]
    times = _times(state, run, pod_uids, wanted)
    if not wanted.keys:
        # Of those with certain keys nobody knows how many there are before they are read.
        times = {step: times[step] for step in _evenly(sorted(times), wanted.samples)}
    found: dict[int, dict[str, Any]] = {}
    names = Names(run.document.get("names") or {})
    ours = set(wanted.keys).difference(_OWN)
    for row in _rows(state, run, pod_uids, times):
        step = row.iteration or 0
        values = names.as_logged(row)
        if ours and not values.keys() & ours:
            continue
        # What was logged later holds.
        found[step] = {**found.get(step, {}), **values, **_own(run, row)}
        if len(found) > STEPS_MAX:
            raise Refused(
                f"more than {STEPS_MAX:,} steps: ask for fewer at once", code="too_many"
            )
    shown = [found[step] for step in sorted(found)]
    if wanted.keys:
        shown = [
            {key: one[key] for key in wanted.keys}
            for one in shown
            if one.keys() >= set(wanted.keys)
        ]
    return _evenly(shown, wanted.samples)


def _times(
    state: State, run: WandbRun, pod_uids: Sequence[str], wanted: Wanted
) -> dict[int, list[int]]:
    """When each step was logged, of those between *start* and *end*."""
    times: dict[int, list[int]] = {}
    edges = state.read(lambda tx: training.edges(tx, pod_uids))
    if len(edges) >= training.EDGES_MAX:
        raise Refused("the pods of this run have more rows than can be looked through")
    for edge in edges:
        if edge.source == steps.SOURCE and edge.rank_group == run.run_id:
            step = edge.iteration or 0
            if wanted.start <= step and (wanted.end is None or step < wanted.end):
                times.setdefault(step, []).append(edge.at_ns)
    return times


def _rows(
    state: State, run: WandbRun, pod_uids: Sequence[str], times: Mapping[int, Collection[int]]
) -> Iterator[TrainingRow]:
    """The rows of the steps in *times*, by time."""
    if not times:
        return
    start_ns = min(map(min, times.values()))
    end_ns = max(map(max, times.values())) + 1
    last: TrainingRow | None = None
    while True:
        page = state.read(
            lambda tx, last=last: training.rows(  # type: ignore[misc]
                tx, pod_uids, start_ns=start_ns, end_ns=end_ns, limit=_ROWS_TOGETHER, after=last
            )
        )
        for row in page:
            mine = row.source == steps.SOURCE and row.rank_group == run.run_id
            if mine and (row.iteration or 0) in times:
                yield row
        if len(page) < _ROWS_TOGETHER:
            return
        last = page[-1]


def _own(run: WandbRun, row: TrainingRow) -> dict[str, Any]:
    at_s = row.at_ns / 1e9
    tail = run.document.get("tail") or {}
    # Its clock began with the script; a run that was resumed left out what was between.
    runtime_s = at_s - tail.get("_timestamp", 0.0) + tail.get("_runtime", at_s)
    if not 0 <= runtime_s < at_s:
        runtime_s = (row.at_ns - wandb_places.started_ns(run)) / 1e9
    return dict(zip(_OWN, (row.iteration, at_s, round(runtime_s, 6)), strict=True))


def _evenly(items: Sequence[T], many: int) -> list[T]:
    """At most *many* of *items*, the first and the last among them."""
    if len(items) <= many:
        return list(items)
    if many < 2:
        return list(items[: max(0, many)])
    return [items[round(n * (len(items) - 1) / (many - 1))] for n in range(many)]
