"""A look at a group: what is held back, what is news, and the message that says it.

`look` is called when a group's timer is due. It changes the outbox and the ledger and sets the next
timer; nothing is sent here.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from msgspec import structs

from heliograph.alert.engine import flush, outbox
from heliograph.alert.engine.cold import seen_of
from heliograph.alert.engine.flush import Hold, Look
from heliograph.alert.engine.ledger import NO_CHANNEL
from heliograph.alert.engine.state import State
from heliograph.alert.intervals import muted_by
from heliograph.alert.model import Group, Integration, Outgoing, Reason, Status, Told
from heliograph.alert.routes import GROUP_INTERVAL_NS, Route

COMPARE = "compare"
RATE = "rate"


class Sight(NamedTuple):
    """What a look at a group saw.

    firing     ids that nothing holds back
    resolved   ids, held back or not
    past       of the resolved those after which another episode of their identity began
    holds      by id, of both
    slots      of every id
    """

    group: Group
    route: Route | None
    firing: frozenset[str]
    resolved: frozenset[str]
    past: frozenset[str]
    holds: Mapping[str, Hold]
    slots: Mapping[str, int]


def look(state: State, key: str, now_ns: int) -> None:
    """Look at the group of *key*, whose timer is due, and set the next one."""
    groups = state.groups
    group = groups.rows.get(key)
    assert group is not None
    route = state.setup.tree.by_id(group.route_id)
    if route is None:
        name, interval_ns = group.foreign_name, group.interval_ns or GROUP_INTERVAL_NS
    else:
        name, interval_ns = state.setup.tree.foreign_name(route.id), route.group_interval_ns
    timer_ns = groups.timer_ns(key)
    # A look that is a little late counts as on time, so that repeats keep to their multiple of it.
    at_ns = timer_ns if now_ns - timer_ns < interval_ns else now_ns
    groups.set_timer(key, at_ns + interval_ns)
    groups.flushed(key, name, interval_ns)
    state.counts["looks"] += 1

    seen = sight(state, group, now_ns)
    integrations = of_group(state, group)
    for integration in integrations:
        _offer(state, seen, integration, now_ns, at_ns)
    if not integrations and route is not None:
        hold = Hold(flush.ROUTE, f"receiver {group.receiver} has no channel")
        for alert_id in seen.firing:
            state.ledger.held(alert_id, group, NO_CHANNEL, hold, Status.FIRING, now_ns)
    let_go(state, key, seen.resolved, now_ns)


def of_group(state: State, group: Group) -> tuple[Integration, ...]:
    """Who is told of *group*."""
    if state.setup.tree.by_id(group.route_id) is None:
        return state.orphans.get(group.key) or ()
    receiver = state.setup.receivers.get(group.receiver)
    return receiver.integrations if receiver is not None else ()


def let_go(state: State, key: str, resolved: Iterable[str], now_ns: int) -> None:
    """Have those of *resolved* leave the group of *key* of which nobody is owed word any more;
    a group without members and open messages goes."""
    group = state.groups.rows.get(key)
    if group is None:
        return
    integrations = of_group(state, group)
    needed: set[str] = set()
    is_open = False
    for integration in integrations:
        line = (key, integration.id)
        needed |= flush.believed(state.outbox.told.get(line))
        row = state.outbox.rows.get(line)
        if row is not None:
            needed |= row.firing | row.resolved
            is_open = True
    leaving = [one for one in resolved if one not in needed and not state.lingers(one, now_ns)]
    slots = []
    for alert_id in leaving:
        slot = state.book.slot(alert_id)
        if slot is not None and key in state.book.groups[slot]:
            _untold(state, group, integrations, alert_id, now_ns)
            state.book.change(slot)
            rest = tuple(one for one in state.book.groups[slot] if one != key)
            state.book.groups[slot] = rest
            slots.append(slot)
            state.lingering.drop(alert_id)
    state.groups.leave(key, slots)
    if not state.groups.members(key) and not is_open:
        for integration in integrations:
            state.outbox.forget((key, integration.id))
        state.orphans.drop(key)
        state.groups.drop(key)


def silenced(state: State, alert_ids: Iterable[str], now_ns: int) -> dict[str, Hold]:
    """Which of *alert_ids* a silence holds back now; what every attempt asks again."""
    if not state.silences:
        return {}
    return flush.judge(
        _looks(state, alert_ids),
        [flush.stages(state.inhibitor, (), state.silences.silencer, now_ns)[-1]],
    )


def sight(state: State, group: Group, now_ns: int) -> Sight:
    """What there is to see of *group* at *now_ns*."""
    book = state.book
    route = state.setup.tree.by_id(group.route_id)
    slots = {book.ids[slot]: slot for slot in state.groups.members(group.key)}
    ends = book.ends
    firing = [one for one, slot in slots.items() if ends[slot] > now_ns]
    resolved = [one for one, slot in slots.items() if ends[slot] <= now_ns]
    holds = _holds(state, route, slots, now_ns)
    if holds:
        firing = [one for one in firing if one not in holds]
    past = overtaken(state, resolved)
    return Sight(group, route, frozenset(firing), frozenset(resolved), past, holds, slots)


def overtaken(state: State, alert_ids: Iterable[str]) -> frozenset[str]:
    """Those of *alert_ids* after which another episode of their identity began."""
    book = state.book
    slots = ((one, book.slot(one)) for one in alert_ids)
    return frozenset(
        one
        for one, slot in slots
        if slot is not None and book.latest(book.fingerprints[slot]) != slot
    )


def _holds(
    state: State, route: Route | None, alert_ids: Collection[str], now_ns: int
) -> dict[str, Hold]:
    mutes: tuple[str, ...] = ()
    if route is not None and (route.mute_time_intervals or route.active_time_intervals):
        mutes = muted_by(
            route.mute_time_intervals,
            route.active_time_intervals,
            state.setup.intervals,
            now_ns,
        )
    if not mutes and not state.silences and not state.setup.inhibitions:
        return {}
    stages = flush.stages(state.inhibitor, mutes, state.silences.silencer, now_ns)
    return flush.judge(_looks(state, alert_ids), stages)


def _looks(state: State, alert_ids: Iterable[str]) -> Iterable[Look]:
    book = state.book
    for alert_id in alert_ids:
        slot = book.slot(alert_id)
        if slot is not None:
            yield Look(alert_id, seen_of(book.cold(slot)))


def _offer(
    state: State, seen: Sight, integration: Integration, now_ns: int, at_ns: int
) -> None:
    """Compare what was seen with what *integration* was told; news become its open message."""
    box = state.outbox
    line = (seen.group.key, integration.id)
    row, told = box.rows.get(line), box.told.get(line)
    _note_holds(state, seen, integration, told, now_ns)
    if row is not None and row.in_flight:
        # What came of it is not known yet; the next look sees.
        return
    told = _settled(state, seen, integration, told, now_ns)
    firing, resolved = seen.firing, seen.resolved
    if seen.route is None:
        # Nor is it told again what it may have been told.
        firing &= flush.NOBODY if told is None else told.firing
    # An episode that nobody heard of, of what goes on, is no news.
    resolved = flush.tellable(resolved, seen.holds, told) - (seen.past - flush.believed(told))
    if not integration.send_resolved:
        resolved = flush.NOBODY
    elif state.lingering and told is not None:
        # Known to this one, and still here for others that are told again.
        resolved = resolved - {one for one in told.resolved if one in state.lingering}
    reason = flush.reason_to_tell(
        told,
        firing,
        resolved,
        now_ns=at_ns,
        repeat_ns=0 if seen.route is None else seen.route.repeat_interval_ns,
        send_resolved=integration.send_resolved,
    )
    if reason is None or (seen.route is None and reason is Reason.REPEAT):
        if row is not None and not _resends(state, row, integration, firing):
            box.drop(line)
            state.groups.note(seen.group.key)
        return
    if row is None or row.firing != firing or row.resolved != resolved:
        box.put(
            outbox.message(
                line,
                reason,
                firing,
                resolved,
                now_ns=now_ns,
                due_ns=max(at_ns, box.not_before.get(line) or 0),
                before=row,
                told=told,
            )
        )
        state.groups.note(seen.group.key)


def _settled(
    state: State, seen: Sight, integration: Integration, told: Told | None, now_ns: int
) -> Told | None:
    """*told* without what nobody is owed word of any more: ends that the integration does not want
    to hear of, and ends that could not be told for too long."""
    over = flush.believed(told) & seen.resolved
    if told is None or not over:
        return told
    line = (told.group_key, told.integration)
    if integration.send_resolved:
        over = frozenset(
            one
            for one in over
            if line in state.outbox.refusals
            and state.book.ends[seen.slots[one]] + state.limits.give_up_ns <= now_ns
        )
        if not over:
            return told
        hold = Hold(COMPARE, "given up: its end could not be delivered")
        state.counts["ends_given_up"] += len(over)
    else:
        hold = Hold(COMPARE, "send_resolved is off")
    for alert_id in sorted(over):
        state.ledger.held(alert_id, seen.group, integration, hold, Status.RESOLVED, now_ns)
    told = structs.replace(told, firing=told.firing - over, maybe=told.maybe - over)
    state.outbox.told.put(line, told)
    return told


def _note_holds(
    state: State, seen: Sight, integration: Integration, told: Told | None, now_ns: int
) -> None:
    owed = flush.believed(told)
    for alert_id, hold in seen.holds.items():
        if alert_id in seen.resolved:
            if alert_id in owed and hold.stage == flush.MUTE:
                state.ledger.held(
                    alert_id, seen.group, integration, hold, Status.RESOLVED, now_ns
                )
        else:
            state.ledger.held(alert_id, seen.group, integration, hold, Status.FIRING, now_ns)
    if seen.holds:
        for alert_id in seen.firing:
            state.ledger.release(alert_id, integration.id)


def _resends(
    state: State, row: Outgoing, integration: Integration, firing: frozenset[str]
) -> bool:
    """Whether *row* tells again what is no news, to who forgets it, and is true still."""
    forgets = state.limits.resent(integration.kind) is not None
    return forgets and row.reason is Reason.REPEAT and row.firing <= firing


def _untold(
    state: State,
    group: Group,
    integrations: Iterable[Integration],
    alert_id: str,
    now_ns: int,
) -> None:
    """Note of an alert that leaves its group that it was over before it was told, where nothing
    else was noted of it but that a rate held it: that alone says not what became of it."""
    hold = Hold(COMPARE, "it was over before it was told")
    for integration in integrations:
        told = state.outbox.told.get((group.key, integration.id))
        was_told = told is not None and alert_id in told.resolved
        if was_told or state.ledger.stage(alert_id, integration.id) not in {"", RATE}:
            continue
        if not _came_over(state, group, alert_id):
            state.ledger.held(alert_id, group, integration, hold, Status.RESOLVED, now_ns)


def _came_over(state: State, group: Group, alert_id: str) -> bool:
    """Whether new routes brought an alert to *group* when it was over: what became of it was said
    where it was before. An end that a sender gives may be older than its alert's group."""
    slot = state.book.slot(alert_id)
    if slot is None:
        return False
    begun_ns = state.book.view(slot).created_ns
    return max(begun_ns + 1, state.book.ends[slot]) <= group.created_ns
