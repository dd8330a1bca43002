"""The format of a segment file: blocks of compressed columns, then an index that finds them.

    magic           8 bytes
    block           each column as one pcodec file, one after the other; at most BLOCK_ROWS rows
    …
    index           zstd(msgpack(_Doc)): series sorted by (name, packed labels), rows a series,
                    and for each block its rows, place, checksum and extent in time
    tail            index offset u64, index length u32, crc32 of the index u32 (little endian), magic

Rows are sorted by (series, time) and columns hold one value a row; the first column is time.
pcodec keeps every bit of a float64, NaN payloads too (tests/store/test_segments_file.py holds it
to that). A damaged block costs its rows, a damaged index the file; neither costs another file.
"""

import errno
import os
import struct
import zlib
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeAlias

import cramjam
import msgspec
import numpy as np
from numpy.typing import NDArray
from pcodec import ChunkConfig, standalone

from heliograph.core import labels as label
from heliograph.store.segments.name import SegmentName

MAGIC = b"HGSEG01\n"
_TAIL = struct.Struct("<QII8s")

# 8192 rows decode in some 50 µs, the least that a query of one series pays for each file.
BLOCK_ROWS = 8192
INDEX_BYTES_MAX = 1 << 30
_COMPRESSION = ChunkConfig(compression_level=4)
_INDEX_ZSTD_LEVEL = 3
# Errors that say nothing about the file.
_OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR})

Column: TypeAlias = NDArray[Any]  # int64 or float64, as the kind of the file says
Columns: TypeAlias = tuple[Column, ...]
Places: TypeAlias = NDArray[np.int64]
Lost: TypeAlias = Callable[[str, int, int], None]


class Damaged(Exception):
    """A segment file cannot be read; its index is broken or missing. Never leaves the store."""


class Index(NamedTuple):
    """Where the rows of each series are. Immutable.

    packed      packed labels, sorted by (name, packed)
    names       distinct metric names, ascending, and `name_at` (len + 1) their first series
    row_at      (series + 1,) first row of each series
    block_at    (blocks + 1,) first row of each block
    place       (blocks,) byte offset of each block
    lengths     (blocks, columns) bytes of each column of a block
    checksum    (blocks,) crc32 of a block's bytes
    low, high   (blocks,) least and greatest time in the block
    cost_bytes  what keeping it in memory costs, about
    """

    packed: tuple[bytes, ...]
    names: tuple[str, ...]
    name_at: tuple[int, ...]
    row_at: Places
    block_at: Places
    place: Places
    lengths: Places
    checksum: Places
    low: Places
    high: Places
    cost_bytes: int

    @property
    def rows(self) -> int:
        """Rows in the file."""
        return int(self.block_at[-1])


class _Doc(msgspec.Struct, array_like=True, frozen=True):
    packed_sizes: bytes
    packed: bytes
    names: list[str]
    name_at: list[int]
    counts: bytes
    block_rows: bytes
    place: bytes
    lengths: bytes
    checksum: bytes
    low: bytes
    high: bytes


_PACKED_NAME = b"\x08__name__"


def metric_name(packed: bytes) -> str:
    """The `__name__` in *packed* labels, "" where there is none."""
    # Few names sort before it. Lengths of one byte are stepped over without a look at the text.
    at, end = 0, len(packed)
    while at < end and packed[at] < 0x80:
        value_at = at + 1 + packed[at]
        if value_at >= end or packed[value_at] >= 0x80:
            break
        next_at = value_at + 1 + packed[value_at]
        if packed[at:value_at] == _PACKED_NAME:
            return packed[value_at + 1 : next_at].decode("utf-8", "surrogatepass")
        at = next_at
    return label.get(label.unpack(packed), label.NAME)


class SegmentWriter:
    """Writes one segment file: `add` series in order, then `finish`, within a `with`.

    Nothing is visible under the final name before all of it is durable; left without `finish`,
    nothing stays behind. Raises OSError.
    """

    def __init__(self, folder: Path, name: SegmentName) -> None:
        self.name = name
        self._path = folder / name.text
        self._temp = folder / f"{name.text}.tmp"
        self._file = self._temp.open("wb")
        self._file.write(MAGIC)
        self._place = len(MAGIC)
        self._packed: list[bytes] = []
        self._counts: list[NDArray[np.int64]] = []
        self._blocks: list[tuple[int, int, int, int, int]] = []
        self._lengths: list[list[int]] = []

    def add(self, packed: Sequence[bytes], counts: NDArray[np.int64], columns: Columns) -> None:
        """Append the rows of the series *packed*: `counts[i]` rows each, sorted by time."""
        self._packed.extend(packed)
        self._counts.append(counts)
        for begin in range(0, len(columns[0]), BLOCK_ROWS):
            self._block([column[begin : begin + BLOCK_ROWS] for column in columns])

    def _block(self, columns: list[Column]) -> None:
        parts = [
            standalone.simple_compress(np.ascontiguousarray(c), _COMPRESSION) for c in columns
        ]
        block = b"".join(parts)
        self._file.write(block)
        time = columns[0]
        self._lengths.append([len(part) for part in parts])
        self._blocks.append(
            (len(time), self._place, zlib.crc32(block), int(time.min()), int(time.max()))
        )
        self._place += len(block)

    def finish(self) -> int:
        """Make the file durable under its name (the caller syncs the folder); its size in bytes."""
        names = [metric_name(packed) for packed in self._packed]
        name_at = [at for at, name in enumerate(names) if not at or name != names[at - 1]]
        blocks = np.array(self._blocks, np.int64).reshape(-1, 5)
        doc = _Doc(
            packed_sizes=np.array([len(p) for p in self._packed], np.uint32).tobytes(),
            packed=b"".join(self._packed),
            names=[names[at] for at in name_at],
            name_at=name_at,
            counts=np.concatenate([*self._counts, np.empty(0, np.int64)]).tobytes(),
            block_rows=blocks[:, 0].tobytes(),
            place=blocks[:, 1].tobytes(),
            lengths=np.array(self._lengths, np.int64).tobytes(),
            checksum=blocks[:, 2].tobytes(),
            low=blocks[:, 3].tobytes(),
            high=blocks[:, 4].tobytes(),
        )
        index = bytes(cramjam.zstd.compress(msgspec.msgpack.encode(doc), _INDEX_ZSTD_LEVEL))
        self._file.write(index)
        self._file.write(_TAIL.pack(self._place, len(index), zlib.crc32(index), MAGIC))
        size = self._file.tell()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._temp.rename(self._path)
        self._file.close()
        return size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._file.closed:
            self._file.close()
            self._temp.unlink(missing_ok=True)


def read_index(path: Path) -> Index:
    """The index of the file at *path*. Raises Damaged, or FileNotFoundError when it has gone."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            if size < _TAIL.size + len(MAGIC):
                raise Damaged(f"{path.name}: {size} bytes")
            file.seek(size - _TAIL.size)
            place, length, checksum, magic = _TAIL.unpack(file.read(_TAIL.size))
            if magic != MAGIC or length > INDEX_BYTES_MAX or place + length > size:
                raise Damaged(f"{path.name}: no tail")
            file.seek(place)
            index = file.read(length)
        if zlib.crc32(index) != checksum:
            raise Damaged(f"{path.name}: checksum of the index")
        return _index_of(msgspec.msgpack.decode(cramjam.zstd.decompress(index), type=_Doc))
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in _OURS:
            raise
        raise Damaged(f"{path.name}: {error}") from error
    except (ValueError, cramjam.DecompressionError, msgspec.MsgspecError) as error:
        raise Damaged(f"{path.name}: {error}") from error


def _index_of(doc: _Doc) -> Index:
    sizes = np.frombuffer(doc.packed_sizes, np.uint32).tolist()
    bounds = accumulate(sizes, initial=0)
    place = np.frombuffer(doc.place, np.int64)
    series = len(sizes)
    return Index(
        packed=tuple(doc.packed[begin:end] for begin, end in pairwise(bounds)),
        names=tuple(doc.names),
        name_at=(*doc.name_at, series),
        row_at=_offsets(doc.counts),
        block_at=_offsets(doc.block_rows),
        place=place,
        lengths=np.frombuffer(doc.lengths, np.int64).reshape(len(place), -1)
        if len(place)
        else np.empty((0, 0), np.int64),
        checksum=np.frombuffer(doc.checksum, np.int64),
        low=np.frombuffer(doc.low, np.int64),
        high=np.frombuffer(doc.high, np.int64),
        cost_bytes=len(doc.packed) + 56 * series + 100 * len(place) + 1024,
    )


def _offsets(counts: bytes) -> Places:
    values = np.frombuffer(counts, np.int64)
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(values)])


class Rows(NamedTuple):
    """Rows read: `which` (n,) the position in *picked* that each belongs to, and the columns."""

    which: Places
    columns: Columns


def read_rows(
    path: Path,
    index: Index,
    picked: Places,
    *,
    start_ns: int,
    end_ns: int,
    lost: Lost,
) -> Rows | None:
    """Rows with time in [start_ns, end_ns) of the series *picked* (ascending positions), in order.

    *lost* is told of each damaged block: file name, block, rows. None when there is no row. Raises
    FileNotFoundError when the file has gone, OSError when there are too many open.
    """
    begin, end = index.row_at[picked], index.row_at[picked + 1]
    parts: list[tuple[Any, ...]] = []
    with path.open("rb") as file:
        for block in _blocks_of(index, begin, end, start_ns, end_ns):
            first, last = int(index.block_at[block]), int(index.block_at[block + 1])
            columns = _decoded(file.fileno(), index, block)
            if columns is None:
                lost(path.name, block, last - first)
                continue
            part = _cut(columns, (begin, end), (first, last), start_ns, end_ns)
            if part is not None:
                parts.append(part)
    if not parts:
        return None
    which, *found = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Rows(which, tuple(found))


def _blocks_of(
    index: Index, begin: Places, end: Places, start_ns: int, end_ns: int
) -> list[int]:
    """Blocks that hold any of the row ranges and any time of [start_ns, end_ns)."""
    some = begin < end
    first = np.searchsorted(index.block_at, begin[some], "right") - 1
    last = np.searchsorted(index.block_at, end[some], "left")
    # One past each range closes it: blocks are those under at least one open range.
    depth = np.zeros(len(index.place) + 1, np.int64)
    np.add.at(depth, first, 1)
    np.add.at(depth, last, -1)
    needed = np.flatnonzero(np.cumsum(depth)[:-1])
    return [b for b in needed.tolist() if index.low[b] < end_ns and index.high[b] >= start_ns]


def _decoded(fd: int, index: Index, block: int) -> Columns | None:
    lengths = index.lengths[block].tolist()
    try:
        data = os.pread(fd, sum(lengths), int(index.place[block]))
    except OSError:
        return None
    if zlib.crc32(data) != index.checksum[block]:
        return None
    bounds = pairwise(accumulate(lengths, initial=0))
    try:
        columns = tuple(standalone.simple_decompress(data[a:b]) for a, b in bounds)
    except (RuntimeError, TypeError):
        return None
    rows = index.block_at[block + 1] - index.block_at[block]
    return columns if all(c is not None and len(c) == rows for c in columns) else None


def _cut(
    columns: Columns,
    ranges: tuple[Places, Places],
    block: tuple[int, int],
    start_ns: int,
    end_ns: int,
) -> tuple[Any, ...] | None:
    """(which, *columns) of the rows of a block [first, last) that are asked for."""
    (begin, end), (first, last) = ranges, block
    low = int(np.searchsorted(end, first, "right"))
    high = int(np.searchsorted(begin, last, "left"))
    lo = np.maximum(begin[low:high], first) - first
    hi = np.minimum(end[low:high], last) - first
    sizes = np.maximum(hi - lo, 0)
    total = int(sizes.sum())
    if not total:
        return None
    which = np.repeat(np.arange(low, high), sizes)
    if total < len(columns[0]):
        skipped = np.cumsum(sizes) - sizes
        place = np.arange(total) + np.repeat(lo - skipped, sizes)
        columns = tuple(column[place] for column in columns)
    time = columns[0]
    if int(time.min()) >= start_ns and int(time.max()) < end_ns:
        return which, *columns
    inside = within(time, start_ns, end_ns)
    return (which[inside], *(column[inside] for column in columns)) if inside.any() else None


def within(time: Column, start_ns: int, end_ns: int) -> NDArray[np.bool_]:
    """Where *time* lies in [start_ns, end_ns), whatever integers these are."""
    low = max(start_ns, -(2**63))
    high = min(end_ns, 2**63)
    if low >= 2**63 or high <= -(2**63):
        return np.zeros(len(time), np.bool_)
    # The end may be 2**63, which is no int64: compare with the last instant inside.
    inside: NDArray[np.bool_] = (time >= low) & (time <= high - 1)
    return inside
