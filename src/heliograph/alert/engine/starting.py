"""The engine from what a store kept: after a restart, memory is what it was, made right for the time
that we were away.

While we were away no sender could repeat anything, so every end that was ahead is moved by that
time. An attempt that was in flight may have arrived or not: it is made again, with its key.
"""

from itertools import compress

from msgspec import structs

from heliograph.alert.changes import Kept
from heliograph.alert.engine import flush, regroup, sending, telling
from heliograph.alert.engine.cold import said_of
from heliograph.alert.engine.flush import Hold
from heliograph.alert.engine.state import State
from heliograph.alert.model import Alert
from heliograph.alert.silences import forgettable
from heliograph.core.instant import AT_NS_MAX


def start(state: State, kept: Kept, now_ns: int) -> None:
    """Fill *state*, which is empty, with what was *kept*; `proceed` is what is to be written of it."""
    # Before the first checkpoint, nothing but the alerts themselves says when we were there.
    alive_ns = kept.alive_ns or min((one.updated_ns for one in kept.alerts), default=now_ns)
    away_ns = max(0, now_ns - alive_ns)
    book = state.book
    alerts: list[Alert] = []
    ended: list[bool] = []
    moved: list[bool] = []
    for alert in sorted(kept.alerts, key=lambda one: one.id):
        over = alert.ends_ns is not None and alert.ends_ns <= alert.updated_ns
        moves = not over and alert.ends_ns is not None and away_ns > 0
        if moves and alert.ends_ns is not None:
            ends_ns = min(alert.ends_ns + away_ns, AT_NS_MAX)
            alert = structs.replace(alert, ends_ns=ends_ns)  # noqa: PLW2901
        alerts.append(alert)
        ended.append(over)
        moved.append(moves)
    slots = book.add(
        alerts, list(map(said_of, alerts)), over=ended, ended_ns=state.limits.ended_ns
    )
    state.moved.update(dict.fromkeys(compress(slots, moved), 0))
    book.commit()
    for silence in kept.silences:
        if not forgettable(silence, now_ns):
            state.silences.put(silence)
    for group in kept.groups:
        state.groups.adopt(group, (), group.flush_ns)
    for told in kept.told:
        state.outbox.told.put((told.group_key, told.integration), told)
    for row in kept.outbox:
        state.outbox.rows.put((row.group_key, row.integration), row)
    state.silences.commit()
    state.groups.commit()
    state.outbox.commit()
    interrupted = sum(row.in_flight for row in kept.outbox)
    if interrupted:
        state.counts["attempts_interrupted"] += interrupted
    proceed(state, now_ns)
    if state.correlator is not None:
        state.correlator.load(kept.alerts)


def proceed(state: State, now_ns: int) -> None:
    """Go on from what was kept: attempts anew, every alert in the groups where it belongs.

    Until this is stored once, an abort takes all of it back, and it must be done again: else nobody
    would ever look at the alerts that were kept.
    """
    for row in list(state.outbox.rows.values()):
        if row.in_flight:
            sending.doubt(state, row)
        state.outbox.put(structs.replace(row, in_flight=False, due_ns=now_ns))
    regroup.inhibit_anew(state, now_ns)
    regroup.restart(state, now_ns)
    _assume_noted(state, now_ns)


def _assume_noted(state: State, now_ns: int) -> None:
    """Of what is over, have the ledger take for noted what became of it on channels that are owed no
    word of it: the lines are in the store alone, and another channel may keep the alert for long."""
    book, box = state.book, state.outbox
    noted = Hold(telling.COMPARE, "")
    for slot in book:
        if book.ends[slot] > now_ns:
            continue
        alert_id = book.ids[slot]
        for key in book.groups[slot]:
            group = state.groups.rows.get(key)
            for integration in () if group is None else telling.of_group(state, group):
                line = (key, integration.id)
                row = box.rows.get(line)
                open_ = row is not None and alert_id in row.firing
                if not open_ and alert_id not in flush.believed(box.told.get(line)):
                    state.ledger.assume(alert_id, integration.id, noted)
