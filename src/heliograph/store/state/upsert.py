"""INSERT … ON CONFLICT, which both engines spell alike and SQLAlchemy puts in two dialects."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Table, exc
from sqlalchemy.dialects import sqlite

from heliograph.core.errors import Refused
from heliograph.store.state import batches

# Values of one statement: older SQLites take 999.
VALUES_MAX = 900


def put_stored(
    tx: Connection,
    table: Table,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    then: str,
) -> None:
    """Insert *rows* of values as the engine keeps them, in the order of *columns*; *then* is what
    follows `ON CONFLICT`, in our own words.

    No conversion, and one text a full piece, which the driver keeps prepared. Refused for a number
    over 64 bits.
    """
    put_values(tx, table, columns, [*chain.from_iterable(rows)], then)


def put_values(
    tx: Connection,
    table: Table,
    columns: Sequence[str],
    values: list[Any],
    then: str,
    shared: tuple[Any, ...] = (),
) -> None:
    """As `put_stored` the rows of which *values* are, one after the other; all have *shared* in the
    last of *columns*. The path of every new alert: SQLite is handed those once."""
    width, dialect = len(columns) - len(shared), tx.dialect.name
    for some in batches.cut(values, (VALUES_MAX - len(shared)) // width * width):
        rows = len(some) // width
        text = _put_text(table.name, tuple(columns), rows, then, dialect, len(shared))
        if dialect == "postgresql" and shared:
            pieces = (some[n : n + width] for n in range(0, len(some), width))
            given = tuple([value for piece in pieces for value in (*piece, *shared)])
        else:
            given = (*shared, *some)
        try:
            run(tx, text, given)
        except OverflowError as error:
            raise Refused("a number is outside 64 bits", code="out_of_range") from error


def insert_one(
    tx: Connection, table: Table, columns: Sequence[str], values: tuple[Any, ...]
) -> int:
    """Insert a row of *values* as the engine keeps them, in the order of *columns*; the number that
    it got, `n`."""
    dialect = tx.dialect.name
    if dialect == "postgresql":
        text = _put_text(table.name, tuple(columns), 1, "DO NOTHING RETURNING n", dialect)
        number: int = _executed(tx, text, values).fetchone()[0]
    else:
        text = _put_text(table.name, tuple(columns), 1, "DO NOTHING", dialect)
        number = _executed(tx, text, values).lastrowid
    return number


def run(tx: Connection, text: str, values: tuple[Any, ...]) -> int:
    """Execute *text*, in the driver's own words, with *values*; how many rows it changed.

    Past SQLAlchemy, which takes ten times as long over a statement as SQLite over a small one; but
    not past those who listen to it.
    """
    changed: int = _executed(tx, text, values).rowcount
    return changed


def _executed(tx: Connection, text: str, values: tuple[Any, ...]) -> Any:
    """What has the answer: the driver's cursor, or SQLAlchemy's result, which answers alike."""
    if tx.dispatch.before_cursor_execute:
        return tx.exec_driver_sql(text, values)
    dbapi = tx.dialect.loaded_dbapi
    try:
        cursor = tx.connection.cursor()
        cursor.execute(text, values)
    except dbapi.Error as error:
        raise exc.DBAPIError.instance(text, values, error, dbapi.Error) from error
    return cursor


@lru_cache(maxsize=256)
def _put_text(
    name: str, columns: tuple[str, ...], rows: int, then: str, dialect: str, shared: int = 0
) -> str:
    width = len(columns) - shared
    if dialect == "postgresql":
        lines = [", ".join(["%s"] * len(columns))] * rows
    else:
        # What is shared goes first among the values, and last in each row.
        last = range(1, shared + 1)
        firsts = range(shared + 1, shared + rows * width + 1, width)
        lines = [
            ", ".join([f"?{n}" for n in (*range(first, first + width), *last)])
            for first in firsts
        ]
    return (
        f"INSERT INTO {name} ({', '.join(columns)}) "  # noqa: S608
        f"VALUES ({'), ('.join(lines)}) ON CONFLICT {then}"
    )


def insert(tx: Connection, table: Table) -> sqlite.Insert:
    """An insert into *table* that has `on_conflict_do_nothing` and `on_conflict_do_update`.

    Typed as SQLite's; PostgreSQL's takes the same arguments for all that is used here.
    """
    if tx.dialect.name == "postgresql":
        # Who has SQLite does without: it is 2 MB.
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)  # type: ignore[return-value]
    return sqlite.insert(table)
