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
from calendar import timegm
from datetime import date
from decimal import Decimal, InvalidOperation

SECONDS_BELOW = 10**11
MILLIS_BELOW = 10**14
MICROS_BELOW = 10**17
AT_NS_MAX = 2**63 - 1

_TEXT_CHARS_MAX = 64
_ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9})\d*)?"
    r" ?(?:[Zz]|UTC|([+-])(\d\d):?(\d\d)?)?\Z",
    re.ASCII,
)
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
    if value >= SECONDS_BELOW and value <= AT_NS_MAX:
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
    return at_ns if 0 < at_ns <= AT_NS_MAX else None


def _of_text(text: str) -> int | None:
    if _NUMBER.match(text):
        try:
            return _of_number(Decimal(text))
        except InvalidOperation:
            return None
    match = _ISO.match(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    try:
        date(year, month, day)
    except ValueError:
        return None
    # 60 is a leap second, which the epoch counts as the second after.
    if hour > 23 or minute > 59 or second > 60:
        return None
    fraction, sign, offset_hours, offset_minutes = match.groups()[6:]
    seconds = timegm((year, month, day, hour, minute, second))
    if sign:
        offset_s = int(offset_hours) * 3600 + int(offset_minutes or 0) * 60
        seconds += offset_s if sign == "-" else -offset_s
    return _within(seconds * 10**9 + int((fraction or "").ljust(9, "0")))
