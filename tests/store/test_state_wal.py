"""SQLite's write-ahead log is brought into the file by the writer's thread, not by who commits."""

import shutil
import sqlite3
import threading
from contextlib import closing

import pytest

from heliograph.core.clock import SystemClock
from heliograph.store.state import engines, meta
from heliograph.store.state import state as module
from heliograph.store.state.lanes import WAITING_MAX, Lane
from heliograph.store.state.state import State


@pytest.fixture
def eager(tmp_path, monkeypatch):
    """A state on SQLite that looks after its log whenever there was a transaction."""
    monkeypatch.setattr(module, "CHECKPOINT_S", 0.0)
    state = State.open(None, tmp_path, SystemClock())
    yield state
    state.close()


def noted(state, monkeypatch, *, error=None):
    """Threads that bring the log into the file from now on, which fails with *error*."""
    threads, came = [], threading.Condition()
    real = state._home.writer.checkpoint

    def checkpoint():
        with came:
            threads.append(threading.current_thread().name)
            came.notify_all()
        if error is not None:
            raise error
        real()

    monkeypatch.setattr(state._home.writer, "checkpoint", checkpoint)
    return threads, came


def put(state, value):
    state.run(lambda tx: meta.put(tx, "k", value), lane=Lane.ALERTS)


def in_file(tmp_path):
    """What the file alone says, without the log beside it."""
    alone = tmp_path / "alone.db"
    shutil.copyfile(tmp_path / "state.db", alone)
    with closing(sqlite3.connect(alone)) as found:
        return found.execute("SELECT value FROM meta WHERE key = 'k'").fetchone()


def test_it_is_the_writers_thread(eager, tmp_path, monkeypatch):
    threads, came = noted(eager, monkeypatch)
    with came:
        put(eager, "v")
        assert came.wait_for(lambda: threads, 10)
    assert set(threads) == {"state-writer"}
    # A transaction comes after it, and nothing is brought into the file meanwhile.
    assert eager.run(lambda _: in_file(tmp_path), lane=Lane.ALERTS) == ("v",)


def test_one_that_fails_harms_nobody(eager, monkeypatch, caplog):
    threads, came = noted(eager, monkeypatch, error=sqlite3.OperationalError("disk I/O error"))
    with came:
        put(eager, "v")
        assert came.wait_for(lambda: threads, 10)
    put(eager, "w")
    assert eager.read(lambda tx: meta.get(tx, "k")) == "w"
    assert "the write-ahead log stays long" in caplog.text


def test_where_it_has_no_room_the_commit_does_it(eager, monkeypatch):
    began, go = threading.Event(), threading.Event()

    def hold(_):
        began.set()
        assert go.wait(10)

    held = eager.write(hold, lane=Lane.ALERTS)
    assert began.wait(10)
    waits = [
        eager.write(lambda tx, n=n: meta.put(tx, "k", str(n)), lane=Lane.RETENTION)
        for n in range(WAITING_MAX[Lane.RETENTION])
    ]
    go.set()
    assert [one.result(10) for one in (held, *waits)] == [None] * (1 + len(waits))
    assert eager.read(lambda tx: meta.get(tx, "k")) == str(len(waits) - 1)
    asked = "PRAGMA wal_autocheckpoint"
    pages = eager.run(lambda tx: tx.exec_driver_sql(asked).scalar(), lane=Lane.ALERTS)
    assert pages == engines.WAL_PAGES_MAX


def test_it_is_left_alone_until_it_is_worth_it(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CHECKPOINT_S", 3600.0)
    state = State.open(None, tmp_path, SystemClock())
    threads, _ = noted(state, monkeypatch)
    for n in range(20):
        put(state, str(n))
    # What waits is done before the end.
    state.close()
    assert threads == []
