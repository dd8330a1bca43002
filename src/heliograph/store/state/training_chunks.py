"""Training rows of one stream (pod, source, rank group) that came together, as one row of the table.

Rows of one place are in any of its chunks, each once (`core.training.said`).

    heads    [[at_ns, …], [iteration, …], marker or [marker, …], framework or [framework, …]]
    fields   [[[name, …], …], [[which names, value, …], …]]

Both are `document` bytes. What is equal in all rows is there once, and names of fields are there
once for all rows that have the same: a row of a dozen numbers takes some 120 bytes.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any, NamedTuple

from heliograph.core.errors import Refused
from heliograph.core.training import TrainingRow, said
from heliograph.store.state import document
from heliograph.store.state.columns import INT64_MAX, INT64_MIN

ROWS_MAX = 64
# What a chunk covers at most: who looks for an instant knows how far ahead its chunk can end.
SPAN_NS_MAX = 3600 * 10**9
NO_ITERATION = INT64_MIN
# Fields that say how far a training is, beside the iteration.
PROGRESS = ("epoch", "current_iteration", "target_iteration")
_NOTHING: Mapping[str, Any] = {}

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

    end_ns, end_iteration   the place of the last row, which names the chunk within its stream; where
                            that is the end of another chunk too, a number of what the row says
                            stands for the iteration
    start_ns                time of the first row
    value_ns                time of the last row that is no marker, None where all are
    """

    end_ns: int
    end_iteration: int
    start_ns: int
    value_ns: int | None
    heads: bytes
    fields: bytes


def places(rows: Sequence[TrainingRow] | Sequence[Full]) -> list[Place]:
    """Where each of *rows* stands in its stream. Refused outside 64 bits."""
    *_, ats, iterations, _, _, _ = zip(*rows, strict=True)
    _within(ats, "at_ns")
    _within([one for one in iterations if one is not None], "iteration")
    return _placed(ats, iterations)


def places_of(heads: bytes) -> list[Place]:
    """Where each row of a chunk stands."""
    ats, iterations, *_ = document.decode(heads)
    return _placed(ats, iterations)


def _placed(ats: Sequence[int], iterations: Sequence[int | None]) -> list[Place]:
    if None in iterations:
        iterations = [NO_ITERATION if one is None else one for one in iterations]
    return list(zip(ats, iterations, strict=True))  # type: ignore[arg-type]


def _within(numbers: Sequence[int], field: str) -> None:
    for one in (min(numbers, default=0), max(numbers, default=0)):
        # The least of all stands for none.
        if not INT64_MIN < one <= INT64_MAX:
            raise Refused(f"{one} is outside 64 bits", field=field, code="out_of_range")


def chunks(
    places: Sequence[Place], rows: Sequence[TrainingRow], *, together: bool = True
) -> Iterator[Chunk]:
    """*rows* of one stream, which stand at *places* in order, as chunks, of one row each unless they
    belong *together*. Refused for a field that cannot be stored."""
    return (one for one, _ in counted(places, rows, together=together))


def counted(
    places: Sequence[Place],
    rows: Sequence[TrainingRow],
    *,
    together: bool = True,
    beside: bool = False,
) -> Iterator[tuple[Chunk, int]]:
    """As `chunks`, each with the number of its rows; *beside*: others may end at the same places."""
    first = 0
    while first < len(places):
        past = min(first + ROWS_MAX, len(places)) if together else first + 1
        horizon_ns = places[first][0] + SPAN_NS_MAX
        while places[past - 1][0] > horizon_ns:
            past -= 1
        one, last = chunk(places[first:past], rows[first:past]), past - 1
        if beside or (last > 0 and places[last - 1] == places[last]):
            one = one._replace(end_iteration=_number(rows[last]))
        yield one, past - first
        first = past


def chunk(places: Sequence[Place], rows: Sequence[TrainingRow] | Sequence[Full]) -> Chunk:
    """*rows*, which stand at *places* in order, as one."""
    # All at once: a row ends with what is stored of it.
    *_, ats, iterations, markers, frameworks, fields = zip(*rows, strict=True)
    heads = ats, iterations, _once(markers), _once(frameworks)
    return Chunk(
        *places[-1],
        ats[0],
        _value_ns(ats, markers),
        document.encode(heads),
        document.encode(_by_names(fields)),
    )


def _number(row: TrainingRow) -> int:
    """What tells *row* from others of its stream and instant."""
    told = repr((row.iteration, said(row)))
    digest = hashlib.blake2b(told.encode(), digest_size=8).digest()
    # The least of all stands for none.
    return max(int.from_bytes(digest, "big", signed=True), INT64_MIN + 1)


def _value_ns(ats: Sequence[int], markers: Sequence[str | None]) -> int | None:
    """When the last row is that is no marker, None where all are."""
    return ats[-1 - markers[::-1].index(None)] if None in markers else None


def _once(each: tuple[Any, ...]) -> Any:
    return each[0] if each.count(each[0]) == len(each) else each


def _by_names(
    fields: Sequence[Mapping[str, Any]],
) -> tuple[list[tuple[str, ...]], list[tuple[Any, ...]]]:
    names: dict[tuple[str, ...], int] = {}
    which = [names.setdefault(tuple(one), len(names)) for one in fields]
    return list(names), [(n, *one.values()) for n, one in zip(which, fields, strict=True)]


def heads_of(stored: bytes) -> list[Head]:
    """The heads of a chunk, in order."""
    return list(map(Head, *_columns(stored)))


def progress_of(heads: bytes, fields: bytes | None) -> Iterator[tuple[Head, Mapping[str, Any]]]:
    """The heads of a chunk, in order, each with what of `PROGRESS` its row names; of no *fields*,
    nothing."""
    heads_of_rows = heads_of(heads)
    if fields is None:
        yield from zip(heads_of_rows, repeat(_NOTHING))
        return
    names, values = document.decode(fields)
    # A row's values begin with which names it has.
    where = [[(k, 1 + some.index(k)) for k in PROGRESS if k in some] for some in names]
    for head, row in zip(heads_of_rows, values, strict=True):
        yield head, {k: row[n] for k, n in where[row[0]]}


def _columns(heads: bytes) -> tuple[list[int], list[int | None], list[str | None], list[str]]:
    ats, iterations, markers, frameworks = document.decode(heads)
    many = len(ats)
    if not isinstance(markers, list):
        markers = [markers] * many
    if not isinstance(frameworks, list):
        frameworks = [frameworks] * many
    return ats, iterations, markers, frameworks


def rows_of(heads: bytes, fields: bytes) -> list[Full]:
    """The rows of a chunk, in order."""
    opened = Opened(heads, fields)
    return [opened.row(n) for n in range(len(opened.places))]


class Opened:
    """A stored chunk whose rows are looked at, and exchanged, one by one: the others stay as they
    are."""

    def __init__(self, heads: bytes, fields: bytes) -> None:
        self._ats, self._iterations, self._markers, self._frameworks = _columns(heads)
        self._names, self._values = document.decode(fields)
        self.places = _placed(self._ats, self._iterations)

    def row(self, n: int) -> Full:
        """The row that stands at `places[n]`."""
        which, *values = self._values[n]
        fields = dict(zip(self._names[which], values, strict=True))
        return Full(
            self._ats[n], self._iterations[n], self._markers[n], self._frameworks[n], fields
        )

    def exchange(self, n: int, row: TrainingRow) -> None:
        """Have *row*, which stands there too, instead of the one at `places[n]`."""
        names = list(row.fields)
        if names not in self._names:
            self._names.append(names)
        self._markers[n], self._frameworks[n] = row.marker, row.framework
        self._values[n] = [self._names.index(names), *row.fields.values()]

    def chunk(self) -> Chunk:
        """What it is now."""
        markers, frameworks = tuple(self._markers), tuple(self._frameworks)
        heads = self._ats, self._iterations, _once(markers), _once(frameworks)
        fields = self._names, self._values
        return Chunk(
            *self.places[-1],
            self._ats[0],
            _value_ns(self._ats, markers),
            document.encode(heads),
            document.encode(fields),
        )
