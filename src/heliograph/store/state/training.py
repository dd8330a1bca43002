"""Training performance: `core.training.TrainingRow`, kept in chunks of those that came together.

    pod_uid, end_ns, end_iteration, source, rank_group   where the chunk's last row stands
    start_ns, value_ns                                    its first row, its last that is no marker
    heads, fields                                         its rows, `training_chunks`

Rows come in the order of their time, mostly, and are read by pod and time: one that comes with
fifty others of its stream costs a fiftieth of a row of its own. Chunks of one stream may overlap, but
no row is in two: an identity that is there already is looked up where chunks cover its time, and
merged in its place. Rows that come in no order (an import, shuffled) are chunks of one, for a chunk
of them would cover the time of all others.
"""

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain, pairwise
from operator import attrgetter, itemgetter
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
    select,
)
from sqlalchemy import text as text_sql
from sqlalchemy import values as sql_values

from heliograph.core.training import TrainingRow, merged
from heliograph.store.state import batches, text, training_chunks, upsert
from heliograph.store.state.columns import INT64_MAX, INT64_MIN, Bytes, Int64, KeyText, metadata
from heliograph.store.state.training_chunks import (
    NO_ITERATION,
    SPAN_NS_MAX,
    Chunk,
    Full,
    Head,
    Place,
)

# Rows that one transaction may add or prune (20 ms on the writer).
ROWS_MAX = 200
# Rows that one read may return.
READ_ROWS_MAX = 100_000
# Edges that one read may return: a row every 5 s for 57 days.
EDGES_MAX = 1_000_000
PODS_PER_STATEMENT = 1000
# Names of pods, sources and ranks whose stored form is remembered.
KEYS_CACHED_MAX = 8192
# Rows of a stream that came together, from which their order is believed; and as many for each that
# fell behind.
IN_ORDER_MIN = 4
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
    Index(
        WIDE,
        "pod_uid",
        "end_ns",
        sqlite_where=text_sql("start_ns < end_ns"),
        postgresql_where=text_sql("start_ns < end_ns"),
    ),
    # Chunks are read by key order: kept in it, without a second tree.
    sqlite_with_rowid=False,
)
_C = TRAINING.c
_KEY = tuple(TRAINING.primary_key.columns)
_COLUMNS = (
    *("end_ns", "end_iteration", "start_ns", "value_ns", "heads", "fields"),
    *("pod_uid", "source", "rank_group"),
)
_STREAM = (_C.pod_uid, _C.source, _C.rank_group)
_NAMES = ("pod_uid", "source", "rank_group", "end_ns", "end_iteration")

Stream = tuple[str, str, str]
# What a row is chunked with: rows in this order make the fewest chunks.
stream_of: Callable[[TrainingRow], Stream] = attrgetter("pod_uid", "source", "rank_group")


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
    streams, ordered = _by_stream(rows)
    for *name, end_ns, end_iteration, start_ns, heads, fields in _covering(
        tx, streams, ordered
    ):
        wanted = streams[name[0], name[1], name[2]]
        if not any(start_ns <= at_ns <= end_ns for at_ns, _ in wanted):
            continue
        held = training_chunks.heads_of(heads)
        known = [place for place in map(_placed, held) if place in wanted]
        if known:
            # A row is in one chunk only: who is left over here is new.
            again = {place: wanted.pop(place) for place in known}
            _merge_in(tx, (*name, end_ns, end_iteration), again, (heads, fields))
    made = [
        (*chunk, *name)
        for name, of_stream in streams.items()
        for chunk in training_chunks.chunks(of_stream, together=name in ordered)
    ]
    upsert.put_stored(tx, TRAINING, _COLUMNS, made, "DO NOTHING")
    return sum(map(len, streams.values()))


def _by_stream(
    rows: Sequence[TrainingRow],
) -> tuple[dict[Stream, dict[Place, TrainingRow]], set[Stream]]:
    """*rows* by stream and place; and the streams whose rows came in the order of their time."""
    streams: dict[Stream, dict[Place, TrainingRow]] = {}
    for row in rows:
        name = (_key(row.pod_uid), _key(row.source), _key(row.rank_group))
        of_stream = streams.get(name)
        if of_stream is None:
            of_stream = streams[name] = {}
        place = training_chunks.place(row)
        there = of_stream.get(place)
        of_stream[place] = row if there is None else merged(there, row)
    return streams, {name for name, places in streams.items() if _in_order(list(places))}


def _in_order(places: Sequence[Place]) -> bool:
    """Whether *places* came in their order, but for frames that overtook each other; a few alone do
    not tell. What was shuffled must not become chunks: each would cover the time of all others."""
    falls = sum(later < earlier for earlier, later in pairwise(places))
    return len(places) >= IN_ORDER_MIN and falls <= max(0, len(places) // IN_ORDER_MIN - 1)


_key = lru_cache(maxsize=KEYS_CACHED_MAX)(text.key)


def _placed(head: Head) -> Place:
    return head.at_ns, NO_ITERATION if head.iteration is None else head.iteration


def _covering(
    tx: Connection, streams: Mapping[Stream, Mapping[Place, object]], ordered: set[Stream]
) -> list[Sequence[Any]]:
    """Stream, end, start and contents of each chunk that may have a row at a place of *streams*."""
    if not streams:
        return []
    wide, narrow = [], []
    for name, places in streams.items():
        low, high = min(places)[0], max(places)[0]
        wide.append((*name, low, high, min(high + SPAN_NS_MAX, INT64_MAX)))
        # Of one instant there are many chunks where rows came in no order: asked for one by one.
        spans = [(low, high)] if name in ordered else {(at, at) for at, _ in places}
        narrow += [(*name, *span, span[1]) for span in spans]
    found: list[Sequence[Any]] = []
    for asked, instants in ((wide, False), (narrow, True)):
        for some in batches.cut(asked, upsert.VALUES_MAX // 6):
            wanted = _covering_text(len(some), tx.dialect.name, instants=instants)
            found += tx.exec_driver_sql(wanted, tuple(chain.from_iterable(some)))
    return found


@lru_cache(maxsize=512)
def _covering_text(many: int, dialect: str, *, instants: bool) -> str:
    """For *many* (stream, low, high, horizon): chunks of one instant, or of more than one."""
    one, by = "(?, ?, ?, ?, ?, ?)", "" if instants else f"INDEXED BY {WIDE}"
    if dialect == "postgresql":
        one, by = "(%s::text, %s::text, %s::text, %s::bigint, %s::bigint, %s::bigint)", ""
    # Names of ours and marks alone: no value is part of the text.
    return (
        "WITH asked (pod_uid, source, rank_group, low, high, horizon) AS "  # noqa: S608
        f"(VALUES {', '.join([one] * many)}) "
        "SELECT c.pod_uid, c.source, c.rank_group, c.end_ns, c.end_iteration, c.start_ns, "
        f"c.heads, c.fields FROM asked CROSS JOIN {TRAINING.name} AS c {by} "
        "WHERE c.pod_uid = asked.pod_uid AND c.end_ns >= asked.low AND c.end_ns <= asked.horizon "
        "AND c.source = asked.source AND c.rank_group = asked.rank_group "
        f"AND c.start_ns <= asked.high AND c.start_ns {'=' if instants else '<'} c.end_ns"
    )


def _merge_in(
    tx: Connection,
    key: Sequence[Any],
    rows: Mapping[Place, TrainingRow],
    stored: tuple[bytes, bytes],
) -> None:
    """Merge *rows* with what the chunk of *key*, of the heads and fields *stored*, has at their
    places."""
    # What comes again is the same, mostly; NaN is not equal to itself, and is compared below.
    there = training_chunks.some_of(*stored, rows)
    if all(one[2:] == (row.marker, row.framework, row.fields) for one, row in there):
        return
    held = training_chunks.rows_of(*stored)
    places = [_placed(Head(*one[:4])) for one in held]
    after: list[TrainingRow | Full] = list(held)
    for n, place in enumerate(places):
        new = rows.get(place)
        if new is not None:
            after[n] = merged(new._replace(**held[n]._asdict()), new)
    chunk = training_chunks.chunk(places, after)
    if (chunk.heads, chunk.fields) != stored:
        names = map(text.original, key[:3])
        same = _is(dict(zip(_NAMES, (*names, *key[3:]), strict=True)))
        tx.execute(TRAINING.update().where(same).values(_contents(chunk)))


def _is(key: Mapping[str, Any] | RowMapping) -> ColumnElement[bool]:
    """That a chunk is the one of *key*, as read."""
    return and_(*(c == key[c.name] for c in _KEY))


def _contents(chunk: Chunk) -> dict[str, Any]:
    return {name: getattr(chunk, name) for name in ("start_ns", "value_ns", "heads", "fields")}


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
            found = sorted(found, key=order)[:limit]
            if found[-1].at_ns < chunk_end_ns - SPAN_NS_MAX:
                break
        for full in training_chunks.rows_of(heads, fields):
            row = TrainingRow(pod_uid, source, rank_group, *full)
            if start_ns <= row.at_ns < end_ns and (after is None or order(row) > order(after)):
                found.append(row)
    return sorted(found, key=order)[:limit]


def edges(tx: Connection, pod_uids: Sequence[str], *, limit: int = EDGES_MAX) -> list[Edge]:
    """The first *limit* rows of *pod_uids* without their fields, by `order`."""
    found: list[Edge] = []
    wanted = select(*_STREAM, _C.end_ns, _C.heads).order_by(_C.end_ns)
    for pod_uid, source, rank_group, chunk_end_ns, heads in _of_pods(tx, wanted, pod_uids):
        if len(found) >= 2 * limit:
            found = sorted(found, key=order)[:limit]
            if found[-1].at_ns < chunk_end_ns - SPAN_NS_MAX:
                break
        found += (
            Edge(pod_uid, source, rank_group, *head) for head in training_chunks.heads_of(heads)
        )
    return sorted(found, key=order)[:limit]


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
    return sorted(
        (row for of_pod in newest.values() for row in of_pod if row.at_ns == last[row.pod_uid]),
        key=order,
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
        left = training_chunks.chunk([_placed(Head(*one[:4])) for one in stays], stays)
        tx.execute(TRAINING.update().where(_is(chunk)).values(_contents(left)))
    return old


def order(row: TrainingRow | Edge) -> tuple[int, str, str, str, int]:
    """What rows are sorted by: event time, then pod, source, rank and iteration."""
    iteration = NO_ITERATION if row.iteration is None else row.iteration
    return row.at_ns, row.pod_uid, row.source, row.rank_group, iteration


def _of_pods(tx: Connection, wanted: Select[Any], pod_uids: Sequence[str]) -> Iterator[Any]:
    """The chunks of *pod_uids* by their end, the fourth of their values."""
    pieces = batches.cut(list(dict.fromkeys(pod_uids)), PODS_PER_STATEMENT)
    answers = [tx.execute(wanted.where(_C.pod_uid.in_(uids))) for uids in pieces]
    return heapq.merge(*answers, key=itemgetter(3)) if len(answers) > 1 else chain(*answers)
