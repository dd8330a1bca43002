"""Aggregates, comparisons, and a condition that must last."""

import math

import pytest

from heliograph.core.duration import SECOND_NS
from heliograph.rules.condition import AGGREGATES, aggregate, compare
from heliograph.rules.pending import Pending, step

NAN = float("nan")


def points(*values):
    return [(n * 10 * SECOND_NS, value) for n, value in enumerate(values)]


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("mean", (1, 2, 6), 3.0),
        ("mean", (1, math.inf), math.inf),
        ("sum", (1, NAN, 2), 3.0),
        ("min", (3, 1, 2), 1),
        ("max", (3, 1, 2), 3),
        ("count", (3, NAN, 2), 2.0),
        ("count", (), 0.0),
        ("last", (3, 1, NAN), 1),
        ("first", (NAN, 3, 1), 3),
        ("delta", (5, 3), -2),
        ("increase", (1, 5, 2, 3), 7.0),
        ("increase", (4,), None),
        ("rate", (0, 10, 20), 1.0),
        ("slope", (0, 10, 20), 1.0),
        ("slope", (5, 5, NAN, 2), pytest.approx(-3 / 28)),
        ("slope", (5,), None),
        ("change", (10, 7, 5), -0.5),
        ("change", (-10, -5), 0.5),
        ("change", (0, 5), None),
        ("p50", (4, 1, 2, 3), 2.5),
        ("p99", (7,), 7),
        ("p90", (math.inf, math.inf), math.inf),
        ("mean", (NAN,), None),
    ],
)
def test_aggregate(name, values, expected):
    assert aggregate(name, points(*values)) == expected


def test_every_aggregate_says_none_or_zero_of_nothing():
    assert {aggregate(name, []) for name in AGGREGATES} == {None, 0.0}


@pytest.mark.parametrize(
    ("op", "left", "right", "expected"),
    [
        (">", 2, 1, True), (">", 1, 1, False), (">=", 1, 1, True), ("<", NAN, 1, False),
        ("==", 1, 1.0, True), ("!=", NAN, 1, True), ("<=", -math.inf, 0, True),
    ],
)  # fmt: skip
def test_compare(op, left, right, expected):
    assert compare(op, left, right) is expected


def test_a_condition_fires_once_it_held_for_long_enough():
    state, story = None, []
    for at_s, holds in ((0, True), (59, True), (60, True), (90, True), (91, False), (92, True)):
        came = step(state, holds=holds, value=1.0, at_ns=at_s, for_ns=60)
        state = came.state
        story.append((at_s, state is not None and state.firing, came.began, came.ended))
    assert story == [
        (0, False, False, False),
        (59, False, False, False),
        (60, True, True, False),
        (90, True, False, False),
        (91, False, False, True),
        (92, False, False, False),
    ]
    assert state == Pending(92, firing=False, value=1.0)


def test_without_a_duration_it_fires_at_once():
    came = step(None, holds=True, value=2.0, at_ns=5, for_ns=0)
    assert came == (Pending(5, firing=True, value=2.0), True, False)


def test_what_was_only_pending_ends_silently():
    came = step(Pending(0, firing=False, value=1.0), holds=False, value=0, at_ns=9, for_ns=60)
    assert came == (None, False, False)
