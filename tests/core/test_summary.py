"""The law of core.summary: any split of the samples, merged in any order, gives one answer."""

import math
from functools import reduce
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.summary import EMPTY, Summary, merge, of_sample, of_samples

# Whole numbers: sums are exact, so that equality is equality.
NUMBERS = st.one_of(st.integers(-1000, 1000).map(float), st.sampled_from([math.nan, math.inf]))
SAMPLES = st.lists(st.tuples(st.integers(0, 50), NUMBERS), max_size=12)
SUMMARIES = SAMPLES.map(lambda samples: of_samples(sorted(samples, key=lambda s: s[0])))


def unordered(of: Summary) -> tuple:
    """All but `increase`, whose law asks for parts that do not overlap; NaN made comparable."""
    fields = of._replace(increase=0.0)
    return tuple("NaN" if value != value else value for value in fields)


@given(SUMMARIES, SUMMARIES, SUMMARIES)
def test_merge_is_associative_and_commutative_with_an_identity(a, b, c):
    assert unordered(merge(merge(a, b), c)) == unordered(merge(a, merge(b, c)))
    assert unordered(merge(a, b)) == unordered(merge(b, a))
    assert unordered(merge(a, EMPTY)) == unordered(merge(EMPTY, a)) == unordered(a)


@given(SUMMARIES, SUMMARIES)
def test_increase_does_not_depend_on_which_part_is_named_first(a, b):
    x, y = merge(a, b).increase, merge(b, a).increase
    assert x == y or (math.isnan(x) and math.isnan(y))


@given(st.lists(st.integers(-1000, 1000).map(float), max_size=20), st.data())
def test_increase_is_exact_for_any_split_in_time_order(values, data):
    cut = data.draw(st.integers(0, len(values)))
    samples = list(enumerate(values))
    whole = of_samples(samples)

    assert merge(of_samples(samples[:cut]), of_samples(samples[cut:])) == whole
    assert whole.increase == sum(
        later - earlier if later >= earlier else later for earlier, later in pairwise(values)
    )


@given(st.permutations([of_sample(at, float(at % 3)) for at in range(6)]))
def test_any_order_gives_first_last_and_extremes(parts):
    got = reduce(merge, parts, EMPTY)

    assert got[:9] == (6, 0, 6.0, 0.0, 2.0, 0, 0.0, 5, 2.0)


def test_nan_is_counted_and_left_out():
    assert of_samples([(1, math.nan), (2, 4.0)]) == Summary(
        2, 1, 4.0, 4.0, 4.0, 2, 4.0, 2, 4.0, 0.0
    )
    assert math.isnan(of_samples([(1, math.nan)]).mean)
    assert of_samples([(1, 2.0), (2, 4.0)]).mean == 3.0
