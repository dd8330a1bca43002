"""Select: one view of the store, a query over it, series with their samples and rows.

Sources are read in the order of time. When there is more than `samples_max`, the query ends
earlier, at the first instant that no longer fits: everything before it is complete, so a caller
pages on with it as the next start.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from heliograph.core.columns import SummaryColumns
from heliograph.core.labels import Labels
from heliograph.core.matcher import Matcher
from heliograph.store.segments import late, rollup
from heliograph.store.segments.file import Columns
from heliograph.store.segments.kept import Kept, first_left_out
from heliograph.store.segments.name import RAW
from heliograph.store.segments.pick import Pick
from heliograph.store.segments.read import Reading, file_pieces, head_pieces
from heliograph.store.segments.rolling import CutsOf
from heliograph.store.segments.view import View

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

NO_SAMPLES: Columns = (np.empty(0, np.int64), np.empty(0, np.float64))


class Series(NamedTuple):
    """What the store holds of one series in the range asked for.

    rows     roll-up rows before the raw floor, by start; a row belongs to the instant it begins
    at_ns    (n,) ascending, all at or after the raw floor
    value    (n,) bit for bit as sent, stale markers and NaN included
    """

    labels: Labels
    rows: SummaryColumns
    at_ns: Ints
    value: Floats


class Selection(NamedTuple):
    """series by labels; only those that have a sample or a row.

    raw_floor_ns       before it there are rows, at or after it samples
    minute_floor_ns    before it rows are of 1 h, at or after it of 1 m
    next_ns            None, or the instant up to which this is complete because there was too
                       much; ask again from there
    """

    series: tuple[Series, ...]
    raw_floor_ns: int
    minute_floor_ns: int
    next_ns: int | None

    @property
    def truncated(self) -> bool:
        """Whether there is more from `next_ns` on."""
        return self.next_ns is not None


def select(
    view: View,
    reading: Reading,
    matchers: Sequence[Matcher],
    *,
    start_ns: int,
    end_ns: int,
    samples_max: int,
    cuts_of: CutsOf | None = None,
) -> Selection:
    """Series that fulfil *matchers* over [start_ns, end_ns).

    Raises FileNotFoundError when a file has left the store: ask again with a new view.
    """
    pick = Pick(matchers, reading.unpack)
    start_ns = max(start_ns, view.hour_floor_ns)
    kept = Kept(end_ns, samples_max)
    _read_rows(view, reading, pick, kept, start_ns)
    _read_raw(view, reading, pick, kept, start_ns)
    row_sid, rows = _rows(view, reading, pick, kept, start_ns, cuts_of)
    raw = kept.joined((RAW,), NO_SAMPLES)
    sid, at_ns, value = rollup.sorted_samples(raw.sid, *raw.columns)
    cut_ns = kept.end_ns if kept.cut else None
    if len(sid) + len(row_sid) > samples_max:
        cut_ns = first_left_out(np.concatenate([at_ns, rows.start_ns]), samples_max)
    if cut_ns is not None:
        inside, row_inside = at_ns < cut_ns, rows.start_ns < cut_ns
        sid, at_ns, value = sid[inside], at_ns[inside], value[inside]
        row_sid, rows = row_sid[row_inside], rows.take(row_inside)
    series = _by_series(pick, reading, (sid, at_ns, value), (row_sid, rows))
    return Selection(series, view.raw_floor_ns, view.minute_floor_ns, cut_ns)


def _read_rows(view: View, reading: Reading, pick: Pick, kept: Kept, start_ns: int) -> None:
    spans = (
        ("1h", start_ns, view.minute_floor_ns),
        ("1m", max(start_ns, view.minute_floor_ns), view.raw_floor_ns),
    )
    for kind, first_ns, last_ns in spans:
        for name in sorted(view.of_kind(kind), key=lambda name: name.start_ns):
            if not name.overlaps(first_ns, min(last_ns, kept.end_ns)):
                continue
            end_of = partial(_earlier, kept, last_ns)
            for piece in file_pieces(reading, name, pick, first_ns, end_of):
                kept.add((0, 0), piece)


def _earlier(kept: Kept, end_ns: int) -> int:
    return min(kept.end_ns, end_ns)


def _read_raw(view: View, reading: Reading, pick: Pick, kept: Kept, start_ns: int) -> None:
    first_ns = max(start_ns, view.raw_floor_ns)
    for rank, head in enumerate(view.heads):
        for piece in head_pieces(head, pick, first_ns, kept.end_ns):
            kept.add((2**63, rank), piece)
    for name in sorted(view.raw(), key=lambda name: name.start_ns):
        if name.overlaps(first_ns, kept.end_ns):
            for piece in file_pieces(reading, name, pick, first_ns, lambda: kept.end_ns):
                kept.add((name.last_seq, name.serial), piece)


def _rows(
    view: View,
    reading: Reading,
    pick: Pick,
    kept: Kept,
    start_ns: int,
    cuts_of: CutsOf | None,
) -> tuple[Ints, SummaryColumns]:
    """(sid, rows) by sid and start, with the late samples that no roll-up has yet."""
    found: list[tuple[Ints, SummaryColumns]] = []
    spans = (
        ("1h", start_ns, min(kept.end_ns, view.minute_floor_ns)),
        ("1m", max(start_ns, view.minute_floor_ns), min(kept.end_ns, view.raw_floor_ns)),
    )
    for kind, first_ns, last_ns in spans:
        piece = kept.joined((kind,), rollup.to_columns(rollup.NO_ROWS))
        sid, rows = piece.sid, rollup.of_columns(piece.columns)
        order = np.lexsort((rows.start_ns, sid))
        sid, rows = sid[order], rows.take(order)
        if first_ns < last_ns:
            span = (first_ns, last_ns)
            sid, rows = late.joined(view, reading, pick, kind, span, (sid, rows), cuts_of)
        found.append((sid, rows))
    (hour_sid, hours), (minute_sid, minutes) = found
    return rollup.fold(hour_sid, hours, minute_sid, minutes)


def _by_series(
    pick: Pick,
    reading: Reading,
    raw: tuple[Ints, Ints, Floats],
    rolled: tuple[Ints, SummaryColumns],
) -> tuple[Series, ...]:
    sid, at_ns, value = raw
    row_sid, rows = rolled
    numbers = np.arange(len(pick.packed) + 1)
    raw_at = np.searchsorted(sid, numbers).tolist()
    row_at = np.searchsorted(row_sid, numbers).tolist()
    series = [
        Series(
            reading.unpack(packed),
            rows.take(slice(row_at[n], row_at[n + 1]))
            if row_at[n] < row_at[n + 1]
            else rollup.NO_ROWS,
            at_ns[raw_at[n] : raw_at[n + 1]],
            value[raw_at[n] : raw_at[n + 1]],
        )
        for n, packed in enumerate(pick.packed)
        if raw_at[n] < raw_at[n + 1] or row_at[n] < row_at[n + 1]
    ]
    return tuple(sorted(series, key=lambda one: one.labels))
