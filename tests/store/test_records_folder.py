"""What only the folder of day files does: damage, files, open connections."""

import sqlite3
import subprocess
import sys

import pytest

from heliograph.core.errors import ConfigError, Unavailable
from heliograph.core.record import Record, record_id
from heliograph.store.records import dayfile, search
from heliograph.store.records.day import DAY_NS
from heliograph.store.records.folder import OPEN_DAYS_MAX, RecordFolder


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "records"


@pytest.fixture
def store(folder, clock):
    opened = RecordFolder.open(folder, clock)
    yield opened
    opened.close()


def record(at_ns, n=0):
    return Record(record_id(at_ns, n), at_ns, at_ns, "s", "log", "oom")


def names(folder):
    return sorted(p.name for p in folder.iterdir() if not p.name.endswith(("-wal", "-shm")))


def test_a_file_a_day_and_few_of_them_open(store, folder, clock):
    made = [record(clock.now_ns() - n * DAY_NS) for n in range(8)]
    store.append(made)

    assert names(folder) == [f"2025-12-{d}.db" for d in range(25, 32)] + ["2026-01-01.db"]
    assert len(store._open) == OPEN_DAYS_MAX
    assert store.query().items == made


def garble(path):
    size = path.stat().st_size
    path.write_bytes(b"\xa5" * size)


def with_two_days(folder, clock):
    today, before = record(clock.now_ns()), record(clock.now_ns() - DAY_NS)
    first = RecordFolder.open(folder, clock)
    first.append([today, before])
    first.close()
    return today, before


@pytest.mark.parametrize("act", ["query", "append", "get"])
def test_a_damaged_day_is_set_aside_and_the_rest_goes_on(folder, clock, act):
    today, before = with_two_days(folder, clock)
    garble(folder / "2025-12-31.db")
    store = RecordFolder.open(folder, clock)

    if act == "query":
        assert store.query().items == [today]
    elif act == "get":
        assert store.get(before.record_id) is None
    assert store.append([before]) == [before]
    assert store.query().items == [today, before]
    assert store.counts["days_corrupt"] == 1
    assert "2025-12-31.db.corrupt" in names(folder)
    store.retain(floor_ns=clock.now_ns(), bytes_max=2**40)
    assert names(folder) == ["2026-01-01.db"]
    store.close()


def test_the_newest_day_damaged_does_not_keep_us_from_opening(folder, clock):
    _, before = with_two_days(folder, clock)
    garble(folder / "2026-01-01.db")
    store = RecordFolder.open(folder, clock)

    assert store.query().items == [before]
    store.close()


def test_a_format_of_a_newer_version_is_refused_in_words(folder, clock):
    with_two_days(folder, clock)
    with sqlite3.connect(folder / "2026-01-01.db") as db:
        db.execute(f"PRAGMA user_version = {dayfile.FORMAT + 1}")
    db.close()
    with pytest.raises(ConfigError, match="newer version"):
        RecordFolder.open(folder, clock)


def test_a_full_disk_is_unavailable_and_costs_nothing_else(store, clock, monkeypatch):
    today = record(clock.now_ns())
    store.append([today])

    def full(_connection, _rows):
        error = sqlite3.OperationalError("database or disk is full")
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(dayfile, "insert", full)
        with pytest.raises(Unavailable, match="disk is full"):
            store.append([record(clock.now_ns(), 1)])
    assert store.append([record(clock.now_ns(), 1)]) == [record(clock.now_ns(), 1)]


def test_a_query_that_takes_too_long_is_cut_off(store, clock, monkeypatch):
    store.append([record(clock.now_ns(), n) for n in range(1000)])
    monkeypatch.setattr(dayfile, "_STEPS", 10)
    monkeypatch.setattr(dayfile, "QUERY_S_MAX", -1)
    with pytest.raises(Unavailable) as told:
        store.query()
    assert told.value.code == "too_wide"


def test_a_log_left_beside_a_deleted_day_is_not_replayed(folder, clock):
    folder.mkdir()
    (folder / "2026-01-01.db-wal").write_bytes(b"left behind")
    store = RecordFolder.open(folder, clock)
    store.append([record(clock.now_ns())])
    assert store.query().total == 1
    store.close()


PLANS = [
    ({"streams": ["p"]}, "records_stream"),
    ({"streams": ["p", "q"]}, "records_stream"),
    ({"session_id": "s"}, "records_session"),
    ({"types": ["oom", "xid"]}, "records_type"),
    ({"severities": ["error"], "source_kinds": ["log"]}, "records_at"),
    ({}, "records_at"),
]


@pytest.mark.parametrize(("filters", "index"), PLANS)
def test_every_search_has_its_index(store, folder, clock, filters, index):
    store.append([record(clock.now_ns())])
    asked = search.search(**filters)
    db = store._open[clock.now_ns() // DAY_NS]
    statements = []
    db.set_trace_callback(statements.append)
    dayfile.keys(db, asked, 10)
    dayfile.count(db, asked, 10)
    db.set_trace_callback(None)
    for statement in statements:
        plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {statement}")]
        assert any("SEARCH records USING" in p and index in p for p in plan), plan
        assert not any(p.startswith("SCAN records") for p in plan), plan


CHILD = """
import sys
from pathlib import Path
from heliograph.core.clock import ManualClock
from heliograph.store.records.folder import RecordFolder
from heliograph.core.record import Record, record_id
start = int(sys.argv[2])
store = RecordFolder.open(Path(sys.argv[1]), ManualClock(start))
n = 0
while True:
    n += 1
    store.append([Record(record_id(n, k), start - k, start, "s", "log", str(n)) for k in range(3)])
    print(n, flush=True)
"""


@pytest.mark.parametrize("lines", [1, 7, 23])
def test_kill_leaves_what_was_told_and_no_half(folder, clock, lines):
    start = clock.now_ns() + DAY_NS // 2
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder), str(start)],
        stdout=subprocess.PIPE,
        text=True,
    )
    told = [int(child.stdout.readline()) for _ in range(lines)][-1]
    child.kill()
    rest = child.communicate()[0].split()
    told = int(rest[-1]) if rest else told
    store = RecordFolder.open(folder, clock)

    total = store.query().total
    assert total % 3 == 0
    assert told <= total // 3 <= told + 1
    store.close()
