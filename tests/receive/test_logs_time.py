import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.instant import AT_NS_MAX
from heliograph.receive.log_time import instant_ns

S = 10**9
NEW_YEAR = 1_767_225_600

CASES = [
    # what                                value                                nanoseconds
    ("seconds",                           NEW_YEAR,                            NEW_YEAR * S),
    ("half a second, not 500 µs",         1764666728.5,                        1764666728 * S + 500_000_000),
    ("milliseconds as decimals",          1234567890.123,                      1234567890 * S + 123_000_000),
    ("microseconds as decimals",          1764666728.999999,                   1764666728 * S + 999_999_000),
    ("the smallest microsecond",          1554141513.000001,                   1554141513 * S + 1000),
    ("a shipper's real double",           1554141513.598656,                   1554141513 * S + 598_656_000),
    ("milliseconds",                      1764666728500,                       1764666728 * S + 500_000_000),
    ("milliseconds as a float",           1764666728500.0,                     1764666728 * S + 500_000_000),
    ("milliseconds with decimals",        1764666728500.25,                    1764666728 * S + 500_250_000),
    ("microseconds",                      1764666728500001,                    1764666728 * S + 500_001_000),
    ("nanoseconds",                       1764666728500000001,                 1764666728 * S + 500_000_001),
    ("last as seconds is beyond 2262",    10**11 - 1,                          None),
    ("first as milliseconds",             10**11,                              10**17),
    ("last as milliseconds is beyond",    10**14 - 1,                          None),
    ("first as microseconds",             10**14,                              10**17),
    ("first as nanoseconds",              10**17,                              10**17),
    ("the last second there is",          9223372036,                          9223372036 * S),
    ("one second more",                   9223372037,                          None),
    ("the last nanosecond",               AT_NS_MAX,                           AT_NS_MAX),
    ("one nanosecond more",               AT_NS_MAX + 1,                       None),
    ("zero is missing",                   0,                                   None),
    ("zero as a float",                   0.0,                                 None),
    ("the first second",                  1,                                   S),
    ("before the epoch",                  -1,                                  None),
    ("before the epoch, float",           -1.5,                                None),
    ("not a number",                      float("nan"),                        None),
    ("infinite",                          float("inf"),                        None),
    ("minus infinite",                    float("-inf"),                       None),
    ("huge",                              10**400,                             None),
    ("true is no time",                   True,                                None),
    ("null",                              None,                                None),
    ("a list",                            [1],                                 None),
    ("seconds as text, exact",            "1764666728.598656444",              1764666728 * S + 598_656_444),
    ("milliseconds as text",              "1764666728500",                     1764666728 * S + 500_000_000),
    ("iso, Z",                            "2026-01-01T00:00:00Z",              NEW_YEAR * S),
    ("iso, µs",                           "2026-01-01T00:00:00.123456Z",       NEW_YEAR * S + 123_456_000),
    ("CRI, 9 digits",                     "2019-04-01T17:58:33.598656444Z",    1554141513 * S + 598_656_444),
    ("10 digits are cut",                 "2026-01-01T00:00:00.1234567899Z",   NEW_YEAR * S + 123_456_789),
    ("offset",                            "2026-01-01T01:30:00+01:30",         NEW_YEAR * S),
    ("offset without colon",              "2025-12-31T19:00:00-0500",          NEW_YEAR * S),
    ("offset of hours",                   "2026-01-01T08:00:00+08",            NEW_YEAR * S),
    ("java_sql_timestamp",                "2026-01-01 00:00:00.123456",        NEW_YEAR * S + 123_456_000),
    ("no zone is UTC",                    "2026-01-01T00:00:00",               NEW_YEAR * S),
    ("lower case",                        "2026-01-01t00:00:00z",              NEW_YEAR * S),
    ("spaces around",                     " 2026-01-01T00:00:00Z ",            NEW_YEAR * S),
    ("leap second",                       "2025-12-31T23:59:60Z",              NEW_YEAR * S),
    ("leap day",                          "2024-02-29T00:00:00Z",              1709164800 * S),
    ("no leap day",                       "2025-02-29T00:00:00Z",              None),
    ("hour 24",                           "2025-12-31T24:00:00Z",              None),
    ("minute 60",                         "2025-12-31T23:60:00Z",              None),
    ("second 61",                         "2025-12-31T23:59:61Z",              None),
    ("a date alone",                      "2026-01-01",                        None),
    ("year 0",                            "0000-01-01T00:00:00Z",              None),
    ("1969",                              "1969-12-31T23:59:59Z",              None),
    ("2263",                              "2263-01-01T00:00:00Z",              None),
    ("other digits",                      "٢٠٢٦-01-01T00:00:00Z",              None),
    ("words",                             "yesterday",                         None),
    ("empty",                             "",                                  None),
    ("long",                              "1" * 10_000,                        None),
]  # fmt: skip


@pytest.mark.parametrize(("value", "at_ns"), [pytest.param(v, a, id=i) for i, v, a in CASES])
def test_instant_ns(value, at_ns):
    assert instant_ns(value) == at_ns


@given(st.integers(1, 4 * 10**15))
def test_a_double_gives_the_microsecond_that_was_printed(micros):
    assert instant_ns(float(f"{micros // 10**6}.{micros % 10**6:06}")) == micros * 1000


@given(st.floats() | st.integers() | st.text() | st.none() | st.booleans())
def test_any_value_is_an_instant_or_none(value):
    at_ns = instant_ns(value)
    assert at_ns is None or (type(at_ns) is int and 0 < at_ns <= AT_NS_MAX)


def test_the_shared_vectors(shared_data):
    cases = json.loads((shared_data / "lens_vectors/log_ingest.json").read_text())["cases"]
    for case in cases:
        if case["kind"] == "timestamp":
            want = case["recommended"]
            at_ns = instant_ns(case["date"])
            assert at_ns // S == want["seconds"]
            # The vector has the double's own digits, we the printed microsecond.
            assert abs(at_ns % S - want["nanoseconds_about"]) < 1000
