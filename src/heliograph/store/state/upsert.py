"""INSERT … ON CONFLICT, which both engines spell alike and SQLAlchemy puts in two dialects."""

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def insert(tx: Connection, table: Table) -> sqlite.Insert:
    """An insert into *table* that has `on_conflict_do_nothing` and `on_conflict_do_update`.

    Typed as SQLite's; PostgreSQL's takes the same arguments for all that is used here.
    """
    if tx.dialect.name == "postgresql":
        return postgresql.insert(table)  # type: ignore[return-value]
    return sqlite.insert(table)
