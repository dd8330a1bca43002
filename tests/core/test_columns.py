"""core.columns against core.summary: the same law, row by row."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core import columns, summary
from heliograph.core.samples import STALE_BITS

NUMBERS = st.one_of(
    st.integers(-1000, 1000).map(float),
    st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0, 1e308, -1e308]),
    st.floats(allow_nan=False, width=32),
)
SAMPLES = st.lists(NUMBERS, min_size=1, max_size=30)
STALE = float(np.uint64(STALE_BITS).view(np.float64))


def same(a: float, b: float) -> bool:
    """Equal, both NaN, or apart by rounding alone."""
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    return a == b or math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-6)


def largest(one: summary.Summary) -> float:
    return max(map(abs, (one.low, one.high, one.total)))


def assert_same(got: summary.Summary, expected: summary.Summary) -> None:
    huge = [abs(x) > 1e300 for x in (expected.low, expected.high, expected.total)]
    for field, a, b in zip(summary.Summary._fields, got, expected, strict=True):
        # Near the largest float, the order of adding decides between a number and infinity.
        if field in {"total", "increase"} and any(huge):
            continue
        # And between the last digits everywhere.
        if field in {"total", "increase"} and abs(a - b) <= 1e-12 * largest(expected):
            continue
        assert same(a, b), (field, got, expected)


def table(groups: list[list[float]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    value = np.array([v for group in groups for v in group], np.float64)
    starts = np.cumsum([0, *(len(group) for group in groups[:-1])]).astype(np.intp)
    return np.arange(len(value), dtype=np.int64) * 7, value, starts


@given(st.lists(SAMPLES, min_size=1, max_size=6))
def test_of_samples_is_the_summary_of_each_group(groups):
    at_ns, value, starts = table(groups)
    got = columns.of_samples(at_ns, value, starts, at_ns[starts])
    place = 0
    for group, row in zip(groups, got.summaries(), strict=True):
        expected = summary.of_samples([((place + i) * 7, v) for i, v in enumerate(group)])
        assert_same(row, expected)
        place += len(group)


@given(st.lists(SAMPLES, min_size=1, max_size=6), st.data())
def test_merging_rows_is_merging_summaries(groups, data):
    at_ns, value, starts = table(groups)
    rows = columns.of_samples(at_ns, value, starts, at_ns[starts])
    first = data.draw(st.lists(st.booleans(), min_size=len(groups), max_size=len(groups)))
    coarse = np.flatnonzero([True, *first[1:]])
    got = columns.merge_rows(rows, coarse, at_ns[starts][coarse])
    summaries = list(rows.summaries())
    ends = [*coarse[1:].tolist(), len(summaries)]
    for begin, end, row in zip(coarse.tolist(), ends, got.summaries(), strict=True):
        expected = summary.EMPTY
        for one in summaries[begin:end]:
            expected = summary.merge(expected, one)
        assert_same(row, expected)


@given(SAMPLES, SAMPLES, st.integers(-200, 200))
def test_merging_pairs_is_merging_summaries_even_where_they_overlap(a, b, shift):
    def rows(values, at):
        at_ns, value, starts = table([values])
        return columns.of_samples(at_ns + at, value, starts, at_ns[starts])

    x, y = rows(a, 0), rows(b, shift)
    expected = summary.merge(*(next(iter(r.summaries())) for r in (x, y)))
    assert_same(next(columns.merge_pairs(x, y).summaries()), expected)


def test_stale_markers_are_not_counted():
    value = np.array([1.0, STALE, 3.0, STALE])
    starts = np.array([0, 3], np.intp)
    got = columns.of_samples(np.arange(4), value, starts, starts)

    assert list(got.summaries()) == [summary.of_samples([(0, 1.0), (2, 3.0)]), summary.EMPTY]


@pytest.mark.parametrize(
    ("agg", "expected"),
    [
        ("mean", [2.0, math.nan]),
        ("sum", [6.0, math.nan]),
        ("min", [1.0, math.nan]),
        ("max", [3.0, math.nan]),
        ("count", [4.0, 1.0]),
        ("last", [2.0, math.nan]),
        ("increase", [4.0, math.nan]),
    ],
)
def test_points_leave_nan_out_and_count_it(agg, expected):
    value = np.array([1.0, 3.0, math.nan, 2.0, math.nan])
    starts, start_ns = columns.windows(np.array([0, 1, 2, 3, 10]), 10)
    got = columns.points(columns.of_samples(np.arange(5), value, starts, start_ns), agg)

    assert start_ns.tolist() == [0, 10]
    np.testing.assert_array_equal(got, expected)


def test_an_unknown_aggregate_is_an_error():
    with pytest.raises(ValueError, match="p42"):
        columns.points(columns.empty(np.empty(0, np.int64)), "p42")


@given(st.lists(SAMPLES, min_size=1, max_size=5), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_quantiles_are_numpys_over_what_is_not_nan(groups, share):
    _, value, starts = table(groups)
    got = columns.quantile(value, starts, share).tolist()
    for group, one in zip(groups, got, strict=True):
        kept = [v for v in group if not math.isnan(v)]
        if not kept:
            assert math.isnan(one)
        elif not any(abs(v) > 1e300 for v in kept):
            assert same(one, float(np.quantile(kept, share)))


def test_windows_align_to_the_epoch_also_before_it():
    starts, start_ns = columns.windows(np.array([-11, -1, 0, 9, 10], np.int64), 10)

    assert starts.tolist() == [0, 1, 2, 4]
    assert start_ns.tolist() == [-20, -10, 0, 10]
