"""Checkpoint events, one a line, joined into checkpoints: a save is one thing that begins and ends.

    saving checkpoint at iteration 100 to /ckpt              in_progress
    successfully saved checkpoint from iteration 100 to …    success, 90.5 s

So is a load. A pure function of the events' set: order of arrival and repetition change nothing.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

SAVE_START, SAVE_END, LOAD = "checkpoint_save_start", "checkpoint_save_end", "checkpoint_load"


class CheckpointEvent(NamedTuple):
    """What one line said. *speaker* tells the ranks of a pod apart; attributes as the parser's."""

    at_ns: int
    pod_uid: str
    speaker: str
    event_type: str
    attributes: Mapping[str, Any]


class Checkpoint(NamedTuple):
    """One save or load.

    kind         `save` or `load`
    status       `in_progress`; `success` or `failed` once its end was seen
    iteration    None where no line named it
    duration_ms  as printed, else from its two lines; None while it is unknown
    """

    kind: str
    status: str
    pod_uid: str
    speaker: str
    iteration: int | None
    path: str | None
    start_ns: int | None
    end_ns: int | None
    duration_ms: float | None


def joined(events: Iterable[CheckpointEvent]) -> list[Checkpoint]:
    """The checkpoints of *events*, oldest first."""
    unique = {_key(event): event for event in sorted(events, key=_full)}
    done: list[Checkpoint] = []
    opened: dict[tuple[str, str, str], list[Checkpoint]] = {}
    for key in sorted(unique):
        event = unique[key]
        kind = "load" if event.event_type == LOAD else "save"
        mine = opened.setdefault((kind, event.pod_uid, event.speaker), [])
        if _begins(event):
            mine.append(_begun(kind, event))
        else:
            done.append(_ended(kind, event, _taken(mine, _iteration(event))))
    done.extend(begun for mine in opened.values() for begun in mine)
    return sorted(done, key=_shown)


def _begins(event: CheckpointEvent) -> bool:
    if event.event_type == LOAD:
        # A line that says how long it took tells of an end, whatever else it says.
        said = event.attributes
        return said.get("phase") != "end" and said.get("duration_ms") is None
    return event.event_type == SAVE_START


def _key(event: CheckpointEvent) -> tuple[object, ...]:
    """One event, once. At one instant a start comes before an end, whatever came first."""
    iteration = _iteration(event)
    return (
        event.at_ns,
        not _begins(event),
        *event[1:4],
        -1 if iteration is None else iteration,
    )


def _full(event: CheckpointEvent) -> tuple[object, ...]:
    """Of two wordings that are one event by their key, always the same stays."""
    return _key(event), sorted((name, str(value)) for name, value in event.attributes.items())


def _shown(one: Checkpoint) -> tuple[object, ...]:
    """Oldest first; what has no start counts by its end."""
    at_ns = one.end_ns if one.start_ns is None else one.start_ns
    iteration = -1 if one.iteration is None else one.iteration
    return at_ns, one.pod_uid, one.speaker, one.kind, iteration, one.end_ns is None, one.end_ns


def _begun(kind: str, event: CheckpointEvent) -> Checkpoint:
    return Checkpoint(
        kind,
        "in_progress",
        event.pod_uid,
        event.speaker,
        _iteration(event),
        event.attributes.get("path"),
        event.at_ns,
        None,
        None,
    )


def _taken(mine: list[Checkpoint], iteration: int | None) -> Checkpoint | None:
    """The open one that an end of *iteration* ends: of the same number, else the latest."""
    for begun in reversed(mine):
        if iteration is None or begun.iteration in {iteration, None}:
            mine.remove(begun)
            return begun
    return None


def _ended(kind: str, event: CheckpointEvent, begun: Checkpoint | None) -> Checkpoint:
    duration_ms = event.attributes.get("duration_ms")
    start_ns = begun.start_ns if begun else None
    if duration_ms is None and start_ns is not None:
        duration_ms = (event.at_ns - start_ns) / 1e6
    if start_ns is None and duration_ms is not None:
        start_ns = event.at_ns - round(duration_ms * 1e6)
    iteration, path = _iteration(event), event.attributes.get("path")
    return Checkpoint(
        kind,
        "failed" if event.attributes.get("status") == "failed" else "success",
        event.pod_uid,
        event.speaker,
        begun.iteration if begun and iteration is None else iteration,
        begun.path if begun and path is None else path,
        start_ns,
        event.at_ns,
        duration_ms,
    )


def _iteration(event: CheckpointEvent) -> int | None:
    iteration = event.attributes.get("iteration")
    return iteration if isinstance(iteration, int) else None
