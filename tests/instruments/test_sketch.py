"""The sketch: within its error, merged as if it were one, bounded, and true to its bytes."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.instruments.sketch import QuantileSketch

finite = st.floats(allow_nan=False, allow_infinity=False)
QS = (0.0, 0.01, 0.25, 0.5, 0.9, 0.99, 1.0)


def of(values, **options):
    sketch = QuantileSketch(**options)
    for value in values:
        sketch.add(value)
    return sketch


def true_quantile(values, q):
    return sorted(values)[math.floor(q * (len(values) - 1))]


@given(st.lists(finite, min_size=1, max_size=200), st.sampled_from((0.01, 0.05, 0.001)))
def test_every_answer_is_within_the_error(values, error):
    sketch = of(values, relative_error=error, buckets_max=100_000)

    for q in QS:
        true = true_quantile(values, q)
        # Half a unit in the last place, and what one logarithm rounds.
        assert math.isclose(
            sketch.quantile(q), true, rel_tol=error * (1 + 1e-6), abs_tol=5e-324
        )


@given(st.lists(st.lists(st.floats(width=32), max_size=30), max_size=5))
def test_parts_merge_to_the_whole(parts):
    whole = of([value for part in parts for value in part])
    merged = QuantileSketch()
    for part in parts:
        merged.merge(of(part))

    assert [merged.count, merged.nans, merged.measured] == [
        whole.count,
        whole.nans,
        whole.measured,
    ]
    assert repr(merged.quantiles(QS)) == repr(whole.quantiles(QS))


@given(st.lists(st.floats(), max_size=50))
def test_bytes_are_the_sketch(values):
    sketch = of(values)
    again = QuantileSketch.from_bytes(sketch.to_bytes())

    assert again.to_bytes() == sketch.to_bytes()
    assert repr(again.quantiles(QS)) == repr(sketch.quantiles(QS))
    assert (again.count, repr(again.sum)) == (sketch.count, repr(sketch.sum))


def test_what_is_no_number_has_its_own_count():
    sketch = of([math.nan, -math.inf, -1.0, -0.0, 0.0, 1.0, math.inf, math.nan])

    assert (sketch.count, sketch.nans, sketch.measured) == (8, 2, 6)
    assert sketch.quantile(0) == -math.inf
    assert sketch.quantile(0.5) == 0.0
    assert sketch.quantile(1) == math.inf
    assert (sketch.low, sketch.high) == (-math.inf, math.inf)
    assert math.isnan(sketch.sum)


def test_an_empty_one_has_no_answer():
    sketch = QuantileSketch()

    assert math.isnan(sketch.quantile(0.5))
    assert math.isnan(sketch.low)
    assert math.isnan(sketch.high)
    assert (sketch.count, sketch.sum) == (0, 0.0)


def test_only_nan_has_no_answer_either():
    assert math.isnan(of([math.nan]).quantile(1.0))


def test_memory_is_bounded_and_the_tail_keeps_its_precision():
    values = [10.0 ** (n / 50) for n in range(-5000, 5000)]
    sketch = of(values, buckets_max=256)

    assert len(sketch.positive) <= 256
    assert sketch.collapsed > 0
    assert sketch.count == len(values)
    for q in (0.99, 0.999):
        true = true_quantile(values, q)
        assert math.isclose(sketch.quantile(q), true, rel_tol=0.01000001)


def test_it_may_be_merged_into_itself():
    sketch = of([1.0, 2.0])
    sketch.merge(sketch)

    assert (sketch.count, sketch.sum, sketch.quantile(1)) == (4, 6.0, 2.0)


def test_another_precision_is_refused():
    with pytest.raises(ValueError, match="cannot be merged"):
        QuantileSketch().merge(QuantileSketch(relative_error=0.02))


@pytest.mark.parametrize("error", [0.0, 1.0, -0.1, math.nan, 1e-9])
def test_an_impossible_error_is_refused(error):
    with pytest.raises(ValueError, match="relative error"):
        QuantileSketch(relative_error=error)


@pytest.mark.parametrize("q", [-0.1, 1.1, math.nan])
def test_an_impossible_quantile_is_refused(q):
    with pytest.raises(ValueError, match="quantile"):
        of([1.0]).quantile(q)


@given(st.binary(max_size=200))
def test_other_bytes_are_refused(raw):
    with pytest.raises(ValueError, match="sketch|relative|buckets"):
        QuantileSketch.from_bytes(raw)


def test_damaged_bytes_are_refused_or_another_sketch():
    raw = of([1.0, -2.0, math.inf]).to_bytes()
    for cut in range(len(raw)):
        with pytest.raises(ValueError, match="sketch"):
            QuantileSketch.from_bytes(raw[:cut])
    with pytest.raises(ValueError, match="behind"):
        QuantileSketch.from_bytes(raw + b"\0")
    huge = raw[:-16] + struct.pack("<I", 2**32 - 1) + raw[-12:]
    with pytest.raises(ValueError, match="sketch"):
        QuantileSketch.from_bytes(huge)
