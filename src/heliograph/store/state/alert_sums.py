"""How many alerts fired and were resolved, and for how long: sums by hour, workload and kind, in
chunks.

    add(tx, deltas)       into the chunks of their hours
    roll(tx, before_ns)   a day's hours at once into the chunks of its day, its span and its era

    grain                 tells apart
    HOUR                  kind (see `alert_kinds`), workload
    DAY                   hour, kind, workload
    SPAN (8 days)         kind, workload
    ERA (64 days)         kind, workload
    DAY_KIND              hour, kind
    SPAN_KIND, ERA_KIND   kind

What was added is in a chunk of its hour, or else in one of each of the others. So who asks reads
all hours that are there, and of the others the widest that fit. A chunk is what `sum_columns.packed`
makes: a million episodes of 90 days are some 200 chunks.

A chunk that grows too large is left as it is, and another *part* begun: what is summed is all of
them.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    DDL,
    Column,
    ColumnElement,
    Connection,
    Table,
    and_,
    delete,
    event,
    func,
    literal,
    select,
    tuple_,
)

from heliograph.alert.changes import StatDelta
from heliograph.core.duration import DAY_NS, HOUR_NS
from heliograph.store.state import alert_kinds, batches, engines, sum_columns
from heliograph.store.state.columns import INT64_MAX, Bytes, Int64, metadata
from heliograph.store.state.sum_columns import DURATION_MAX_NS, Sums
from heliograph.store.state.upsert import put_stored

# Deltas that one transaction may add.
BATCH_MAX = 600
SPAN_NS = 8 * DAY_NS
ERA_NS = 8 * SPAN_NS
HOUR, DAY, DAY_KIND, SPAN, SPAN_KIND, ERA, ERA_KIND = range(7)
# Rows of a part that still takes more, by its grain; and of hours that one transaction rolls.
PART_ROWS_MAX = (8192, *(65_536,) * 6)
ROLL_ROWS_MAX = 16_384
_FINEST = (HOUR, DAY)
# Places whose chunks one statement reads.
PLACES_MAX = 300
# Chunks that one transaction may delete (a megabyte at most each).
PRUNE_MAX = 32

SUMS = Table(
    "alert_sums",
    metadata,
    Column("grain", Int64, primary_key=True, autoincrement=False),
    Column("start_ns", Int64, primary_key=True, autoincrement=False),
    Column("part", Int64, primary_key=True, autoincrement=False),
    Column("size", Int64, nullable=False),
    Column("keyed", Bytes, nullable=False),
    Column("numbers", Bytes, nullable=False),
)
# What is packed already PostgreSQL would pack again, which takes longer than to read it.
AS_THEY_ARE = " ".join(
    f"ALTER TABLE alert_sums ALTER COLUMN {name} SET STORAGE EXTERNAL;"
    for name in ("keyed", "numbers")
)
_say = DDL(AS_THEY_ARE)  # type: ignore[no-untyped-call]
event.listen(SUMS, "after_create", _say.execute_if(dialect="postgresql"))
_C = SUMS.c
_COLUMNS = tuple(c.name for c in SUMS.columns)
_KEY = (_C.grain, _C.start_ns, _C.part)
_THEN = (
    "(grain, start_ns, part) DO UPDATE SET "
    "size = excluded.size, keyed = excluded.keyed, numbers = excluded.numbers"
)


class Place(NamedTuple):
    """Of what grain a chunk is, and when it begins."""

    grain: int
    start_ns: int


def add(tx: Connection, deltas: Sequence[StatDelta]) -> None:
    """Add *deltas* (at most `BATCH_MAX`). Not idempotent: what is added twice counts twice."""
    assert len(deltas) <= BATCH_MAX
    kinds: dict[int, tuple[str, str, str, str]] = {}
    rows: dict[int, list[tuple[int, str, int, int, int, int]]] = {}
    for each in deltas:
        texts = (each.source, each.alert_name, each.severity, each.cluster_name)
        kind = alert_kinds.of(*texts)
        kinds[kind] = texts
        workload = alert_kinds.stored_text(each.workload_id)
        took_ns = max(-DURATION_MAX_NS, min(each.duration_ns, DURATION_MAX_NS))
        hour = each.hour_ns // HOUR_NS
        rows.setdefault(hour, []).append(
            (hour, workload, kind, each.firing, each.resolved, took_ns)
        )
    alert_kinds.keep(tx, kinds)
    put(tx, {Place(HOUR, h * HOUR_NS): sum_columns.of(rows[h]) for h in sorted(rows)})


def roll(tx: Connection, before_ns: int) -> int:
    """Roll hours of the oldest day that ended by *before_ns*, so many as one transaction may; return
    how many chunks of hours that were. Call it again, in another, until it returns 0."""
    first_ns = _first(tx, HOUR, INT64_MAX, _C.start_ns)
    if first_ns is None or first_ns >= before_ns - before_ns % DAY_NS:
        return 0
    day_ns = first_ns - first_ns % DAY_NS
    of_hours = (_C.grain == HOUR, *_within(day_ns, day_ns + DAY_NS))
    sizes = tx.execute(select(_C.start_ns, _C.part, _C.size).where(*of_hours).order_by(*_KEY))
    last, left, chunks = (first_ns, 0), ROLL_ROWS_MAX, 0
    for start_ns, part, size in sizes.all():
        if chunks and size > left:
            break
        last, left, chunks = (start_ns, part), left - size, chunks + 1
    hours = and_(*of_hours, tuple_(_C.start_ns, _C.part) <= last)
    stored = tx.execute(select(_C.keyed, _C.numbers).where(hours))
    joined = sum_columns.joined([_whole(*one) for one in stored])
    sums = sum_columns.merged(joined)
    of_day = sum_columns.without_hours(sums)
    of_kind = sum_columns.without_workloads(of_day)
    span_ns, era_ns = day_ns - day_ns % SPAN_NS, day_ns - day_ns % ERA_NS
    put(
        tx,
        {
            Place(DAY, day_ns): sums,
            Place(DAY_KIND, day_ns): sum_columns.without_workloads(sums),
            Place(SPAN, span_ns): of_day,
            Place(SPAN_KIND, span_ns): of_kind,
            Place(ERA, era_ns): of_day,
            Place(ERA_KIND, era_ns): of_kind,
        },
    )
    tx.execute(delete(SUMS).where(hours))
    return chunks


def put(tx: Connection, wanted: Mapping[Place, Sums]) -> None:
    """Add each of *wanted* to the last part of its place, or to a new one. A row that comes to nothing
    is none, and a chunk without rows."""
    chunks = []
    there = _last_parts(tx, list(wanted))
    for place, sums in wanted.items():
        part, rows, *stored = there.get(place, (-1, 0))
        if not stored or rows + sums.rows > PART_ROWS_MAX[place.grain]:
            more = [sums]
            part += 1
        else:
            more = [_whole(*stored), sums]
        whole = sum_columns.merged(sum_columns.joined(more))
        if whole.rows:
            chunks.append((*place, part, whole.rows, *sum_columns.packed(whole)))
        else:
            key = (_C.grain == place.grain, _C.start_ns == place.start_ns, _C.part == part)
            tx.execute(delete(SUMS).where(*key))
    put_stored(tx, SUMS, _COLUMNS, chunks, _THEN)


def read(
    tx: Connection, grains: Sequence[int], start_ns: int, end_ns: int, *, numbers: bool = True
) -> Iterator[tuple[int, Sums, bytes]]:
    """When each chunk of *grains* begins that begins in `[start_ns, end_ns)`, its keys, and, where
    they are asked for, the *numbers* for `sum_columns.counted`."""
    wanted = (
        select(_C.start_ns, _C.keyed, _C.numbers if numbers else literal(b""))
        .where(_C.grain.in_(grains), *_within(start_ns, end_ns))
        .execution_options(**engines.BINARY)
    )
    for at_ns, keyed, stored in tx.execute(wanted):
        yield at_ns, sum_columns.unpacked(keyed), stored


def newest_ns(tx: Connection, before_ns: int = INT64_MAX) -> int | None:
    """When the newest chunk of an hour or a day begins that begins before *before_ns*."""
    found = [_first(tx, grain, before_ns, _C.start_ns.desc()) for grain in _FINEST]
    return max((at_ns for at_ns in found if at_ns is not None), default=None)


def oldest_ns(tx: Connection) -> int | None:
    """When the oldest chunk of an hour or a day begins."""
    found = [_first(tx, grain, INT64_MAX, _C.start_ns) for grain in _FINEST]
    return min((at_ns for at_ns in found if at_ns is not None), default=None)


def prune(tx: Connection, before_ns: int, limit: int = PRUNE_MAX) -> int:
    """Delete at most *limit* chunks of eras (64 days) that ended by *before_ns*; return how many."""
    assert limit <= PRUNE_MAX
    whole = tuple_(*_KEY)
    gone = 0
    for grain in range(len(PART_ROWS_MAX)):
        old = (
            select(*_KEY)
            .where(_C.grain == grain, _C.start_ns < before_ns - before_ns % ERA_NS)
            .order_by(*_KEY)
            .limit(limit - gone)
        )
        gone += tx.execute(delete(SUMS).where(whole.in_(old))).rowcount
    return gone


def _last_parts(tx: Connection, places: Sequence[Place]) -> dict[Place, tuple[Any, ...]]:
    """The last part of each of *places* that has one: part, size, and both blobs.

    Many with a statement: one for each takes as long as all the rest of adding to it.
    """
    found = {}
    for grain in {place.grain for place in places}:
        starts = [place.start_ns for place in places if place.grain == grain]
        other = SUMS.alias()
        last = (
            select(func.max(other.c.part))
            .where(other.c.grain == _C.grain, other.c.start_ns == _C.start_ns)
            .scalar_subquery()
        )
        for some in batches.cut(starts, PLACES_MAX):
            wanted = select(_C.start_ns, _C.part, _C.size, _C.keyed, _C.numbers).where(
                _C.grain == grain, _C.start_ns.in_(some), _C.part == last
            )
            for start_ns, *rest in tx.execute(wanted):
                found[Place(grain, start_ns)] = tuple(rest)
    return found


def _whole(keyed: bytes, numbers: bytes) -> Sums:
    return sum_columns.counted(sum_columns.unpacked(keyed), numbers, None)


def _within(start_ns: int, end_ns: int) -> tuple[ColumnElement[bool], ...]:
    """Chunks that begin in `[start_ns, end_ns)`. The last era and the last day end beyond 64 bits;
    no chunk begins with the last of these."""
    return _C.start_ns >= min(start_ns, INT64_MAX), _C.start_ns < min(end_ns, INT64_MAX)


def _first(tx: Connection, grain: int, before_ns: int, order: Any) -> int | None:
    wanted = (
        select(_C.start_ns)
        .where(_C.grain == grain, _C.start_ns < min(before_ns, INT64_MAX))
        .order_by(order)
        .limit(1)
    )
    found: int | None = tx.execute(wanted).scalar()
    return found
