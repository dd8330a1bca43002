"""Counters that say "this part of the state changed": read one number instead of a table.

A function that changes owners bumps `owners` in its own transaction. Whoever keeps a copy in
memory (another thread, another process on one PostgreSQL) reloads when the number differs.
"""

from sqlalchemy import Column, Connection, Table, select

from heliograph.store.state.columns import Int64, KeyText, metadata
from heliograph.store.state.upsert import insert

VERSIONS = Table(
    "versions",
    metadata,
    Column("name", KeyText, primary_key=True),
    Column("n", Int64, nullable=False),
)


def get(tx: Connection, name: str) -> int:
    """The present version of *name*; 0 before its first change."""
    return tx.execute(select(VERSIONS.c.n).where(VERSIONS.c.name == name)).scalar() or 0


def bump(tx: Connection, name: str) -> None:
    """One more."""
    put = insert(tx, VERSIONS).values(name=name, n=1)
    tx.execute(put.on_conflict_do_update(index_elements=["name"], set_={"n": VERSIONS.c.n + 1}))
