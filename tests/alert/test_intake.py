"""What a post makes of an episode: a table of merges, a sentence each."""

import pytest

from heliograph.alert.engine import intake
from heliograph.alert.engine.intake import Span, Step
from tests.alert.alert_runner import ns, post, seconds

MINUTE = 60.0
# The current episode (start, end, guessed) in minutes from now, the post likewise, what comes of it.
FIRING = [
    ("both guessed: start of the old, end of the new",
     (-1, 2, True), (0, 4, True), (Step.REPEAT, -1, 4, True)),
    ("an explicit end beats a guess, though it is earlier",
     (-1, 3, True), (0, 2, False), (Step.REPEAT, -1, 2, False)),
    ("a guess does not cut an explicit end short",
     (-1, 7, False), (0, None, True), (Step.REPEAT, -1, 7, True)),
    ("of two explicit ends the later counts: the old",
     (-1, 3, False), (0, 2, False), (Step.REPEAT, -1, 3, False)),
    ("of two explicit ends the later counts: the new",
     (-1, 3, False), (-1, 4, False), (Step.REPEAT, -1, 4, False)),
    ("an earlier start counts", (-1, 3, True), (-2, None, True), (Step.REPEAT, -2, 5, True)),
    ("a resolve is taken", (-2, 3, False), (-2, -1, False), (Step.END, -2, -1, False)),
    ("a resolve of before it started is an earlier episode's",
     (-1, 3, False), (-3, -2, False), (Step.STALE, -1, 3, False)),
    ("a resolve of before it started that names no start is its own",
     (-1, 3, False), (None, -2, False), (Step.END, -2, -2, False)),
]  # fmt: skip
ENDED = [
    ("a later end counts", (-3, -1, False), (-2, -0.5, False), (Step.ENDED, -3, -0.5, False)),
    ("an earlier end does not", (-3, -1, False), (-2, -1.5, False), (Step.ENDED, -3, -1, False)),
    ("what is over before it says nothing",
     (-3, -1, False), (-5, -4, False), (Step.STALE, -3, -1, False)),
    ("an activity of its own that is over is an episode",
     (-5, -4, False), (-3, -2, False), (Step.NEW, -3, -2, False)),
    ("firing again is an episode", (-5, -4, False), (-1, None, True), (Step.NEW, -1, 5, True)),
    ("firing again with an overlap keeps the earlier start",
     (-3, -1, False), (-2, 1, False), (Step.NEW, -3, 1, False)),
]  # fmt: skip


def minutes(number):
    return None if number is None else ns(number * MINUTE)


@pytest.mark.parametrize(
    ("fires", "current", "posted", "wanted"),
    [pytest.param(True, *row, id=name) for name, *row in FIRING]
    + [pytest.param(False, *row, id=name) for name, *row in ENDED],
)
def test_merged(fires, current, posted, wanted):
    start, end, guessed = posted
    one = post(
        {"a": "b"}, at_ns=ns(0), starts_ns=minutes(start), ends_ns=None if guessed else minutes(end),
        resolve_after_ns=minutes(5 if end is None else end) - ns(0),
    )  # fmt: skip
    span = Span(minutes(current[0]), minutes(current[1]), current[2])

    step, merged = intake.merged(span, intake.offered(one, ns(0)), fires=fires)

    found = (
        step,
        seconds(merged.starts_ns) / 60,
        seconds(merged.ends_ns) / 60,
        merged.timed_out,
    )
    assert found == wanted


def test_the_late_end_of_an_earlier_episode_does_not_end_this_one():
    one = post({"a": "b"}, at_ns=ns(0), starts_ns=minutes(-9), ends_ns=minutes(-6))
    current = Span(minutes(-5), minutes(3), True)

    step, span = intake.merged(current, intake.offered(one, ns(0)), fires=True)

    assert (step, span) == (Step.STALE, current)


OFFERS = [
    ("nothing given: now, and a guess", {}, (0, 5, True, False)),
    ("an end before now is the start, too", {"ends_ns": minutes(-1)}, (-1, -1, False, True)),
    ("an end ahead fires until then", {"ends_ns": minutes(1)}, (0, 1, False, False)),
    ("resolved without an end ends now", {"status": "resolved"}, (0, 0, False, True)),
    ("resolved with an end ahead ends now",
     {"status": "resolved", "ends_ns": minutes(2)}, (0, 0, False, True)),
    ("resolved with an end", {"status": "resolved", "ends_ns": minutes(-2)}, (-2, -2, False, True)),
    ("firing with an end in the past fires",
     {"status": "firing", "ends_ns": minutes(-2)}, (0, 5, True, False)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "wanted"), [pytest.param(*row, id=name) for name, *row in OFFERS]
)
def test_offered(given, wanted):
    span, _, _, resolved = intake.offered(post({"a": "b"}, at_ns=ns(0), **given), ns(0))

    found = (seconds(span.starts_ns) / 60, seconds(span.ends_ns) / 60, span.timed_out, resolved)
    assert found == wanted


def test_without_a_time_to_resolve_it_fires_until_told_otherwise():
    one = post({"a": "b"}, at_ns=ns(0), resolve_after_ns=0)

    assert intake.offered(one, ns(0)).span == Span(ns(0), None, True)
