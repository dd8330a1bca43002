"""One day's records in one SQLite file: its schema, and what is done over an open connection.

Index (at_ns, severity, source) answers filters on the latter two without touching the documents.
`n` is the order of arrival; it orders records of one instant.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from heliograph.core.clock import Clock
from heliograph.core.errors import ConfigError
from heliograph.store.records.row import COLUMNS, Row
from heliograph.store.records.search import QUERY_S_MAX, Search
from heliograph.store.state.engines import BUSY_S, WAL_BYTES_KEPT, read_only_uri

FORMAT = 1
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS records (
    n INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, stream TEXT NOT NULL, session TEXT NOT NULL,
    type TEXT NOT NULL, severity TEXT NOT NULL, source TEXT NOT NULL, at_ns INTEGER NOT NULL,
    doc BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS records_stream ON records (stream, at_ns);
CREATE INDEX IF NOT EXISTS records_session ON records (session, at_ns);
CREATE INDEX IF NOT EXISTS records_type ON records (type, at_ns);
CREATE INDEX IF NOT EXISTS records_at ON records (at_ns, severity, source);
PRAGMA user_version = {FORMAT};
COMMIT;
"""
_INSERT = f"INSERT INTO records ({', '.join(COLUMNS)}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
# A page that many transactions write is copied once, the less often the log is folded in.
_CHECKPOINT_PAGES = 4000
# Steps of SQLite's machine between two looks at the clock: about a millisecond.
_STEPS = 100_000
# Parameters of one statement.
_KEYS_MAX = 500


def open_writer(path: Path) -> sqlite3.Connection:
    """The one writing connection to *path*, its schema made. ConfigError: of a newer version."""
    connection = sqlite3.connect(
        path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
    )
    with ExitStack() as unless_ready:
        unless_ready.callback(connection.close)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA journal_size_limit={WAL_BYTES_KEPT}")
        connection.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > FORMAT:
            raise ConfigError(
                f"{path}: format {version}, written by a newer version of heliograph"
            )
        if version < FORMAT:
            connection.executescript(_SCHEMA)
        unless_ready.pop_all()
    return connection


def open_reader(path: Path, clock: Clock) -> closing[sqlite3.Connection]:
    """A connection that only reads *path*, and is interrupted after `QUERY_S_MAX`."""
    connection = sqlite3.connect(read_only_uri(path), uri=True, timeout=BUSY_S)
    until_s = clock.monotonic_s() + QUERY_S_MAX
    connection.set_progress_handler(lambda: clock.monotonic_s() > until_s, _STEPS)
    return closing(connection)


def insert(connection: sqlite3.Connection, rows: Sequence[Row]) -> set[bytes]:
    """Add *rows* in one transaction; return the ids that were not there yet. Durable on return."""
    unique = {row.id: row for row in reversed(rows)}
    try:
        # Nearly always all are new, and need not be looked for.
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(_INSERT, reversed(unique.values()))
        return set(unique)
    except sqlite3.IntegrityError:
        pass
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        there = present(connection, [row.id for row in rows])
        fresh = {row.id: row for row in reversed(rows) if row.id not in there}
        connection.executemany(_INSERT, reversed(fresh.values()))
    return set(fresh)


def present(connection: sqlite3.Connection, ids: Sequence[bytes]) -> set[bytes]:
    """Those of *ids* that are there."""
    found: set[bytes] = set()
    for start in range(0, len(ids), _KEYS_MAX):
        piece = ids[start : start + _KEYS_MAX]
        marks = ", ".join("?" * len(piece))
        sql = f"SELECT id FROM records WHERE id IN ({marks})"  # noqa: S608
        found.update(row[0] for row in connection.execute(sql, piece))
    return found


def keys(connection: sqlite3.Connection, asked: Search, limit: int) -> list[tuple[int, int]]:
    """(at_ns, n) of the first *limit* matches, in the order asked."""
    sql = f"SELECT at_ns, n FROM records WHERE {asked.where} ORDER BY {asked.order} LIMIT :most"  # noqa: S608
    return connection.execute(sql, {**asked.values, "most": limit}).fetchall()


def count(connection: sqlite3.Connection, asked: Search, limit: int) -> int:
    """How many match, counted up to *limit*."""
    sql = f"SELECT count(*) FROM (SELECT 1 FROM records WHERE {asked.where} LIMIT :most)"  # noqa: S608
    found: int = connection.execute(sql, {**asked.values, "most": limit}).fetchone()[0]
    return found


def documents(connection: sqlite3.Connection, numbers: Sequence[int]) -> dict[int, bytes]:
    """Documents by `n`; one that was deleted meanwhile is left out."""
    found: dict[int, bytes] = {}
    for start in range(0, len(numbers), _KEYS_MAX):
        piece = numbers[start : start + _KEYS_MAX]
        marks = ", ".join("?" * len(piece))
        sql = f"SELECT n, doc FROM records WHERE n IN ({marks})"  # noqa: S608
        found.update(connection.execute(sql, piece).fetchall())
    return found


def one(connection: sqlite3.Connection, id_: bytes) -> bytes | None:
    """The document of the record *id_*, or None."""
    row = connection.execute("SELECT doc FROM records WHERE id = ?", (id_,)).fetchone()
    return row[0] if row else None


def delete_before(connection: sqlite3.Connection, floor_ns: int, limit: int) -> int:
    """Delete at most *limit* records older than *floor_ns*; return how many."""
    sql = "DELETE FROM records WHERE n IN (SELECT n FROM records WHERE at_ns < ? LIMIT ?)"
    return connection.execute(sql, (floor_ns, limit)).rowcount


def trim(connection: sqlite3.Connection, most: int, limit: int) -> int:
    """Delete the first arrived beyond *most* records, at most *limit*; return how many."""
    # Arrival numbers have few gaps, so their span stands for the count, which would be a scan.
    first, last = connection.execute(
        "SELECT (SELECT min(n) FROM records), (SELECT max(n) FROM records)"
    ).fetchone()
    if first is None or last - first < most:
        return 0
    floor = min(last - most + 1, first + limit)
    return connection.execute("DELETE FROM records WHERE n < ?", (floor,)).rowcount
