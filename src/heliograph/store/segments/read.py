"""Reading pieces out of the files and heads of one view."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from heliograph.core.labels import Labels
from heliograph.store.segments.file import Index, Lost, read_rows, within
from heliograph.store.segments.head import Head
from heliograph.store.segments.kept import Piece
from heliograph.store.segments.name import RAW, SegmentName
from heliograph.store.segments.pick import Pick

Ints = NDArray[np.int64]

# Rows decoded at a time from one file, whatever the query spans: bounds memory at some 100 MB.
READ_ROWS_MAX = 2_000_000


class Reading(NamedTuple):
    """What a query reads with.

    index_of    the index of a file; None when it is damaged, which is seen to. Raises
                FileNotFoundError when the file has left the store
    lost        told of a damaged block: file name, block, rows
    unpack      labels of packed labels
    """

    folder: Path
    index_of: Callable[[SegmentName], Index | None]
    lost: Lost
    unpack: Callable[[bytes], Labels]


def file_pieces(
    reading: Reading, name: SegmentName, pick: Pick, start_ns: int, end_of: Callable[[], int]
) -> Iterator[Piece]:
    """Rows of *name* from *start_ns* to `end_of()`, which may move to earlier on the way."""
    index = reading.index_of(name)
    if index is None:
        return
    positions, sids = pick.in_index(index)
    for begin, end in _portions(index, positions):
        end_ns = end_of()
        if end_ns <= max(start_ns, name.start_ns):
            return
        rows = read_rows(
            reading.folder / name.text,
            index,
            positions[begin:end],
            start_ns=start_ns,
            end_ns=end_ns,
            lost=reading.lost,
        )
        if rows is not None:
            yield Piece(name.kind, sids[begin:end][rows.which], rows.columns)


def _portions(index: Index, positions: Ints) -> Iterator[tuple[int, int]]:
    """Ranges of *positions* that hold at most READ_ROWS_MAX rows each, but one series at least."""
    if not len(positions):
        return
    rows = np.cumsum(index.row_at[positions + 1] - index.row_at[positions])
    begin = done = 0
    while begin < len(positions):
        end = max(begin + 1, int(np.searchsorted(rows, done + READ_ROWS_MAX, "right")))
        yield begin, end
        done = int(rows[end - 1])
        begin = end


def head_pieces(head: Head, pick: Pick, start_ns: int, end_ns: int) -> Iterator[Piece]:
    """Samples of *head* in [start_ns, end_ns), in the order of their arrival."""
    # Batches before series: a series is noted before its samples are published.
    batches = list(head.batches())
    table = pick.in_head(head) if batches else None
    if table is None:
        return
    for batch in batches:
        known = batch.series < len(table)
        sid = np.where(known, table[np.where(known, batch.series, 0)], -1)
        found = np.flatnonzero(sid >= 0)
        if len(found) and len(found) < len(sid):
            sid, at_ns, value = sid[found], batch.at_ns[found], batch.value[found]
        else:
            at_ns, value = batch.at_ns, batch.value
        if not len(found):
            continue
        inside = within(at_ns, start_ns, end_ns)
        if inside.any():
            yield Piece(RAW, sid, (at_ns, value)).where(inside)
