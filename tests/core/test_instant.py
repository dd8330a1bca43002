"""core.instant: what people write for a moment, and what we write back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core import instant

NEW_YEAR_S = 1_767_225_600


@given(st.integers(0, 4 * 10**15))
def test_a_number_in_a_document_is_what_was_written(at_us):
    text = f"{at_us // 10**6}.{at_us % 10**6:06}"
    assert instant.of_written(float(text)) == instant.parse_any(text) == at_us * 1000
    assert instant.of_written(at_us // 10**6) == at_us // 10**6 * 10**9


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1e300, 10**20])
def test_a_number_that_is_no_instant_is_refused(seconds):
    with pytest.raises(ValueError, match="not an instant|out of range"):
        instant.of_written(seconds)


@pytest.mark.parametrize(
    ("text", "at_ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-01-01T00:00:00Z", NEW_YEAR_S * 10**9),
        ("2026-01-01t00:00:00z", NEW_YEAR_S * 10**9),
        ("2026-01-01 00:00:00", NEW_YEAR_S * 10**9),
        ("2026-01-01T08:00:00+08:00", NEW_YEAR_S * 10**9),
        ("2025-12-31T19:00:00-0500", NEW_YEAR_S * 10**9),
        ("2026-01-01T00:00:00.123456789Z", NEW_YEAR_S * 10**9 + 123_456_789),
        ("2026-01-01T00:00:00.5Z", NEW_YEAR_S * 10**9 + 500_000_000),
        ("2026-01-01T00:00:00.1234567899Z", NEW_YEAR_S * 10**9 + 123_456_789),
        ("2016-12-31T23:59:60Z", 1_483_228_800 * 10**9),
        ("1969-12-31T23:59:59.5Z", -500_000_000),
    ],
)
def test_an_instant_is_read(text, at_ns):
    assert instant.parse(text) == at_ns


@pytest.mark.parametrize(
    "text",
    ["", "now", "2026-13-01T00:00:00Z", "2026-01-01", "2026-01-01T25:00:00Z",
     "2026-01-01T00:00:00+99:00", "0001-01-01T00:00:00Z", "9999-12-31T00:00:00Z"],
)  # fmt: skip
def test_what_is_no_instant_is_refused_and_quoted(text):
    with pytest.raises(ValueError, match="instant"):
        instant.parse(text)


@given(st.integers(-(2**61), 2**61))
def test_text_is_read_back_to_the_nanosecond(at_ns):
    assert instant.parse(instant.text_of(at_ns)) == at_ns


@given(st.integers(0, 4 * 10**15))
def test_epoch_seconds_as_float_are_exact_to_the_microsecond(at_us):
    assert abs(instant.of_seconds(at_us / 1e6) - at_us * 1000) < 500


@pytest.mark.parametrize(
    ("text", "at_ns"),
    [("1767225600", NEW_YEAR_S * 10**9), ("1767225600.25", NEW_YEAR_S * 10**9 + 250_000_000),
     ("2026-01-01T00:00:00Z", NEW_YEAR_S * 10**9)],
)  # fmt: skip
def test_query_parameters_carry_either(text, at_ns):
    assert instant.parse_any(text) == at_ns


@pytest.mark.parametrize("text", ["nan", "inf", "1e300", "x"])
def test_query_parameters_that_are_neither(text):
    with pytest.raises(ValueError, match="instant"):
        instant.parse_any(text)


@pytest.mark.parametrize(
    ("text", "at_ns"),
    [
        ("1795324536.116", 1_795_324_536_116_000_000),
        ("1795324536", 1_795_324_536_000_000_000),
        ("1795324536.", 1_795_324_536_000_000_000),
        ("-0.5", -500_000_000),
        ("0.1234567891", 123_456_789),
    ],
)
def test_decimal_seconds_are_exact(text, at_ns):
    assert instant.parse_any(text) == at_ns
