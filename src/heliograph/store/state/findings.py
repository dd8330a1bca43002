"""What findings that come of many lines remember between two frames: tracebacks that are not
finished (`block`), loss scales (`scale`).

Kept with the applier's cursor in one transaction, so that frames that are applied again find what
was there before them. The bounds are those of who remembers: rows come and go one for one.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Column, Connection, Table, select

from heliograph.store.state.columns import Bytes, Int64, KeyText, metadata
from heliograph.store.state.upsert import insert

# Rows that one statement may put or delete.
BATCH_MAX = 500

OPEN_FINDINGS = Table(
    "open_findings",
    metadata,
    Column("kind", KeyText, primary_key=True),
    Column("name", KeyText, primary_key=True),
    Column("n", Int64, nullable=False),
    Column("state", Bytes, nullable=False),
)


class Row(NamedTuple):
    """One thing remembered; *n* orders those of a kind, oldest first."""

    kind: str
    name: str
    n: int
    state: bytes


def put(tx: Connection, rows: Sequence[Row]) -> None:
    """Remember *rows*, each in place of what its name had before."""
    for start in range(0, len(rows), BATCH_MAX):
        row = insert(tx, OPEN_FINDINGS)
        tx.execute(
            row.on_conflict_do_update(
                index_elements=["kind", "name"],
                set_={"n": row.excluded.n, "state": row.excluded.state},
            ),
            [one._asdict() for one in rows[start : start + BATCH_MAX]],
        )


def delete(tx: Connection, names: Sequence[tuple[str, str]]) -> None:
    """Forget what has these kinds and names."""
    c = OPEN_FINDINGS.c
    for kind, name in names:
        tx.execute(OPEN_FINDINGS.delete().where(c.kind == kind, c.name == name))


def load_all(tx: Connection) -> list[Row]:
    """All that is remembered, oldest first."""
    c = OPEN_FINDINGS.c
    wanted = select(c.kind, c.name, c.n, c.state).order_by(c.n, c.kind, c.name)
    return [Row(*row) for row in tx.execute(wanted)]
