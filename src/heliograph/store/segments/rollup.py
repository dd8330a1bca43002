"""Rows of roll-ups: out of samples, out of finer rows, and with late samples folded in.

A row begins at its bucket, or at the instant inside the bucket at which the series' owner changed
(a cut), so that no row is of two owners. On disk `first_at_ns` and `last_at_ns` are kept relative
to `start_ns`, which compresses better; the subtraction may wrap, and wraps back.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from heliograph.core.columns import (
    SummaryColumns,
    concatenate,
    empty,
    group_starts,
    merge_pairs,
    merge_rows,
    of_samples,
)
from heliograph.store.segments.file import Columns
from heliograph.store.segments.name import HOUR_NS, MINUTE_NS
from heliograph.store.segments.order import collapsing

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Cuts = Mapping[int, Sequence[int]]

NO_ROWS = empty(np.empty(0, np.int64))


def to_columns(rows: SummaryColumns) -> Columns:
    """*rows* as a segment file holds them."""
    return tuple(
        rows._replace(
            first_at_ns=rows.first_at_ns - rows.start_ns,
            last_at_ns=rows.last_at_ns - rows.start_ns,
        )
    )


def of_columns(columns: Columns) -> SummaryColumns:
    """The rows that `to_columns` wrote."""
    rows = SummaryColumns._make(columns)
    return rows._replace(
        first_at_ns=rows.first_at_ns + rows.start_ns, last_at_ns=rows.last_at_ns + rows.start_ns
    )


def minute_rows(
    sid: Ints, at_ns: Ints, value: Floats, cuts: Cuts
) -> tuple[Ints, SummaryColumns]:
    """(sid, rows) of 1 m buckets of samples that are sorted by (sid, at_ns) and unique.

    *cuts* maps a sid to ascending instants. A bucket of stale markers alone has no row.
    """
    start_ns = _row_starts(sid, at_ns, MINUTE_NS, cuts)
    starts = group_starts(sid, start_ns)
    rows = of_samples(at_ns, value, starts, start_ns[starts])
    some = rows.count > 0
    return sid[starts][some], rows.take(some)


def hour_rows(sid: Ints, rows: SummaryColumns, cuts: Cuts) -> tuple[Ints, SummaryColumns]:
    """(sid, rows) of 1 h buckets of finer *rows* that are sorted by (sid, start_ns)."""
    start_ns = _row_starts(sid, rows.start_ns, HOUR_NS, cuts)
    starts = group_starts(sid, start_ns)
    return sid[starts], merge_rows(rows, starts, start_ns[starts])


def fold(
    sid: Ints, rows: SummaryColumns, more_sid: Ints, more: SummaryColumns
) -> tuple[Ints, SummaryColumns]:
    """(sid, rows) of both, sorted by (sid, start_ns); rows of one start become one.

    Starts are unique in each of the two.
    """
    all_sid = np.concatenate([sid, more_sid])
    both = concatenate([rows, more])
    order = np.lexsort((both.start_ns, all_sid))
    all_sid, both = all_sid[order], both.take(order)
    starts = group_starts(all_sid, both.start_ns)
    result = both.take(starts)
    twice = np.diff(np.append(starts, len(all_sid))) == 2
    if twice.any():
        merged = merge_pairs(both.take(starts[twice]), both.take(starts[twice] + 1))
        for column, new in zip(result, merged, strict=True):
            column[twice] = new
    return all_sid[starts], result


def cuts_of_rows(sid: Ints, start_ns: Ints, width_ns: int) -> dict[int, list[int]]:
    """The instants at which rows begin within a bucket: so late samples find the row they are of."""
    inside = start_ns % width_ns != 0
    found: dict[int, list[int]] = {}
    for number, start in zip(sid[inside].tolist(), start_ns[inside].tolist(), strict=True):
        found.setdefault(number, []).append(start)
    return found


def joined_cuts(a: Cuts, b: Cuts) -> dict[int, list[int]]:
    """The cuts of both, ascending."""
    return {sid: sorted({*a.get(sid, ()), *b.get(sid, ())}) for sid in {*a, *b}}


def sorted_samples(sid: Ints, at_ns: Ints, value: Floats) -> tuple[Ints, Ints, Floats]:
    """The samples by (sid, at_ns), of equals the last."""
    order = collapsing(sid, at_ns)
    return (sid, at_ns, value) if order is None else (sid[order], at_ns[order], value[order])


def _row_starts(sid: Ints, at_ns: Ints, width_ns: int, cuts: Cuts) -> Ints:
    start_ns = at_ns - at_ns % width_ns
    for number, instants in cuts.items():
        if not instants:
            continue
        begin, end = np.searchsorted(sid, (number, number + 1)).tolist()
        cut = np.array(instants, np.int64)
        place = np.searchsorted(cut, at_ns[begin:end], "right") - 1
        latest = np.where(place >= 0, cut[place], start_ns[begin:end])
        start_ns[begin:end] = np.maximum(start_ns[begin:end], latest)
    return start_ns
