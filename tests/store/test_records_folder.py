"""What only the folder of day files does: damage, files, open connections."""

import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from heliograph.core.errors import ConfigError, Unavailable
from heliograph.core.record import Record, record_id
from heliograph.store.records import chunks, dayfile, finding, row, search
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


@pytest.mark.parametrize("act", ["query", "append"])
def test_a_damaged_day_is_set_aside_and_the_rest_goes_on(folder, clock, act):
    today, before = with_two_days(folder, clock)
    garble(folder / "2025-12-31.db")
    store = RecordFolder.open(folder, clock)

    if act == "query":
        assert store.query().items == [today]
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


def test_a_full_disk_keeps_nobody_from_reading_a_file_of_the_format_before(
    folder, clock, monkeypatch
):
    """It would be brought to this format when it is opened to be written."""
    today, before = with_two_days(folder, clock)

    def full(_path):
        error = sqlite3.OperationalError("database or disk is full")
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(dayfile, "open_writer", full)
        store = RecordFolder.open(folder, clock)
        assert store.query().items == [today, before]
        with pytest.raises(Unavailable, match="disk is full"):
            store.append([record(clock.now_ns(), 1)])
    assert store.append([record(clock.now_ns(), 1)]) == [record(clock.now_ns(), 1)]
    store.close()


def test_records_are_not_told_kept_where_a_file_takes_them_for_others(
    store, clock, monkeypatch
):
    def odd(_connection, _piece):
        error = sqlite3.IntegrityError("UNIQUE constraint failed: chunks.n")
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(dayfile, "_put", odd)
        with pytest.raises(Unavailable, match="UNIQUE"):
            store.append([record(clock.now_ns())])
    assert store.append([record(clock.now_ns())]) == [record(clock.now_ns())]


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
    ({"streams": ["p"]}, "chunks_stream"),
    ({"streams": ["p", "q"]}, "chunks_stream"),
    ({"session_id": "s"}, "chunks_session"),
    ({"types": ["oom", "xid"]}, "chunks_type"),
    ({"severities": ["error"], "source_kinds": ["log"]}, "chunks_at"),
    ({}, "chunks_at"),
]


@pytest.mark.parametrize(("filters", "index"), PLANS)
def test_every_search_has_its_index(store, folder, clock, filters, index):
    store.append([record(clock.now_ns())])
    asked = search.search(**filters, start_ns=clock.now_ns() - 1)
    db = store._open[clock.now_ns() // DAY_NS]
    statements = []
    db.set_trace_callback(statements.append)
    finding.keys(db, asked, 10)
    finding.count(db, asked, 10)
    db.set_trace_callback(None)
    assert len(statements) == 3
    for statement in statements:
        plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {statement}")]
        assert any("SEARCH chunks USING" in p and index in p for p in plan), plan
        assert not any(p.startswith("SCAN chunks") for p in plan), plan


def test_records_alike_that_come_together_are_kept_together(store, clock):
    """A row for 64 of them; what is large, or too far apart, is apart."""
    now = clock.now_ns() + DAY_NS // 2
    alike = [record(now - n, n) for n in range(100)]
    apart = [record(now - 2 * n * chunks.SPAN_NS_MAX, 100 + n) for n in range(1, 4)]
    large = [
        record(now - 200 - n, n)._replace(body="x" * chunks.BYTES_MAX, event_type="traceback")
        for n in range(3)
    ]
    store.append([*alike, *apart, *large])

    db = store._open[now // DAY_NS]
    held = db.execute("SELECT type, many FROM chunks ORDER BY type, many").fetchall()
    assert held == [("oom", n) for n in (1, 1, 1, 36, 64)] + [("traceback", 1)] * 3
    assert store.query(limit=1000).items == [*alike, *large, *apart]


@pytest.mark.parametrize("newest_first", [True, False])
def test_a_far_page_opens_the_chunks_about_it_alone(store, clock, monkeypatch, newest_first):
    start_ns = clock.now_ns()
    made = [record(start_ns + n * 10**9, n) for n in range(40 * chunks.RECORDS_MAX)]
    store.append(made)
    opened = []
    heads_of = chunks.heads_of
    monkeypatch.setattr(chunks, "heads_of", lambda heads: opened.append(1) or heads_of(heads))
    page = store.query(newest_first=newest_first, offset=30 * chunks.RECORDS_MAX + 5, limit=70)

    first = 30 * chunks.RECORDS_MAX + 5
    assert page.items == (made[::-1] if newest_first else made)[first : first + 70]
    assert page.total == len(made)
    assert len(opened) <= 4


def as_before(path):
    """The day file *path* as format 1 had it: a row a record."""
    db = sqlite3.connect(path)
    db.executescript("DROP TABLE chunks; DROP TABLE ids")
    db.executescript(
        """CREATE TABLE records (n INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE,
        stream TEXT NOT NULL, session TEXT NOT NULL, type TEXT NOT NULL, severity TEXT NOT NULL,
        source TEXT NOT NULL, at_ns INTEGER NOT NULL, doc BLOB NOT NULL);
        CREATE INDEX records_stream ON records (stream, at_ns);
        CREATE INDEX records_session ON records (session, at_ns);
        CREATE INDEX records_type ON records (type, at_ns);
        CREATE INDEX records_at ON records (at_ns, severity, source);
        PRAGMA user_version = 1"""
    )
    return db


def test_a_file_of_the_format_before_is_read_and_once_written_is_of_this_one(folder, clock):
    """Also that of another day, which nobody writes again."""
    with_two_days(folder, clock)
    noon = clock.now_ns() + DAY_NS // 2
    today, before = ([record(noon - ago * DAY_NS - n, n) for n in range(3)] for ago in (0, 1))
    for name, held in (("2026-01-01.db", today), ("2025-12-31.db", before)):
        with closing(as_before(folder / name)) as db, db:
            marks = ", ".join("?" * 8)
            columns = ", ".join(row.COLUMNS)
            db.executemany(
                f"INSERT INTO records ({columns}) VALUES ({marks})",
                [row.of(row.id_of(r.record_id), r) for r in held],
            )
    store = RecordFolder.open(folder, clock)

    assert store.query(types=["oom"]) == search.Page([*today, *before], 6)
    assert store.query(start_ns=before[1].timestamp_ns, end_ns=today[1].timestamp_ns).items == [
        *(today[2:]),
        *before[:2],
    ]
    later = record(noon + 1)
    assert store.append([today[0], later]) == [later]
    assert store.query(streams=["s"]) == search.Page([later, *today, *before], 7)
    store.close()
    with closing(sqlite3.connect(folder / "2025-12-31.db")) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
    with closing(sqlite3.connect(folder / "2026-01-01.db")) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (dayfile.FORMAT,)
        assert db.execute(
            "SELECT count(*) FROM sqlite_master WHERE tbl_name = 'records'"
        ).fetchone() == (0,)


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
