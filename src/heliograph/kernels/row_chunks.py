"""Training rows as chunks of their streams, ready to be stored: plain twin of `row_chunks.pyx`.

row     (pod, source, rank group, at_ns, iteration, marker, framework, fields)
chunk   (end_ns, end_iteration, start_ns, value_ns, heads, fields, rows, values): what is stored of up
        to *rows_max* rows, as `store.state.training_chunks` describes it, and of how many rows it is
        and of how many that are no markers

Rows are encoded as they come, so that nobody needs to keep them: a frame's are still in the
processor's cache then, and a stretch's are not.
"""

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

COMPILED = False
NO_ITERATION = INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1

Chunk = tuple[int, int, int, int | None, bytes, bytes, int, int]
Encode = Callable[[Any], bytes | None]
_Row = tuple[Any, ...]
Row = TypeVar("Row", bound=_Row)
_Place = tuple[int, int]


class Stream(NamedTuple):
    """The rows of one stream as *chunks*, in order and each once. *ordered*: whether they came in the
    order of their time; None where rows of one place are not alike: then chunks have all of them as
    they came."""

    name: tuple[str, str, str]
    ordered: bool | None
    chunks: list[Chunk]


class RowChunks:
    """Takes rows of any streams. *encode* gives a value as MessagePack, None where that cannot carry
    it. A chunk covers at most *span_ns_max*; of less than *in_order_min* rows the order tells nothing,
    and of as many each one may have fallen behind but one."""

    def __init__(
        self, encode: Encode, *, rows_max: int, span_ns_max: int, in_order_min: int
    ) -> None:
        if not 0 < rows_max < 128 or span_ns_max < 0 or in_order_min < 1:
            raise ValueError("chunks of 1 to 127 rows")
        self._encode = encode
        self._rows_max, self._span_ns_max = rows_max, span_ns_max
        self._in_order_min = in_order_min
        self._streams: dict[tuple[str, str, str], list[_Row]] = {}
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    def take(self, rows: Iterable[Row]) -> list[Row]:
        """Take *rows*; those that cannot be stored in this form are given back."""
        odd: list[Row] = []
        for row in rows:
            if self._is_odd(row):
                odd.append(row)
                continue
            self._rows += 1
            there = self._streams.get(row[:3])
            if there is None:
                self._streams[row[:3]] = [row]
            else:
                there.append(row)
        return odd

    def _is_odd(self, row: _Row) -> bool:
        *_, at_ns, iteration, marker, framework, fields = row
        return not (
            type(at_ns) is int
            and INT64_MIN < at_ns <= INT64_MAX
            and (
                iteration is None
                or (type(iteration) is int and INT64_MIN < iteration <= INT64_MAX)
            )
            and (marker is None or type(marker) is str)
            and type(framework) is str
            and type(fields) is dict
            and all(type(name) is str for name in fields)
            and self._encode((marker, framework, fields)) is not None
        )

    def streams(self) -> list[Stream]:
        """What was taken, in the order in which each stream came first; all of it is forgotten."""
        streams, self._streams, self._rows = self._streams, {}, 0
        return [self._stream(name, rows) for name, rows in streams.items()]

    def _stream(self, name: tuple[str, str, str], rows: list[_Row]) -> Stream:
        first: dict[_Place, _Row] = {}
        for row in rows:
            there = first.setdefault(_place(row), row)
            if there is not row and self._alike(there) != self._alike(row):
                return Stream(name, None, self._chunks([0] * len(rows), rows, self._rows_max))
        falls = sum(map(operator.gt, first, list(first)[1:]))
        least = self._in_order_min
        ordered = len(first) >= least and falls <= max(0, len(first) // least - 1)
        held = sorted(first.items(), key=operator.itemgetter(0))
        most = self._rows_max if ordered else 1
        ats = [at_ns for (at_ns, _), _ in held]
        return Stream(name, ordered, self._chunks(ats, [row for _, row in held], most))

    def _alike(self, row: _Row) -> tuple[Any, ...]:
        *_, marker, framework, fields = row
        return marker, framework, list(fields), self._encode(list(fields.values()))

    def _chunks(self, ats: Sequence[int], rows: Sequence[_Row], most: int) -> list[Chunk]:
        """*rows*, which are told of *ats*, *most* of them together."""
        made: list[Chunk] = []
        first = 0
        while first < len(rows):
            past = min(first + most, len(rows))
            while ats[past - 1] - ats[first] > self._span_ns_max:
                past -= 1
            made.append(self._chunk(rows[first:past]))
            first = past
        return made

    def _chunk(self, rows: Sequence[_Row]) -> Chunk:
        *_, ats, iterations, markers, frameworks, fields = zip(*rows, strict=True)
        names: dict[tuple[str, ...], int] = {}
        which = [names.setdefault(tuple(one), len(names)) for one in fields]
        values = [(n, *one.values()) for n, one in zip(which, fields, strict=True)]
        heads = self._encode((ats, iterations, _once(markers), _once(frameworks)))
        contents = self._encode((list(names), values))
        assert heads is not None
        assert contents is not None
        plain = [at_ns for at_ns, marker in zip(ats, markers, strict=True) if marker is None]
        return (
            *_place(rows[-1]),
            ats[0],
            plain[-1] if plain else None,
            heads,
            contents,
            len(rows),
            len(plain),
        )


def _place(row: _Row) -> _Place:
    return row[3], NO_ITERATION if row[4] is None else row[4]


def _once(each: tuple[Any, ...]) -> Any:
    return each[0] if each.count(each[0]) == len(each) else each
