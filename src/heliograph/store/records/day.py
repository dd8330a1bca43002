"""Days since 1970-01-01 UTC, and which of them may have a place of their own."""

import datetime as dt

DAY_NS = 86_400 * 10**9
BACK_DAYS_MAX = 400
AHEAD_DAYS_MAX = 7
# Where records of any other day go. No real day: those of 1969 are negative too, but not this.
OTHER = -(2**31)
OTHER_NAME = "other"
# Records that may lie there; the earliest stored go first.
OTHER_RECORDS_MAX = 100_000

_EPOCH = dt.date(1970, 1, 1).toordinal()


def of(at_ns: int) -> int:
    """The day that *at_ns* falls in."""
    return at_ns // DAY_NS


def place(at_ns: int, *, now_ns: int, existing: frozenset[int]) -> int:
    """The day whose place keeps a record of *at_ns*: its own if near or *existing*, else `OTHER`."""
    day, today = of(at_ns), of(now_ns)
    near = today - BACK_DAYS_MAX <= day <= today + AHEAD_DAYS_MAX
    return day if near or day in existing else OTHER


def name(day: int) -> str:
    """`2026-11-22`, or `other`."""
    return OTHER_NAME if day == OTHER else dt.date.fromordinal(day + _EPOCH).isoformat()


def named(text: str) -> int | None:
    """The day that `name` calls *text*, or None."""
    if text == OTHER_NAME:
        return OTHER
    try:
        return dt.date.fromisoformat(text).toordinal() - _EPOCH
    except ValueError:
        return None
