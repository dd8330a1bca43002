"""What a search finds in a day file: which records, in which order, and how many.

Chunks overlap in time, so that the order of their records is known only from their heads. An index
tells each chunk's first and last time and how many records it has: enough to pass over what comes
before a page, and to open few beyond those that have it.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import NamedTuple

from heliograph.core.record import Record
from heliograph.store.records import chunks
from heliograph.store.records.chunks import SPAN_NS_MAX
from heliograph.store.records.dayfile import marks
from heliograph.store.records.row import INT64_MAX
from heliograph.store.records.search import Search
from heliograph.store.state import batches
from heliograph.store.state.upsert import VALUES_MAX

# Chunks that are looked for beside as many as records, and how many times as many when they did not
# do; and those whose heads are read together.
_CHUNKS_MORE, _CHUNKS_TIMES, _HEADS_TOGETHER = 64, 4, 16
# Chunks that are counted first.
_COUNTED_FIRST = 512

_BY_END = """SELECT n, start_ns, end_ns, many FROM chunks WHERE {where} AND end_ns >= :first
    AND end_ns <= :horizon AND start_ns <= :last ORDER BY end_ns {way} LIMIT :many OFFSET :seen"""
# Chunks that begin by an instant and end then or later.
_REACHING = """SELECT n, start_ns, end_ns, many FROM chunks WHERE {where} AND end_ns >= :edge
    AND end_ns <= :past_edge AND start_ns <= :edge"""

_COUNTED = """SELECT coalesce(sum(many), 0), count(*) FROM (SELECT many FROM chunks WHERE {where}
    AND end_ns >= :first AND start_ns >= :first AND end_ns <= :last LIMIT :most OFFSET :seen)"""
# Chunks that begin before the time asked for and end in it, or begin in it and end after.
_ACROSS = """SELECT n FROM chunks WHERE {where} AND end_ns >= :first AND end_ns <= :past_first
    AND start_ns < :first UNION SELECT n FROM chunks WHERE {where} AND end_ns > :last
    AND end_ns <= :past_last AND start_ns <= :last LIMIT :most"""


# A record that matches: its time, its number of arrival, its chunk's number, its place there.
Key = tuple[int, int, int, int]


class _Span(NamedTuple):
    """What an index tells of a chunk: number, times of its first and last record, how many."""

    n: int
    start_ns: int
    end_ns: int
    many: int


def keys(
    connection: sqlite3.Connection, asked: Search, limit: int, passable: int = 0
) -> tuple[int, list[Key]]:
    """The first *limit* (≥ 1) matches, in the order asked. Of the first *passable* of them those in
    whole chunks are only counted: how many they are, and the others."""
    spans = _spans(connection, asked, limit)
    passed, left = _pass(asked, spans, passable)
    need = limit - passed
    if not need:
        return passed, []
    found: list[Key] = []
    waiting: list[_Span] = []
    coming = 0
    # Of the last that is needed, as far as it is known.
    edge_ns: int | None = None
    for one in chain(left, spans):
        if edge_ns is not None and _is_past(asked, edge_ns, one):
            break
        waiting.append(one)
        coming += one.many
        if coming >= need and (len(waiting) >= _HEADS_TOGETHER or not found):
            found = sorted(
                chain(found, _records_in(connection, asked, waiting)),
                reverse=asked.newest_first,
            )[:need]
            edge_ns = found[-1][0] if len(found) == need else None
            waiting, coming = [], len(found)
    found += _records_in(connection, asked, waiting)
    return passed, sorted(found, reverse=asked.newest_first)[:need]


def _is_past(asked: Search, edge_ns: int, one: _Span) -> bool:
    """Whether all of a chunk comes after what is at *edge_ns*; so does then all that follows it."""
    return one.end_ns < edge_ns if asked.newest_first else one.start_ns > edge_ns


def _pass(asked: Search, spans: Iterator[_Span], passable: int) -> tuple[int, list[_Span]]:
    """How many records are in chunks that are wholly among the first *passable*, and the other chunks
    that *spans*, in order, gave."""
    early: list[_Span] = []
    most = 0
    for one in spans:
        most += one.many
        if most > passable:
            # No record before the first of this chunk is in a later one: they are few enough.
            edge_ns = one.end_ns if asked.newest_first else one.start_ns
            break
        early.append(one)
    else:
        return _whole(asked, early)
    passed, left = _whole(asked, early, edge_ns)
    return passed, [*left, one]


def _whole(
    asked: Search, early: Iterable[_Span], edge_ns: int | None = None
) -> tuple[int, list[_Span]]:
    """How many records are in those of *early* that lie wholly within the time asked, and before
    *edge_ns* in the order asked; and the others of *early*."""
    first, last = asked.values["first"], asked.values["last"]
    if edge_ns is not None and asked.newest_first:
        first = max(first, edge_ns + 1)
    elif edge_ns is not None:
        last = min(last, edge_ns - 1)
    passed, left = 0, []
    for one in early:
        if first <= one.start_ns and one.end_ns <= last:
            passed += one.many
        else:
            left.append(one)
    return passed, left


def _records_in(
    connection: sqlite3.Connection, asked: Search, spans: Sequence[_Span]
) -> Iterator[Key]:
    """Those records of the chunks *spans* that are within the time asked."""
    first, last = asked.values["first"], asked.values["last"]
    heads = _heads(connection, [one.n for one in spans if one.many > 1])
    for n, _, end_ns, many in spans:
        for place, (at_ns, before) in enumerate(heads[n] if many > 1 else ((end_ns, 0),)):
            if first <= at_ns <= last:
                yield at_ns, n - before, n, place


def _spans(connection: sqlite3.Connection, asked: Search, limit: int) -> Iterator[_Span]:
    """Chunks that may have one of the first *limit* matches: by their ends, the last first, or by
    their starts."""
    by_end = _by_end(connection, asked, limit)
    if asked.newest_first:
        return by_end
    return iter(sorted(_earliest(connection, asked, by_end, limit), key=itemgetter(1)))


def _earliest(
    connection: sqlite3.Connection, asked: Search, by_end: Iterable[_Span], limit: int
) -> Iterable[_Span]:
    found: dict[int, _Span] = {}
    coming = 0
    for one in by_end:
        found[one.n] = one
        if asked.values["first"] <= one.start_ns and one.end_ns <= asked.values["last"]:
            coming += one.many
        if coming >= limit:
            # So many end by then: what is later than that is not among the first.
            edge = {"edge": one.end_ns, "past_edge": min(one.end_ns + SPAN_NS_MAX, INT64_MAX)}
            sql = _REACHING.format(where=asked.where)
            more = map(_Span._make, connection.execute(sql, {**asked.values, **edge}))
            return (found | {each.n: each for each in more}).values()
    return found.values()


def _by_end(connection: sqlite3.Connection, asked: Search, limit: int) -> Iterator[_Span]:
    """Chunks that may have a match, by their ends in the order asked."""
    sql = _BY_END.format(where=asked.where, way="DESC" if asked.newest_first else "ASC")
    horizon_ns = min(asked.values["last"] + SPAN_NS_MAX, INT64_MAX)
    many, seen = limit + _CHUNKS_MORE, 0
    while True:
        # The same order each time, for the connection sees one moment.
        bounds = {"horizon": horizon_ns, "many": many, "seen": seen}
        past = seen + many
        for one in connection.execute(sql, {**asked.values, **bounds}):
            seen += 1
            yield _Span._make(one)
        if seen < past:
            return
        many *= _CHUNKS_TIMES


def _heads(
    connection: sqlite3.Connection, numbers: Sequence[int]
) -> dict[int, Iterable[tuple[int, int]]]:
    found: dict[int, Iterable[tuple[int, int]]] = {}
    for some in batches.cut(numbers, VALUES_MAX):
        sql = f"SELECT n, heads FROM chunks WHERE n IN ({marks(len(some))})"  # noqa: S608
        found |= {n: chunks.heads_of(heads) for n, heads in connection.execute(sql, some)}
    return found


def count(connection: sqlite3.Connection, asked: Search, limit: int) -> int:
    """How many match, counted up to *limit* or little further."""
    first, last = asked.values["first"], asked.values["last"]
    values = {
        **asked.values,
        "past_first": min(first + SPAN_NS_MAX, INT64_MAX),
        "past_last": min(last + SPAN_NS_MAX, INT64_MAX),
    }
    within, across = _COUNTED.format(where=asked.where), _ACROSS.format(where=asked.where)
    found: int = 0
    seen = 0
    most = _COUNTED_FIRST
    while True:
        bounds = {"most": most, "seen": seen}
        some, many = connection.execute(within, {**values, **bounds}).fetchone()
        found += some
        seen += many
        if found >= limit or many < most:
            break
        # As many as will do, if they are like those so far.
        most = (limit - found) * seen // found + _CHUNKS_MORE
    if found < limit:
        numbers = [n for (n,) in connection.execute(across, {**values, "most": limit})]
        for heads in _heads(connection, numbers).values():
            found += sum(first <= at_ns <= last for at_ns, _ in heads)
    return found


def documents(
    connection: sqlite3.Connection, wanted: Mapping[int, Sequence[int]]
) -> dict[tuple[int, int], Record]:
    """The records at *wanted*, places by number of chunk; one that was deleted meanwhile is left
    out."""
    found: dict[tuple[int, int], Record] = {}
    for some in batches.cut(list(wanted), VALUES_MAX):
        sql = f"SELECT n, many, docs FROM chunks WHERE n IN ({marks(len(some))})"  # noqa: S608
        for n, many, docs in connection.execute(sql, some):
            told = chunks.records_of(many, docs, wanted[n])
            found |= {(n, place): one for place, one in told.items()}
    return found
