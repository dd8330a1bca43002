"""Sliding windows kept up point by point: what they come to is what all their points come to."""

import math
import random

import pytest

from heliograph.core.duration import SECOND_NS
from heliograph.recorder import windows
from heliograph.recorder.windows import POINTS_MAX, SLOTS, Window
from heliograph.rules import condition

SPAN = 60 * SECOND_NS
NAN, INF = math.nan, math.inf


def alike(left, right):
    if left is None or right is None:
        return left is right
    if not (math.isfinite(left) and math.isfinite(right)):
        return str(left) == str(right)
    return math.isclose(left, right, rel_tol=1e-9, abs_tol=1e-6)


@pytest.mark.parametrize("aggregate", condition.AGGREGATES)
@pytest.mark.parametrize("wild", [(), (NAN,), (INF, -INF, 1e301), (1e300, 9e19, 3e16, -0.0)])
def test_a_window_is_what_its_points_come_to(aggregate, wild):
    rng = random.Random(f"{aggregate}{wild}")
    window, held, at_ns = Window(aggregate, SPAN), [], 1_700_000_000 * SECOND_NS
    for step in range(1_500):
        at_ns += rng.choice(
            [0, 1, SECOND_NS // 3, SECOND_NS, 20 * SECOND_NS * (step % 97 == 0)]
        )
        told_ns = at_ns - rng.choice([0, 0, 0, 2, 70]) * SECOND_NS
        rare = wild and step % 400 < 100 and rng.random() < 0.05
        value = rng.choice(wild) if rare else rng.choice([rng.gauss(1e6, 3), 7.0, 0.5, step])
        window.add(told_ns, value)
        place = len(held)
        while place and held[place - 1][0] > told_ns:
            place -= 1
        held.insert(place, (told_ns, value))
        newest_ns = max(point[0] for point in held)
        held = [point for point in held if point[0] > newest_ns - SPAN]
        wanted = condition.aggregate(aggregate, held)
        if wild and wild[0] == 1e300 and aggregate == "slope":
            # The digits are lost either way.
            continue
        assert alike(window.figure(), wanted), (step, window.figure(), wanted)
        assert window.points == sum(not math.isnan(value) for _, value in held)
    window.trim(at_ns + SPAN)
    assert (window.points, window.figure()) == (0, 0 if aggregate == "count" else None)


@pytest.mark.parametrize(
    ("aggregate", "value", "wanted"),
    [
        ("count", lambda n: 1, lambda last: 30_000),
        ("sum", lambda n: 1.5, lambda last: 45_000),
        ("mean", lambda n: n, lambda last: last - 14_999.5),
        ("min", lambda n: n, lambda last: last - 29_999),
        ("max", lambda n: -n, lambda last: 29_999 - last),
        ("delta", lambda n: n, lambda last: 29_999),
        ("increase", lambda n: n % 1_000, lambda last: 30_000 - 30),
    ],
)
def test_more_points_than_are_held_count(aggregate, value, wanted):
    """Within the edge of the window, which is a slot wide."""
    window, step_ns = Window(aggregate, SPAN), SPAN // 30_000
    for n in range(75_000):
        window.add(n * step_ns, value(n))
    edge = 30_000 / SLOTS

    assert abs(window.figure() - wanted(74_999)) <= 1.5 * edge
    assert window.left_out == 0
    assert len(window._entries) <= POINTS_MAX


@pytest.mark.parametrize("aggregate", ["p95", "slope"])
def test_what_is_left_out_for_want_of_room_is_counted(aggregate):
    window = Window(aggregate, SPAN)
    for n in range(POINTS_MAX + 500):
        window.add(n, 0 if n < 500 else 5)

    assert window.left_out == 500
    assert window.points == POINTS_MAX
    assert window.figure() == (5 if aggregate == "p95" else 0)


def test_a_counter_that_begins_again_all_the_time_is_bounded():
    window = Window("increase", SPAN)
    for n in range(POINTS_MAX + 2_500):
        window.add(n, n % 2)

    assert window.points == POINTS_MAX
    assert window.left_out == 2_500


def test_a_points_cost_does_not_grow_with_the_window(monkeypatch):
    """The whole window is not gone through for each."""
    monkeypatch.setattr(windows.condition, "aggregate", None)
    for aggregate in ("p95", "mean", "sum", "count", "max", "rate", "slope"):
        window = Window(aggregate, SPAN)
        for n in range(100):
            window.add(n * SECOND_NS, n)
        assert window.figure() is not None
