"""New episodes: alerts in the book, in their groups, counted, to be correlated.

Step by step for all of them, not one by one: alerts that come together belong together mostly, and
what a step needs is at hand then.
"""

from collections.abc import Iterable, Sequence
from functools import partial

from heliograph.alert.engine.cold import seen_of
from heliograph.alert.engine.flush import ROUTE, Hold
from heliograph.alert.engine.groups import NOWHERE, Members, Place, Places
from heliograph.alert.engine.ledger import NO_CHANNEL
from heliograph.alert.engine.state import State
from heliograph.alert.model import Alert, Group, Status
from heliograph.core.errors import Unavailable
from heliograph.kernels import alert_columns


def begin(
    state: State,
    alerts: Sequence[Alert],
    saids: Sequence[int],
    places: Sequence[Places],
    now_ns: int,
) -> None:
    """Have *alerts*, which fire, are of different identities and belong to *places*; *saids* as of
    `said_of`."""
    slots = state.book.add(alerts, saids)
    state.changed.update(zip(slots, alerts, strict=True))
    state.tally.begun(alerts)
    members = alert_columns.gathered(places, slots, state.book.groups)
    _join(state, members.values(), now_ns)
    note_cut(state, now_ns)
    if state.setup.inhibitions:
        for alert in alerts:
            state.inhibitor.update(alert.id, seen_of(alert), True)
    state.correlated(alerts, fires=True)
    state.counts["episodes"] += len(alerts)


def begin_over(state: State, alert: Alert, said: int) -> None:
    """Have *alert*, which is over already: it is kept, and nobody is told."""
    (slot,) = state.book.add([alert], [said], over=[True], ended_ns=state.limits.ended_ns)
    state.changed[slot] = alert
    state.tally.add(alert, fired=False, over=True)
    state.counts["episodes"] += 1


def join(state: State, slot: int, places: Sequence[Place], now_ns: int) -> None:
    """Have the alert in *slot* in the groups of *places*, beside those where it is."""
    book = state.book
    _join(state, [(place, [slot]) for place in places], now_ns)
    book.groups[slot] += tuple(place.key for place in places)
    note_cut(state, now_ns)


def note_cut(state: State, now_ns: int) -> None:
    """Have the ledger say of which alerts routes were left out; those that were not taken after all
    are none."""
    most = state.limits.groups_per_alert
    for alert_id, (count, receiver) in state.cut.items():
        if state.book.slot(alert_id) is not None:
            hold = Hold(ROUTE, f"takes {count} routes, limit {most}: the others are left out")
            nowhere = Group("", "", receiver, (), now_ns, now_ns)
            state.ledger.held(alert_id, nowhere, NO_CHANNEL, hold, Status.FIRING, now_ns)
    state.cut.clear()


def places(state: State, alerts: Sequence[Alert]) -> list[Places]:
    """The groups that each of *alerts* belongs to by the routes there are."""
    found: list[Places] = alert_columns.placed(
        alerts, state.setup.tree.asked, state.groups.known, partial(_placed, state)
    )
    return found


def places_of(state: State, alert: Alert) -> Places:
    """The groups of *alert*. Raises Unavailable where one more would be too many."""
    groups = state.groups
    (found,) = places(state, [alert])
    if len(groups) + len(found.keys) > state.limits.groups and any(
        key not in groups.rows for key in found.keys
    ):
        state.counts["groups_refused"] += 1
        raise Unavailable("too many groups of alerts", code="groups_full", retry_after_s=30)
    return found


def _placed(state: State, alert: Alert, asked: tuple[str | None, ...]) -> Places:
    """The groups of *alert*, of which routes see *asked*; remembered where they follow from that."""
    groups, seen = state.groups, seen_of(alert)
    routes = state.setup.tree.match(seen)
    cut = len(routes) > state.limits.groups_per_alert
    if cut:
        state.counts["groups_cut"] += 1
        state.cut[alert.id] = len(routes), routes[state.limits.groups_per_alert].receiver
        routes = routes[: state.limits.groups_per_alert]
    some = tuple([groups.place(route, alert.labels, seen) for route in routes])
    found = Places(some, tuple([place.key for place in some])) if some else NOWHERE
    if not cut and all(route.group_by is not None for route in routes):
        groups.remember(asked, found)
    return found


def _join(state: State, members: Iterable[Members], now_ns: int) -> None:
    starts = state.book.starts
    state.groups.join(members, starts, now_ns=now_ns, started_ns=state.started_ns)
