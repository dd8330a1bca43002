"""Training rows of one stream (pod, source, rank group) that came together, as one row of the table.

    heads    [[at_ns, …], [iteration, …], marker or [marker, …], framework or [framework, …]]
    fields   [[[name, …], …], [[which names, value, …], …]]

Both are `document` bytes. What is equal in all rows is there once, and names of fields are there
once for all rows that have the same: a row of a dozen numbers takes some 120 bytes.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from heliograph.core.errors import Refused
from heliograph.core.training import TrainingRow
from heliograph.store.state import document
from heliograph.store.state.columns import INT64_MAX, INT64_MIN

ROWS_MAX = 64
# What a chunk covers at most: who looks for an instant knows how far ahead its chunk can end.
SPAN_NS_MAX = 3600 * 10**9
NO_ITERATION = INT64_MIN

Place = tuple[int, int]


class Head(NamedTuple):
    """A row but for its stream and fields."""

    at_ns: int
    iteration: int | None
    marker: str | None
    framework: str


class Full(NamedTuple):
    """A row of a chunk, but for its stream."""

    at_ns: int
    iteration: int | None
    marker: str | None
    framework: str
    fields: Mapping[str, Any]


class Chunk(NamedTuple):
    """What is stored beside a stream's name.

    end_ns, end_iteration   the place of the last row; it names the chunk within its stream
    start_ns                time of the first row
    value_ns                time of the last row that is no marker, None where all are
    """

    end_ns: int
    end_iteration: int
    start_ns: int
    value_ns: int | None
    heads: bytes
    fields: bytes


def place(row: TrainingRow | Head) -> Place:
    """Where *row* stands in its stream; no two rows share one. Refused outside 64 bits."""
    at_ns, iteration = row.at_ns, row.iteration
    if not INT64_MIN < at_ns <= INT64_MAX:
        raise Refused(f"{at_ns} is outside 64 bits", field="at_ns", code="out_of_range")
    if iteration is None:
        return at_ns, NO_ITERATION
    if not INT64_MIN < iteration <= INT64_MAX:
        raise Refused(f"{iteration} is outside 64 bits", field="iteration", code="out_of_range")
    return at_ns, iteration


def chunks(rows: Mapping[Place, TrainingRow], *, together: bool = True) -> Iterator[Chunk]:
    """*rows* of one stream as chunks, of one row each unless they belong *together*. Refused for a
    field that cannot be stored."""
    places = sorted(rows)
    if not together:
        yield from (chunk([place], [rows[place]]) for place in places)
        return
    first = 0
    while first < len(places):
        last = min(first + ROWS_MAX, len(places)) - 1
        horizon_ns = places[first][0] + SPAN_NS_MAX
        while places[last][0] > horizon_ns:
            last -= 1
        yield chunk(places[first : last + 1], [rows[p] for p in places[first : last + 1]])
        first = last + 1


def chunk(places: Sequence[Place], rows: Sequence[TrainingRow | Full]) -> Chunk:
    """*rows*, which stand at *places* in order, as one."""
    markers = [row.marker for row in rows]
    values = [
        at_ns for (at_ns, _), marker in zip(places, markers, strict=True) if marker is None
    ]
    heads = (
        [row.at_ns for row in rows],
        [row.iteration for row in rows],
        _once(markers),
        _once([row.framework for row in rows]),
    )
    names: dict[tuple[str, ...], int] = {}
    fields = [
        (names.setdefault(tuple(row.fields), len(names)), *row.fields.values()) for row in rows
    ]
    return Chunk(
        *places[-1],
        places[0][0],
        values[-1] if values else None,
        document.encode(heads),
        document.encode((list(names), fields)),
    )


def _once(each: list[Any]) -> Any:
    return each[0] if all(one == each[0] for one in each) else each


def heads_of(stored: bytes) -> list[Head]:
    """The heads of a chunk, in order."""
    ats, iterations, markers, frameworks = document.decode(stored)
    many = len(ats)
    if not isinstance(markers, list):
        markers = [markers] * many
    if not isinstance(frameworks, list):
        frameworks = [frameworks] * many
    return list(map(Head, ats, iterations, markers, frameworks))


def fields_of(stored: bytes) -> list[dict[str, Any]]:
    """The fields of a chunk's rows, in order."""
    names, fields = document.decode(stored)
    return [dict(zip(names[one[0]], one[1:], strict=True)) for one in fields]


def some_of(
    heads: bytes, fields: bytes, wanted: Mapping[Place, TrainingRow]
) -> list[tuple[Full, TrainingRow]]:
    """The rows of a chunk that stand where *wanted* has one, each with that."""
    names, values = document.decode(fields)
    found = []
    for head, one in zip(heads_of(heads), values, strict=True):
        at = head.at_ns, NO_ITERATION if head.iteration is None else head.iteration
        row = wanted.get(at)
        if row is not None:
            found.append((Full(*head, dict(zip(names[one[0]], one[1:], strict=True))), row))
    return found


def rows_of(heads: bytes, fields: bytes) -> list[Full]:
    """The rows of a chunk, in order."""
    return [
        Full(*head, one) for head, one in zip(heads_of(heads), fields_of(fields), strict=True)
    ]
