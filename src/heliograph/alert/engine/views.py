"""What people ask the engine: which alerts fire, in which groups, and what holds them back."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from heliograph.alert.engine.state import State
from heliograph.alert.intervals import muted_by
from heliograph.alert.matching import all_match
from heliograph.alert.model import Alert, Group, Suppression
from heliograph.core.matcher import Matcher


class GroupView(NamedTuple):
    """A group with its alerts that fire, oldest first."""

    group: Group
    alerts: tuple[Alert, ...]


def found(state: State, matchers: Sequence[Matcher], now_ns: int) -> Iterator[Alert]:
    """Alerts that fire at *now_ns* and fulfil all *matchers*.

    The matchers that ask for equality pick from the index, so that a narrow question is cheap.
    """
    book = state.book
    pairs = [(one.name, one.value) for one in matchers if one.op == "=" and one.value]
    only_pairs = len(pairs) == len(matchers)
    # Positions of the book, read whole before anything is yielded: it may change in between.
    slots = [slot for slot in book.carrying(pairs) if book.ends[slot] > now_ns]
    for slot in slots:
        alert = book.view(slot)
        # Equal labels need no closer look; names that are not labels do, and patterns.
        if (only_pairs and all(pair in alert.labels for pair in pairs)) or all_match(
            matchers, state.seen(alert)
        ):
            yield alert


def suppression(state: State, alert_id: str, now_ns: int) -> Suppression:
    """What keeps the alert of *alert_id* from being told at *now_ns*; nothing where it is not held
    any more."""
    book = state.book
    slot = book.slot(alert_id)
    if slot is None:
        return Suppression()
    mutes: dict[str, None] = {}
    for key in book.groups[slot]:
        group = state.groups.rows.get(key)
        route = None if group is None else state.setup.tree.by_id(group.route_id)
        if route is not None and (route.mute_time_intervals or route.active_time_intervals):
            names = muted_by(
                route.mute_time_intervals,
                route.active_time_intervals,
                state.setup.intervals,
                now_ns,
            )
            mutes.update(dict.fromkeys(names))
    if not state.silences and not state.setup.inhibitions:
        return Suppression(mutes=tuple(mutes)) if mutes else Suppression()
    seen = state.seen(book.cold(slot))
    return Suppression(
        silences=state.silencer.silenced_by(book.fingerprints[slot], seen, now_ns),
        inhibitors=state.inhibitor.inhibited_by(seen, alert_id),
        mutes=tuple(mutes),
    )


def groups(state: State, now_ns: int) -> Iterator[GroupView]:
    """Every group that has an alert which fires, by key."""
    book = state.book
    for key in sorted(state.groups.rows):
        group = state.groups.rows.get(key)
        slots = [slot for slot in state.groups.members(key) if book.ends[slot] > now_ns]
        if group is not None and slots:
            yield GroupView(group, tuple(book.view(slot) for slot in slots))


def groups_of(state: State, alert_id: str) -> tuple[Group, ...]:
    """The groups that the alert of *alert_id* is in."""
    slot = state.book.slot(alert_id)
    keys = () if slot is None else state.book.groups[slot]
    return tuple(group for key in keys if (group := state.groups.rows.get(key)) is not None)
