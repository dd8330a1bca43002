"""Connections: how each engine is opened for its one writer and for its readers.

SQLite up to 3.51.2 can damage a WAL file that two connections write or checkpoint
(https://sqlite.org/wal.html#walresetbug). So there is one writing connection, which alone
checkpoints; readers open the file read-only and cannot.
"""

import sqlite3
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import QueuePool

from heliograph.core.errors import ConfigError

READERS = 4
READERS_MORE = 4
READER_WAIT_S = 5
BUSY_S = 5
CONNECT_S = 5
STATEMENT_MS_MAX = 10_000
# The execution option of a statement that answers megabytes of bytes: PostgreSQL sends them as
# text else, which takes three times as long.
BINARY = {"heliograph_binary": True}
# A WAL that a long reader let grow is cut back to this.
WAL_BYTES_KEPT = 64 << 20
# Pages of it that the commit itself brings into the file, where `Writer.checkpoint` has not.
WAL_PAGES_MAX = 4000

_WRITER_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    f"PRAGMA journal_size_limit={WAL_BYTES_KEPT}",
    f"PRAGMA wal_autocheckpoint={WAL_PAGES_MAX}",
    "PRAGMA temp_store=MEMORY",
)


def parse_url(url: str) -> URL:
    """*url* of a PostgreSQL, its driver psycopg 3. ConfigError in words for any other."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigError("state.url: not a database URL") from error
    backend, _, driver = parsed.drivername.partition("+")
    if backend in {"mysql", "mariadb"}:
        raise ConfigError(
            f"state.url: {backend} is not supported, for it commits in the middle of a schema "
            "change; leave the URL out (SQLite) or use postgresql+psycopg://"
        )
    if backend not in {"postgresql", "postgres"} or driver not in {"", "psycopg"}:
        raise ConfigError(
            f"state.url: {parsed.drivername}:// is not supported; "
            "leave the URL out (SQLite) or use postgresql+psycopg://"
        )
    return parsed.set(drivername="postgresql+psycopg")


def sqlite_writer(path: Path) -> Engine:
    """The one writing connection to *path*; BEGIN takes the write lock at once."""
    return _sqlite(lambda: _connect(path, _WRITER_PRAGMAS), "BEGIN IMMEDIATE", size=1, more=0)


def sqlite_readers(path: Path) -> Engine:
    """Read-only connections to *path*."""
    return _sqlite(lambda: _connect(path), "BEGIN", size=READERS, more=READERS_MORE)


def postgresql(url: URL, *, size: int, more: int, options: dict[str, Any]) -> Engine:
    """A pool of *size* + *more* connections; *options* are execution options of each."""
    wanted = url.query.get("options", ())
    given = [wanted] if isinstance(wanted, str) else list(wanted)
    limits = f"-c statement_timeout={STATEMENT_MS_MAX} -c lock_timeout={STATEMENT_MS_MAX}"
    try:
        # It imports the driver, which a site without PostgreSQL need not have.
        patience = import_module("heliograph.store.state.patience")
        engine = create_engine(
            url.difference_update_query(["options"]),
            pool_size=size,
            max_overflow=more,
            pool_timeout=READER_WAIT_S,
            connect_args={
                "options": " ".join((limits, *given)),
                "connect_timeout": CONNECT_S,
                "application_name": "heliograph",
            },
        )
    except ImportError as error:
        raise ConfigError(
            "state.url: PostgreSQL needs its driver: pip install 'heliograph[postgres]'"
        ) from error
    event.listen(
        engine,
        "do_connect",
        lambda _dialect, _record, args, named: patience.Connection.connect(*args, **named),
    )
    event.listen(engine, "before_cursor_execute", _say_format)
    return engine.execution_options(**options)


def postgresql_writer(url: URL) -> Engine:
    """The writing connection."""
    return postgresql(url, size=1, more=0, options={})


def postgresql_readers(url: URL) -> Engine:
    """Read-only connections, each transaction on one snapshot, as SQLite's are."""
    snapshot = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    return postgresql(url, size=READERS, more=READERS_MORE, options=snapshot)


def read_only_uri(path: Path) -> str:
    """*path* as SQLite's URI that cannot write, nor checkpoint, nor create."""
    return f"file:{quote(str(path.absolute()))}?mode=ro"


def _say_format(  # SQLAlchemy's
    _: Connection, cursor: Any, statement: str, values: Any, context: Any, many: bool
) -> None:
    del statement, values, many
    if BINARY.items() <= context.execution_options.items():
        cursor.format = type(cursor.format)(1)


def _connect(path: Path, pragmas: tuple[str, ...] = ()) -> sqlite3.Connection:
    connection = sqlite3.connect(
        str(path) if pragmas else read_only_uri(path),
        uri=not pragmas,
        timeout=BUSY_S,
        # We say BEGIN ourselves: sqlite3 would leave schema changes outside the transaction.
        isolation_level=None,
        check_same_thread=False,
    )
    for pragma in pragmas:
        connection.execute(pragma)
    return connection


def _sqlite(
    connect: Callable[[], sqlite3.Connection], begin: str, *, size: int, more: int
) -> Engine:
    engine = create_engine(
        "sqlite://",
        creator=connect,
        poolclass=QueuePool,
        pool_size=size,
        max_overflow=more,
        pool_timeout=READER_WAIT_S,
    )

    def say_begin(connection: Connection) -> None:
        # Past SQLAlchemy, which takes longer over it than SQLite.
        connection.connection.cursor().execute(begin)

    event.listen(engine, "begin", say_begin)
    return engine
