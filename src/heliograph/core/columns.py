"""Columns of summaries: the numpy twin of `core.summary`, for many rows at once. Server side.

    SummaryColumns(start_ns, count, nans, total, low, high, first_at_ns, first, …)   each (n,)

Row *i* is the `Summary` of the samples of one series that fall into the bucket that begins at
`start_ns[i]`. The law is core.summary's; tests/core/test_columns.py holds the two together. What
numpy adds up in another order may differ in the last bits of `total` and `increase`.

Groups are written as numpy's reduceat wants them: `starts` (m,) are the positions at which the m
groups begin, ascending, the first is 0, and no group is empty.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from heliograph.core.samples import is_stale
from heliograph.core.summary import EMPTY, Summary

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

AGGREGATES = ("mean", "sum", "min", "max", "count", "last", "increase")
QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}


class SummaryColumns(NamedTuple):
    """*n* summaries as columns, named and meant as the fields of `Summary`.

    start_ns    (n,) int64, where the bucket (or the part of it that one owner had) begins
    """

    start_ns: Ints
    count: Ints  # type: ignore[assignment]  # hides tuple.count, as Summary does
    nans: Ints
    total: Floats
    low: Floats
    high: Floats
    first_at_ns: Ints
    first: Floats
    last_at_ns: Ints
    last: Floats
    increase: Floats

    @property
    def rows(self) -> int:
        """Number of summaries."""
        return len(self.start_ns)

    def take(self, which: slice | NDArray[np.intp] | NDArray[np.bool_]) -> "SummaryColumns":
        """The rows that *which* indexes, in its order."""
        return SummaryColumns._make(column[which] for column in self)

    def summaries(self) -> Iterator[Summary]:
        """Each row as the `Summary` that it is."""
        for row in zip(*(column.tolist() for column in self[1:]), strict=True):
            yield Summary(*row)


def empty(start_ns: Ints) -> SummaryColumns:
    """Rows that summarise nothing (core.summary.EMPTY), beginning at *start_ns*."""
    columns = (
        np.full(len(start_ns), nothing, np.int64 if isinstance(nothing, int) else np.float64)
        for nothing in EMPTY
    )
    return SummaryColumns._make((start_ns, *columns))


def concatenate(parts: list[SummaryColumns]) -> SummaryColumns:
    """One table of all rows of *parts*, in order."""
    if not parts:
        return empty(np.empty(0, np.int64))
    return SummaryColumns._make(map(np.concatenate, zip(*parts, strict=True)))


def windows(at_ns: Ints, step_ns: int) -> tuple[NDArray[np.intp], Ints]:
    """(starts, start_ns) of the groups of ascending *at_ns* that share a window of *step_ns*.

    Windows align to the epoch: at_ns - at_ns % step_ns.
    """
    window_ns = at_ns - at_ns % step_ns
    starts = group_starts(window_ns)
    return starts, window_ns[starts]


def group_starts(*keys: NDArray[np.int64]) -> NDArray[np.intp]:
    """Positions at which any of the equally long *keys* differs from the row before, and 0."""
    if not len(keys[0]):
        return np.empty(0, np.intp)
    changes = keys[0][1:] != keys[0][:-1]
    for key in keys[1:]:
        changes |= key[1:] != key[:-1]
    return np.concatenate([np.zeros(1, np.intp), np.flatnonzero(changes) + 1])


def of_samples(
    at_ns: Ints, value: Floats, starts: NDArray[np.intp], start_ns: Ints
) -> SummaryColumns:
    """The summary of each group of samples; a group's samples are of one series, ascending.

    Stale markers are left out: a group of nothing else gives a row of count 0.
    """
    result = empty(start_ns)
    if not len(starts):
        return result
    nan = np.isnan(value)
    counted = ~is_stale(value)
    result.count[:] = np.add.reduceat(counted, starts, dtype=np.int64)
    result.nans[:] = np.add.reduceat(counted & nan, starts, dtype=np.int64)
    some, begin, end = _measured(~nan, starts)
    if not len(some):
        return result
    if nan.any():
        at_ns, value = at_ns[~nan], value[~nan]
    with np.errstate(invalid="ignore", over="ignore"):
        result.total[some] = np.add.reduceat(value, begin)
        step = np.zeros(len(value))
        step[1:] = _growth(value[:-1], value[1:])
        step[begin] = 0.0
        result.increase[some] = np.add.reduceat(step, begin)
    result.low[some] = np.minimum.reduceat(value, begin)
    result.high[some] = np.maximum.reduceat(value, begin)
    result.first_at_ns[some] = at_ns[begin]
    result.first[some] = value[begin]
    result.last_at_ns[some] = at_ns[end - 1]
    result.last[some] = value[end - 1]
    return result


def merge_rows(
    columns: SummaryColumns, starts: NDArray[np.intp], start_ns: Ints
) -> SummaryColumns:
    """The summary of each group of rows: one series, in time order, not overlapping."""
    result = empty(start_ns)
    if not len(starts):
        return result
    result.count[:] = np.add.reduceat(columns.count, starts)
    result.nans[:] = np.add.reduceat(columns.nans, starts)
    measured = columns.count > columns.nans
    some, begin, end = _measured(measured, starts)
    if not len(some):
        return result
    rows = columns if measured.all() else columns.take(measured)
    with np.errstate(invalid="ignore", over="ignore"):
        result.total[some] = np.add.reduceat(rows.total, begin)
        step = np.zeros(rows.rows)
        step[1:] = _growth(rows.last[:-1], rows.first[1:])
        step[begin] = 0.0
        result.increase[some] = np.add.reduceat(rows.increase + step, begin)
    result.low[some] = np.minimum.reduceat(rows.low, begin)
    result.high[some] = np.maximum.reduceat(rows.high, begin)
    result.first_at_ns[some] = rows.first_at_ns[begin]
    result.first[some] = rows.first[begin]
    result.last_at_ns[some] = rows.last_at_ns[end - 1]
    result.last[some] = rows.last[end - 1]
    return result


def merge_pairs(a: SummaryColumns, b: SummaryColumns) -> SummaryColumns:
    """`summary.merge` of row *i* of *a* and row *i* of *b*; `start_ns` is that of *a*."""
    a_last = _sample_less(b.last_at_ns, b.last, a.last_at_ns, a.last)
    b_first = _sample_less(b.first_at_ns, b.first, a.first_at_ns, a.first)
    tie = (a.first_at_ns == b.first_at_ns) & (a.first == b.first)
    b_first |= tie & a_last
    with np.errstate(invalid="ignore", over="ignore"):
        step = _growth(np.where(b_first, b.last, a.last), np.where(b_first, a.first, b.first))
        both = (a.count > a.nans) & (b.count > b.nans)
        increase = a.increase + b.increase + np.where(both, step, 0.0)
        total = a.total + b.total
    return SummaryColumns(
        start_ns=a.start_ns,
        count=a.count + b.count,
        nans=a.nans + b.nans,
        total=total,
        low=np.minimum(a.low, b.low),
        high=np.maximum(a.high, b.high),
        first_at_ns=np.where(b_first, b.first_at_ns, a.first_at_ns),
        first=np.where(b_first, b.first, a.first),
        last_at_ns=np.where(a_last, a.last_at_ns, b.last_at_ns),
        last=np.where(a_last, a.last, b.last),
        increase=increase,
    )


def points(columns: SummaryColumns, agg: str) -> Floats:
    """(n,) the value of *agg* (one of AGGREGATES) for each row.

    A row that holds NaN alone has the value NaN, but `count` counts it. Raises ValueError.
    """
    measured = columns.count - columns.nans
    match agg:
        case "count":
            return columns.count.astype(np.float64)
        case "mean":
            value = columns.total / np.maximum(measured, 1)
        case "sum":
            value = columns.total
        case "min":
            value = columns.low
        case "max":
            value = columns.high
        case "last":
            value = columns.last
        case "increase":
            value = columns.increase
        case _:
            raise ValueError(f"unknown aggregate {agg!r}")
    return np.where(measured > 0, value, np.nan)


def quantile(value: Floats, starts: NDArray[np.intp], share: float) -> Floats:
    """(m,) the quantile at *share* (0..1) of each group, linear between neighbours.

    NaN (so stale markers too) is left out; a group of nothing else has NaN.
    """
    result = np.full(len(starts), np.nan)
    if not len(starts):
        return result
    measured = ~np.isnan(value)
    some, begin, end = _measured(measured, starts)
    group = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(value))))
    kept = value[measured]
    kept = kept[np.lexsort((kept, group[measured]))]
    place = begin + (end - begin - 1) * share
    below = np.floor(place).astype(np.intp)
    above = np.minimum(below + 1, end - 1)
    low, high = kept[below], kept[above]
    with np.errstate(invalid="ignore", over="ignore"):
        # An infinite neighbour of no weight would make NaN of the value that is meant.
        exact = (low == high) | (place == below)
        result[some] = np.where(exact, low, low + (high - low) * (place - below))
    return result


def _measured(
    measured: NDArray[np.bool_], starts: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Of the groups that measured anything: which, and their [begin, end) once the rest is cut."""
    sizes = np.add.reduceat(measured, starts, dtype=np.intp)
    end = np.cumsum(sizes)
    some = np.flatnonzero(sizes)
    return some, (end - sizes)[some], end[some]


def _growth(before: Floats, after: Floats) -> Floats:
    """What a counter grew from *before* to *after*, a fall read as a reset to 0."""
    step = after - before
    # inf - inf is NaN, which is not >= 0: the twin of summary.merge takes `after` then, too.
    return np.where(step >= 0, step, after)


def _sample_less(at_a: Ints, a: Floats, at_b: Ints, b: Floats) -> NDArray[np.bool_]:
    """Whether (at_a, a) < (at_b, b), row by row."""
    less: NDArray[np.bool_] = (at_a < at_b) | ((at_a == at_b) & (a < b))
    return less
