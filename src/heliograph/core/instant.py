"""Instants as people and JSON write them: RFC 3339 text or epoch seconds, to and from nanoseconds.

    2026-01-01T00:00:00Z   2026-01-01t08:00:00.123456789+08:00   2026-01-01 00:00:00z   1767225600.25

Up to nine digits of fraction are exact; text without a zone is UTC.
"""

import re
from datetime import UTC, datetime, timedelta, timezone

AT_NS_MIN = -(2**63)
AT_NS_MAX = 2**63 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_SHAPE = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9})\d*)?"
    r"(?: ?(?:([Zz]|UTC)|([+-])(\d\d):?(\d\d)?))?\Z",
    re.ASCII,
)
_DECIMAL = re.compile(r"([+-]?)(\d{1,12})(?:\.(\d{0,9})\d*)?\Z", re.ASCII)


def parse(text: str) -> int:
    """UTC nanoseconds of RFC 3339 *text*. Raises ValueError that quotes the text."""
    return _bounded(_parsed(text), text)


def parse_end(text: str) -> int:
    """The same of an end: one after `AT_NS_MAX` (in 2262) is then."""
    return _bounded(min(_parsed(text), AT_NS_MAX), text)


def _parsed(text: str) -> int:
    """`parse`, without bounds."""
    match = _SHAPE.match(text.strip())
    if match is None:
        raise ValueError(f"not an instant: {text[:64]!r} (write e.g. 2026-01-01T00:00:00Z)")
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    sign, zone_h, zone_min = match[9], match[10], match[11]
    try:
        offset = timedelta(hours=int(zone_h or 0), minutes=int(zone_min or 0))
        leap_s, second = (1, 59) if second == 60 else (0, second)
        zone = timezone(-offset if sign == "-" else offset)
        moment = datetime(year, month, day, hour, minute, second, tzinfo=zone)
        # A difference of instants, not a conversion: year 1 with an offset must not overflow.
        since = moment - _EPOCH
    except (ValueError, OverflowError) as error:
        raise ValueError(f"not an instant: {text[:64]!r}: {error}") from error
    fraction_ns = int((match[7] or "0").ljust(9, "0"))
    seconds = since.days * 86_400 + since.seconds + leap_s
    return seconds * 1_000_000_000 + fraction_ns


def of_seconds(seconds: float) -> int:
    """UTC nanoseconds of epoch *seconds*; a float keeps what it has, about 0.2 µs today.

    Raises ValueError for NaN, infinities and what 64 bits of nanoseconds cannot hold.
    """
    if isinstance(seconds, int):
        return _bounded(seconds * 1_000_000_000, str(seconds))
    if seconds != seconds or abs(seconds) > 1e11:  # noqa: PLR0124 - NaN
        raise ValueError(f"not an instant: {seconds!r}")
    whole = int(seconds // 1)
    return _bounded(whole * 1_000_000_000 + round((seconds - whole) * 1e9), str(seconds))


def of_written(seconds: float) -> int:
    """The same of a number in a document: the digits that stood there, which a question for the same
    instant writes again, and not the nearest double's. Raises ValueError as `of_seconds`."""
    return of_seconds(seconds) if isinstance(seconds, int) else parse_any(repr(seconds))


def parse_any(text: str) -> int:
    """RFC 3339 or epoch seconds, as query parameters carry them. Raises ValueError.

    Decimal seconds are exact: through a float, the millisecond of a sample would be missed.
    """
    decimal = _DECIMAL.match(text.strip())
    if decimal is not None:
        at_ns = int(decimal[2]) * 1_000_000_000 + int((decimal[3] or "").ljust(9, "0"))
        return _bounded(-at_ns if decimal[1] == "-" else at_ns, text)
    try:
        number = float(text)
    except ValueError:
        return parse(text)
    return of_seconds(int(text)) if text.strip().isdigit() else of_seconds(number)


def text_of(at_ns: int) -> str:
    """RFC 3339 UTC of *at_ns*, with as many digits in threes as it needs."""
    seconds, rest_ns = divmod(at_ns, 1_000_000_000)
    whole = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f"{rest_ns:09d}"
    while fraction.endswith("000"):
        fraction = fraction[:-3]
    return f"{whole}.{fraction}Z" if fraction else f"{whole}Z"


def _bounded(at_ns: int, text: str) -> int:
    if not AT_NS_MIN <= at_ns <= AT_NS_MAX:
        raise ValueError(f"instant out of range: {text[:64]!r}")
    return at_ns
