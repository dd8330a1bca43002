"""Training performance: `core.training.TrainingRow`, kept in chunks of those that came together.

    pod_uid, end_ns, end_iteration, source, rank_group   where the chunk's last row stands
    start_ns, value_ns                                    its first row, its last that is no marker
    heads, fields                                         its rows, `training_chunks`

Rows come in the order of their time, mostly, and are read by pod and time: one that comes with
fifty others of its stream costs a fiftieth of a row of its own. Chunks of one stream may overlap, but
no row is in two. How they are written is in `training_adding`.
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, groupby
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Index,
    RowMapping,
    Select,
    Table,
    and_,
    case,
    func,
    literal,
    select,
)
from sqlalchemy import text as text_sql
from sqlalchemy import values as sql_values

from heliograph.core.training import TrainingRow, said
from heliograph.store.state import batches, training_chunks
from heliograph.store.state.columns import INT64_MAX, INT64_MIN, Bytes, Int64, KeyText, metadata
from heliograph.store.state.training_chunks import NO_ITERATION, SPAN_NS_MAX, Chunk

# Rows that one transaction may prune (20 ms on the writer).
ROWS_MAX = 200
# Rows that one read may return.
READ_ROWS_MAX = 100_000
# Edges that one read may return: a row every 5 s for 57 days.
EDGES_MAX = 1_000_000
PODS_PER_STATEMENT = 1000
WIDE = "ix_training_chunks_wide"
# Chunks that `prune` looks at together.
_PRUNED_TOGETHER = 16

TRAINING = Table(
    "training_chunks",
    metadata,
    Column("pod_uid", KeyText, primary_key=True),
    Column("end_ns", Int64, primary_key=True, autoincrement=False),
    Column("end_iteration", Int64, primary_key=True, autoincrement=False),
    Column("source", KeyText, primary_key=True),
    Column("rank_group", KeyText, primary_key=True),
    Column("start_ns", Int64, nullable=False),
    Column("value_ns", Int64),
    Column("heads", Bytes, nullable=False),
    Column("fields", Bytes, nullable=False),
    Index(None, "end_ns"),
    # Chunks of more than one instant: where rows come in no order there are few among many.
    Index(WIDE, "pod_uid", "end_ns", sqlite_where=text_sql("start_ns < end_ns")),
    # Chunks are read by key order: kept in it, without a second tree.
    sqlite_with_rowid=False,
)
_C = TRAINING.c
_KEY = tuple(TRAINING.primary_key.columns)
_STREAM = (_C.pod_uid, _C.source, _C.rank_group)


# What a row is sorted by, of one place too.
_Among = tuple[tuple[int, str, str, str, int], float, str]


class Edge(NamedTuple):
    """A training row of whose fields only the progress is there: enough to say where runs begin and
    end. Of several of one place each has its number, `nth`."""

    pod_uid: str
    source: str
    rank_group: str
    at_ns: int
    iteration: int | None
    marker: str | None
    framework: str
    fields: Mapping[str, Any]


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

    *after* is the last row of the page before.
    """
    limit = min(limit, READ_ROWS_MAX)
    past = None if after is None else _among(after)
    if after is not None:
        start_ns = max(start_ns, after.at_ns)
    wanted = (
        select(*_STREAM, _C.end_ns, _C.heads, _C.fields)
        .where(
            _C.end_ns >= max(start_ns, INT64_MIN),
            _C.end_ns <= min(end_ns + SPAN_NS_MAX, INT64_MAX),
            _C.start_ns < min(end_ns, INT64_MAX),
        )
        .order_by(_C.end_ns)
    )
    found: list[TrainingRow] = []
    for pod_uid, source, rank_group, chunk_end_ns, heads, fields in _of_pods(
        tx, wanted, pod_uids
    ):
        if len(found) >= 2 * limit:
            found = _sorted(found)[:limit]
            if found[-1].at_ns < chunk_end_ns - SPAN_NS_MAX:
                break
        for full in training_chunks.rows_of(heads, fields):
            row = TrainingRow(pod_uid, source, rank_group, *full)
            if start_ns <= row.at_ns < end_ns and (past is None or _is_past(row, past)):
                found.append(row)
    return _sorted(found)[:limit]


def edges(tx: Connection, pod_uids: Sequence[str], *, limit: int = EDGES_MAX) -> list[Edge]:
    """The first *limit* rows of *pod_uids* with their progress alone, by `order`."""
    found: list[Edge] = []
    # Where no row names an epoch, fields tell nothing that heads do not.
    epoch = literal(b"epoch", Bytes)
    if tx.dialect.name == "postgresql":
        found_at = func.position(epoch.op("IN")(_C.fields))
    else:
        found_at = func.instr(_C.fields, epoch)
    fields_of = case((found_at > 0, _C.fields), else_=None)
    wanted = select(*_STREAM, _C.end_ns, _C.heads, fields_of).order_by(_C.end_ns)
    for pod_uid, source, rank_group, chunk_end_ns, heads, fields in _of_pods(
        tx, wanted, pod_uids
    ):
        if len(found) >= 2 * limit:
            found = sorted(found, key=order)[:limit]
            if found[-1].at_ns < chunk_end_ns - SPAN_NS_MAX:
                break
        found += (
            Edge(pod_uid, source, rank_group, *head, progress)
            for head, progress in training_chunks.progress_of(heads, fields)
        )
    return _numbered(sorted(found, key=order)[:limit])


def _numbered(edges: list[Edge]) -> list[Edge]:
    """*edges*, in order, those of one place each with its number there."""
    nth = 0
    for n in range(1, len(edges)):
        nth = nth + 1 if order(edges[n]) == order(edges[n - 1]) else 0
        if nth:
            edges[n] = edges[n]._replace(fields={**edges[n].fields, "nth": nth})
    return edges


def latest(tx: Connection, pod_uids: Sequence[str]) -> list[TrainingRow]:
    """For each of *pod_uids* that has any: its rows (not markers) at its latest instant, by `order`."""
    newest: dict[str, list[TrainingRow]] = {}
    for uids in batches.cut(list(dict.fromkeys(pod_uids)), PODS_PER_STATEMENT):
        pods = sql_values(Column("uid", KeyText), name="pods").data([(u,) for u in uids]).cte()
        # Of the chunk that ends last; one that ends no earlier than this may have later ones.
        near = (
            select(_C.value_ns)
            .where(_C.pod_uid == pods.c.uid, _C.value_ns.is_not(None))
            .order_by(_C.pod_uid, _C.end_ns.desc())
            .limit(1)
            .correlate(pods)
            .scalar_subquery()
        )
        same = (_C.pod_uid == pods.c.uid) & (_C.end_ns >= near) & (_C.value_ns >= near)
        wanted = select(*_STREAM, _C.heads, _C.fields).join_from(pods, TRAINING, same)
        for pod_uid, source, rank_group, heads, fields in tx.execute(wanted):
            of_pod = newest.setdefault(pod_uid, [])
            of_pod += (
                TrainingRow(pod_uid, source, rank_group, *full)
                for full in training_chunks.rows_of(heads, fields)
                if full.marker is None
            )
    last = {pod_uid: max(row.at_ns for row in of_pod) for pod_uid, of_pod in newest.items()}
    return _sorted(
        row for of_pod in newest.values() for row in of_pod if row.at_ns == last[row.pod_uid]
    )


def prune(tx: Connection, before_ns: int, limit: int = ROWS_MAX) -> int:
    """Delete at most *limit* rows older than *before_ns*, the oldest chunks first; return how many."""
    assert limit <= ROWS_MAX
    oldest = (
        select(*_KEY, _C.heads, _C.fields)
        .where(_C.end_ns < min(before_ns + SPAN_NS_MAX, INT64_MAX), _C.start_ns < before_ns)
        .order_by(_C.end_ns)
        .limit(_PRUNED_TOGETHER)
    )
    gone = 0
    while gone < limit and (found := tx.execute(oldest).mappings().all()):
        for chunk in found:
            gone += _prune_chunk(tx, chunk, before_ns, limit - gone)
    return gone


def _prune_chunk(tx: Connection, chunk: RowMapping, before_ns: int, limit: int) -> int:
    """Delete at most *limit* rows of *chunk* that are older than *before_ns*; how many."""
    held = training_chunks.rows_of(chunk["heads"], chunk["fields"])
    old = min(limit, sum(one.at_ns < before_ns for one in held))
    stays = held[old:]
    if not stays:
        tx.execute(TRAINING.delete().where(_is(chunk)))
    elif old:
        left = training_chunks.chunk(training_chunks.places(stays), stays)
        tx.execute(TRAINING.update().where(_is(chunk)).values(_contents(left)))
    return old


def _is(key: Mapping[str, Any] | RowMapping) -> ColumnElement[bool]:
    """That a chunk is the one of *key*, as read."""
    return and_(*(c == key[c.name] for c in _KEY))


def _contents(chunk: Chunk) -> dict[str, Any]:
    return {name: getattr(chunk, name) for name in ("start_ns", "value_ns", "heads", "fields")}


def order(row: TrainingRow | Edge) -> tuple[int, str, str, str, int]:
    """What rows are sorted by: event time, then pod, source, rank and iteration; then, of one place, by
    epoch and what they say."""
    iteration = NO_ITERATION if row.iteration is None else row.iteration
    return row.at_ns, row.pod_uid, row.source, row.rank_group, iteration


def _sorted(rows: Iterable[TrainingRow]) -> list[TrainingRow]:
    """*rows* by `order`."""
    found: list[TrainingRow] = []
    # Few share their place: what the others say needs not be looked at.
    for _, some in groupby(sorted(rows, key=order), key=order):
        one, *more = some
        found += sorted([one, *more], key=_among) if more else [one]
    return found


def _among(row: TrainingRow) -> _Among:
    epoch = row.fields.get("epoch")
    if not isinstance(epoch, int | float) or not epoch >= 0:
        epoch = -1.0
    return order(row), epoch, said(row)


def _is_past(row: TrainingRow, past: _Among) -> bool:
    place = order(row)
    return place > past[0] or (place == past[0] and _among(row) > past)


def _of_pods(tx: Connection, wanted: Select[Any], pod_uids: Sequence[str]) -> Iterator[Any]:
    """The chunks of *pod_uids* by their end, the fourth of their values."""
    pieces = batches.cut(list(dict.fromkeys(pod_uids)), PODS_PER_STATEMENT)
    answers = [tx.execute(wanted.where(_C.pod_uid.in_(uids))) for uids in pieces]
    return heapq.merge(*answers, key=itemgetter(3)) if len(answers) > 1 else chain(*answers)
