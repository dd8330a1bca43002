"""What a look at a group decides: stages that hold alerts back, and whether the rest is news.

    members ─► inhibit ─► mute ─► silence ─► compare with what the receiver was told ─► a message

Functions of plain values. What fires is told when no stage holds it. What has resolved is told to
whom its firing was told, even when it is silenced or inhibited by then, for else somebody waits for
an end that never comes; only a mute interval keeps the end back, until it is over.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from heliograph.alert.inhibition import Inhibitor
from heliograph.alert.model import Reason, Told
from heliograph.alert.silences import Silencer

INHIBIT, MUTE, SILENCE, ROUTE = "inhibit", "mute", "silence", "route"
NOBODY: frozenset[str] = frozenset()


class Look(NamedTuple):
    """One member as the stages see it."""

    id: str
    seen: Mapping[str, str]


class Hold(NamedTuple):
    """Not told: which stage, and because of what."""

    stage: str
    cause: str


Stage: TypeAlias = tuple[str, Callable[[Look], Sequence[str]]]


def stages(
    inhibitor: Inhibitor, mutes: Sequence[str], silencer: Silencer, now_ns: int
) -> list[Stage]:
    """The stages of one look, in order, each naming what holds an alert back; *mutes* are the
    intervals that keep the route silent."""
    return [
        (INHIBIT, lambda look: inhibitor.inhibited_by(look.seen, look.id)),
        (MUTE, lambda _: mutes),
        (SILENCE, lambda look: silencer.silenced_by(look.seen, now_ns)),
    ]


def judge(looks: Iterable[Look], through: Sequence[Stage]) -> dict[str, Hold]:
    """What holds each alert back, by id; the first stage that does counts."""
    holds: dict[str, Hold] = {}
    for look in looks:
        for name, stage in through:
            because = stage(look)
            if because:
                holds[look.id] = Hold(name, ",".join(because))
                break
    return holds


def believed(told: Told | None) -> frozenset[str]:
    """What a receiver may take to be firing."""
    if told is None:
        return NOBODY
    return told.firing | told.maybe if told.maybe else told.firing


def tellable(
    resolved: frozenset[str], holds: Mapping[str, Hold], told: Told | None
) -> frozenset[str]:
    """Those of *resolved* that a receiver may be told."""
    if not resolved or not holds:
        return resolved
    owed = believed(told)
    return frozenset(
        one
        for one in resolved
        if one not in holds or (one in owed and holds[one].stage != MUTE)
    )


def reason_to_tell(
    told: Told | None,
    firing: frozenset[str],
    resolved: frozenset[str],
    *,
    now_ns: int,
    repeat_ns: int,
    send_resolved: bool,
) -> Reason | None:
    """Why *firing* and *resolved* are news to who was *told*; None when they are not.

    That everything resolved is a reason whether or not it is sent: what was told ends with it.
    """
    known = told.firing if told is not None else NOBODY
    if not firing <= known:
        return Reason.NEW_ALERTS if known else Reason.FIRST
    ended = not resolved.isdisjoint(believed(told))
    if not firing:
        return Reason.ALL_RESOLVED if ended else None
    if ended and send_resolved:
        return Reason.SOME_RESOLVED
    assert told is not None
    return Reason.REPEAT if now_ns - told.at_ns >= repeat_ns else None
