"""Receivers that forget what is not repeated: another Alertmanager takes an alert for resolved when
nobody repeats it, and may have been away when its end was told.

Beside the looks at a group, what such a channel was told is told again: what fires every minute,
what has resolved for a quarter of an hour. Memory alone: after a restart it begins again.
"""

import heapq
from collections.abc import Iterable

from heliograph.alert.engine import flush, outbox, telling
from heliograph.alert.engine.limits import Limits, Resend
from heliograph.alert.engine.outbox import Line
from heliograph.alert.engine.state import State
from heliograph.alert.model import Integration, Outgoing, Reason, Told


def policy(limits: Limits, integration: Integration) -> Resend | None:
    """How *integration* is told again; None: it remembers."""
    for one in limits.resend:
        if one.kind == integration.kind:
            return one
    return None


def told(state: State, line: Line, row: Told, new: Iterable[str], now_ns: int) -> None:
    """Note that *line* was told *row*, the ends of *new* for the first time."""
    integration = state.integrations.get(line[1])
    found = None if integration is None else policy(state.limits, integration)
    if found is None:
        return
    for alert_id in new:
        state.lingering.setdefault(alert_id, now_ns + found.resolved_ns)
    schedule(state, line, row.at_ns + found.every_ns)


def schedule(state: State, line: Line, at_ns: int) -> None:
    """Tell *line* again at *at_ns*."""
    state.resend_at[line] = at_ns
    heapq.heappush(state.resend_heap, (at_ns, line))


def begin(state: State, now_ns: int) -> None:
    """Begin anew: after a start or a reload, who was told something is told again."""
    state.resend_at.clear()
    state.resend_heap.clear()
    for line, row in state.outbox.told.items():
        integration = state.integrations.get(line[1])
        found = None if integration is None else policy(state.limits, integration)
        if found is not None and row.firing:
            schedule(state, line, max(now_ns, row.at_ns + found.every_ns))


def due_ns(state: State) -> int | None:
    """When somebody is told again; None: nobody is."""
    heap = state.resend_heap
    while heap and state.resend_at.get(heap[0][1]) != heap[0][0]:
        heapq.heappop(heap)
    return heap[0][0] if heap else None


def step(state: State, now_ns: int) -> None:
    """Have what is due told again."""
    while (at_ns := due_ns(state)) is not None and at_ns <= now_ns:
        line = heapq.heappop(state.resend_heap)[1]
        del state.resend_at[line]
        _again(state, line, now_ns)


def is_quiet(state: State, row: Outgoing, integration: Integration) -> bool:
    """Whether the delivery of *row* is no news for the ledger."""
    return row.reason is Reason.REPEAT and policy(state.limits, integration) is not None


def _again(state: State, line: Line, now_ns: int) -> None:
    row = state.outbox.told.get(line)
    group = state.groups.rows.get(line[0])
    integration = state.integrations.get(line[1])
    found = None if integration is None else policy(state.limits, integration)
    if row is None or group is None or found is None:
        return
    if state.outbox.rows.get(line) is not None:
        # What is on its way says it; if it is not delivered, there is the next time.
        schedule(state, line, now_ns + found.every_ns)
        return
    seen = telling.sight(state, group, now_ns)
    firing = row.firing & seen.firing
    resolved = frozenset(one for one in seen.resolved if state.lingering.get(one, 0) > now_ns)
    if integration is not None and not integration.send_resolved:
        resolved = flush.NOBODY
    if firing or resolved:
        state.outbox.put(
            outbox.message(
                line, Reason.REPEAT, firing, resolved,
                now_ns=now_ns, due_ns=now_ns, before=None, told=row,
            )
        )  # fmt: skip
    else:
        telling.let_go(state, line[0], seen.resolved, now_ns)
