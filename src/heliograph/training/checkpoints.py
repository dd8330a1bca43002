"""Checkpoint events, one a line, joined into checkpoints: a save is one thing that begins and ends.

    saving checkpoint at iteration 100 to /ckpt              in_progress
    successfully saved checkpoint from iteration 100 to …    success, 90.5 s

A pure function of the events' set: order of arrival and repetition change nothing.
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
    status       `in_progress`, or `success` once its end was seen
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
    unique = {(e.at_ns, e.pod_uid, e.speaker, e.event_type, _iteration(e)): e for e in events}
    # At one instant a start comes before an end, whatever order they arrived in.
    ordered = sorted(
        unique.values(), key=lambda e: (e.at_ns, e.event_type != SAVE_START, e[1:4])
    )
    done: list[Checkpoint] = []
    open_saves: dict[tuple[str, str], list[Checkpoint]] = {}
    for event in ordered:
        mine = open_saves.setdefault((event.pod_uid, event.speaker), [])
        if event.event_type == SAVE_START:
            mine.append(_begun(event))
        elif event.event_type == SAVE_END:
            done.append(_ended(event, _taken(mine, _iteration(event))))
        elif event.event_type == LOAD:
            done.append(_loaded(event))
    done.extend(begun for mine in open_saves.values() for begun in mine)
    return sorted(done, key=lambda c: (c.start_ns or c.end_ns or 0, c.pod_uid, c.speaker))


def _begun(event: CheckpointEvent) -> Checkpoint:
    return Checkpoint(
        "save",
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
    """The open save that an end of *iteration* ends: of the same number, else the latest."""
    for begun in reversed(mine):
        if iteration is None or begun.iteration in {iteration, None}:
            mine.remove(begun)
            return begun
    return None


def _ended(event: CheckpointEvent, begun: Checkpoint | None) -> Checkpoint:
    duration_ms = event.attributes.get("duration_ms")
    start_ns = begun.start_ns if begun else None
    if duration_ms is None and start_ns is not None:
        duration_ms = (event.at_ns - start_ns) / 1e6
    if start_ns is None and duration_ms is not None:
        start_ns = event.at_ns - round(duration_ms * 1e6)
    iteration, path = _iteration(event), event.attributes.get("path")
    return Checkpoint(
        "save",
        "success",
        event.pod_uid,
        event.speaker,
        begun.iteration if begun and iteration is None else iteration,
        begun.path if begun and path is None else path,
        start_ns,
        event.at_ns,
        duration_ms,
    )


def _loaded(event: CheckpointEvent) -> Checkpoint:
    duration_ms = event.attributes.get("duration_ms")
    ended = duration_ms is not None or event.attributes.get("phase") == "end"
    start_ns = event.at_ns - round(duration_ms * 1e6) if duration_ms is not None else None
    return Checkpoint(
        "load",
        "success" if ended else "in_progress",
        event.pod_uid,
        event.speaker,
        _iteration(event),
        event.attributes.get("path"),
        start_ns if ended else event.at_ns,
        event.at_ns if ended else None,
        duration_ms,
    )


def _iteration(event: CheckpointEvent) -> int | None:
    iteration = event.attributes.get("iteration")
    return iteration if isinstance(iteration, int) else None
