"""Time spans whose roll-ups must be computed again: late samples, owners that changed.

Take, recompute, delete. A span marked again meanwhile has another `mark` and survives the delete.
Above `DIRTY_MAX` spans all of them become one that covers them: more work, nothing forgotten.
"""

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import Column, Connection, Table, func, select

from heliograph.store.state.columns import Int64, metadata
from heliograph.store.state.upsert import insert

DIRTY_MAX = 1000

ROLLUP_DIRTY = Table(
    "rollup_dirty",
    metadata,
    Column("start_ns", Int64, primary_key=True, autoincrement=False),
    Column("end_ns", Int64, primary_key=True, autoincrement=False),
    Column("mark", Int64, nullable=False),
)


class DirtySpan(NamedTuple):
    """`[start_ns, end_ns)`, as it was when marked for the *mark*-th time."""

    start_ns: int
    end_ns: int
    mark: int


def add_dirty(tx: Connection, start_ns: int, end_ns: int) -> None:
    """Mark `[start_ns, end_ns)`; marking it again is one span, marked later."""
    count = tx.execute(select(func.count()).select_from(ROLLUP_DIRTY)).scalar_one()
    if count >= DIRTY_MAX:
        start_ns, end_ns = _merge_all(tx, start_ns, end_ns)
    put = insert(tx, ROLLUP_DIRTY).values(start_ns=start_ns, end_ns=end_ns, mark=1)
    tx.execute(
        put.on_conflict_do_update(
            index_elements=["start_ns", "end_ns"], set_={"mark": ROLLUP_DIRTY.c.mark + 1}
        )
    )


def take_dirty(tx: Connection, limit: int) -> list[DirtySpan]:
    """The *limit* earliest spans, by start."""
    c = ROLLUP_DIRTY.c
    wanted = select(c.start_ns, c.end_ns, c.mark).order_by(c.start_ns, c.end_ns).limit(limit)
    return [DirtySpan(*row) for row in tx.execute(wanted)]


def delete_dirty(tx: Connection, spans: Iterable[DirtySpan]) -> None:
    """Forget *spans* once recomputed, except those that were marked again since."""
    c = ROLLUP_DIRTY.c
    for span in spans:
        tx.execute(
            ROLLUP_DIRTY.delete().where(
                c.start_ns == span.start_ns, c.end_ns == span.end_ns, c.mark == span.mark
            )
        )


def _merge_all(tx: Connection, start_ns: int, end_ns: int) -> tuple[int, int]:
    c = ROLLUP_DIRTY.c
    first, last = tx.execute(select(func.min(c.start_ns), func.max(c.end_ns))).one()
    tx.execute(ROLLUP_DIRTY.delete())
    return min(start_ns, first), max(end_ns, last)
