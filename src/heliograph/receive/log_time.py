"""The instant a log entry names, in every notation a shipper is known to write.

    1764666728.5            epoch seconds, exact to the microsecond (`double`)
    1764666728              epoch seconds          below 10^11
    1764666728500           epoch milliseconds     below 10^14
    1764666728500000        epoch microseconds     below 10^17
    1764666728500000000     epoch nanoseconds      from there on
    2025-12-02T09:12:08.500000Z                    ISO 8601, up to nanoseconds, any offset
    2025-12-02 09:12:08.500000                     java.sql.Timestamp; no zone is UTC

The unit is told by magnitude: each step is a factor of a thousand, and no log is older than 1973.
Source: Fluent Bit manual, out_http, `json_date_format`; CRI log format, RFC 3339 with 9 digits.
"""

import re
from decimal import Decimal, InvalidOperation

from heliograph.core import instant

SECONDS_BELOW = 10**11
MILLIS_BELOW = 10**14
MICROS_BELOW = 10**17

_TEXT_CHARS_MAX = 64
_NUMBER = re.compile(r"\d{1,30}(?:\.\d{1,30})?\Z", re.ASCII)


def instant_ns(value: object) -> int | None:
    """UTC nanoseconds of *value*; None when it names no instant between 1970 and 2262."""
    if isinstance(value, float):
        return _of_float(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return _of_number(value)
    if isinstance(value, str) and len(value) <= _TEXT_CHARS_MAX:
        return _of_text(value.strip())
    return None


def _of_float(value: float) -> int | None:
    if 0 < value < SECONDS_BELOW:
        # A double holds today's seconds to a quarter of a microsecond, so that the microsecond
        # that was printed is the nearest one, and finer digits would be noise.
        return _within(round(value * 1e6) * 1000)
    if value >= SECONDS_BELOW and value <= instant.AT_NS_MAX:
        return _of_number(Decimal(value))
    return None


def _of_number(value: int | Decimal) -> int | None:
    if value < SECONDS_BELOW:
        return _within(int(value * 10**9))
    if value < MILLIS_BELOW:
        return _within(int(value * 10**6))
    if value < MICROS_BELOW:
        return _within(int(value * 1000))
    return _within(int(value))


def _within(at_ns: int) -> int | None:
    return at_ns if 0 < at_ns <= instant.AT_NS_MAX else None


def _of_text(text: str) -> int | None:
    if _NUMBER.match(text):
        try:
            return _of_number(Decimal(text))
        except InvalidOperation:
            return None
    try:
        return _within(instant.parse(text))
    except ValueError:
        return None
