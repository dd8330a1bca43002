"""Training rows into their chunks: what one transaction takes, and what it does.

    for some in pieces(gathered.parts()):                        as long as the writer may be held
        added, met = state.write(lambda tx: add(tx, some))
        for change in changes(met):
            added, again = state.write(lambda tx: put(tx, change))

Chunks are made before it is the writer's turn (`training_arranging`). What meets a chunk that has rows
of the same places is merged between two transactions, the second of which takes it only where that
chunk is still what it was.
"""

import operator
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple

from sqlalchemy import Connection

from heliograph.core.training import TrainingRow, merged, said
from heliograph.store.state import batches, document, training_chunks, upsert
from heliograph.store.state.columns import INT64_MAX
from heliograph.store.state.training import TRAINING, WIDE
from heliograph.store.state.training_arranging import (
    WORK_MAX,
    Arranged,
    Fresh,
    Stream,
    arranged,
    fresh,
    stored,
)
from heliograph.store.state.training_chunks import NO_ITERATION, SPAN_NS_MAX, Chunk, Place

# Chunks are found by pod and time: streams of a pod that are looked for one by one. Of more, all of
# their time is read once.
STREAMS_APART_MAX = 8
# Chunks of a transaction that are looked into for the places of new rows; of more, who asked does it.
LOOKED_INTO_MAX = 128
# Chunks that one transaction writes of what met others.
CHANGED_MAX = 80
# Chunks of one statement.
_TOGETHER = 64

_COLUMNS = (
    *("end_ns", "end_iteration", "start_ns", "value_ns", "heads", "fields"),
    *("pod_uid", "source", "rank_group"),
)
# What a chunk has anew, the key that it keeps, and what it had.
_CHANGE = {
    dialect: f"UPDATE {TRAINING.name} SET start_ns = {mark}, value_ns = {mark}, heads = {mark}, "  # noqa: S608
    f"fields = {mark} WHERE pod_uid = {mark} AND source = {mark} AND rank_group = {mark} "
    f"AND end_ns = {mark} AND end_iteration = {mark} AND heads = {mark} AND fields = {mark}"
    for dialect, mark in (("sqlite", "?"), ("postgresql", "%s"))
}

# Stream, or a pod and nothing; earliest and latest time of its rows; where chunks of these end at most.
_Asked = tuple[str, str | None, str | None, int, int, int]


class Added(NamedTuple):
    """How many rows of *stream* were not there yet, and how many of these are no markers."""

    stream: Stream
    rows: int
    values: int


class Found(NamedTuple):
    """A chunk that is there, which its stream and end name."""

    pod_uid: str
    source: str
    rank_group: str
    end_ns: int
    end_iteration: int
    start_ns: int
    heads: bytes
    fields: bytes


class Met(NamedTuple):
    """A *part* some of whose rows have the places of rows that are there, in *chunks*."""

    part: Arranged
    chunks: list[Found]


class Change(NamedTuple):
    """What becomes of *parts* that met chunks, or of some of each: chunks *made* of rows that are not
    there, each with its stream, and for each chunk that is *changed* the values of `_CHANGE`."""

    parts: dict[Stream, Arranged]
    made: list[tuple[Stream, Fresh]]
    changed: list[tuple[Any, ...]]


def add(tx: Connection, parts: Sequence[Arranged]) -> tuple[list[Added], list[Met]]:
    """Keep those of *parts*, work for one transaction, that meet nothing; and what the others met. A
    chunk that is there already as it would be stored is no news."""
    assert sum(part.work for part in parts) <= WORK_MAX
    names = [stored(part.stream) for part in parts]
    by_name = dict(zip(names, parts, strict=True))
    assert len(by_name) == len(parts), "parts of one stream in one transaction"
    met: dict[Stream, Met] = {}
    for n, found in enumerate(_covering(tx, by_name)):
        name = found[:3]
        part = by_name[name]
        new = _new_in(part.chunks, found, look=n < LOOKED_INTO_MAX)
        if new is None:
            met.setdefault(name, Met(part, [])).chunks.append(found)
        elif new is not part.chunks:
            by_name[name] = part._replace(chunks=new)
    # One that met something may have had chunks that are there: they are left out by now.
    left = [one._replace(part=by_name[name]) for name, one in met.items()]
    alone = {name: part for name, part in by_name.items() if name not in met}
    _insert(tx, ((*one[:6], *name) for name, part in alone.items() for one in part.chunks))
    return [_added(part.stream, part.chunks) for part in alone.values()], left


def _new_in(chunks: list[Fresh], found: Found, *, look: bool) -> list[Fresh] | None:
    """Those of *chunks* that are not *found*, None where rows of one have the place of a row of it, or
    may have one unless one is to *look*."""
    there: set[Place] = set()
    for n in range(
        bisect_left(chunks, found.start_ns, key=operator.attrgetter("end_ns")), len(chunks)
    ):
        one = chunks[n]
        if one.start_ns > found.end_ns:
            break
        if (one.end_ns, one.end_iteration, one.heads, one.fields) == (
            *(found.end_ns, found.end_iteration),
            *(found.heads, found.fields),
        ):
            # A row is in one chunk only: none of the others can have its rows.
            return [*chunks[:n], *chunks[n + 1 :]]
        if not look:
            return None
        there = there or set(training_chunks.places_of(found.heads))
        if not there.isdisjoint(training_chunks.places_of(one.heads)):
            return None
    return chunks


def _insert(tx: Connection, rows: Iterable[tuple[Any, ...]]) -> None:
    for some in batches.halved(list(rows), _TOGETHER):
        upsert.put_stored(tx, TRAINING, _COLUMNS, some, "DO NOTHING")


def _added(stream: Stream, chunks: Sequence[Fresh]) -> Added:
    return Added(stream, sum(one.rows for one in chunks), sum(one.values for one in chunks))


def changes(met: Iterable[Met]) -> Iterator[Change]:
    """What is to be done about what was *met*, in pieces that a transaction may take; for who is not
    the writer."""
    change = Change({}, [], [])
    for part, chunks in met:
        name = stored(part.stream)
        for one in _changes(name, part, chunks):
            if len(change.made) + len(change.changed) >= CHANGED_MAX:
                yield change
                change = Change({}, [], [])
            change.parts[name] = part
            if isinstance(one, Fresh):
                change.made.append((name, one))
            else:
                change.changed.append(one)
    if change.parts:
        yield change


def _changes(
    name: Stream, part: Arranged, chunks: Iterable[Found]
) -> Iterator[Fresh | tuple[Any, ...]]:
    """The chunks that *part* makes beside *chunks*, and what it changes of these."""
    left: dict[Place, dict[str, TrainingRow]] = {}
    for row in part.rows():
        left.setdefault((row.at_ns, _iteration(row)), {})[said(row)] = row
    for found in chunks:
        chunk = _merged_in(left, found.heads, found.fields)
        if chunk is not None:
            key = *name, found.end_ns, found.end_iteration
            yield (*chunk[2:], *key, found.heads, found.fields)
    places = [place for place, rows in left.items() for _ in rows]
    rows = list(chain.from_iterable(rows.values() for rows in left.values()))
    yield from fresh(places, rows, together=part.ordered, beside=True)


def put(tx: Connection, change: Change) -> tuple[list[Added], list[Arranged]]:
    """Keep *change*; and the parts that are to be added again, where a chunk that was met is no longer
    what it was."""
    parts, made, changed = change
    _insert(tx, ((*one[:6], *name) for name, one in made))
    moved = 0
    if changed:
        moved = len(changed) - tx.exec_driver_sql(_CHANGE[tx.dialect.name], changed).rowcount
    added = [_added(parts[name].stream, [one]) for name, one in made]
    return added, list(parts.values()) if moved else []


def add_rows(tx: Connection, rows: Sequence[TrainingRow]) -> int:
    """Keep *rows*, which are work for one transaction; how many were not there yet."""
    told, met = add(tx, arranged(rows)) if rows else ([], [])
    new = sum(one.rows for one in told)
    for change in changes(met):
        added, _ = put(tx, change)
        new += sum(one.rows for one in added)
    return new


def _covering(tx: Connection, parts: Mapping[Stream, Arranged]) -> list[Found]:
    """The chunks that may have a row at a place of *parts*."""
    wide: list[_Asked] = []
    narrow: list[_Asked] = []
    for name, part in parts.items():
        low, high = part.chunks[0].start_ns, part.chunks[-1].end_ns
        wide.append((*name, low, high, min(high + SPAN_NS_MAX, INT64_MAX)))
        # Of one instant there are many chunks where rows came in no order: asked for one by one.
        spans = (
            [(low, high)] if part.ordered else {(one.end_ns, one.end_ns) for one in part.chunks}
        )
        narrow += [(*name, *span, span[1]) for span in spans]
    found: list[Found] = []
    for asked, instants in ((wide, False), (narrow, True)):
        for some in batches.cut(_crowded(asked), upsert.VALUES_MAX // 6):
            wanted = _covering_text(len(some), tx.dialect.name, instants=instants)
            told = tx.exec_driver_sql(wanted, tuple(chain.from_iterable(some)))
            found += (Found._make(one) for one in told if (one[0], one[1], one[2]) in parts)
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


def _merged_in(
    left: Mapping[Place, dict[str, TrainingRow]], heads: bytes, fields: bytes
) -> Chunk | None:
    """The chunk of *heads* and *fields* with those of *left* merged into it that it has already, which
    are taken out; None where that changes nothing."""
    opened = training_chunks.Opened(heads, fields)
    changed = False
    for n, place in enumerate(opened.places):
        rows = left.get(place)
        if not rows:
            continue
        there = opened.row(n)
        one = next(iter(rows.values()))
        new = rows.pop(said(one._replace(**there._asdict())), None)
        if new is None:
            continue
        # What comes again is the same, mostly, NaN too; but 1 and 1.0 are equal and not the same.
        same = there[2:4] == (new.marker, new.framework)
        if not same or document.encode(there.fields) != document.encode(new.fields):
            opened.exchange(n, merged(new._replace(**there._asdict()), new))
            changed = True
    chunk = opened.chunk() if changed else None
    return None if chunk is None or (chunk.heads, chunk.fields) == (heads, fields) else chunk


def _iteration(row: TrainingRow) -> int:
    return NO_ITERATION if row.iteration is None else row.iteration
