"""Training performance, a row a line or step, as `core.training.TrainingRow`.

    pod_uid, at_ns, source, rank_group, iteration     the identity, and the order
    marker, framework                                 short text
    fields                                            `document` bytes: NaN and infinities survive

A marker has no iteration; in the key it is `NO_ITERATION`, because NULLs are never equal and a
marker stored twice would be two. A row that is there already is left as it is.
"""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    Column,
    Connection,
    Index,
    Select,
    Table,
    Text,
    and_,
    cast,
    func,
    select,
    tuple_,
    type_coerce,
    update,
)
from sqlalchemy import values as sql_values

from heliograph.core.errors import Refused
from heliograph.core.training import TrainingRow, merged
from heliograph.store.state import batches, document, text
from heliograph.store.state.columns import INT64_MAX, INT64_MIN, Bytes, Int64, KeyText, metadata
from heliograph.store.state.upsert import insert_new

# Rows that one transaction may add or prune (20 ms on the writer).
ROWS_MAX = 150
# Rows that one read may return.
READ_ROWS_MAX = 100_000
# Edges that one read may return: a row every 5 s for 57 days.
EDGES_MAX = 1_000_000
PODS_PER_STATEMENT = 1000
NO_ITERATION = INT64_MIN

TRAINING = Table(
    "training_performance",
    metadata,
    Column("pod_uid", KeyText, primary_key=True),
    Column("at_ns", Int64, primary_key=True, autoincrement=False),
    Column("source", KeyText, primary_key=True),
    Column("rank_group", KeyText, primary_key=True),
    Column("iteration", Int64, primary_key=True, autoincrement=False),
    Column("marker", KeyText),
    Column("framework", KeyText, nullable=False),
    Column("fields", Bytes, nullable=False),
    Index(None, "at_ns"),
    # Rows are read by key order: kept in it, without a second tree.
    sqlite_with_rowid=False,
)
_C = TRAINING.c
_LIGHT = (_C.pod_uid, _C.source, _C.rank_group, _C.at_ns, _C.iteration, _C.marker, _C.framework)
_KEY = (_C.pod_uid, _C.at_ns, _C.source, _C.rank_group, _C.iteration)
_ORDER = (_C.at_ns, _C.pod_uid, _C.source, _C.rank_group, _C.iteration)


class _Originals(dict[str, str]):
    """Stored text → the text it was."""

    def __missing__(self, stored: str) -> str:
        return self.setdefault(stored, text.original(stored))


class Edge(NamedTuple):
    """A training row without its fields: enough to say where runs begin and end."""

    pod_uid: str
    source: str
    rank_group: str
    at_ns: int
    iteration: int | None
    marker: str | None
    framework: str


def add_rows(tx: Connection, rows: Sequence[TrainingRow]) -> int:
    """Keep *rows* (at most `ROWS_MAX`); return how many were not there yet. Rows of one identity
    become one, `core.training.merged`, with each other and with what is there.

    Refused, and nothing kept, where a time or an iteration is outside 64 bits or a field can not
    be stored.
    """
    assert len(rows) <= ROWS_MAX
    if not rows:
        return 0
    unique: dict[tuple[Any, ...], TrainingRow] = {}
    for row in rows:
        key = _key(row)
        unique[key] = merged(unique[key], row) if key in unique else row
    new = insert_new(tx, TRAINING, [_stored(row) for row in unique.values()])
    if new < len(unique):
        _merge_in(tx, unique)
    return new


def _merge_in(tx: Connection, rows: Mapping[tuple[Any, ...], TrainingRow]) -> None:
    """Merge *rows*, all of which are there in some version, with what is there."""
    key = tuple_(*_KEY)
    wanted = [tuple(stored[c.name] for c in _KEY) for stored in map(_stored, rows.values())]
    there = tx.execute(select(*_LIGHT, _C.fields).where(key.in_(wanted))).all()
    for old in map(_row, there):
        found = rows.get(_key(old))
        if found is None:  # A text too long for an index is not what it was when it is read.
            continue
        new = merged(old, found)
        if document.encode(new.fields) == document.encode(old.fields) and new == old:
            continue
        values = _stored(new)
        same = and_(*(c == values[c.name] for c in _KEY))
        rest = {name: values[name] for name in ("marker", "framework", "fields")}
        tx.execute(update(TRAINING).where(same).values(rest))


def _key(row: TrainingRow) -> tuple[Any, ...]:
    return row.pod_uid, row.at_ns, row.source, row.rank_group, row.iteration


def rows(
    tx: Connection,
    pod_uids: Sequence[str],
    *,
    start_ns: int,
    end_ns: int,
    limit: int,
    after: TrainingRow | None = None,
) -> list[TrainingRow]:
    """The first *limit* (≤ `READ_ROWS_MAX`) rows of *pod_uids* in `[start_ns, end_ns)`, by `order`.

    *after* is the last row of the page before; its fields do not matter.
    """
    limit = min(limit, READ_ROWS_MAX)
    where = [_C.at_ns >= start_ns, _C.at_ns < end_ns]
    if after is not None:
        where += [_C.at_ns >= after.at_ns, tuple_(*_ORDER) > tuple_(*_bound(order(after)))]
    wanted = select(*_LIGHT, _C.fields).where(*where).order_by(*_ORDER).limit(limit)
    return [_row(row) for row in _of_pods(tx, wanted, pod_uids, limit)]


def edges(tx: Connection, pod_uids: Sequence[str], *, limit: int = EDGES_MAX) -> list[Edge]:
    """The first *limit* rows of *pod_uids* without their fields, by `order`."""
    # A run has many rows and few names: each name is decoded once, not once a row.
    plain = [type_coerce(c, Text) if isinstance(c.type, KeyText) else c for c in _LIGHT]
    wanted = select(*plain).order_by(*_ORDER).limit(limit)
    name = _Originals()
    return [
        Edge(
            *(name[pod_uid], name[source], name[rank_group], at_ns),
            None if iteration == NO_ITERATION else iteration,
            None if marker is None else name[marker],
            name[framework],
        )
        for pod_uid, source, rank_group, at_ns, iteration, marker, framework in _of_pods(
            tx, wanted, pod_uids, limit
        )
    ]


def latest(tx: Connection, pod_uids: Sequence[str]) -> list[TrainingRow]:
    """For each of *pod_uids* that has any: its rows (not markers) at its latest instant, by `order`."""
    found: list[TrainingRow] = []
    for uids in batches.cut(list(dict.fromkeys(pod_uids)), PODS_PER_STATEMENT):
        pods = sql_values(Column("uid", KeyText), name="pods").data([(u,) for u in uids]).cte()
        newest = (
            select(func.max(_C.at_ns))
            .where(_C.pod_uid == pods.c.uid, _C.marker.is_(None))
            .correlate(pods)
            .scalar_subquery()
        )
        same = (_C.pod_uid == pods.c.uid) & (_C.at_ns == newest) & _C.marker.is_(None)
        wanted = select(*_LIGHT, _C.fields).join_from(pods, TRAINING, same)
        found += (_row(row) for row in tx.execute(wanted))
    return sorted(found, key=order)


def prune(tx: Connection, before_ns: int, limit: int = ROWS_MAX) -> int:
    """Delete at most *limit* rows older than *before_ns*, oldest first; return how many."""
    assert limit <= ROWS_MAX
    key = (_C.pod_uid, _C.at_ns, _C.source, _C.rank_group, _C.iteration)
    oldest = select(*key).where(_C.at_ns < before_ns).order_by(_C.at_ns).limit(limit)
    return tx.execute(TRAINING.delete().where(tuple_(*key).in_(oldest))).rowcount


def order(row: TrainingRow | Edge) -> tuple[int, str, str, str, int]:
    """What rows are sorted by: event time, then pod, source, rank and iteration."""
    iteration = NO_ITERATION if row.iteration is None else row.iteration
    return row.at_ns, row.pod_uid, row.source, row.rank_group, iteration


def _of_pods(
    tx: Connection, wanted: Select[Any], pod_uids: Sequence[str], limit: int
) -> Iterator[Any]:
    pieces = batches.cut(pod_uids, PODS_PER_STATEMENT)
    answers = [tx.execute(wanted.where(_C.pod_uid.in_(uids))) for uids in pieces]
    if len(answers) == 1:
        yield from answers[0]
        return
    merged = heapq.merge(*answers, key=lambda row: (row[3], row[0], row[1], row[2], row[4]))
    for _, row in zip(range(limit), merged, strict=False):
        yield row


def _bound(values: Sequence[Any]) -> Iterator[Any]:
    return (cast(value, c.type) for value, c in zip(values, _ORDER, strict=True))


def _stored(row: TrainingRow) -> dict[str, Any]:
    for name, number in (("at_ns", row.at_ns), ("iteration", row.iteration)):
        if number is not None and not INT64_MIN < number <= INT64_MAX:
            raise Refused(f"{number} is outside 64 bits", field=name, code="out_of_range")
    return {
        **row._asdict(),
        "iteration": NO_ITERATION if row.iteration is None else row.iteration,
        "fields": document.encode(row.fields),
    }


def _row(row: Any) -> TrainingRow:
    pod_uid, source, rank_group, at_ns, iteration, marker, framework, fields = row
    known = None if iteration == NO_ITERATION else iteration
    return TrainingRow(
        pod_uid=pod_uid,
        source=source,
        rank_group=rank_group,
        at_ns=at_ns,
        iteration=known,
        marker=marker,
        framework=framework,
        fields=document.decode(fields),
    )
