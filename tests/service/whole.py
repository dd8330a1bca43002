"""Whether the alert engine's memory is what the store has: what a restart would begin from."""

import msgspec

from heliograph.core.clock import SystemClock
from heliograph.store.state import alerts

CLOCK = SystemClock()


def quiet(side, clock, *, timeout_s=30):
    """Wait until the engine has nothing to do at this instant of *clock* and nobody is being told."""
    end_s = CLOCK.monotonic_s() + timeout_s
    engine = side.alerting._engine
    for _ in range(2):
        while True:
            side.alerting.wake()
            side.alerting.submit(lambda turn: None).result(timeout_s)
            due_ns = engine.due_ns()
            resting = due_ns is None or due_ns > clock.now_ns()
            if resting and not side.deliveries.in_flight and not side.alerting.waiting:
                break
            assert CLOCK.monotonic_s() < end_s, "it never rests"
            CLOCK.sleep(0.001)


def assert_whole(side, state):
    """The engine, which rests, equals what is kept, but for ends that repeats moved."""
    memory = side.alerting._engine._state
    kept = state.read(alerts.load)
    assert memory.changed == {}
    assert {(t.group_key, t.integration): t for t in kept.told} == dict(
        memory.outbox.told.items()
    )
    assert {(o.group_key, o.integration): o for o in kept.outbox} == dict(
        memory.outbox.rows.items()
    )
    assert {s.id: s for s in kept.silences} == {s.id: s for s in memory.silences.values()}
    held = {group.key: msgspec.structs.replace(group, flush_ns=0) for group in kept.groups}
    known = dict(memory.groups.rows.items())
    assert held == {
        key: msgspec.structs.replace(group, flush_ns=0) for key, group in known.items()
    }
    book = memory.book
    there = {alert.id: alert for alert in kept.alerts}
    for slot in book:
        alert_id = book.ids[slot]
        found = there.pop(alert_id)
        view = msgspec.structs.replace(book.view(slot), raw=b"", enriched=b"")
        if slot in memory.moved:
            same = {"ends_ns": 0, "updated_ns": 0, "count": 0}
            view, found = (msgspec.structs.replace(one, **same) for one in (view, found))
        assert view == msgspec.structs.replace(found, raw=b"", enriched=b"")
        for key in book.groups[slot]:
            assert slot in memory.groups.members(key)
    assert not [one for one in there.values() if one.ends_ns is None], "not in memory"
