"""Rows of sums in groups: how many groups there are, and some of them in order.

    numbers, size = numbered(sums.rows, [Part(sums.workload, sums.workloads)])
    count(numbers, size)                                    groups that have a row
    totals = summed(sums, numbers, size)
    ordered(totals, parts, numbers, size, begin=0, end=50)  [(("w-1",), 3, 2, 7_000_000_000), …]

Those that fired most often come first; what comes to nothing is no group. Sums are exact: a float
holds 53 bits, so what has 64 is added up in halves.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from heliograph.store.state.sum_columns import Numbers, Sums

# Rows that are added up at once: so many halves of 32 bits are less than 53.
ROWS_MAX = 1 << 20
# Numbers of groups that are given without looking which of them occur, and more for each row.
_DENSE, _DENSE_A_ROW = 1 << 12, 8
_HALF = 32
_LOW = (1 << _HALF) - 1


class Part(NamedTuple):
    """One of what is grouped by: the *places* of each row, `(n,)`, in *values*, all different."""

    places: Numbers
    values: Sequence[str | int]


class Counted(NamedTuple):
    """A group: its value of each part, and its sums."""

    key: tuple[str | int, ...]
    firing: int
    resolved: int
    duration_ns: int


class Totals(NamedTuple):
    """Of each group that comes to something: its number, and its sums; durations in halves."""

    groups: Numbers
    firing: Numbers
    resolved: Numbers
    high: Numbers
    low: Numbers


def numbered(rows: int, parts: Sequence[Part]) -> tuple[Numbers, int]:
    """The number of each row's group, `(rows,)`, and what all of them are below."""
    numbers, size = np.zeros(rows, dtype=np.int64), 1
    for part in parts:
        numbers = numbers * len(part.values) + part.places
        size *= max(1, len(part.values))
        if size > _DENSE + _DENSE_A_ROW * rows:
            occurring, numbers = np.unique(numbers, return_inverse=True)
            size = len(occurring)
    return numbers, size


def count(numbers: Numbers, size: int) -> int:
    """How many groups have a row. It is how many come to something where no row is nothing."""
    there = np.zeros(size, dtype=np.bool_)
    there[numbers] = True
    return int(np.count_nonzero(there))


def summed(sums: Sums, numbers: Numbers, size: int) -> Totals:
    """What each group comes to."""
    firing = _summed(sums.firing, numbers, size)
    resolved = _summed(sums.resolved, numbers, size)
    # A column as narrow as it was kept has no halves.
    took_ns = sums.duration_ns.astype(np.int64, copy=False)
    low = _summed(took_ns & _LOW, numbers, size)
    high = _summed(took_ns >> _HALF, numbers, size) + (low >> _HALF)
    low &= _LOW
    groups = np.flatnonzero(firing | resolved | high | low)
    return Totals(groups, firing[groups], resolved[groups], high[groups], low[groups])


def ordered(
    totals: Totals,
    parts: Sequence[Part],
    numbers: Numbers,
    size: int,
    *,
    begin: int,
    end: int,
    falling: int | None = None,
) -> list[Counted]:
    """Groups `[begin, end)`: those that fired most often first, then those resolved, then those that
    took longest, then by key. With *falling*, the greatest of that part before all else."""
    of_row = np.zeros(size, dtype=np.int64)
    of_row[numbers] = np.arange(len(numbers))
    groups, firing, resolved, high, low = totals
    places = [part.places[of_row[groups]] for part in parts]
    ranks = [_ranks(part.values)[at] for part, at in zip(parts, places, strict=True)]
    first = [] if falling is None else [-ranks[falling]]
    order = np.lexsort((*reversed(ranks), -low, -high, -resolved, -firing, *first))
    chosen = order[begin:end]
    keys = [
        [part.values[at] for at in of_part[chosen].tolist()]
        for part, of_part in zip(parts, places, strict=True)
    ]
    sums_of = zip(
        *(column[chosen].tolist() for column in (firing, resolved, high, low)), strict=True
    )
    return [
        Counted(tuple(of_part[n] for of_part in keys), fired, over, (hi << _HALF) + lo)
        for n, (fired, over, hi, lo) in enumerate(sums_of)
    ]


def _ranks(values: Sequence[str | int]) -> Numbers:
    """The place of each of *values* when they are sorted."""
    ranks = np.empty(len(values), dtype=np.int64)
    ranks[sorted(range(len(values)), key=values.__getitem__)] = np.arange(len(values))
    return ranks


def _summed(column: Numbers, numbers: Numbers, size: int) -> Numbers:
    """The sum of *column* for each number below *size*."""
    total = np.zeros(size, dtype=np.int64)
    for begin in range(0, len(column), ROWS_MAX):
        some = slice(begin, begin + ROWS_MAX)
        total += np.bincount(numbers[some], column[some], size).astype(np.int64)
    return total
