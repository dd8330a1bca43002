"""What waits for the next look at its group: lines of the ledger that are made when somebody asks,
for as long as they are true. To write one for every new alert would cost more than to take it.
"""

from heliograph.alert.engine import flush, telling
from heliograph.alert.engine.flush import Hold
from heliograph.alert.engine.ledger import held_line
from heliograph.alert.engine.state import State
from heliograph.alert.model import Entry, Group, Integration, Status
from heliograph.core.instant import text_of

GROUP_WAIT, GROUP_INTERVAL = "group_wait", "group_interval"


def entries(state: State, alert_id: str, now_ns: int) -> list[Entry]:
    """A line for each channel that is told of the alert, or of its end, at the next look soonest."""
    book = state.book
    slot = book.slot(alert_id)
    if slot is None:
        return []
    found = []
    for key in book.groups[slot]:
        group = state.groups.rows.get(key)
        for integration in () if group is None else telling.of_group(state, group):
            assert group is not None
            status = Status.RESOLVED if book.ends[slot] <= now_ns else Status.FIRING
            if _waits(state, group, integration, alert_id, status):
                hold = _hold(state, group)
                found.append(held_line(alert_id, group, integration, hold, status, now_ns))
    return found


def _waits(
    state: State, group: Group, integration: Integration, alert_id: str, status: Status
) -> bool:
    line = (group.key, integration.id)
    row, told = state.outbox.rows.get(line), state.outbox.told.get(line)
    if row is not None and alert_id in row.firing | row.resolved:
        # It is on its way.
        return False
    if status is Status.RESOLVED and alert_id in flush.believed(told):
        return integration.send_resolved
    if told is not None and alert_id in told.firing | told.resolved:
        return False
    # What holds it was written; without a route nothing new is told.
    held = state.ledger.stage(alert_id, integration.id)
    return not held and state.setup.tree.by_id(group.route_id) is not None


def _hold(state: State, group: Group) -> Hold:
    stage = GROUP_INTERVAL if group.flushed else GROUP_WAIT
    return Hold(stage, f"looked at {text_of(state.groups.timer_ns(group.key))}")
