"""Shares in sliding windows: whatever the order, by each source's own clock, in bounded memory."""

import random

import pytest

from heliograph.core.duration import MINUTE_NS, SECOND_NS
from heliograph.rules.share import BUCKETS, SOURCES_MAX, Counted, Share

S = SECOND_NS
T0 = 1_767_225_600 * S


def told(share, *given, source="a"):
    """What each of (second, part) comes to, told when it happened."""
    return [share.add(source, T0 + s * S, T0 + s * S, part=part) for s, part in given]


def test_a_share_is_of_the_window_that_ends_at_the_newest():
    share = Share(span_ns=MINUTE_NS)

    assert told(share, (0, True), (30, False), (59, False), (61, False)) == [
        (1, 1), (1, 2), (1, 3), (0, 3),
    ]  # fmt: skip


def test_the_order_does_not_matter():
    rnd = random.Random(2)
    given = [(rnd.randrange(50), rnd.random() < 0.3) for _ in range(200)]
    expected = Counted(sum(part for _, part in given), 200)
    for _ in range(3):
        rnd.shuffle(given)
        assert told(Share(span_ns=MINUTE_NS), *given)[-1] == expected


def test_what_its_source_left_behind_is_late():
    share = Share(span_ns=MINUTE_NS)
    share.add("a", T0 + 120 * S, T0, part=False)

    assert share.add("a", T0, T0, part=True) == (0, 1)
    assert share.late == 1


def test_a_clock_that_is_ahead_takes_nothing_from_others():
    share = Share(span_ns=MINUTE_NS)
    share.add("ahead", T0 + 10**6 * S, T0, part=False)

    assert told(share, (0, True), (1, True)) == [(1, 2), (2, 3)]


def test_a_source_that_is_silent_counts_no_more():
    share = Share(span_ns=MINUTE_NS)
    share.add("gone", T0, T0, part=True)

    assert share.add("a", T0 + 61 * S, T0 + 61 * S, part=False) == (0, 1)
    assert share.evicted == 0


def test_sources_and_buckets_are_bounded():
    share = Share(span_ns=MINUTE_NS)
    for number in range(SOURCES_MAX + 1):
        counted = share.add(f"s{number}", T0, T0, part=False)
    assert (counted, share.evicted) == ((0, SOURCES_MAX), 1)

    one = Share(span_ns=MINUTE_NS)
    told(one, *((s / 10, False) for s in range(5000)))
    assert len(one.dump()) < BUCKETS * 40


def test_a_state_begins_again():
    share = Share(span_ns=MINUTE_NS)
    told(share, (0, True), (30, False))
    again = Share(span_ns=MINUTE_NS)
    again.load(share.dump())

    assert told(again, (61, False)) == told(share, (61, False)) == [(0, 2)]
    assert again.dump() == share.dump()
    with pytest.raises(ValueError, match="not the state"):
        again.load(b"junk")
