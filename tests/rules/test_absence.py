"""Silence: since we listen, per key, until it is forgotten."""

from heliograph.core.duration import MINUTE_NS
from heliograph.rules.absence import Absences, Tick

M = MINUTE_NS


def absences(**over):
    return Absences(**{"window_ns": 10 * M, "forget_ns": 60 * M, "since_ns": 0, **over})


def test_a_key_is_overdue_once_the_window_has_passed_and_not_before():
    some = absences()
    some.heard("a", 0)

    assert some.tick(10 * M) == Tick([], [], [], [])
    assert some.tick(10 * M + 1) == Tick([("a", 0)], [], [], [])
    assert some.tick(11 * M) == Tick([], [("a", 0)], [], [])
    assert some.heard("a", 12 * M) is True
    assert some.heard("a", 12 * M) is False
    assert some.tick(20 * M) == Tick([], [], [], [])


def test_nobody_was_silent_before_we_listened():
    some = absences(since_ns=50 * M)
    some.put("a", 0, overdue=False)

    assert some.tick(59 * M) == Tick([], [], [], [])
    assert some.tick(60 * M + 1).forgotten == [("a", 0)]


def test_a_key_that_is_silent_for_very_long_is_forgotten():
    some = absences()
    some.heard("a", 0)
    some.tick(11 * M)

    assert some.tick(61 * M) == Tick([], [], [("a", 0)], [("a", 0)])
    assert some.tick(62 * M) == Tick([], [], [], [])


def test_what_ended_is_not_expected():
    some = absences()
    some.heard("a", 0)
    assert some.gone("a") is False
    assert some.tick(30 * M) == Tick([], [], [], [])
    some.heard("a", 30 * M)
    some.tick(41 * M)
    assert some.entry("a") == (30 * M, True)
    assert some.gone("a") is True


def test_keys_are_bounded():
    some = absences(keys_max=3)
    for n in range(5):
        some.heard(f"k{n}", n)
    assert some.evicted == 2
    assert [name for name, _ in some.tick(11 * M).began] == ["k2", "k3", "k4"]
