"""Time intervals by the calendar: when routes are mute or active.

    - times: [{start_time: "09:00", end_time: "17:00"}]     the end is not part of it; 24:00 is one
      weekdays: ["monday:friday", "sunday"]
      days_of_month: ["1:5", "-3:-1"]                       negative: from the month's end
      months: ["january:march", "12"]
      years: ["2026", "2030:2035"]
      location: Europe/Berlin                               default UTC

An instant is in an interval when it fulfils every key that is there; in a named list when it is in
one of its intervals. Source: Alertmanager's configuration, `time_interval`.
"""

import calendar
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

from msgspec import Struct

from heliograph.core.errors import ConfigError

LOCAL = "Local"
INTERVALS_MAX = 1000

_KEYS = ("times", "weekdays", "days_of_month", "months", "years", "location")
_WEEKDAYS = {name.lower(): i for i, name in enumerate(calendar.day_name)}
_MONTHS = {name.lower(): i for i, name in enumerate(calendar.month_name) if name}
# Weeks begin on Sunday: `sunday:saturday` is a range, `saturday:sunday` is none.
_SUNDAY_FIRST = {name: (day + 1) % 7 for name, day in _WEEKDAYS.items()}
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])\Z", re.ASCII)
_NUMBER = re.compile(r"[+-]?[0-9]{1,6}\Z", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MONTH_DAYS_MIN = 28
_MONTH_DAYS_MAX = 31

Span: TypeAlias = tuple[int, int]


class Interval(Struct, frozen=True):
    """Times of the calendar; () where there is no condition. Ranges include both ends but `times`,
    minutes of the day as [start, end).

    zone   IANA name, or `Local` for the machine's
    """

    times: tuple[Span, ...] = ()
    weekdays: tuple[Span, ...] = ()
    days_of_month: tuple[Span, ...] = ()
    months: tuple[Span, ...] = ()
    years: tuple[Span, ...] = ()
    zone: str = "UTC"


Intervals: TypeAlias = tuple[Interval, ...]


def contains(intervals: Intervals, now_ns: int) -> bool:
    """Whether *now_ns* is in one of *intervals*."""
    return any(_in(interval, now_ns) for interval in intervals)


def muted_by(
    mutes: Sequence[str],
    actives: Sequence[str],
    intervals: Mapping[str, Intervals],
    now_ns: int,
) -> tuple[str, ...]:
    """Names of what keeps a route silent at *now_ns*: its mute intervals that contain it, and, where
    none of its active ones does, all of those. A name that is not known contains nothing."""
    muting = [name for name in mutes if contains(intervals.get(name, ()), now_ns)]
    if actives and not any(contains(intervals.get(name, ()), now_ns) for name in actives):
        muting += actives
    return tuple(dict.fromkeys(muting))


def parse(documents: Any, *, place: str = "time_intervals") -> Intervals:
    """The intervals of a decoded YAML list. Raises ConfigError that names *place*."""
    if not isinstance(documents, list):
        raise ConfigError(f"{place}: expected a list of intervals")
    if len(documents) > INTERVALS_MAX:
        raise ConfigError(f"{place}: {len(documents)} intervals, limit {INTERVALS_MAX}")
    return tuple(_parsed(one, f"{place}[{i}]") for i, one in enumerate(documents))


def zone(name: str) -> tzinfo | None:
    """The zone of *name*; None is the machine's own (`Local`). Raises ValueError."""
    if name == LOCAL:
        return None
    try:
        return ZoneInfo(name or "UTC")
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"unknown time zone {name!r}") from error


def _in(interval: Interval, now_ns: int) -> bool:
    # A conversion of the instant, which does not depend on when it is made.
    utc = _EPOCH + timedelta(seconds=now_ns // 1_000_000_000)
    moment = utc.astimezone(zone(interval.zone))
    minute = moment.hour * 60 + moment.minute
    weekday = (moment.weekday() + 1) % 7
    return (
        (not interval.times or any(a <= minute < b for a, b in interval.times))
        and (not interval.weekdays or _within(weekday, interval.weekdays))
        and (not interval.months or _within(moment.month, interval.months))
        and (not interval.years or _within(moment.year, interval.years))
        and (not interval.days_of_month or _on_day(moment, interval.days_of_month))
    )


def _within(number: int, spans: tuple[Span, ...]) -> bool:
    return any(first <= number <= last for first, last in spans)


def _on_day(moment: datetime, spans: tuple[Span, ...]) -> bool:
    days = calendar.monthrange(moment.year, moment.month)[1]
    return any(_day(first, days) <= moment.day <= _day(last, days) for first, last in spans)


def _day(day: int, days: int) -> int:
    return days + day + 1 if day < 0 else day


def _parsed(document: Any, place: str) -> Interval:
    if document is None:
        document = {}
    if not isinstance(document, Mapping):
        raise ConfigError(f"{place}: expected a mapping")
    for key in document:
        if key not in _KEYS:
            raise ConfigError(f"{place}: unknown key {key} (known: {', '.join(_KEYS)})")
    location = document.get("location") or "UTC"
    if not isinstance(location, str):
        raise ConfigError(f"{place}.location: expected text")
    try:
        zone(location)
    except ValueError as error:
        raise ConfigError(f"{place}.location: {error}") from error
    return Interval(
        times=tuple(_spans(document, "times", place, _times)),
        weekdays=tuple(_spans(document, "weekdays", place, _weekdays)),
        days_of_month=tuple(_spans(document, "days_of_month", place, _days)),
        months=tuple(_spans(document, "months", place, _months)),
        years=tuple(_spans(document, "years", place, _years)),
        zone=location,
    )


def _spans(
    document: Mapping[str, Any], key: str, place: str, read: Callable[[Any], Span]
) -> list[Span]:
    entries = document.get(key)
    if entries is None:
        return []
    if not isinstance(entries, list):
        raise ConfigError(f"{place}.{key}: expected a list")
    spans = []
    for index, entry in enumerate(entries):
        try:
            spans.append(read(entry))
        except ValueError as error:
            raise ConfigError(f"{place}.{key}[{index}]: {error}") from error
    return spans


def _times(entry: Any) -> Span:
    if not isinstance(entry, Mapping) or set(entry) != {"start_time", "end_time"}:
        raise ValueError("expected start_time and end_time, and nothing else")
    start, end = _minute(entry["start_time"]), _minute(entry["end_time"])
    if start >= end:
        raise ValueError("start_time is not before end_time (a night is two ranges)")
    return start, end


def _minute(text: Any) -> int:
    if text == "24:00":
        return 24 * 60
    match = _TIME.match(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"not a time of day: {text!r} (write HH:MM, 00:00 to 24:00)")
    return int(match[1]) * 60 + int(match[2])


def _weekdays(entry: Any) -> Span:
    return _range(entry, lambda text: _named(text, _SUNDAY_FIRST, "weekday"), "weekday")


def _months(entry: Any) -> Span:
    def month(text: str) -> int:
        if _NUMBER.match(text) and 1 <= int(text) <= 12:
            return int(text)
        return _named(text, _MONTHS, "month")

    return _range(entry, month, "month")


def _years(entry: Any) -> Span:
    return _range(entry, _number, "year")


def _days(entry: Any) -> Span:
    first, last = _ends(entry, _number)
    for day in (first, last):
        if day == 0 or abs(day) > _MONTH_DAYS_MAX:
            raise ValueError(f"{day} is not a valid day of the month: out of range")
    if first < 0 < last:
        raise ValueError("the end must be negative when the start is")
    # As Alertmanager has it: the last day of the shortest month counts as its 27th.
    begin, end = (_MONTH_DAYS_MIN + day if day < 0 else day for day in (first, last))
    if end < begin:
        raise ValueError(f"day {last} is before day {first} in the shortest month")
    return first, last


def _range(entry: Any, read: Callable[[str], int], what: str) -> Span:
    first, last = _ends(entry, read)
    if first > last:
        raise ValueError(f"the start is after the end: {what}s {entry}")
    return first, last


def _ends(entry: Any, read: Callable[[str], int]) -> Span:
    # A single number may be written without quotes.
    text = str(entry) if isinstance(entry, str | int) and not isinstance(entry, bool) else ""
    parts = text.lower().split(":")
    if not text or len(parts) > 2:
        raise ValueError(f"not a range: {entry!r} (write first:last)")
    return read(parts[0]), read(parts[-1])


def _number(text: str) -> int:
    if _NUMBER.match(text) is None:
        raise ValueError(f"not a number: {text!r}")
    return int(text)


def _named(text: str, names: Mapping[str, int], what: str) -> int:
    if text not in names:
        raise ValueError(f"{text} is not a valid {what}")
    return names[text]
