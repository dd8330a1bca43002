"""New episodes: alerts of posts, in the book, in their groups, counted, to be correlated.

Step by step for all of them, not one by one: what a step needs is at hand then.
"""

from collections.abc import Sequence
from typing import NamedTuple

from heliograph.alert.engine.groups import Place
from heliograph.alert.engine.intake import Span
from heliograph.alert.engine.state import State
from heliograph.alert.model import Alert, Enriched, Post
from heliograph.core.errors import Unavailable


class Fresh(NamedTuple):
    """A post that begins an episode, the *episode*th of its identity; *resolved*: it is over
    already, is kept, and nobody is told. *said* as of `said_of`."""

    post: Post
    enriched: Enriched
    span: Span
    resolved: bool
    episode: int
    said: int


def begin(state: State, fresh: Sequence[Fresh], now_ns: int) -> list[Alert]:
    """The alerts of *fresh*, which are of different identities; for several there is room.

    Raises Unavailable when there is none for the groups of one; then nothing has changed.
    """
    alerts = _alerts(state, fresh, now_ns)
    seen = [state.seen(alert, one.post.said) for one, alert in zip(fresh, alerts, strict=True)]
    places = [
        [] if one.resolved else places_of(state, alert, known)
        for one, alert, known in zip(fresh, alerts, seen, strict=True)
    ]
    book, ended_ns = state.book, state.limits.ended_ns
    slots = [
        book.add(alert, known, one.said, over=one.resolved, ended_ns=ended_ns)
        for one, alert, known in zip(fresh, alerts, seen, strict=True)
    ]
    for one, alert, slot in zip(fresh, alerts, slots, strict=True):
        state.changed[slot] = alert
        state.documents[slot] = (alert.raw, alert.enriched)
        state.tally.add(alert, fired=not one.resolved, over=one.resolved)
    for slot, some in zip(slots, places, strict=True):
        join(state, slot, some, now_ns)
    for one, alert, known in zip(fresh, alerts, seen, strict=True):
        if not one.resolved:
            if state.setup.inhibitions:
                state.inhibitor.update(alert.id, known, True)
            state.correlated(alert, fires=True)
    state.counts["episodes"] += len(alerts)
    return alerts


def _alerts(state: State, fresh: Sequence[Fresh], now_ns: int) -> list[Alert]:
    slot = state.book.slot
    alerts: list[Alert] = []
    ids: set[str] = set()
    for post, enriched, span, _, episode, _ in fresh:
        created_ns, tail = now_ns, post.fingerprint[:12]
        while (alert_id := f"{created_ns:016x}{tail}") in ids or slot(alert_id) is not None:
            created_ns += 1
        ids.add(alert_id)
        alerts.append(
            Alert(
                alert_id,
                post.fingerprint,
                post.source,
                post.labels,
                post.annotations,
                span.starts_ns,
                span.ends_ns,
                span.timed_out,
                created_ns,
                now_ns,
                post.generator_url,
                post.severity,
                enriched.context,
                1,
                episode,
                post.seq,
                enriched.entities,
                post.raw,
                enriched.document,
            )
        )
    return alerts


def places(state: State, slot: int) -> list[Place]:
    """The groups that the alert in *slot* belongs to by the routes there are."""
    alert = state.book.view(slot)
    return places_of(state, alert, state.seen(alert))


def join(state: State, slot: int, places: list[Place], now_ns: int) -> None:
    """Have the alert in *slot* in the groups of *places*, beside those where it is."""
    book = state.book
    if not places:
        return
    for place in places:
        state.groups.join(
            place,
            slot,
            now_ns=now_ns,
            starts_ns=book.starts[slot],
            opens_ns=state.started_ns + place.route.group_wait_ns,
        )
    there = book.groups[slot]
    if there or len(places) > 1:
        book.groups[slot] = (*there, *(place.key for place in places))
    else:
        book.groups[slot] = places[0].alone


def places_of(state: State, alert: Alert, seen: dict[str, str]) -> list[Place]:
    """The groups of *alert*, of which matchers see *seen*. Raises Unavailable where one more would
    be too many."""
    routes = state.setup.tree.match(seen)
    if len(routes) > state.limits.groups_per_alert:
        state.counts["groups_cut"] += 1
        routes = routes[: state.limits.groups_per_alert]
    groups = state.groups
    places = [groups.place(route, alert.labels, seen) for route in routes]
    if len(groups) + len(places) > state.limits.groups and any(
        place.key not in groups.rows for place in places
    ):
        state.counts["groups_refused"] += 1
        raise Unavailable("too many groups of alerts", code="groups_full", retry_after_s=30)
    return places
