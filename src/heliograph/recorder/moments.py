"""Instants as callers of the recorder tell them, and as it answers them.

    "2025-05-21T14:00:00"   "2025-05-21T14:00:00Z"   "2025-05-21"   datetime   1747836000.25

A datetime or text without a zone is UTC; numbers are epoch seconds. Answers repeat what was told;
what was not told is ISO text of UTC without a zone, as spec 002 answers it.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeAlias

from heliograph.core import instant

Moment: TypeAlias = str | datetime | date | float

US_NS = 1_000
SECOND_NS = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SEVENTH_DIGIT = 26


def at_ns_of(when: Moment) -> int:
    """UTC nanoseconds of *when*. Raises ValueError or TypeError that quotes it."""
    if isinstance(when, str):
        if (quick := _quick(when)) is not None:
            return quick
        try:
            return instant.parse(when)
        except ValueError:
            return _of_datetime(_lenient(when))
    if isinstance(when, datetime):
        return _of_datetime(when)
    if isinstance(when, date):
        return _of_datetime(datetime(when.year, when.month, when.day, tzinfo=UTC))
    if isinstance(when, int | float) and not isinstance(when, bool):
        return instant.of_seconds(when)
    raise TypeError(f"not an instant: {type(when).__name__}")


def or_now(when: Moment, now_ns: int) -> tuple[int, bool]:
    """(at_ns, True) of *when*; (*now_ns*, False) when it is no instant that there is."""
    try:
        return at_ns_of(when), True
    except (ValueError, TypeError, OverflowError):
        return now_ns, False


def after_ns_of(when: Moment) -> int:
    """The exclusive end of a range whose last instant is *when*.

    What was told in microseconds (all that a datetime can) holds that whole microsecond: a point
    that was moved by a nanosecond, because another had its instant, is still inside.
    """
    at_ns = at_ns_of(when)
    return at_ns + (1 if at_ns % US_NS else US_NS)


def told_of(when: object) -> str:
    """*when* as an answer repeats it: text as it is, anything else as ISO text."""
    if isinstance(when, str):
        return when
    return when.isoformat() if isinstance(when, date) else str(when)


def again_of(when: object) -> Any:
    """A timestamp as an answer repeats it where it may be anything: as it is, a datetime as text."""
    return when if isinstance(when, str | int | float) else told_of(when)


def text_of(at_ns: int) -> str:
    """`2025-05-21T14:32:17.123456`: UTC without a zone, in microseconds."""
    seconds, rest_ns = divmod(at_ns, SECOND_NS)
    return f"{_second_text(seconds)}.{rest_ns // US_NS:06d}"


class Stamps:
    """`text_of` for instants near each other: the text of a second is made once. Thread-safe."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = (0, f"{_second_text(0)}.")

    def text(self, at_ns: int) -> str:
        """As `text_of`."""
        start_ns, prefix = self._last
        if not 0 <= at_ns - start_ns < SECOND_NS:
            second = at_ns // SECOND_NS
            start_ns, prefix = self._last = (second * SECOND_NS, f"{_second_text(second)}.")
        thousands, rest = divmod((at_ns - start_ns) // US_NS, 1000)
        return prefix + _DIGITS[thousands] + _DIGITS[rest]


# 000 to 999: looked up, a microsecond's digits cost a third of what formatting them does.
_DIGITS = [f"{number:03d}" for number in range(1000)]


def _second_text(second: int) -> str:
    return (_EPOCH + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%S")


def _quick(text: str) -> int | None:
    """What `fromisoformat` reads, but a seventh digit of a second and all that is beyond 64 bits."""
    if text[_SEVENTH_DIGIT : _SEVENTH_DIGIT + 1].isdigit():
        return None
    try:
        return _of_datetime(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return None


def _lenient(text: str) -> datetime:
    """What ISO 8601 allows besides: dates alone, minutes alone, weeks."""
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        shown = text[:64]
    raise ValueError(f"not an instant: {shown!r} (write e.g. 2026-01-01T00:00:00Z)")


def _of_datetime(when: datetime) -> int:
    aware = when.replace(tzinfo=UTC) if when.tzinfo is None else when
    since = aware - _EPOCH
    at_ns = (since.days * 86_400 + since.seconds) * SECOND_NS + since.microseconds * US_NS
    if not instant.AT_NS_MIN <= at_ns <= instant.AT_NS_MAX:
        raise ValueError(f"instant out of range: {when}")
    return at_ns
