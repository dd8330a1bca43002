"""One day's records in one SQLite file: its schema, and what is done over an open connection.

    chunks   records that came together, `chunks`; one that came alone is a chunk of one
    ids      16 bytes of each record's id, so that none is kept twice

Indexes answer every filter without touching heads or documents: see `finding`. Files of format 1,
which kept a row a record, are read through views of that form, and are brought to it when they are
written again.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import ExitStack, closing
from functools import lru_cache
from pathlib import Path

from heliograph.core.clock import Clock
from heliograph.core.errors import ConfigError
from heliograph.store.records import chunks, row
from heliograph.store.records.chunks import Chunk, Piece
from heliograph.store.records.search import QUERY_S_MAX
from heliograph.store.state import batches
from heliograph.store.state.engines import BUSY_S, WAL_BYTES_KEPT, read_only_uri
from heliograph.store.state.upsert import VALUES_MAX

FORMAT = 2
_TABLES = """
CREATE TABLE chunks (
    n INTEGER PRIMARY KEY, stream TEXT NOT NULL, session TEXT NOT NULL, type TEXT NOT NULL,
    severity TEXT NOT NULL, source TEXT NOT NULL, start_ns INTEGER NOT NULL,
    end_ns INTEGER NOT NULL, many INTEGER NOT NULL, heads BLOB, docs BLOB NOT NULL);
CREATE TABLE ids (id BLOB PRIMARY KEY) WITHOUT ROWID;
"""
_INDEXES = """
CREATE INDEX chunks_stream ON chunks (stream, end_ns, start_ns, many);
CREATE INDEX chunks_session ON chunks (session, end_ns, start_ns, many);
CREATE INDEX chunks_type ON chunks (type, end_ns, start_ns, many);
CREATE INDEX chunks_at ON chunks (end_ns, start_ns, many, severity, source);
"""
_CHUNKS_BEFORE = """SELECT n, stream, session, type, severity, source, at_ns AS start_ns,
    at_ns AS end_ns, 1 AS many, NULL AS heads, doc AS docs FROM records"""
# Of each older format: what fills the tables, and what stands for them where a file is only read.
_MADE_OF = {
    0: "",
    1: f"INSERT INTO chunks {_CHUNKS_BEFORE};"  # noqa: S608
    "INSERT INTO ids SELECT id FROM records ORDER BY id; DROP TABLE records;",
}
_VIEWS = (
    f"CREATE TEMP VIEW chunks AS {_CHUNKS_BEFORE}",
    "CREATE TEMP VIEW ids AS SELECT id FROM records",
)
# A page that many transactions write is copied once, the less often the log is folded in.
_CHECKPOINT_PAGES = 4000
# Steps of SQLite's machine between two looks at the clock: about a millisecond.
_STEPS = 100_000


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
        version = _version(connection)
        if version > FORMAT:
            raise ConfigError(
                f"{path}: format {version}, written by a newer version of heliograph"
            )
        if version < FORMAT:
            connection.executescript(
                f"BEGIN IMMEDIATE; {_TABLES} {_MADE_OF[version]} {_INDEXES} "
                f"PRAGMA user_version = {FORMAT}; COMMIT"
            )
        unless_ready.pop_all()
    return connection


def open_reader(path: Path, clock: Clock) -> closing[sqlite3.Connection]:
    """A connection that only reads *path*, all of one moment, and is interrupted after
    `QUERY_S_MAX`."""
    connection = sqlite3.connect(
        read_only_uri(path), uri=True, timeout=BUSY_S, isolation_level=None
    )
    with ExitStack() as unless_ready:
        unless_ready.callback(connection.close)
        connection.execute("BEGIN")
        if _version(connection) == 1:
            for view in _VIEWS:
                connection.execute(view)
        until_s = clock.monotonic_s() + QUERY_S_MAX
        connection.set_progress_handler(lambda: clock.monotonic_s() > until_s, _STEPS)
        unless_ready.pop_all()
    return closing(connection)


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def insert(connection: sqlite3.Connection, piece: Piece) -> set[bytes]:
    """Add *piece* in one transaction, or nothing where some of its ids are there already; return
    those. Durable on return."""
    try:
        # Nearly always all are new, and need not be looked for.
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            _put(connection, piece)
    except sqlite3.IntegrityError:
        if there := present(connection, piece.ids):
            return there
        raise
    return set()


def _put(connection: sqlite3.Connection, piece: Piece) -> None:
    (first,) = connection.execute("SELECT coalesce(max(n) + 1, 0) FROM chunks").fetchone()
    # In their order, for neighbours are in one page; and many a statement, for at each one SQLite
    # gives the interpreter up, and must win it back.
    for some in batches.halved(sorted(piece.ids), VALUES_MAX):
        connection.execute(_insert_ids(len(some)), some)
    connection.executemany(
        f"INSERT INTO chunks VALUES (?, {marks(len(Chunk._fields) - 1)})",  # noqa: S608
        [(first + one.last, *one[1:]) for one in piece.chunks],
    )


@lru_cache(maxsize=16)
def _insert_ids(many: int) -> str:
    return f"INSERT INTO ids VALUES {', '.join(['(?)'] * many)}"  # noqa: S608


def marks(many: int) -> str:
    """So many parameters of a statement."""
    return ", ".join("?" * many)


def present(connection: sqlite3.Connection, ids: Sequence[bytes]) -> set[bytes]:
    """Those of *ids* that are there."""
    found: set[bytes] = set()
    for some in batches.cut(ids, VALUES_MAX):
        sql = f"SELECT id FROM ids WHERE id IN ({marks(len(some))})"  # noqa: S608
        found.update(one[0] for one in connection.execute(sql, some))
    return found


def delete_before(connection: sqlite3.Connection, floor_ns: int, limit: int) -> int:
    """Delete at most *limit* chunks that ended before *floor_ns*; return how many records."""
    return _delete(connection, "end_ns < ? LIMIT ?", (floor_ns, limit))


def trim(connection: sqlite3.Connection, most: int, limit: int) -> int:
    """Delete the first arrived beyond *most*, where each is alone, at most *limit*; return how many."""
    # Arrival numbers have few gaps, so their span stands for the count, which would be a scan.
    first, last = connection.execute(
        "SELECT (SELECT min(n) FROM chunks), (SELECT max(n) FROM chunks)"
    ).fetchone()
    if first is None or last - first < most:
        return 0
    return _delete(connection, "n < ?", (min(last - most + 1, first + limit),))


def _delete(connection: sqlite3.Connection, which: str, values: Sequence[int]) -> int:
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        sql = f"SELECT n, many, docs FROM chunks WHERE {which}"  # noqa: S608
        numbers: list[int] = []
        ids: list[bytes] = []
        # One by one: documents may be large.
        for n, many, docs in connection.execute(sql, values):
            numbers.append(n)
            told = chunks.records_of(many, docs, range(many)).values()
            ids += [row.id_of(one.record_id) for one in told]
        for table, column, gone in (("chunks", "n", numbers), ("ids", "id", ids)):
            for some in batches.cut(gone, VALUES_MAX):
                sql = f"DELETE FROM {table} WHERE {column} IN ({marks(len(some))})"  # noqa: S608
                connection.execute(sql, some)
    return len(ids)
