"""How far a wandb run has come: what each body of its stream adds to what is known of it.

history_lines   lines of its history, each once, however often and from where its client counts
names           what the script calls the fields of its steps: {"total_loss": "train/loss"}
tail            of its last line what a client that goes on with the run must know
"""

from collections.abc import Mapping, Sequence
from typing import Any

from heliograph.receive import wandb_stream
from heliograph.receive.wandb_stream import Point, Stream
from heliograph.service.meters import Meters
from heliograph.store.state.wandb_runs import WandbRun
from heliograph.training import steps

# Names of values of one run that are remembered; a value without is shown under our name.
NAMES_MAX = 4096


def moved_on(run: WandbRun, stream: Stream, now_ns: int, meters: Meters) -> WandbRun:
    """*run* after *stream*, which came at *now_ns*."""
    said = dict(run.document)
    fresh = _fresh(run, stream.history)
    if fresh and stream.history_end >= run.history_lines:
        said["tail"] = _tail(stream.history[-1])
    if stream.events and stream.events_end >= run.event_lines:
        said["events_tail"] = _tail(stream.events[-1])
    if stream.summary is not None:
        said["summary"] = stream.summary
    names = said.get("names") or {}
    if found := _new_names(names, stream):
        said["names"] = dict([*names.items(), *sorted(found.items())][:NAMES_MAX])
        meters.dropped.add(
            max(0, len(names) + len(found) - NAMES_MAX), "wandb_names", "too_many"
        )
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


def _new_names(known: Mapping[str, str], stream: Stream) -> dict[str, str]:
    """What the script calls the fields of its steps, as far as nobody said it yet."""
    found: dict[str, str] = {}
    for names in dict.fromkeys(tuple(point.values) for point in stream.history):
        of_step = steps.fields_of(names)
        if not of_step.keys() <= known.keys():
            found |= {field: of_step[field] for field in of_step.keys() - known.keys()}
    return found


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
