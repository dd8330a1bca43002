"""Durations: what is one, what is not, and that what is written is read back."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core import duration
from heliograph.core.duration import DAY_NS, DURATION_NS_MAX, HOUR_NS, MINUTE_NS, SECOND_NS

CASES = [
    # case                                 text             nanoseconds, or why not
    ("nothing", "0", 0),
    ("nothing with a unit", "0s", 0),
    ("the smallest", "1ms", 1_000_000),
    ("milliseconds", "250ms", 250_000_000),
    ("minutes are not milliseconds", "5m", 5 * MINUTE_NS),
    ("seconds", "30s", 30 * SECOND_NS),
    ("hours and minutes", "1h30m", HOUR_NS + 30 * MINUTE_NS),
    ("a day is 24 hours", "1d", 24 * HOUR_NS),
    ("a week is 7 days", "1w", 7 * DAY_NS),
    ("all units", "1w2d3h4m5s6ms",
     9 * DAY_NS + 3 * HOUR_NS + 4 * MINUTE_NS + 5 * SECOND_NS + 6_000_000),
    ("more than the next unit has", "90m", 90 * MINUTE_NS),
    ("nine digits", "999999999s", 999_999_999 * SECOND_NS),
    ("ten digits", "1000000000s", "not a duration"),
    ("the longest", "36500d", DURATION_NS_MAX),
    ("longer than the longest", "36501d", "too long"),
    ("a millisecond too long", "36500d1ms", "too long"),
    ("no text", "", "not a duration"),
    ("no unit", "15", "not a duration"),
    ("no number", "s", "not a duration"),
    ("two zeros", "00", "not a duration"),
    ("units that rise", "1m1h", "not a duration"),
    ("a unit twice", "1h1h", "not a duration"),
    ("a fraction", "1.5h", "not a duration"),
    ("a sign", "-1s", "not a duration"),
    ("a plus", "+1s", "not a duration"),
    ("a blank before", " 1s", "not a duration"),
    ("a blank within", "1h 30m", "not a duration"),
    ("a newline after", "1s\n", "not a duration"),
    ("years, whose length nobody agrees on", "1y", "not a duration"),
    ("capitals", "1H", "not a duration"),
    ("microseconds", "1us", "not a duration"),
    ("digits of another script", "٣s", "not a duration"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"), [pytest.param(*row, id=case) for case, *row in CASES]
)
def test_parse(text, expected):
    if isinstance(expected, int):
        assert duration.parse(text) == expected
    else:
        with pytest.raises(ValueError, match=expected) as caught:
            duration.parse(text)
        assert repr(text) in str(caught.value)


@given(st.integers(0, DURATION_NS_MAX // 1_000_000).map(lambda ms: ms * 1_000_000))
def test_what_is_written_is_read_back(span_ns):
    assert duration.parse(duration.format_ns(span_ns)) == span_ns


@given(st.text(alphabet="0123456789wdhms. -", max_size=12))
def test_any_text_is_a_duration_or_a_value_error(text):
    with contextlib.suppress(ValueError):
        assert 0 <= duration.parse(text) <= DURATION_NS_MAX


def test_fractions_of_a_millisecond_are_cut():
    assert duration.format_ns(1_999_999) == "1ms"
    assert duration.format_ns(999_999) == "0"
