"""What people ask the engine: which alerts fire, in which groups, and what holds them back."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import nlargest
from typing import NamedTuple, TypeAlias

from heliograph.alert.engine import flush
from heliograph.alert.engine.cold import seen_of
from heliograph.alert.engine.state import State
from heliograph.alert.intervals import muted_by
from heliograph.alert.matching import all_match
from heliograph.alert.model import Alert, Group, Suppression
from heliograph.core.matcher import Matcher

# Whether a receiver, by its name, is one that is asked for.
Told: TypeAlias = Callable[[str], bool]


class GroupView(NamedTuple):
    """A group with its alerts that fire, in the order in which they came; each is made when it is
    asked for, before the engine does anything else."""

    group: Group
    alerts: Iterator[Alert]


def found(
    state: State,
    matchers: Sequence[Matcher],
    now_ns: int,
    told: Told | None = None,
) -> Iterator[Alert]:
    """Alerts that fire at *now_ns*, fulfil all *matchers*, and of which a receiver for which *told*
    holds is told (None: any), oldest first where no matcher has equality; each is made when it is
    asked for, before the engine does anything else.

    The matchers that ask for equality pick from the index, so that a narrow question is cheap.
    """
    slots = list(_carrying(state, matchers))
    if told is not None:
        of_them = _told(state, told)
        slots = [slot for slot in slots if slot in of_them]
    return _made(state, slots, matchers, now_ns)


def newest(state: State, limit: int, now_ns: int) -> list[Alert]:
    """The *limit* alerts that fire at *now_ns* and began last, the last first."""
    book = state.book
    slots = [slot for slot in book if book.ends[slot] > now_ns]
    return [book.view(slot) for slot in nlargest(limit, slots, key=book.starts.__getitem__)]


def suppression(
    state: State, alert_id: str, now_ns: int, group_key: str | None = None
) -> Suppression:
    """What keeps the alert of *alert_id* from being told at *now_ns* in the group of *group_key*, or
    in every group that it is in; nothing where it is not held any more."""
    book = state.book
    slot = book.slot(alert_id)
    if slot is None:
        return Suppression()
    mutes = _mutes(state, book.groups[slot] if group_key is None else (group_key,), now_ns)
    if not state.silences and not state.setup.inhibitions:
        return Suppression(mutes=mutes) if mutes else Suppression()
    seen = seen_of(book.cold(slot))
    return Suppression(
        silences=state.silences.silencer.silenced_by(seen, now_ns),
        inhibitors=state.inhibitor.inhibited_by(seen, alert_id),
        mutes=mutes,
    )


def groups(
    state: State,
    now_ns: int,
    matchers: Sequence[Matcher] = (),
    told: Told | None = None,
) -> Iterator[GroupView]:
    """Every group of a receiver for which *told* holds (None: of any) that has members which may
    fulfil *matchers*, by key; its alerts are those that do, and may be none."""
    rows = state.groups.rows
    members: Callable[[str], Iterable[int]] = state.groups.members
    keys: Iterable[str] = rows
    if any(_picks(one) for one in matchers):
        some: dict[str, list[int]] = {}
        for slot in _carrying(state, matchers):
            for key in state.book.groups[slot]:
                some.setdefault(key, []).append(slot)
        keys, members = some, some.__getitem__
    for key in sorted(keys):
        group = rows.get(key)
        if group is not None and (told is None or told(group.receiver)):
            yield GroupView(group, _made(state, members(key), matchers, now_ns))


def groups_of(state: State, alert_id: str) -> tuple[Group, ...]:
    """The groups that the alert of *alert_id* is in."""
    slot = state.book.slot(alert_id)
    keys = () if slot is None else state.book.groups[slot]
    return tuple(group for key in keys if (group := state.groups.rows.get(key)) is not None)


def owed(state: State) -> frozenset[str]:
    """The channels, by id, that may believe something to fire, or are being told so."""
    told = state.outbox.told.items()
    believing = {line[1] for line, one in told if flush.believed(one)}
    rows = state.outbox.rows.items()
    return frozenset(believing | {line[1] for line, row in rows if row.in_flight})


def gauges(state: State) -> dict[str, int]:
    """How much there is of everything that can grow."""
    return {
        "alerts_firing": state.book.firing,
        "episodes_held": len(state.book),
        "groups": len(state.groups),
        "outbox": len(state.outbox.rows),
        "silences": len(state.silences),
    }


def _mutes(state: State, keys: Iterable[str], now_ns: int) -> tuple[str, ...]:
    """The intervals that mute the groups of *keys*; none where one of these is told."""
    names: dict[str, None] = {}
    for key in keys:
        group = state.groups.rows.get(key)
        route = None if group is None else state.setup.tree.by_id(group.route_id)
        if route is None:
            # Only ends are told there.
            continue
        found = muted_by(
            route.mute_time_intervals,
            route.active_time_intervals,
            state.setup.intervals,
            now_ns,
        )
        if not found:
            return ()
        names.update(dict.fromkeys(found))
    return tuple(names)


def _picks(matcher: Matcher) -> bool:
    """Whether the index has what *matcher* asks for."""
    return matcher.op == "=" and bool(matcher.value)


def _carrying(state: State, matchers: Sequence[Matcher]) -> Iterable[int]:
    """Slots of alerts that may fulfil *matchers*."""
    return state.book.carrying([(one.name, one.value) for one in matchers if _picks(one)])


def _told(state: State, told: Told) -> set[int]:
    """Slots of alerts of which a receiver is told for which *told* holds."""
    groups = state.groups
    return {
        slot
        for key, group in groups.rows.items()
        if told(group.receiver)
        for slot in groups.members(key)
    }


def _made(
    state: State, slots: Iterable[int], matchers: Sequence[Matcher], now_ns: int
) -> Iterator[Alert]:
    """Those alerts in *slots* that fire and fulfil *matchers*."""
    book = state.book
    pairs = [(one.name, one.value) for one in matchers]
    only_pairs = all(map(_picks, matchers))
    for slot in slots:
        if book.ends[slot] <= now_ns:
            continue
        if only_pairs:
            alert = book.view(slot)
            # Equal labels need no closer look; names that are not labels do.
            if all(pair in alert.labels for pair in pairs) or all_match(
                matchers, seen_of(alert)
            ):
                yield alert
        # A pattern: nearly all are not what is asked for, and need not be made.
        elif all_match(matchers, seen_of(book.cold(slot))):
            yield book.view(slot)
