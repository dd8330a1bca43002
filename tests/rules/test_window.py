"""Sliding counts: order does not matter, lateness is bounded, and clients do not move each other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import msgpack

from heliograph.core.duration import DAY_NS, MINUTE_NS, SECOND_NS
from heliograph.rules import window as windows
from heliograph.rules.window import Window

S = SECOND_NS
T0 = 1_767_225_600 * S


def fired_at(times_s, *, count=3, span_s=600, source="p0"):
    window = Window(count=count, span_ns=span_s * S)
    return [t for t in times_s if window.add(source, T0 + t * S)]


@pytest.mark.parametrize(
    ("times_s", "fired"),
    [
        pytest.param([0, 60, 120], [120], id="three within ten minutes"),
        pytest.param([0, 300, 601], [], id="the window slides"),
        pytest.param([0, 300, 600], [], id="the first one is no longer in at the span's end"),
        pytest.param([0, 300, 599], [599], id="one second before it is"),
        pytest.param([700, 0, 650], [], id="out of order and too far apart"),
        pytest.param([0, 599, 300], [300], id="a late one completes a window of later ones"),
        pytest.param([0, 1, 2, 3], [2, 3], id="every one at or above the count"),
    ],
)
def test_three_in_ten_minutes(times_s, fired):
    assert fired_at(times_s) == fired


def test_a_count_of_one_needs_no_window():
    assert fired_at([0, 10_000], count=1, span_s=1) == [0, 10_000]


def test_the_number_is_that_of_the_window_that_ends_now():
    window = Window(count=2, span_ns=60 * S)
    assert [window.add("a", T0 + t * S) for t in (0, 1, 2, 100)] == [0, 2, 3, 0]


def test_a_client_whose_clock_is_ahead_takes_nothing_from_others():
    window = Window(count=3, span_ns=10 * MINUTE_NS)
    window.add("good", T0)
    for n in range(1000):
        window.add("skewed", T0 + 400 * DAY_NS + n * MINUTE_NS * 20)
    window.add("good", T0 + MINUTE_NS)

    assert window.add("other", T0 + 2 * MINUTE_NS) == 3


def test_what_is_late_by_its_own_clients_watermark_counts_for_nothing():
    window = Window(count=2, span_ns=MINUTE_NS, lateness_ns=MINUTE_NS)
    window.add("a", T0 + 10 * MINUTE_NS)

    assert window.add("a", T0) == 0
    assert (window.late, len(window)) == (1, 1)
    assert window.add("b", T0) == 0
    assert (window.late, len(window)) == (1, 2)


def test_sources_and_times_are_bounded():
    window = Window(count=2, span_ns=DAY_NS)
    for n in range(2 * windows.SOURCES_MAX):
        window.add(f"s{n}", T0 + n)
    assert len(window) == windows.SOURCES_MAX
    for n in range(1000):
        window.add("one", T0 + n)
    assert len(window) <= windows.SOURCES_MAX + 2 * 2 + 8
    assert window.evicted > windows.SOURCES_MAX


def test_a_state_is_taken_up_where_it_was_left():
    window = Window(count=3, span_ns=600 * S)
    window.add("a", T0)
    window.add("b", T0 + S)
    other = Window(count=3, span_ns=600 * S)
    other.load(window.dump())

    assert other.add("c", T0 + 2 * S) == window.add("c", T0 + 2 * S) == 3
    assert other.dump() == window.dump()
    with pytest.raises(ValueError, match="not a window's state"):
        other.load(b"\xc1")


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 100)), max_size=12),
    st.randoms(use_true_random=False),
)
def test_whether_it_fired_does_not_depend_on_the_order(told, random):
    def fires(events):
        window = Window(count=3, span_ns=20 * S, lateness_ns=DAY_NS)
        return max([window.add(who, T0 + t * S) for who, t in events], default=0) > 0

    times = sorted(t for _, t in told)
    expected = any(b - a < 20 for a, b in zip(times, times[2:], strict=False))
    shuffled = list(told)
    random.shuffle(shuffled)
    assert fires(told) == fires(shuffled) == expected


def test_one_that_comes_again_counts_once():
    window = Window(count=3, span_ns=MINUTE_NS)
    given = [(T0, 7), (T0, 7), (T0 + S, 8), (T0, 7), (T0 + S, 8), (T0, 9)]
    assert [window.add("a", *one) for one in given] == [0, 0, 0, 0, 0, 3]
    assert len(window) == 3
    # Of another source it is another, and so is each that has no identity.
    assert [window.add("b", T0, 7), window.add("a", T0, 0), window.add("a", T0, 0)] == [3, 4, 5]


def test_what_had_to_go_is_not_known_again():
    window = Window(count=2, span_ns=MINUTE_NS)
    keep = 2 * 2 + 8
    for n in range(keep + 1):
        window.add("a", T0 + n, n + 1)
    assert (len(window), window.evicted) == (keep, 1)
    assert window.add("a", T0, 1) == 2
    assert (len(window), window.evicted) == (keep, 2)


def test_a_state_of_times_alone_is_read():
    window = Window(count=2, span_ns=MINUTE_NS)
    window.load(msgpack.encode({"a": [T0 + 1, T0]}))
    assert (len(window), window.add("a", T0, 5)) == (2, 2)
    again = Window(count=2, span_ns=MINUTE_NS)
    again.load(window.dump())
    assert (again.add("a", T0, 5), again.dump()) == (0, window.dump())
