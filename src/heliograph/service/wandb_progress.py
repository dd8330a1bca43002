"""How far a wandb run has come: what each body of its stream adds to what is known of it.

history_lines   lines of its history, each once, however often and from where its client counts
names           what the script calls the fields of its steps (`wandb_names`)
dropped_values  values of steps that found no room, by why; `left_out` then has `metrics`
tail            of its last line what a client that goes on with the run must know
"""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from heliograph.receive import wandb_stream
from heliograph.receive.wandb_stream import Point, Stream
from heliograph.service.meters import Meters
from heliograph.store.state.wandb_runs import WandbRun

# Names of values of one run that are remembered; a value without is shown under our name.
NAMES_MAX = 4096


class Stepped(NamedTuple):
    """What the steps of a body told: all names of the run so far, place → name, and values that found
    no room, by why."""

    names: Mapping[str, str]
    left_out: Mapping[str, int]


def moved_on(
    run: WandbRun, stream: Stream, told: Stepped, now_ns: int, meters: Meters
) -> WandbRun:
    """*run* after *stream*, which came at *now_ns* and whose steps *told* this."""
    said = dict(run.document)
    fresh = _fresh(run, stream.history)
    if fresh and stream.history_end >= run.history_lines:
        said["tail"] = _tail(stream.history[-1])
    if stream.events and stream.events_end >= run.event_lines:
        said["events_tail"] = _tail(stream.events[-1])
    if stream.summary is not None:
        said["summary"] = stream.summary
    _add_names(said, told.names, meters)
    if fresh and told.left_out:
        sums = dict(said.get("dropped_values") or {})
        for why, count in told.left_out.items():
            sums[why] = int(sums.get(why, 0)) + count
        said["dropped_values"] = sums
        _leave_out(said, "metrics")
    if stream.uploaded:
        said["uploaded_files"] = int(said.get("uploaded_files", 0)) + stream.uploaded
    return run._replace(
        heard_ns=max(run.heard_ns, now_ns),
        history_ns=now_ns if fresh else run.history_ns,
        # A client that syncs a run again goes on counting where the first sync ended.
        history_lines=max(
            run.history_lines, min(stream.history_end, run.history_lines + fresh)
        ),
        event_lines=max(run.event_lines, stream.events_end),
        console_lines=max(run.console_lines, stream.console_end),
        document=said,
    )


def _fresh(run: WandbRun, history: Sequence[Point]) -> int:
    """How many steps of *history* come after the last one that is known of *run*."""
    tail = run.document.get("tail") or {}
    last_ns, last_step = _at_ns(tail), tail.get("_step")
    return sum(
        point.at_ns is None
        or point.at_ns > last_ns
        or point.step is None
        or last_step is None
        or point.step > last_step
        for point in history
    )


def _add_names(said: dict[str, Any], names: Mapping[str, str], meters: Meters) -> None:
    known = said.get("names") or {}
    if len(names) == len(known):
        return
    said["names"] = dict(islice(names.items(), NAMES_MAX))
    if (beyond := len(names) - NAMES_MAX) > 0:
        meters.dropped.add(beyond, "wandb_names", "too_many")
        _leave_out(said, "names")


def _leave_out(said: dict[str, Any], what: str) -> None:
    said["left_out"] = sorted({*(said.get("left_out") or ()), what})


def _tail(point: Point) -> dict[str, Any]:
    """What a client that goes on with a run must know of its last line."""
    tail = {
        "_step": point.step,
        "_runtime": point.runtime_s,
        "_timestamp": None if point.at_ns is None else point.at_ns / 1e9,
    }
    return {name: value for name, value in tail.items() if value is not None}


def tail_ns(run: WandbRun) -> int:
    """When *run* last said something that has a time, by its own clock; 0 where it never did."""
    said = run.document
    return max(_at_ns(said.get("tail") or {}), _at_ns(said.get("events_tail") or {}))


def _at_ns(tail: Mapping[str, Any]) -> int:
    """When the last line of a file was logged; 0 where it does not say."""
    return wandb_stream.instant_ns(tail.get("_timestamp", 0.0)) or 0
