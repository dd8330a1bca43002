"""The state as a place for transactions, on both engines: lanes, errors, snapshots."""

import threading

import pytest
from sqlalchemy import text

from heliograph.core.clock import SystemClock
from heliograph.core.errors import ConfigError, HeliographError, Refused, Unavailable
from heliograph.store.state import cursors, meta, versions
from heliograph.store.state.lanes import WAITING_MAX, Lane
from heliograph.store.state.state import State, upgrade


def wrote(state, work, lane=Lane.CONTROL):
    return state.write(work, lane=lane).result(timeout=10)


def test_what_is_written_is_read_and_stays(state, state_url, tmp_path, clock):
    wrote(state, lambda tx: cursors.advance(tx, "effects", 7))
    assert state.read(cursors.get_all) == {"effects": 7}
    identity = state.read(lambda tx: meta.get(tx, meta.INSTANCE_ID))
    state.close()

    again = State.open(state_url, tmp_path, clock)
    assert again.read(cursors.get_all) == {"effects": 7}
    assert again.read(lambda tx: meta.get(tx, meta.INSTANCE_ID)) == identity
    assert again.read(lambda tx: meta.get(tx, meta.CREATED_NS)) == str(clock.now_ns())
    again.close()


def test_an_error_rolls_back_and_reaches_its_caller_alone(state):
    def work(tx):
        cursors.advance(tx, "effects", 7)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        wrote(state, work)
    assert state.read(cursors.get_all) == {}
    wrote(state, lambda tx: cursors.advance(tx, "effects", 1))


def test_a_snapshot_does_not_move(state):
    def work(tx):
        before = versions.get(tx, "x")
        wrote(state, lambda other: versions.bump(other, "x"))
        return before, versions.get(tx, "x")

    assert state.read(work) == (0, 0)
    assert state.read(lambda tx: versions.get(tx, "x")) == 1


def test_a_reader_cannot_write(state):
    with pytest.raises(HeliographError):
        state.read(lambda tx: cursors.advance(tx, "x", 1))
    assert state.read(cursors.get_all) == {}


def held(state):
    """Keep the writer busy until the event is set."""
    running, go = threading.Event(), threading.Event()

    def wait(_):
        running.set()
        go.wait(10)

    done = state.write(wait, lane=Lane.RETENTION)
    running.wait(10)
    return go, done


def test_the_most_urgent_lane_goes_first(state):
    go, _ = held(state)
    order = []
    asked = [
        Lane.RETENTION,
        Lane.APPLIER,
        Lane.CONTROL,
        Lane.ALERTS,
        Lane.CONTROL,
        Lane.APPLIER,
    ]
    futures = [
        state.write(lambda _, lane=lane, n=n: order.append((lane.name, n)), lane=lane)
        for n, lane in enumerate(asked)
    ]
    go.set()
    for future in futures:
        future.result(10)
    assert order == [
        *(("CONTROL", 2), ("CONTROL", 4), ("ALERTS", 3)),
        *(("APPLIER", 1), ("APPLIER", 5), ("RETENTION", 0)),
    ]


def test_a_full_lane_is_unavailable_and_the_others_are_not(state):
    go, _ = held(state)
    most = WAITING_MAX[Lane.RETENTION]
    futures = [state.write(lambda _: None, lane=Lane.RETENTION) for _ in range(most)]
    with pytest.raises(Unavailable) as told:
        state.write(lambda _: None, lane=Lane.RETENTION)
    assert told.value.code == "state_busy"
    assert state.waiting()[Lane.RETENTION] == most
    futures.append(state.write(lambda _: None, lane=Lane.CONTROL))
    go.set()
    for future in futures:
        future.result(10)


def test_closing_finishes_what_was_accepted(state):
    go, first = held(state)
    last = state.write(lambda tx: cursors.advance(tx, "x", 1), lane=Lane.APPLIER)
    go.set()
    state.close()
    assert (first.result(0), last.result(0)) == (None, None)
    with pytest.raises(Unavailable):
        state.write(lambda _: None, lane=Lane.CONTROL)


def test_every_transaction_is_observed_and_slow_ones_are_counted(state_url, tmp_path, clock):
    seen = []
    state = State.open(state_url, tmp_path, clock, observe=lambda *each: seen.append(each))
    wrote(state, lambda _: clock.advance(0.02), Lane.ALERTS)
    wrote(state, lambda _: clock.advance(0.03), Lane.APPLIER)
    state.close()
    assert [(lane, round(s, 3)) for lane, s in seen] == [
        (Lane.ALERTS, 0.02),
        (Lane.APPLIER, 0.03),
    ]
    assert state.slow == {Lane.APPLIER: 1}


def test_keys_that_are_there_and_numbers_too_large_are_refused(state):
    def twice(tx):
        for _ in range(2):
            tx.execute(versions.VERSIONS.insert().values(name="x", n=1))

    with pytest.raises(Refused) as told:
        wrote(state, twice)
    assert (told.value.status, told.value.code) == (409, "conflict")
    with pytest.raises(Refused, match="64 bits"):
        wrote(state, lambda tx: cursors.advance(tx, "x", 2**63))


def test_any_text_survives_as_key_and_as_value(state):
    odd = "a\x00\ud800\ue000ü\U0001f525"
    wrote(state, lambda tx: meta.put(tx, odd, odd * 3000))
    assert state.read(lambda tx: meta.get(tx, odd)) == odd * 3000
    long = odd * 3000
    wrote(state, lambda tx: meta.put(tx, long, "found"))
    assert state.read(lambda tx: meta.get(tx, long)) == "found"
    assert state.read(lambda tx: meta.get(tx, long + "x")) is None


def test_cursors_never_go_back(state):
    for seq in (5, 9, 3):
        wrote(state, lambda tx, seq=seq: cursors.advance(tx, "effects", seq))
    assert state.read(cursors.get_all) == {"effects": 9}
    wrote(state, lambda tx: cursors.forget(tx, "effects"))
    assert state.read(cursors.get_all) == {}


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://u:secret@h/d", "mysql is not supported"),
        ("mysql+pymysql://u:secret@h/d", "mysql is not supported"),
        ("postgresql+psycopg2://u:secret@h/d", "is not supported"),
        ("sqlite:///x.db", "leave the URL out"),
        ("what is this", "not a database URL"),
    ],
)
def test_other_databases_are_refused_in_words(url, says, tmp_path, clock):
    with pytest.raises(ConfigError, match=says) as told:
        State.open(url, tmp_path, clock)
    assert "secret" not in str(told.value)


def test_a_server_that_does_not_answer_is_unavailable(tmp_path, clock):
    with pytest.raises(Unavailable) as told:
        State.open("postgresql+psycopg://u:secret@127.0.0.1:1/d", tmp_path, clock)
    assert "secret" not in str(told.value)


def test_a_lost_connection_costs_one_call(pg_url, tmp_path):
    state = State.open(pg_url, tmp_path, SystemClock())
    pid = text("SELECT pg_backend_pid()")
    for run in (lambda work: wrote(state, work), state.read):
        victim = run(lambda tx: tx.execute(pid).scalar_one())
        other = State.open(pg_url, tmp_path, SystemClock())
        other.read(lambda tx, v=victim: tx.execute(text(f"SELECT pg_terminate_backend({v})")))
        other.close()
        assert state.failing is None
        with pytest.raises(Unavailable) as told:
            run(lambda tx: tx.execute(pid).scalar_one())
        assert state.failing == told.value.detail
        assert run(lambda tx: tx.execute(pid).scalar_one()) != victim
        assert state.failing is None
    state.close()


def test_backup_on_postgresql_is_the_operators(pg_url, tmp_path, clock):
    state = State.open(pg_url, tmp_path, clock)
    assert not state.on_sqlite
    with pytest.raises(ConfigError, match="operator"):
        state.backup()
    state.close()


def test_upgrade_says_from_where_to_where(state_url, tmp_path, clock):
    first = upgrade(state_url, tmp_path, clock)
    assert first.before is None
    assert upgrade(state_url, tmp_path, clock) == (first.after, first.after)
