"""Writing segments: the head at sealing, and the merging walk over files that maintenance does."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from heliograph.core.samples import concatenate
from heliograph.store.segments.catalogue import Catalogue
from heliograph.store.segments.file import Columns, Index, SegmentWriter, read_rows
from heliograph.store.segments.head import Head
from heliograph.store.segments.kept import Piece
from heliograph.store.segments.name import DAY_NS, RAW, WINDOW_NS, SegmentName, aligned
from heliograph.store.segments.order import collapsing

Ints = NDArray[np.int64]

# A seal that touches more windows than this (an import of history) writes a file a day instead.
SEAL_WINDOWS_MAX = 48
# Samples further ahead than this share one file, however far a broken clock runs.
NEAR_FUTURE_NS = DAY_NS
CHUNK_ROWS = 1_000_000


class Sorted(NamedTuple):
    """Samples by (sid, at_ns), unique; `packed[sid]` are the labels, by (name, packed)."""

    packed: list[bytes]
    sid: Ints
    columns: Columns


def sorted_heads(heads: Sequence[Head]) -> Sorted:
    """All samples of *heads*, oldest head first; of equal ones the last."""
    batch = concatenate([b for head in heads for b in head.batches()])
    names = {
        head.packed[number]: name
        for head in heads
        for name, numbers in list(head.ids.items())
        for number in numbers
    }
    packed = sorted(names, key=lambda one: (names[one], one))
    rank = {one: sid for sid, one in enumerate(packed)}
    ids = {number: one for head in heads for number, one in head.packed.items()}
    table = np.zeros(max(ids, default=0) + 1, np.int64)
    for number, one in ids.items():
        table[number] = rank[one]
    sid = table[batch.series]
    order = collapsing(sid, batch.at_ns)
    if order is None:
        return Sorted(packed, sid, (batch.at_ns, batch.value))
    return Sorted(packed, sid[order], (batch.at_ns[order], batch.value[order]))


def partitioned(samples: Sorted, now_ns: int) -> Iterator[tuple[tuple[int, int], Sorted]]:
    """((start_ns, end_ns), samples) for each file that *samples* should be in."""
    window = samples.columns[0] // WINDOW_NS
    far = (now_ns + NEAR_FUTURE_NS) // WINDOW_NS
    is_far = window > far
    near = np.unique(window[~is_far])
    width = WINDOW_NS if len(near) <= SEAL_WINDOWS_MAX else DAY_NS
    part = window // (width // WINDOW_NS)
    parts = np.unique(part[~is_far]).tolist()
    if len(parts) == 1 and not is_far.any():
        yield (parts[0] * width, (parts[0] + 1) * width), samples
        return
    for number in parts:
        span = number * width, (number + 1) * width
        yield span, _where(samples, (part == number) & ~is_far)
    if is_far.any():
        first = int(window[is_far].min()) * WINDOW_NS
        last = int(window[is_far].max()) * WINDOW_NS + WINDOW_NS
        yield (first, max(last, first + DAY_NS + WINDOW_NS)), _where(samples, is_far)


def _where(samples: Sorted, which: NDArray[np.bool_]) -> Sorted:
    columns = tuple(column[which] for column in samples.columns)
    return Sorted(samples.packed, samples.sid[which], columns)


def add_rows(
    writer: SegmentWriter, packed: Sequence[bytes], sid: Ints, columns: Columns
) -> None:
    """Append rows sorted by *sid* to *writer*, leaving out series that have none."""
    counts = np.bincount(sid, minlength=len(packed))
    some = np.flatnonzero(counts)
    writer.add([packed[i] for i in some.tolist()], counts[some], columns)


def write(catalogue: Catalogue, name: SegmentName, samples: Sorted) -> int:
    """Write the raw file *name* of *samples*; its size in bytes. Raises OSError, leaving nothing."""
    with SegmentWriter(catalogue.folder, name) as writer:
        add_rows(writer, samples.packed, samples.sid, samples.columns)
        return writer.finish()


class Chunk(NamedTuple):
    """Some series with all their rows: *pieces* number them by their place in *packed*."""

    packed: list[bytes]
    pieces: list[tuple[SegmentName, Piece]]


def chunks(
    catalogue: Catalogue, files: Sequence[SegmentName], start_ns: int, end_ns: int
) -> Iterator[Chunk]:
    """The rows of *files* in [start_ns, end_ns), series by series in the order of a file.

    A chunk has about CHUNK_ROWS rows, so memory is bounded whatever the files hold; its pieces
    are in the order of *files*. Files that turn out damaged are left out.
    """
    found = [(name, catalogue.index_of(name)) for name in files]
    sources = [(name, index) for name, index in found if index is not None]
    packed = _union([index for _, index in sources])
    places = [_places(index, packed) for _, index in sources]
    rows = np.zeros(len(packed), np.int64)
    for (_, index), place in zip(sources, places, strict=True):
        here = place >= 0
        rows[here] += np.diff(index.row_at)[place[here]]
    total = np.cumsum(rows)
    begin = done = 0
    while begin < len(packed):
        end = max(begin + 1, int(np.searchsorted(total, done + CHUNK_ROWS, "right")))
        pieces = []
        for (name, index), place in zip(sources, places, strict=True):
            piece = _piece(catalogue, name, index, place[begin:end], (start_ns, end_ns))
            if piece is not None:
                pieces.append((name, piece))
        yield Chunk(packed[begin:end], pieces)
        done = int(total[end - 1])
        begin = end


def _piece(
    catalogue: Catalogue,
    name: SegmentName,
    index: Index,
    place: Ints,
    span: tuple[int, int],
) -> Piece | None:
    here = np.flatnonzero(place >= 0)
    rows = read_rows(
        catalogue.folder / name.text,
        index,
        place[here],
        start_ns=span[0],
        end_ns=span[1],
        lost=catalogue.lost_rows,
    )
    return None if rows is None else Piece(name.kind, here[rows.which], rows.columns)


def _union(indexes: Sequence[Index]) -> list[bytes]:
    if len(indexes) == 1:
        return list(indexes[0].packed)
    names: dict[bytes, str] = {}
    for index in indexes:
        for at, name in enumerate(index.names):
            names.update(
                dict.fromkeys(index.packed[index.name_at[at] : index.name_at[at + 1]], name)
            )
    return sorted(names, key=lambda one: (names[one], one))


def _places(index: Index, packed: Sequence[bytes]) -> Ints:
    own = {one: at for at, one in enumerate(index.packed)}
    return np.array([own.get(one, -1) for one in packed], np.int64)


def joined_raw(chunk: Chunk) -> tuple[Ints, Columns]:
    """(sid, (at_ns, value)) of the raw pieces of *chunk*, sorted; of equals the last file's."""
    pieces = [piece for _, piece in chunk.pieces if piece.kind == RAW]
    if not pieces:
        return np.empty(0, np.int64), (np.empty(0, np.int64), np.empty(0, np.float64))
    sid = np.concatenate([piece.sid for piece in pieces])
    at_ns = np.concatenate([piece.columns[0] for piece in pieces])
    value = np.concatenate([piece.columns[1] for piece in pieces])
    order = collapsing(sid, at_ns)
    return (
        (sid, (at_ns, value)) if order is None else (sid[order], (at_ns[order], value[order]))
    )


def day_of(at_ns: int) -> tuple[int, int]:
    """The day [start_ns, end_ns) that *at_ns* is in."""
    start_ns = aligned(at_ns, DAY_NS)
    return start_ns, start_ns + DAY_NS
