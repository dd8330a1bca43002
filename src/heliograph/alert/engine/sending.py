"""One attempt to deliver a message: what it says at this instant, and what came of it.

`begin` asks the silences again, for hours may lie between the look and this attempt; `settle` turns
the answer into what the receiver is known to have been told.
"""

from collections.abc import Iterable, Sequence

from msgspec import structs

from heliograph.alert import routes
from heliograph.alert.engine import flush, outbox, resends, telling
from heliograph.alert.engine.flush import Hold
from heliograph.alert.engine.groups import GONE
from heliograph.alert.engine.ledger import DEAD
from heliograph.alert.engine.outbox import Line
from heliograph.alert.engine.state import State
from heliograph.alert.model import (
    Alert,
    Delivery,
    Group,
    Integration,
    Message,
    Outgoing,
    Status,
    Told,
    rank,
)
from heliograph.core.duration import SECOND_NS
from heliograph.core.instant import text_of
from heliograph.core.labels import Labels

ANSWER_CHARACTERS_MAX = 500


def begin(state: State, outgoing: Outgoing, now_ns: int) -> Message | None:
    """The message of *outgoing*, now in flight; None when it is no longer to be sent: it was
    replaced, or is obsolete, or a silence holds all of it (the ledger says so)."""
    line = (outgoing.group_key, outgoing.integration)
    row = state.outbox.rows.get(line)
    group = state.groups.rows.get(outgoing.group_key)
    if row is None or group is None or row.key != outgoing.key or row.in_flight:
        return None
    integration = state.integrations.get(outgoing.integration)
    if integration is None:
        state.outbox.forget(line)
        telling.let_go(state, group.key, outgoing.firing | outgoing.resolved, now_ns)
        return None
    row = _now(state, row, group, integration, now_ns)
    if row is None:
        state.outbox.drop(line)
        telling.let_go(state, group.key, outgoing.firing | outgoing.resolved, now_ns)
        return None
    row = structs.replace(row, in_flight=True, attempts=row.attempts + 1)
    state.outbox.put(row)
    state.counts["attempts"] += 1
    return _message(state, row, group, now_ns)


def postpone(state: State, outgoing: Outgoing, until_ns: int, cause: str, now_ns: int) -> None:
    """Do not attempt *outgoing* before *until_ns*: the channel's rate is used up, says *cause*. That
    it still is when the time has come is no news."""
    line = (outgoing.group_key, outgoing.integration)
    row = state.outbox.rows.get(line)
    group = state.groups.rows.get(outgoing.group_key)
    integration = state.integrations.get(outgoing.integration)
    if row is None or group is None or integration is None or row.in_flight:
        return
    state.outbox.not_before.put(line, until_ns)
    state.outbox.put(structs.replace(row, due_ns=until_ns))
    state.counts["postponed"] += 1
    # Rounded up: it is not tried before.
    hold = Hold(telling.RATE, f"{cause}, next at {text_of(until_ns + -until_ns % SECOND_NS)}")
    for ids, status in ((row.firing, Status.FIRING), (row.resolved, Status.RESOLVED)):
        for alert_id in sorted(ids):
            if state.ledger.stage(alert_id, integration.id) != telling.RATE:
                state.ledger.held(alert_id, group, integration, hold, status, now_ns)


def settle(
    state: State, outgoing: Outgoing, delivery: Delivery, now_ns: int, key: str | None = None
) -> None:
    """Note what came of the attempt that `begin` began for *outgoing*, with the message of *key*."""
    line = (outgoing.group_key, outgoing.integration)
    row = state.outbox.rows.get(line)
    group = state.groups.rows.get(outgoing.group_key)
    if row is None or group is None or not row.in_flight or key not in {None, row.key}:
        state.counts["settled_late"] += 1
        return
    if delivery.outcome == "later" and delivery.messages == 0 and not delivery.unsure:
        # Nothing was sent, for our own budget of the channel's rate was used up: no attempt.
        state.outbox.put(structs.replace(row, in_flight=False, attempts=row.attempts - 1))
        wait_ns = max(int(delivery.retry_after_s * SECOND_NS), state.limits.backoff_ns)
        postpone(state, row, now_ns + wait_ns, "rate", now_ns)
        return
    integration = state.integrations.get(outgoing.integration)
    if integration is None:
        integration = Integration(outgoing.integration, group.receiver, "", {})
    delivery = structs.replace(delivery, answer=delivery.answer[:ANSWER_CHARACTERS_MAX])
    state.counts[f"attempts_{delivery.outcome}"] += 1
    if delivery.unsure:
        doubt(state, row)
    age_ns = now_ns - row.created_ns
    if delivery.outcome == "sent":
        _sent(state, row, group, integration, delivery, now_ns)
    elif delivery.outcome == "later" and age_ns < state.limits.give_up_ns:
        _failed(state, row, group, integration, delivery, now_ns)
    else:
        _dead(state, row, group, integration, delivery, now_ns)


def doubt(state: State, row: Outgoing) -> None:
    """Note that the receiver may have been told *row*, though nobody knows."""
    line = (row.group_key, row.integration)
    told = state.outbox.told.get(line)
    if told is None:
        told = Told(*line, flush.NOBODY, flush.NOBODY, 0)
    maybe = told.maybe | (row.firing - told.firing)
    if maybe != told.maybe:
        state.outbox.told.put(line, structs.replace(told, maybe=maybe))


def _now(
    state: State, row: Outgoing, group: Group, integration: Integration, now_ns: int
) -> Outgoing | None:
    """*row* as it is true at this instant: itself, another message, or None for nothing to say."""
    book = state.book
    slots = {one: book.slot(one) for one in row.firing}
    firing = {one for one, at in slots.items() if at is not None and book.ends[at] > now_ns}
    over = row.firing - firing
    holds = telling.silenced(state, firing, now_ns)
    for alert_id, hold in holds.items():
        state.ledger.held(alert_id, group, integration, hold, Status.FIRING, now_ns)
    if not over and not holds:
        return row
    still = frozenset(firing) - holds.keys()
    line: Line = (row.group_key, row.integration)
    told = state.outbox.told.get(line)
    resolved = flush.NOBODY
    if integration.send_resolved:
        ended = row.resolved | over
        resolved = ended - (telling.overtaken(state, ended) - flush.believed(told))
    route = state.setup.tree.by_id(group.route_id)
    reason = flush.reason_to_tell(
        told,
        still,
        resolved,
        now_ns=now_ns,
        repeat_ns=0 if route is None else route.repeat_interval_ns,
        send_resolved=integration.send_resolved,
    )
    if reason is None or not (still or resolved):
        return None
    return outbox.message(
        line, reason, still, resolved, now_ns=now_ns, due_ns=now_ns, before=row, told=told
    )


def _sent(
    state: State,
    row: Outgoing,
    group: Group,
    integration: Integration,
    delivery: Delivery,
    now_ns: int,
) -> None:
    line = (row.group_key, row.integration)
    before = state.outbox.told.get(line)
    members = {state.book.ids[slot] for slot in state.groups.members(group.key)}
    maybe = flush.believed(before) - row.firing - row.resolved
    known = before.resolved if before is not None else flush.NOBODY
    told = Told(
        group_key=row.group_key,
        integration=row.integration,
        firing=row.firing,
        # An end that was told stays told while the alert is here, for others' sake.
        resolved=row.resolved | (known & members),
        # When it was due, so that what a provider takes does not put off the next repeat.
        at_ns=min(now_ns, row.due_ns),
        message_id=delivery.message_id or (before.message_id if before is not None else ""),
        maybe=maybe & members if maybe else maybe,
    )
    if not resends.is_quiet(state, row, integration):
        state.ledger.attempted(row, "sent", group, integration, delivery, now_ns)
    state.outbox.told.put(line, told)
    resends.told(state, line, told, row.resolved - known, now_ns)
    state.outbox.drop(line)
    state.outbox.refusals.drop(line)
    state.groups.note(group.key)
    telling.let_go(state, group.key, row.resolved, now_ns)


def _failed(
    state: State,
    row: Outgoing,
    group: Group,
    integration: Integration,
    delivery: Delivery,
    now_ns: int,
) -> None:
    limits = state.limits
    line = (row.group_key, row.integration)
    wait_ns = outbox.backoff_ns(
        row.key, row.attempts, first_ns=limits.backoff_ns, most_ns=limits.backoff_max_ns
    )
    asked_ns = int(delivery.retry_after_s * SECOND_NS)
    if asked_ns > 0:
        state.outbox.not_before.put(line, now_ns + asked_ns)
    state.counts["entries_cut"] += state.ledger.attempted(
        row, "failed", group, integration, delivery, now_ns, entries_max=limits.entries
    )
    state.outbox.put(
        structs.replace(row, in_flight=False, due_ns=now_ns + max(wait_ns, asked_ns))
    )


def _dead(
    state: State,
    row: Outgoing,
    group: Group,
    integration: Integration,
    delivery: Delivery,
    now_ns: int,
) -> None:
    line = (row.group_key, row.integration)
    refused = delivery.outcome != "later"
    cause = "refused" if refused else f"given up after {row.attempts} attempts"
    state.counts["dead"] += 1
    state.ledger.attempted(row, DEAD, group, integration, delivery, now_ns, cause=cause)
    state.outbox.drop(line)
    # The next look tries again: what is wrong may have been put right.
    state.outbox.refusals.put(line, now_ns)
    resends.refused(state, line)
    telling.let_go(state, group.key, row.resolved, now_ns)


def _message(state: State, row: Outgoing, group: Group, now_ns: int) -> Message:
    book = state.book
    slots = [book.slot(one) for one in row.firing | row.resolved]
    alerts = sorted((book.view(slot) for slot in slots if slot is not None), key=_order)
    told = state.outbox.told.get((row.group_key, row.integration))
    shown = alerts[: state.limits.message_alerts]
    return Message(
        key=row.key,
        receiver=group.receiver,
        group_key=group.key,
        group_labels=group.labels,
        reason=row.reason,
        alerts=tuple(shown),
        now_ns=now_ns,
        external_url=state.setup.external_url,
        common_labels=_shared([alert.labels for alert in alerts]),
        common_annotations=_shared([alert.annotations for alert in alerts]),
        truncated=len(alerts) - len(shown),
        message_id=told.message_id if told is not None else "",
        # Without a route: as it was called when what ends now was told.
        foreign_key=state.setup.tree.foreign_key(group.route_id, group.labels)
        or routes.foreign_key(group.foreign_name, group.labels)
        or group.key.removeprefix(GONE),
    )


def _order(alert: Alert) -> tuple[int, Labels, int]:
    return rank(alert.severity), alert.labels, alert.starts_ns


def _shared(all_labels: Sequence[Labels]) -> Labels:
    """The pairs that are in all of *all_labels*, in order."""
    return (
        tuple(pair for pair in all_labels[0] if _in_all(pair, all_labels)) if all_labels else ()
    )


def _in_all(pair: tuple[str, str], all_labels: Iterable[Labels]) -> bool:
    return all(pair in labels for labels in all_labels)
