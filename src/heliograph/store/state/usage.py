"""What training tools were used for, counted: one value an identity, joined as its strategy says.

    id          32 hexadecimal digits of (builder, name, labels)
    key         the flat key, which several identities may share
    strategy    `sum`: what comes is added; `max`: the greater stays; `last`: the new one stays
    value       a 64-bit float: counts stay exact up to 2⁵³

The join is one statement of the engine's, so that no two posts can lose each other's count.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple

from sqlalchemy import Column, Connection, Double, Index, Row, Table, delete, func, select

from heliograph.store.state import batches, document
from heliograph.store.state.columns import AnyText, Bytes, Int64, KeyText, metadata
from heliograph.store.state.text import key as key_text
from heliograph.store.state.text import storable

# Counts that one transaction joins (20 ms on the writer).
COUNTS_MAX = 1500
PRUNE_ROWS_MAX = 500
_ROWS_A_STATEMENT = 100

USAGE = Table(
    "usage_counts",
    metadata,
    Column("id", KeyText, primary_key=True),
    Column("builder", KeyText, nullable=False),
    Column("name", KeyText, nullable=False),
    Column("labels", Bytes, nullable=False),
    Column("key", AnyText, nullable=False),
    Column("strategy", KeyText, nullable=False),
    Column("value", Double, nullable=False),
    Column("updated_ns", Int64, nullable=False),
    Index(None, "builder", "name", "id"),
    Index(None, "updated_ns"),
)
_C = USAGE.c
_COLUMNS = ("id", "builder", "name", "labels", "key", "strategy", "value", "updated_ns")
_JOIN = (
    "(id) DO UPDATE SET updated_ns = excluded.updated_ns, value = CASE excluded.strategy"
    " WHEN 'last' THEN excluded.value"
    " WHEN 'max' THEN CASE WHEN excluded.value > usage_counts.value"
    " THEN excluded.value ELSE usage_counts.value END"
    " ELSE usage_counts.value + excluded.value END RETURNING id, value"
)


class UsageCount(NamedTuple):
    """One value, with the instant at which it last changed."""

    id: str
    builder: str
    name: str
    labels: tuple[tuple[str, str], ...]
    key: str
    strategy: str
    value: float
    updated_ns: int


def join(tx: Connection, counts: Sequence[UsageCount]) -> dict[str, float]:
    """Join *counts* (at most COUNTS_MAX, each id once) with what is there; id → value now."""
    assert len(counts) <= COUNTS_MAX
    values: dict[str, float] = {}
    # In the order of ids: two writers that lock the same rows in two orders would wait for ever.
    for some in batches.cut(sorted(counts), _ROWS_A_STATEMENT):
        text = _join_text(len(some), tx.dialect.name)
        rows = tx.exec_driver_sql(text, tuple(chain.from_iterable(map(_stored, some))))
        values.update((row[0], float(row[1])) for row in rows)
    return values


@lru_cache(maxsize=2 * _ROWS_A_STATEMENT)
def _join_text(rows: int, dialect: str) -> str:
    mark = "%s" if dialect == "postgresql" else "?"
    one = f"({', '.join([mark] * len(_COLUMNS))})"
    return (
        f"INSERT INTO usage_counts ({', '.join(_COLUMNS)}) "  # noqa: S608 - names of ours alone
        f"VALUES {', '.join([one] * rows)} ON CONFLICT {_JOIN}"
    )


def _stored(count: UsageCount) -> tuple[Any, ...]:
    return (
        count.id,
        key_text(count.builder),
        key_text(count.name),
        document.encode(count.labels),
        storable(count.key),
        count.strategy,
        float(count.value),
        count.updated_ns,
    )


def known(tx: Connection, ids: Sequence[str]) -> set[str]:
    """Those of *ids* (at most COUNTS_MAX) that are there."""
    assert len(ids) <= COUNTS_MAX
    found: set[str] = set()
    for some in batches.cut(ids, 500):
        found.update(tx.execute(select(_C.id).where(_C.id.in_(some))).scalars())
    return found


def count(tx: Connection) -> int:
    """How many there are."""
    return tx.execute(select(func.count()).select_from(USAGE)).scalar_one()


def page(
    tx: Connection,
    *,
    builder: str | None = None,
    name: str | None = None,
    offset: int,
    limit: int,
) -> tuple[list[UsageCount], int]:
    """A page by builder, name and id, and how many match in all."""
    where = []
    if builder is not None:
        where.append(_C.builder == builder)
    if name is not None:
        where.append(_C.name == name)
    total = tx.execute(select(func.count()).select_from(USAGE).where(*where)).scalar_one()
    rows = tx.execute(
        select(USAGE)
        .where(*where)
        .order_by(_C.builder, _C.name, _C.id)
        .offset(offset)
        .limit(limit)
    )
    return [_count(row) for row in rows], total


def of_ids(tx: Connection, ids: Sequence[str]) -> list[UsageCount]:
    """The counts of *ids* (at most COUNTS_MAX) that are there."""
    assert len(ids) <= COUNTS_MAX
    found = []
    for some in batches.cut(ids, 500):
        found += [_count(row) for row in tx.execute(select(USAGE).where(_C.id.in_(some)))]
    return found


def updated_ns(tx: Connection) -> int | None:
    """When anything last changed; None before the first."""
    return tx.execute(select(func.max(_C.updated_ns))).scalar()


def prune(tx: Connection, builder: str, before_ns: int) -> int:
    """Delete counts of *builder* that last changed before *before_ns*, at most PRUNE_ROWS_MAX."""
    old = (
        tx.execute(
            select(_C.id)
            .where(_C.builder == builder, _C.updated_ns < before_ns)
            .limit(PRUNE_ROWS_MAX)
        )
        .scalars()
        .all()
    )
    if old:
        tx.execute(delete(USAGE).where(_C.id.in_(old)))
    return len(old)


def _count(row: Row[Any]) -> UsageCount:
    labels = tuple((str(name), str(value)) for name, value in document.decode(row.labels))
    return UsageCount(
        row.id, row.builder, row.name, labels, row.key, row.strategy, row.value, row.updated_ns
    )
