"""Receivers that forget what is not repeated: another Alertmanager takes an alert for resolved when
nobody repeats it, and may have been away when its end was told.

Beside the looks at a group, what such a channel was told is told again: what fires every minute,
what has resolved for a quarter of an hour. What is held back meanwhile or could not be delivered has
its turn again a minute later, what was refused with the next look at its group. Memory alone: after
a restart it begins again.
"""

from collections.abc import Iterable

from heliograph.alert.engine import flush, outbox, telling
from heliograph.alert.engine.outbox import Line
from heliograph.alert.engine.state import State
from heliograph.alert.model import Integration, Outgoing, Reason, Told


def told(state: State, line: Line, row: Told, new: Iterable[str], now_ns: int) -> None:
    """Note that *line* was told *row*, the ends of *new* for the first time."""
    integration = state.integrations.get(line[1])
    found = None if integration is None else state.limits.resent(integration.kind)
    if found is None:
        return
    for alert_id in new:
        if alert_id not in state.lingering:
            state.lingering.put(alert_id, now_ns + found.resolved_ns)
    state.resends.set(line, row.at_ns + found.every_ns)


def refused(state: State, line: Line) -> None:
    """Note that *line* was not taken: it is told again with the next look, not before."""
    if state.resends.get(line) is not None:
        state.resends.set(line, state.groups.timer_ns(line[0]))


def begin(state: State, now_ns: int) -> None:
    """Begin anew: after a start or a reload, who was told something is told again."""
    state.resends.clear()
    for line, row in state.outbox.told.items():
        integration = state.integrations.get(line[1])
        found = None if integration is None else state.limits.resent(integration.kind)
        if found is not None and _repeated(state, line, row):
            state.resends.set(line, max(now_ns, row.at_ns + found.every_ns))


def step(state: State, now_ns: int) -> None:
    """Have what is due told again: no more than the groups that one step looks at."""
    for _ in range(state.limits.looks):
        line = state.resends.due(now_ns)
        if line is None:
            break
        _again(state, line, now_ns)


def is_quiet(state: State, row: Outgoing, integration: Integration) -> bool:
    """Whether the delivery of *row* is no news for the ledger."""
    return row.reason is Reason.REPEAT and state.limits.resent(integration.kind) is not None


def _again(state: State, line: Line, now_ns: int) -> None:
    row = state.outbox.told.get(line)
    group = state.groups.rows.get(line[0])
    integration = state.integrations.get(line[1])
    found = None if integration is None else state.limits.resent(integration.kind)
    if row is None or group is None or integration is None or found is None:
        state.resends.drop(line)
        return
    # Also when it is not told now, or not delivered: then there is the next time.
    state.resends.set(line, now_ns + found.every_ns)
    if state.outbox.rows.get(line) is not None:
        # What is on its way says it.
        return
    seen = telling.sight(state, group, now_ns)
    firing = _repeated(state, line, row) & seen.firing
    resolved = frozenset(one for one in seen.resolved if state.lingers(one, now_ns))
    if not integration.send_resolved:
        resolved = flush.NOBODY
    if firing or resolved:
        state.outbox.put(
            outbox.message(
                line, Reason.REPEAT, firing, resolved,
                now_ns=now_ns, due_ns=now_ns, before=None, told=row,
            )
        )  # fmt: skip
        return
    if not _repeated(state, line, row) & seen.slots.keys() - seen.resolved:
        state.resends.drop(line)
    telling.let_go(state, line[0], seen.resolved, now_ns)


def _repeated(state: State, line: Line, row: Told) -> frozenset[str]:
    """What *line* is told again that fires, of what *row* says; who is retired is told ends alone."""
    return flush.NOBODY if line[1] in state.retired else row.firing
