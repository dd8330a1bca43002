"""The robust z-score against a key's own past."""

import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.rules.anomaly import FLOOR, SCALE, Past, is_anomalous, median, robust_z


def test_median():
    assert [median([1]), median([1, 3]), median([1, 2, 9])] == [1, 2.0, 2]


def test_the_score_of_a_spike_is_high_and_the_next_spike_is_not_hidden():
    past = [1.0, 1.1, 0.9, 1.05, 0.95, 1.0, 50.0, 1.02]
    assert robust_z(50.0, past) > 100
    assert abs(robust_z(1.08, past)) < 2


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40), st.floats(-1e6, 1e6))
def test_the_score_is_that_of_its_definition(past, value):
    middle = statistics.median(past)
    spread = statistics.median(abs(x - middle) for x in past)
    expected = SCALE * (value - middle) / max(spread, abs(middle) * FLOOR * SCALE, 1e-12)
    assert robust_z(value, past) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_a_past_that_does_not_vary_has_a_least_spread():
    assert robust_z(100.5, [100.0] * 20) == pytest.approx(0.5)
    assert robust_z(200.0, [100.0] * 20) == pytest.approx(100.0)
    assert math.isfinite(robust_z(1.0, [0.0] * 20))


@pytest.mark.parametrize(
    ("z", "direction", "expected"),
    [
        (7, "up", True),
        (6, "up", False),
        (-7, "up", False),
        (-7, "down", True),
        (-7, "both", True),
    ],
)
def test_directions(z, direction, expected):
    assert is_anomalous(z, limit=6, direction=direction) is expected


def test_a_decaying_loss_has_no_spike_until_it_has_one():
    rnd = random.Random(4)
    past = Past(size=200, least=30)
    scores = []
    for n in range(2000):
        loss = 2 + 9 * math.exp(-n / 300) + rnd.gauss(0, 0.05)
        scores.append(past.score(n, loss * (3 if n == 1500 else 1)))
    assert scores[:30] == [None] * 30
    assert [n for n, z in enumerate(scores) if z is not None and z > 8] == [1500]


def test_late_and_nameless_values_are_no_past():
    past = Past(size=5, least=3)
    assert [past.score(n, 1.0) for n in (0, 1, 2)] == [None, None, None]
    assert past.score(1, 99.0) is None
    assert past.late == 1
    assert past.score(3, math.nan) is None
    assert past.score(4, 1.0) == 0.0
    other = Past(size=5, least=3)
    other.load(past.dump())
    assert other.score(5, 2.0) == past.score(5, 2.0) > 6
    with pytest.raises(ValueError, match="not a past"):
        other.load(b"x")
