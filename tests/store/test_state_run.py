"""Transactions on the thread that asks for them: the same order, errors and end as on the writer's."""

import threading
from contextlib import suppress

import pytest
from sqlalchemy import event, exc

from heliograph.core.errors import Refused, Unavailable
from heliograph.store.state import alert_kinds, cursors, meta, upsert
from heliograph.store.state.lanes import Lane, Lanes


class Running:
    """Something that runs on a thread of its own, until `go`, and its outcome."""

    def __init__(self, state, lane=Lane.ALERTS):
        self.began, self.go = threading.Event(), threading.Event()
        self.found = []
        self.thread = threading.Thread(target=self._run, args=(state, lane), daemon=True)
        self.thread.start()
        assert self.began.wait(10)

    def _run(self, state, lane):
        self.found.append(state.run(self._work, lane=lane))

    def _work(self, _):
        self.began.set()
        assert self.go.wait(10)
        return threading.current_thread()

    def end(self):
        self.go.set()
        self.thread.join(10)
        return self.found


def test_it_runs_here_where_the_writer_is_idle(state):
    assert (
        state.run(lambda _: threading.current_thread(), lane=Lane.ALERTS)
        is threading.current_thread()
    )
    assert state.run(lambda tx: cursors.advance(tx, "x", 7), lane=Lane.APPLIER) is None
    assert state.read(cursors.get_all) == {"x": 7}


def test_it_waits_for_its_turn_like_all_others(state):
    first = Running(state)
    order = []
    asked = [Lane.RETENTION, Lane.APPLIER, Lane.ALERTS, Lane.CONTROL]
    futures = [
        state.write(lambda _, lane=lane: order.append(lane), lane=lane) for lane in asked
    ]
    # Nobody runs past those who wait, whoever they are.
    late = threading.Thread(
        target=lambda: state.run(lambda _: order.append("late"), lane=Lane.ALERTS), daemon=True
    )
    late.start()
    while state.waiting()[Lane.ALERTS] < 2:
        assert late.is_alive()
    assert first.end() == [first.thread]
    for future in futures:
        future.result(10)
    late.join(10)
    assert order == [Lane.CONTROL, Lane.ALERTS, "late", Lane.APPLIER, Lane.RETENTION]


def test_a_transaction_that_fails_is_its_callers_alone(state):
    def broken(tx):
        cursors.advance(tx, "x", 1)
        raise ValueError("mine")

    first = Running(state)
    fails = state.write(broken, lane=Lane.CONTROL)
    works = state.write(lambda tx: cursors.advance(tx, "y", 2), lane=Lane.CONTROL)
    first.end()
    with pytest.raises(ValueError, match="mine"):
        fails.result(10)
    works.result(10)
    with pytest.raises(ValueError, match="mine"):
        state.run(broken, lane=Lane.ALERTS)
    state.run(lambda tx: cursors.advance(tx, "z", 3), lane=Lane.ALERTS)
    assert state.read(cursors.get_all) == {"y": 2, "z": 3}


def test_what_a_bug_does_to_the_connection_is_no_others(state):
    for broken in (lambda tx: tx.close(), lambda tx: tx.connection.dbapi_connection.close()):
        for _ in range(2):
            with suppress(Unavailable, exc.SQLAlchemyError):
                state.run(broken, lane=Lane.ALERTS)
        # One call may be lost, and no more.
        with suppress(Unavailable, exc.SQLAlchemyError):
            state.run(lambda _: None, lane=Lane.ALERTS)
        state.run(lambda tx: cursors.advance(tx, "x", 1), lane=Lane.ALERTS)
    assert state.read(cursors.get_all) == {"x": 1}


def code_of(state):
    try:
        state.write(lambda _: None, lane=Lane.RETENTION)
    except Unavailable as refused:
        return refused.code
    return None


def test_closing_waits_for_what_runs_and_takes_no_more(state):
    first = Running(state)
    waits = state.write(lambda _: "waited", lane=Lane.APPLIER)
    closing = threading.Thread(target=state.close, daemon=True)
    closing.start()
    while code_of(state) != "closed":
        assert closing.is_alive()
    assert closing.is_alive()
    assert first.end() == [first.thread]
    closing.join(10)
    assert waits.result(0) == "waited"
    with pytest.raises(Unavailable) as told:
        state.run(lambda _: None, lane=Lane.CONTROL)
    assert told.value.code == "closed"


def test_a_transaction_cannot_wait_for_another(state):
    for ask in (state.run, state.write):
        with pytest.raises(AssertionError, match="waits for another"):
            state.run(
                lambda _, ask=ask: ask(lambda _: None, lane=Lane.CONTROL), lane=Lane.ALERTS
            )


def test_the_turn_is_one_threads():
    lanes = Lanes()
    assert lanes.enter()
    assert not lanes.enter()
    lanes.put(Lane.RETENTION, "r")
    lanes.put(Lane.CONTROL, "c")
    lanes.leave()
    assert not lanes.enter(), "others wait"
    assert lanes.take() == "c"
    assert not lanes.enter()
    lanes.leave()
    lanes.close()
    assert lanes.take() == "r"
    lanes.leave()
    assert lanes.take() is None
    assert not lanes.enter()


def test_the_drivers_own_words_fail_in_ours(state):
    row = (("a", "1"),)
    state.run(
        lambda tx: upsert.put_stored(tx, meta.META, ("key", "value"), row, "DO NOTHING"),
        lane=Lane.ALERTS,
    )

    def again(tx):
        mark = "?" if tx.dialect.name == "sqlite" else "%s"
        upsert.run(tx, f"INSERT INTO meta (key, value) VALUES ({mark}, '2')", ("a",))

    with pytest.raises(Refused) as told:
        state.run(again, lane=Lane.ALERTS)
    assert (told.value.code, told.value.status) == ("conflict", 409)
    assert state.read(lambda tx: meta.get(tx, "a")) == "1"


def test_who_listens_hears_the_drivers_own_words(state):
    heard = []

    def note(_connection, _cursor, statement, *_):
        heard.append(statement.split()[0])

    def put(tx):
        upsert.put_stored(tx, meta.META, ("key", "value"), [("a", "1")], "DO NOTHING")

    event.listen(state._writer, "before_cursor_execute", note)
    state.run(put, lane=Lane.ALERTS)
    event.remove(state._writer, "before_cursor_execute", note)
    state.run(put, lane=Lane.ALERTS)
    assert heard == ["INSERT"]


def test_a_kind_is_remembered_once_it_is_on_disk(state):
    texts = ("metric", "Hot", "warning", "east")
    kinds = {alert_kinds.of(*texts): texts}

    def broken(tx):
        alert_kinds.keep(tx, kinds)
        raise ValueError

    def count(tx):
        return len(alert_kinds.numbers(tx, "alert_name = :name", {"name": "Hot"}, 9))

    for _ in range(2):
        with pytest.raises(ValueError):
            state.run(broken, lane=Lane.ALERTS)
    assert state.read(count) == 0
    for _ in range(2):
        state.run(lambda tx: alert_kinds.keep(tx, kinds), lane=Lane.ALERTS)
    assert state.read(count) == 1
