"""Training rows as the chunks that they will be: encoded as they come, put in order and cut.

    gathered = Gathering()
    gathered.take(rows)               of each frame, as they come
    for some in pieces(gathered.parts()): …

Rows that come in no order (an import, shuffled) are chunks of one, for a chunk of them would cover the
time of all others; each of them may meet a chunk of its own, which is why few of them are work for
one transaction. What is done with parts is in `training_adding`.
"""

import operator
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from heliograph.core.training import TrainingRow, merged, said
from heliograph.kernels import row_chunks
from heliograph.kernels.row_chunks import RowChunks
from heliograph.store.state import document, text, training_chunks
from heliograph.store.state.training_chunks import ROWS_MAX, SPAN_NS_MAX, Place

# What one transaction may take (20 ms on the writer), in rows; how many of these a chunk costs beside
# its own, and one that came in no order.
WORK_MAX = 6000
WORK_OF_CHUNK = 8
WORK_OF_SCATTERED = 30
# Rows of a stream that came together, from which their order is believed; and as many for each that
# fell behind.
IN_ORDER_MIN = 4
# Names of pods, sources and ranks whose stored form is remembered.
KEYS_CACHED_MAX = 8192

Stream = tuple[str, str, str]


class Fresh(NamedTuple):
    """A chunk that is to be stored, as `training_chunks.Chunk`; how many *rows* it has, and how many
    of these are no markers."""

    end_ns: int
    end_iteration: int
    start_ns: int
    value_ns: int | None
    heads: bytes
    fields: bytes
    rows: int
    values: int


class Arranged(NamedTuple):
    """Rows of one *stream*, in their order and each once, as the *chunks* that they are when none of
    them is there yet; *ordered*: whether they came in the order of their time."""

    stream: Stream
    ordered: bool
    chunks: list[Fresh]

    @property
    def work(self) -> int:
        """What it costs the writer, as `WORK_MAX` counts it."""
        return sum(_work(one, ordered=self.ordered) for one in self.chunks)

    def rows(self) -> list[TrainingRow]:
        """The rows."""
        return _rows(self.stream, ((one.heads, one.fields) for one in self.chunks))


def _work(chunk: Fresh, *, ordered: bool) -> int:
    return chunk.rows + WORK_OF_CHUNK if ordered else WORK_OF_SCATTERED


class Gathering:
    """Rows as they come, encoded at once, so that nobody needs to keep them."""

    def __init__(self) -> None:
        self._taken = RowChunks(
            document.packed,
            rows_max=ROWS_MAX,
            span_ns_max=SPAN_NS_MAX,
            in_order_min=IN_ORDER_MIN,
        )
        self._odd: list[TrainingRow] = []

    def __len__(self) -> int:
        return len(self._taken) + len(self._odd)

    def take(self, rows: Iterable[TrainingRow]) -> None:
        """Take *rows*."""
        self._odd += self._taken.take(rows)

    def parts(self) -> list[Arranged]:
        """What was taken, by stream, in parts of which a transaction takes each; it is forgotten."""
        # By their stored names, in which two long ones may be alike: a transaction takes each once.
        keyed: dict[Stream, list[row_chunks.Stream]] = {}
        for told in self._taken.streams():
            keyed.setdefault(stored(told.name), []).append(told)
        return [part for some in keyed.values() for part in _parts(some)]

    def odd(self) -> list[TrainingRow]:
        """Those that `parts` leaves out, for `arranged`: some may be such that nothing can keep."""
        odd, self._odd = self._odd, []
        return odd


def _parts(streams: Sequence[row_chunks.Stream]) -> Iterator[Arranged]:
    name, ordered, chunks = streams[0]
    if len(streams) == 1 and ordered is not None:
        yield from _cut(name, list(map(Fresh._make, chunks)), ordered=ordered)
        return
    yield from _arranged(
        name, _rows(name, (one[4:6] for each in streams for one in each.chunks))
    )


def _rows(stream: Stream, chunks: Iterable[tuple[bytes, bytes]]) -> list[TrainingRow]:
    pod_uid, source, rank_group = stream
    return [
        TrainingRow(pod_uid, source, rank_group, *full)
        for heads, fields in chunks
        for full in training_chunks.rows_of(heads, fields)
    ]


def arranged(rows: Iterable[TrainingRow]) -> list[Arranged]:
    """*rows* as `Gathering` gives them, but all of them; those of one identity are one,
    `core.training.merged`.

    Refused where a time or an iteration is outside 64 bits or a field cannot be stored.
    """
    streams: dict[Stream, list[TrainingRow]] = {}
    for row in rows:
        streams.setdefault(stored(row[:3]), []).append(row)
    return [part for some in streams.values() for part in _arranged(some[0][:3], some)]


def _arranged(stream: Stream, rows: Sequence[TrainingRow]) -> Iterator[Arranged]:
    places = training_chunks.places(rows)
    ordered = len(places) >= IN_ORDER_MIN
    if not all(map(operator.lt, places, places[1:])):
        held = _once_each(places, rows)
        ordered = _in_order([place for place, _ in held])
        rows = [held[name] for name in sorted(held)]
        places = training_chunks.places(rows)
    yield from _cut(stream, fresh(places, rows, together=ordered), ordered=ordered)


def fresh(
    places: Sequence[Place],
    rows: Sequence[TrainingRow],
    *,
    together: bool,
    beside: bool = False,
) -> list[Fresh]:
    """*rows*, which stand at *places* in order, as chunks; *beside* as `training_chunks.counted`'s."""
    made: list[Fresh] = []
    first = 0
    for chunk, many in training_chunks.counted(places, rows, together=together, beside=beside):
        values = sum(row.marker is None for row in rows[first : first + many])
        made.append(Fresh(*chunk, many, values))
        first += many
    return made


def _cut(stream: Stream, chunks: Iterable[Fresh], *, ordered: bool) -> Iterator[Arranged]:
    """*chunks* of *stream* in parts that a transaction may take."""
    some: list[Fresh] = []
    left = WORK_MAX
    for one in chunks:
        work = _work(one, ordered=ordered)
        if work > left:
            yield Arranged(stream, ordered, some)
            some, left = [], WORK_MAX
        some.append(one)
        left -= work
    if some:
        yield Arranged(stream, ordered, some)


def _once_each(
    places: Sequence[Place], rows: Sequence[TrainingRow]
) -> dict[tuple[Place, str], TrainingRow]:
    """*rows*, which stand at *places*, each once, by what names it, as they came."""
    shared = {place for place, many in Counter(places).items() if many > 1}
    held: dict[tuple[Place, str], TrainingRow] = {}
    for place, row in zip(places, rows, strict=True):
        # Most are alone at their place: then what they say need not be told apart.
        name = place, said(row) if place in shared else ""
        there = held.get(name)
        held[name] = row if there is None else merged(there, row)
    return held


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


_key = lru_cache(maxsize=KEYS_CACHED_MAX)(text.key)


def stored(stream: Stream) -> Stream:
    """The names of *stream* as they are kept and compared."""
    pod_uid, source, rank_group = stream
    return _key(pod_uid), _key(source), _key(rank_group)
