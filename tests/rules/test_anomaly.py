"""The robust z-score against a key's own past."""

import math
import random
import statistics

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.rules.anomaly import FLOOR, SCALE, Past, changes, is_anomalous, median, robust_z


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


def test_changes_are_per_second_and_one_instant_counts_once():
    points = [(0, 1.0), (0, 9.0), (2 * 10**9, 5.0), (2 * 10**9, 7.0), (3 * 10**9, 4.0)]
    assert changes(points) == [2.0, -1.0]
    assert changes([]) == []


def test_of_changes_a_jump_is_an_anomaly_where_the_values_are_not():
    rnd = random.Random(5)
    values = [n * 2 + rnd.gauss(0, 0.2) for n in range(60)]
    values[50:] = [value + 30 for value in values[50:]]
    past = Past(size=40, least=20, of="change")
    scores = [past.score(n * 10**9, value) for n, value in enumerate(values)]

    assert [n for n, z in enumerate(scores) if z is not None and abs(z) > 8] == [50]


def test_the_past_of_changes_goes_on_from_its_state():
    past, values = Past(size=10, least=3, of="change"), (1.0, 2.0, 4.0, 5.0, 6.5, 9.0)
    scores = [past.score(n * 10**9, value) for n, value in enumerate(values)]
    again = Past(size=10, least=3, of="change")
    for n, value in enumerate(values[:3]):
        again.score(n * 10**9, value)
    state, again = again.dump(), Past(size=10, least=3, of="change")
    again.load(state)

    assert [again.score(n * 10**9, values[n]) for n in range(3, 6)] == scores[3:]


def test_a_state_of_an_earlier_version_is_read():
    past = Past(size=10, least=1)
    past.load(msgspec.msgpack.encode((5, [1.0, 2.0])))
    assert past.score(6, 1.5) == 0
