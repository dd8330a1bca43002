"""Training rows into their chunks: what one transaction takes, and what it does.

    for some in pieces(arranged(rows)):               as long as the writer may be held
        added, rest = state.write(lambda tx: add(tx, some))

Rows are put in order, cut and made into chunks before it is the writer's turn. An identity that is
there already is looked up where chunks cover its time, and merged in its place. Rows that come in no
order (an import, shuffled) are chunks of one, for a chunk of them would cover the time of all others;
each of them may meet a chunk of its own, which is why few of them are a transaction.
"""

import operator
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple

from sqlalchemy import Connection

from heliograph.core.training import TrainingRow, merged
from heliograph.store.state import batches, text, training_chunks, upsert
from heliograph.store.state.columns import INT64_MAX
from heliograph.store.state.training import TRAINING, WIDE
from heliograph.store.state.training_chunks import (
    NO_ITERATION,
    SPAN_NS_MAX,
    Chunk,
    Place,
)

# What one transaction may take (20 ms on the writer), in rows that came in order; and how many of
# these one costs that did not.
WORK_MAX = 4000
WORK_OF_SCATTERED = 20
# Chunks are found by pod and time: streams of a pod that are looked for one by one. Of more, all of
# their time is read once.
STREAMS_APART_MAX = 8
# Rows that one transaction changes where they are.
MERGED_MAX = 80
# Rows of a stream that came together, from which their order is believed; and as many for each that
# fell behind.
IN_ORDER_MIN = 4
# Names of pods, sources and ranks whose stored form is remembered.
KEYS_CACHED_MAX = 8192
# Chunks of one statement.
_TOGETHER = 64

_COLUMNS = (
    *("end_ns", "end_iteration", "start_ns", "value_ns", "heads", "fields"),
    *("pod_uid", "source", "rank_group"),
)
# What a chunk has anew, and the key that it keeps.
_CHANGE = {
    dialect: f"UPDATE {TRAINING.name} SET start_ns = {mark}, value_ns = {mark}, heads = {mark}, "  # noqa: S608
    f"fields = {mark} WHERE pod_uid = {mark} AND source = {mark} AND rank_group = {mark} "
    f"AND end_ns = {mark} AND end_iteration = {mark}"
    for dialect, mark in (("sqlite", "?"), ("postgresql", "%s"))
}

Stream = tuple[str, str, str]
# Stream, or a pod and nothing; earliest and latest time of its rows; where chunks of these end at most.
_Asked = tuple[str, str | None, str | None, int, int, int]


class Arranged(NamedTuple):
    """Rows of one *stream*, which stand at *places*, in their order and each once.

    ordered   whether they came in the order of their time
    chunks    what they are when none of them is there yet
    """

    stream: Stream
    places: Sequence[Place]
    rows: Sequence[TrainingRow]
    ordered: bool
    chunks: list[Chunk]

    @property
    def work(self) -> int:
        """What it costs the writer, as `WORK_MAX` counts it."""
        return len(self.rows) * (1 if self.ordered else WORK_OF_SCATTERED)

    def by_place(self) -> dict[Place, TrainingRow]:
        """Each row by where it stands."""
        return dict(zip(self.places, self.rows, strict=True))


class Added(NamedTuple):
    """How many rows of *stream* were not there yet, and how many of these are no markers."""

    stream: Stream
    rows: int
    values: int


class Outcome(NamedTuple):
    """What was *added*; and the rows that change what is there, but were more than one transaction
    takes: to be added again."""

    added: list[Added]
    rest: list[TrainingRow]


def arranged(rows: Iterable[TrainingRow]) -> list[Arranged]:
    """*rows* by stream, in parts of which a transaction takes each; those of one identity are one,
    `core.training.merged`.

    Refused where a time or an iteration is outside 64 bits or a field cannot be stored.
    """
    streams: dict[Stream, list[TrainingRow]] = {}
    for row in rows:
        name = row[:3]
        there = streams.get(name)
        if there is None:
            streams[name] = [row]
        else:
            there.append(row)
    # By their stored names, in which two long ones may be alike: a transaction takes each once.
    keyed: dict[Stream, list[TrainingRow]] = {}
    for stream, some in streams.items():
        keyed.setdefault(_stored(stream), []).extend(some)
    return [part for some in keyed.values() for part in _arranged(some[0][:3], some)]


def _arranged(stream: Stream, rows: Sequence[TrainingRow]) -> Iterator[Arranged]:
    places = training_chunks.places(rows)
    ordered = len(places) >= IN_ORDER_MIN
    if not all(map(operator.lt, places, places[1:])):
        ordered = _in_order(list(dict.fromkeys(places)))
        rows = _once_each(places, rows)
        places = training_chunks.places(rows)
    most = WORK_MAX if ordered else WORK_MAX // WORK_OF_SCATTERED
    for first in range(0, len(places), most):
        some, held = places[first : first + most], rows[first : first + most]
        chunks = list(training_chunks.chunks(some, held, together=ordered))
        yield Arranged(stream, some, held, ordered, chunks)


def _once_each(places: Sequence[Place], rows: Sequence[TrainingRow]) -> list[TrainingRow]:
    """*rows*, which stand at *places*, in their order, those of one place as one."""
    held: dict[Place, TrainingRow] = {}
    for place, row in zip(places, rows, strict=True):
        there = held.get(place)
        held[place] = row if there is None else merged(there, row)
    return [held[place] for place in sorted(held)]


def _in_order(places: Sequence[Place]) -> bool:
    """Whether *places* came in their order, but for frames that overtook each other; a few alone do
    not tell. What was shuffled must not become chunks: each would cover the time of all others."""
    falls = sum(map(operator.lt, places[1:], places))
    return len(places) >= IN_ORDER_MIN and falls <= max(0, len(places) // IN_ORDER_MIN - 1)


def pieces(parts: Iterable[Arranged]) -> Iterator[list[Arranged]]:
    """*parts* in pieces that one transaction may take."""
    piece: list[Arranged] = []
    work = 0
    for part in parts:
        if piece and work + part.work > WORK_MAX:
            yield piece
            piece, work = [], 0
        piece.append(part)
        work += part.work
    if piece:
        yield piece


def add(tx: Connection, parts: Sequence[Arranged]) -> Outcome:
    """Keep *parts*, work for one transaction. A row that is there is merged with what comes."""
    assert sum(part.work for part in parts) <= WORK_MAX
    names = [_stored(part.stream) for part in parts]
    by_name = dict(zip(names, parts, strict=True))
    assert len(by_name) == len(parts), "parts of one stream in one transaction"
    left: dict[Stream, dict[Place, TrainingRow]] = {}
    changed: list[tuple[Any, ...]] = []
    merged_rows, rest = 0, list[TrainingRow]()
    for pod, source, rank, end_ns, end_iteration, start_ns, heads, fields in _covering(
        tx, by_name
    ):
        name = pod, source, rank
        part = by_name[name]
        if not _meets(part.places, start_ns, end_ns):
            continue
        wanted = left[name] if name in left else part.by_place()
        again = {
            place: wanted[place]
            for place in training_chunks.places_of(heads)
            if place in wanted
        }
        if again:
            # A row is in one chunk only: who is left over here is new.
            left[name] = {place: row for place, row in wanted.items() if place not in again}
            if merged_rows >= MERGED_MAX:
                rest += again.values()
                continue
            chunk = _merged_in(again, heads, fields)
            if chunk is not None:
                merged_rows += len(again)
                changed.append((*chunk[2:], *name, end_ns, end_iteration))
    if changed:
        tx.exec_driver_sql(_CHANGE[tx.dialect.name], changed)
    made = [
        (*chunk, *name)
        for name, part in by_name.items()
        for chunk in (_made(left[name], part) if name in left else part.chunks)
    ]
    for some in batches.halved(made, _TOGETHER):
        upsert.put_stored(tx, TRAINING, _COLUMNS, some, "DO NOTHING")
    added = [
        _added(part.stream, list(left[name].values()) if name in left else part.rows)
        for name, part in by_name.items()
    ]
    return Outcome(added, rest)


def _made(left: Mapping[Place, TrainingRow], part: Arranged) -> Iterator[Chunk]:
    return training_chunks.chunks(list(left), list(left.values()), together=part.ordered)


def _meets(places: Sequence[Place], start_ns: int, end_ns: int) -> bool:
    """Whether one of *places*, which are in order, lies in [start_ns, end_ns]."""
    first = bisect_left(places, (start_ns, NO_ITERATION))
    return first < len(places) and places[first][0] <= end_ns


def _added(stream: Stream, new: Sequence[TrainingRow]) -> Added:
    return Added(stream, len(new), [row.marker for row in new].count(None))


def add_rows(tx: Connection, rows: Sequence[TrainingRow]) -> int:
    """Keep *rows*, which are work for one transaction; how many were not there yet."""
    new = 0
    while rows:
        added, rows = add(tx, arranged(rows))
        new += sum(one.rows for one in added)
    return new


_key = lru_cache(maxsize=KEYS_CACHED_MAX)(text.key)


def _stored(stream: Stream) -> Stream:
    pod_uid, source, rank_group = stream
    return _key(pod_uid), _key(source), _key(rank_group)


def _covering(tx: Connection, parts: Mapping[Stream, Arranged]) -> list[Sequence[Any]]:
    """Stream, end, start and contents of each chunk that may have a row at a place of *parts*."""
    wide: list[_Asked] = []
    narrow: list[_Asked] = []
    for name, part in parts.items():
        low, high = part.places[0][0], part.places[-1][0]
        wide.append((*name, low, high, min(high + SPAN_NS_MAX, INT64_MAX)))
        # Of one instant there are many chunks where rows came in no order: asked for one by one.
        spans = [(low, high)] if part.ordered else {(at, at) for at, _ in part.places}
        narrow += [(*name, *span, span[1]) for span in spans]
    found: list[Sequence[Any]] = []
    for asked, instants in ((wide, False), (narrow, True)):
        for some in batches.cut(_crowded(asked), upsert.VALUES_MAX // 6):
            wanted = _covering_text(len(some), tx.dialect.name, instants=instants)
            told = tx.exec_driver_sql(wanted, tuple(chain.from_iterable(some)))
            found += (one for one in told if (one[0], one[1], one[2]) in parts)
    return found


def _crowded(asked: Sequence[_Asked]) -> list[_Asked]:
    """*asked*, where of a pod with many streams those whose times meet are asked for together, as any
    stream of it."""
    by_pod: dict[str, list[_Asked]] = {}
    for one in asked:
        by_pod.setdefault(one[0], []).append(one)
    found: list[_Asked] = []
    for pod_uid, some in by_pod.items():
        if len({one[1:3] for one in some}) <= STREAMS_APART_MAX:
            found += some
            continue
        spans: list[tuple[int, int, int]] = []
        for low, high, horizon in sorted(one[3:] for one in some):
            if spans and low <= spans[-1][2]:
                first, highest, furthest = spans[-1]
                spans[-1] = first, max(highest, high), max(furthest, horizon)
            else:
                spans.append((low, high, horizon))
        found += ((pod_uid, None, None, *span) for span in spans)
    return found


@lru_cache(maxsize=512)
def _covering_text(many: int, dialect: str, *, instants: bool) -> str:
    """For *many* `_Asked`: chunks of one instant, or of more than one."""
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
        "AND (asked.source IS NULL "
        "OR c.source = asked.source AND c.rank_group = asked.rank_group) "
        f"AND c.start_ns <= asked.high AND c.start_ns {'=' if instants else '<'} c.end_ns"
    )


def _merged_in(rows: Mapping[Place, TrainingRow], heads: bytes, fields: bytes) -> Chunk | None:
    """The chunk of *heads* and *fields* with *rows* merged into what it has at their places; None
    where that changes nothing."""
    opened = training_chunks.Opened(heads, fields)
    changed = False
    for n, place in enumerate(opened.places):
        new = rows.get(place)
        if new is None:
            continue
        there = opened.row(n)
        # What comes again is the same, mostly; NaN is not equal to itself, and is compared below.
        if there[2:] != (new.marker, new.framework, new.fields):
            opened.exchange(n, merged(new._replace(**there._asdict()), new))
            changed = True
    chunk = opened.chunk() if changed else None
    return None if chunk is None or (chunk.heads, chunk.fields) == (heads, fields) else chunk
