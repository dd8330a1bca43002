"""New routes over alerts that are there: at a start, and when the configuration changes.

Every alert is put in the groups that it belongs to now. What a channel was told goes with the alert
to the group where it is told about it from now on; where there is none, the old group stays as an
orphan until the end of what it told is told. So nothing is told twice and no end is lost.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from msgspec import structs

from heliograph.alert.config.setup import Setup
from heliograph.alert.engine import beginning, flush, resends, sending
from heliograph.alert.engine.cold import seen_of
from heliograph.alert.engine.flush import Hold
from heliograph.alert.engine.groups import GONE, Place, Places, first_flush_ns
from heliograph.alert.engine.outbox import Line
from heliograph.alert.engine.state import State
from heliograph.alert.inhibition import Inhibitor
from heliograph.alert.model import Alert, Group, Integration, Status, Told
from heliograph.core.errors import Unavailable


class _Plan(NamedTuple):
    """What belongs where.

    places   of every group there is to be
    slots    its members
    keys     the groups of every slot
    """

    places: dict[str, Place]
    slots: dict[str, list[int]]
    keys: dict[int, tuple[str, ...]]


def reload(state: State, setup: Setup, now_ns: int) -> None:
    """Work by *setup* from now on. Timers start anew; a group that is older than its `group_wait`
    is looked at at once. Raises Unavailable when it makes too many groups; then nothing has changed."""
    before = state.setup
    state.learn(setup)
    state.groups.forget_keys()
    try:
        plan = _planned(state, now_ns, beginning.places_of)
    except Unavailable:
        state.learn(before)
        state.groups.forget_keys()
        raise
    inhibit_anew(state, now_ns)
    _carry_out(state, plan, now_ns, restart=False)


def inhibit_anew(state: State, now_ns: int) -> None:
    """Tell a new inhibitor what fires."""
    state.inhibitor = Inhibitor(state.setup.inhibitions)
    if state.setup.inhibitions:
        for slot in state.book:
            if state.book.ends[slot] > now_ns:
                seen = seen_of(state.book.cold(slot))
                state.inhibitor.update(state.book.ids[slot], seen, True)


def restart(state: State, now_ns: int) -> None:
    """Put every alert where it belongs by the routes that there are now, however many groups that
    makes: a service that does not start tells nobody of anything. No group is looked at before its
    `group_wait` is over: what inhibits it may still be on its way."""
    state.groups.forget_keys()

    def places(state: State, alert: Alert) -> Places:
        return beginning.places(state, [alert])[0]

    _carry_out(state, _planned(state, now_ns, places), now_ns, restart=True)


def _carry_out(state: State, plan: _Plan, now_ns: int, *, restart: bool) -> None:
    state.outbox.refusals.clear()
    state.outbox.not_before.clear()
    for line, row in list(state.outbox.rows.items()):
        if not _goes_on(state, plan, line):
            if row.in_flight:
                # What comes of it finds no row; that it may have been told is remembered.
                sending.doubt(state, row)
            state.outbox.drop(line)
    told = _told(state, plan, now_ns)
    for line in list(state.outbox.told):
        if line not in told:
            state.outbox.told.drop(line)
    for line, kept in told.items():
        if state.outbox.told.get(line) != kept:
            state.outbox.told.put(line, kept)
    _orphan(state, _orphaned(state, plan))
    _groups(state, plan, now_ns, restart=restart)
    resends.begin(state, now_ns)
    for slot in state.book:
        keys = plan.keys.get(slot, ())
        if state.book.groups[slot] != keys:
            state.book.change(slot)
            state.book.groups[slot] = keys
    beginning.note_cut(state, now_ns)


def _planned(state: State, now_ns: int, places_of: Callable[[State, Alert], Places]) -> _Plan:
    owed: set[str] = set()
    for told in state.outbox.told.values():
        owed |= flush.believed(told)
    for row in state.outbox.rows.values():
        owed |= row.firing | row.resolved
    plan = _Plan({}, {}, {})
    book = state.book
    for slot in book:
        if book.ends[slot] > now_ns or book.ids[slot] in owed:
            found = places_of(state, book.view(slot))
            plan.keys[slot] = found.keys
            for place in found.places:
                plan.places[place.key] = place
                plan.slots.setdefault(place.key, []).append(slot)
    return plan


def _told(state: State, plan: _Plan, now_ns: int) -> dict[Line, Told]:
    """What was told, under the groups where it is told from now on."""
    result: dict[Line, Told] = {}
    for line, told in state.outbox.told.items():
        integration = state.integrations.get(line[1])
        firing: dict[str, set[str]] = {}
        maybe: dict[str, set[str]] = {}
        for alert_id in sorted(flush.believed(told)):
            slot = state.book.slot(alert_id)
            if slot is None:
                continue
            if integration is None:
                _note_gone(state, line, alert_id, now_ns)
                continue
            keys = [
                k for k in plan.keys.get(slot, ()) if integration in _channels(state, plan, k)
            ]
            if not keys and not integration.send_resolved:
                # Told elsewhere or nowhere from now on, and of its end it was not to hear.
                continue
            orphan = GONE + line[0] if line[0] in plan.places else line[0]
            for key in [line[0]] if line[0] in keys else keys or [orphan]:
                (firing if alert_id in told.firing else maybe).setdefault(key, set()).add(
                    alert_id
                )
        stays = line[0] in plan.places and integration in _channels(state, plan, line[0])
        for key in {*firing, *maybe, *([line[0]] if stays else [])}:
            moved = structs.replace(
                told,
                group_key=key,
                firing=frozenset(firing.get(key, ())),
                maybe=frozenset(maybe.get(key, ())),
                resolved=told.resolved if key == line[0] else flush.NOBODY,
                message_id=told.message_id if key in {line[0], GONE + line[0]} else "",
            )
            if integration is not None:
                at = (key, line[1])
                result[at] = _both(result.get(at), moved)
    return result


def _both(one: Told | None, other: Told) -> Told:
    """What a receiver was told by two groups that are now one."""
    if one is None:
        return other
    firing = one.firing | other.firing
    return structs.replace(
        other if other.message_id else one,
        firing=firing,
        maybe=(one.maybe | other.maybe) - firing,
        resolved=one.resolved | other.resolved,
        at_ns=max(one.at_ns, other.at_ns),
    )


def _orphaned(state: State, plan: _Plan) -> dict[str, tuple[Integration, ...]]:
    """The integrations of groups that have no route any more but something to tell; their members
    are put into *plan*."""
    owners: dict[str, list[Integration]] = {}
    for line, told in state.outbox.told.items():
        integration = state.integrations.get(line[1])
        if line[0] not in plan.places and integration is not None and flush.believed(told):
            owners.setdefault(line[0], []).append(integration)
    for key, integrations in owners.items():
        ids: set[str] = set()
        for integration in integrations:
            ids |= flush.believed(state.outbox.told.get((key, integration.id)))
        slots = sorted(slot for one in ids if (slot := state.book.slot(one)) is not None)
        plan.slots[key] = slots
        for slot in slots:
            plan.keys[slot] = (*plan.keys.get(slot, ()), key)
    return {key: tuple(found) for key, found in owners.items()}


def _orphan(state: State, owners: Mapping[str, tuple[Integration, ...]]) -> None:
    """Have *owners*, by group, and nobody else be those whom groups without a route owe an end."""
    for key in list(state.orphans):
        if key not in owners:
            state.orphans.drop(key)
    for key, integrations in owners.items():
        state.orphans.put(key, integrations)


def _channels(state: State, plan: _Plan, key: str) -> tuple[Integration, ...]:
    receiver = state.setup.receivers.get(plan.places[key].route.receiver)
    return receiver.integrations if receiver is not None else ()


def _goes_on(state: State, plan: _Plan, line: Line) -> bool:
    """Whether an open row of *line* may wait for the next look at its group."""
    return line[0] in plan.places and any(
        one.id == line[1] for one in _channels(state, plan, line[0])
    )


def _groups(state: State, plan: _Plan, now_ns: int, *, restart: bool) -> None:
    groups = state.groups
    before = dict(groups.rows.items())
    for key in before:
        if key not in plan.slots:
            groups.drop(key)
    for key, slots in plan.slots.items():
        place, row = plan.places.get(key), before.get(key)
        if place is None:
            # Without a route, only ends are told of it.
            row = row or before.get(key.removeprefix(GONE)) or Group(key, "", "", (), 0, now_ns)
            groups.adopt(structs.replace(row, key=key, route_id=""), slots, now_ns)
            continue
        route = place.route
        at_ns = _timer_ns(state, place, row, slots, now_ns, restart=restart)
        kept = Group(key, route.id, route.receiver, place.labels, at_ns, now_ns)
        if row is not None:
            kept = structs.replace(
                kept,
                created_ns=row.created_ns,
                flushed=restart and row.flushed,
                foreign_name=row.foreign_name,
                interval_ns=row.interval_ns,
            )
        groups.adopt(kept, slots, at_ns)


def _timer_ns(
    state: State,
    place: Place,
    row: Group | None,
    slots: Iterable[int],
    now_ns: int,
    *,
    restart: bool,
) -> int:
    wait_ns = place.route.group_wait_ns
    if restart:
        later_ns = now_ns + max(wait_ns, place.route.group_interval_ns)
        return max(now_ns + wait_ns, min(row.flush_ns, later_ns) if row is not None else 0)
    starts_ns = min(state.book.starts[slot] for slot in slots)
    return first_flush_ns(now_ns, starts_ns, wait_ns, state.started_ns + wait_ns)


def _note_gone(state: State, line: Line, alert_id: str, now_ns: int) -> None:
    group = state.groups.rows.get(line[0])
    if group is not None:
        gone = Integration(id=line[1], receiver=group.receiver, kind="", settings={})
        hold = Hold(flush.ROUTE, "its channel is no longer configured")
        state.ledger.held(alert_id, group, gone, hold, Status.FIRING, now_ns)
    state.counts["ends_unowed"] += 1
