"""Columns of sums: kept and read they are the same, and merged they are a recount."""

from collections import defaultdict

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from heliograph.store.state import sum_columns, sum_groups
from heliograph.store.state.sum_columns import DURATION_MAX_NS
from heliograph.store.state.sum_groups import Counted, Part

INT64 = st.integers(-(2**63), 2**63 - 1)
NEAR = st.integers(-3, 3)
WIDE = st.one_of(NEAR, st.sampled_from([127, 128, -128, 255, 2**31, -(2**31), 2**40]), NEAR)
DURATION = st.one_of(NEAR, st.integers(-5, 5).map(lambda n: n * 10**9), st.integers(0, 2**62))
ROW = st.tuples(
    st.integers(480_000, 480_030), st.sampled_from(["", "w", "é"]), INT64, WIDE, WIDE, DURATION
)
ROWS = st.lists(ROW, min_size=1, max_size=20)


def rows_of(sums):
    return [
        (hour, sums.workloads[workload], int(sums.kinds[kind]), *rest)
        for hour, workload, kind, *rest in zip(
            *(column.tolist() for column in sums[:6]), strict=True
        )
    ]


def unpacked(sums):
    keys, numbers = sum_columns.packed(sums)
    return sum_columns.counted(sum_columns.unpacked(keys), numbers, None)


@given(ROWS)
def test_what_is_packed_is_unpacked(rows):
    sums = sum_columns.of(rows)
    assert rows_of(sums) == rows

    assert rows_of(unpacked(sums)) == rows
    keys, numbers = sum_columns.packed(sums)
    without = sum_columns.unpacked(keys)
    assert not without.counted
    assert rows_of(without) == [(*row[:3], 0, 0, 0) for row in rows]

    some = np.arange(0, len(rows), 2)
    of_some = sum_columns.counted(sum_columns.taken(without, some), numbers, some)
    assert rows_of(of_some) == rows[::2]


@given(st.lists(INT64, min_size=1, max_size=9))
def test_any_number_of_64_bits_is_kept(numbers):
    sums = sum_columns.of([(n, "w", 1, n, n, n) for n in numbers])
    read = unpacked(sums)
    assert read.hour.tolist() == read.duration_ns.tolist() == numbers


@given(st.lists(ROWS, min_size=1, max_size=4))
def test_what_is_joined_and_merged_is_a_recount(parts):
    read = [unpacked(sum_columns.of(rows)) for rows in parts]
    joined = sum_columns.joined(read)
    assert rows_of(joined) == [row for rows in parts for row in rows]

    recount = defaultdict(lambda: [0, 0, 0])
    for *key, firing, resolved, duration_ns in rows_of(joined):
        sums = recount[tuple(key)]
        sums[0] += firing
        sums[1] += resolved
        sums[2] += duration_ns
    recount = {key: sums for key, sums in recount.items() if any(sums)}
    found = rows_of(sum_columns.merged(joined))
    assert len(found) == len(recount)
    for *key, firing, resolved, duration_ns in found:
        expected = recount[tuple(key)]
        assert [firing, resolved] == expected[:2]
        # Beyond 64 bits it stays the most; near that it may.
        if abs(expected[2]) < DURATION_MAX_NS - 2**21:
            assert duration_ns == expected[2]
        elif abs(expected[2]) > DURATION_MAX_NS:
            assert duration_ns == (DURATION_MAX_NS if expected[2] > 0 else -DURATION_MAX_NS)


def test_sums_of_groups_are_exact_beyond_64_bits():
    most = DURATION_MAX_NS
    rows = [(1, "w", 1, 1, 1, most), (2, "w", 1, 1, 0, most), (3, "v", 1, 5, 0, -7)]
    sums = sum_columns.of(rows)
    parts = [Part(sums.workload, sums.workloads)]
    numbers, size = sum_groups.numbered(sums.rows, parts)
    assert sum_groups.count(numbers, size) == 2
    totals = sum_groups.summed(sums, numbers, size)
    found = sum_groups.ordered(totals, parts, numbers, size, begin=0, end=9)
    assert found == [Counted(("v",), 5, 0, -7), Counted(("w",), 2, 1, 2 * most)]


def test_durations_of_any_width_are_summed():
    """Whole nanoseconds from 0 on are kept as they are, in as few bytes as hold them."""
    for took_ns in (5, 501, 50_001, 2**31 + 1):
        sums = unpacked(
            sum_columns.of([(1, "w", 1, 1, 1, n) for n in (0, took_ns - 1, took_ns)])
        )
        numbers, size = sum_groups.numbered(sums.rows, [])
        totals = sum_groups.summed(sums, numbers, size)
        found = sum_groups.ordered(totals, [], numbers, size, begin=0, end=9)
        assert found == [Counted((), 3, 3, 2 * took_ns - 1)]


def test_groups_that_could_be_very_many_are_those_that_occur():
    n = 3000
    parts = [Part(np.arange(n), list(range(n))), Part(np.arange(n)[::-1], list(range(n)))]
    numbers, size = sum_groups.numbered(n, parts)
    assert size == n
    assert sum_groups.count(numbers, size) == n
