"""Checkpoint events, one a line, joined into checkpoints: a save is one thing that begins and ends.

    saving checkpoint at iteration 100 to /ckpt              in_progress
    successfully saved checkpoint from iteration 100 to …    success, 90.5 s

So is a load. Of a save whose end nobody printed, what came later tells:

    the same save begins again, by the same rank, or in a pod that loaded since          failed
    it was loaded since                                                                 success
    the rank saved a later iteration since, no load between, and never prints an end     success

A pure function of the events' set: order of arrival and repetition change nothing.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

SAVE_START, SAVE_END, LOAD = "checkpoint_save_start", "checkpoint_save_end", "checkpoint_load"
IN_PROGRESS, SUCCESS, FAILED = "in_progress", "success", "failed"
# A save that begins again sooner is the same one: of another process, or in other words. No training
# is there again so soon.
AGAIN_NS_MIN = 30 * 10**9


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
    status       `in_progress`; `success` or `failed` once its end was seen, or was shown by others
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
    return sorted(_settled(done), key=_shown)


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
    iteration = -1 if one.iteration is None else one.iteration
    return (
        _at_ns(one),
        one.pod_uid,
        one.speaker,
        one.kind,
        iteration,
        one.end_ns is None,
        one.end_ns,
    )


def _begun(kind: str, event: CheckpointEvent) -> Checkpoint:
    return Checkpoint(
        kind,
        IN_PROGRESS,
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
        FAILED if event.attributes.get("status") == "failed" else SUCCESS,
        event.pod_uid,
        event.speaker,
        begun.iteration if begun and iteration is None else iteration,
        begun.path if begun and path is None else path,
        start_ns,
        event.at_ns,
        duration_ms,
    )


class _Loads:
    """Those of *known* that did not fail."""

    def __init__(self, known: Iterable[Checkpoint]) -> None:
        self.of_iteration: dict[int | None, list[Checkpoint]] = defaultdict(list)
        self._times: dict[str, list[int]] = defaultdict(list)
        for one in sorted(known, key=_shown):
            if one.kind == "load" and one.status != FAILED:
                self.of_iteration[one.iteration].append(one)
                self._times[one.pod_uid].append(_at_ns(one))

    def between(self, pod_uid: str, since_ns: int, then_ns: int) -> bool:
        """Whether a pod loaded after *since_ns* and before *then_ns*."""
        times = self._times.get(pod_uid, ())
        n = bisect_right(times, since_ns)
        return n < len(times) and times[n] < then_ns


def _settled(known: Sequence[Checkpoint]) -> list[Checkpoint]:
    """*known*, saves whose end was not seen with the status that others show."""
    loads = _Loads(known)
    saves: dict[tuple[str, int | None], list[Checkpoint]] = defaultdict(list)
    by_rank: dict[tuple[str, str], list[Checkpoint]] = defaultdict(list)
    ended: set[tuple[str, str]] = set()
    for one in sorted(known, key=_shown):
        if one.kind == "save":
            rank = one.pod_uid, one.speaker
            saves[one.speaker, one.iteration].append(one)
            by_rank[rank].append(one)
            if one.status != IN_PROGRESS:
                ended.add(rank)
    settled: list[Checkpoint] = []
    for one in known:
        if one.kind == "save" and one.status == IN_PROGRESS:
            rank = one.pod_uid, one.speaker
            if any(_is_again(one, other, loads) for other in saves[one.speaker, one.iteration]):
                one = one._replace(status=FAILED)  # noqa: PLW2901
            elif any(
                _is_of(load, one) for load in loads.of_iteration.get(one.iteration, ())
            ) or (rank not in ended and _went_on(one, by_rank[rank], loads)):
                one = one._replace(status=SUCCESS)  # noqa: PLW2901
        settled.append(one)
    return settled


def _is_again(save: Checkpoint, other: Checkpoint, loads: _Loads) -> bool:
    """Whether by *other*, of the same iteration, *save* began again."""
    since_ns, then_ns = _at_ns(save), _at_ns(other)
    if save.iteration is None or then_ns <= since_ns or not _alike(save.path, other.path):
        return False
    if other.pod_uid == save.pod_uid:
        return then_ns - since_ns >= AGAIN_NS_MIN
    return loads.between(other.pod_uid, since_ns, then_ns)


def _is_of(load: Checkpoint, save: Checkpoint) -> bool:
    """Whether *load*, of the same iteration, is one of what *save* left."""
    named = save.iteration is not None or None not in (save.path, load.path)
    # Of a load whose end alone was seen nobody knows whether it began before the save.
    later = load.start_ns is not None and load.start_ns > _at_ns(save)
    return named and later and _alike(load.path, save.path)


def _went_on(save: Checkpoint, mine: Sequence[Checkpoint], loads: _Loads) -> bool:
    """Whether of *mine*, all of one rank by time and none with an end, one is later than *save*."""
    if save.iteration is None:
        return False
    since_ns = _at_ns(save)
    for other in islice(mine, bisect_right(mine, since_ns, key=_at_ns), None):
        if other.iteration is not None and other.iteration > save.iteration:
            return not loads.between(save.pod_uid, since_ns, _at_ns(other))
    return False


def _alike(path: str | None, other: str | None) -> bool:
    return None in (path, other) or str(path).rstrip("/") == str(other).rstrip("/")


def _at_ns(one: Checkpoint) -> int:
    """When it began; when it ended, where that is all that is known."""
    at_ns = one.end_ns if one.start_ns is None else one.start_ns
    assert at_ns is not None
    return at_ns


def _iteration(event: CheckpointEvent) -> int | None:
    iteration = event.attributes.get("iteration")
    return iteration if isinstance(iteration, int) else None
