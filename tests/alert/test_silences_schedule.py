"""Scheduled silences: when a window is open, also when the clocks change."""

import random
from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim

from heliograph.alert import schedule
from heliograph.alert.schedule import Schedule
from heliograph.core import duration, instant
from heliograph.core.errors import Refused


def of(cron, span, zone="UTC"):
    return Schedule({"cron": cron, "duration": span, "timezone": zone})


def ns(text):
    return instant.parse(text)


WINDOWS = [
    # cron, duration, timezone                    instant                 in force
    (("0 2 * * *", "1h", "UTC"), "2026-01-01T01:59:59.999Z", False),
    (("0 2 * * *", "1h", "UTC"), "2026-01-01T02:00:00Z", True),
    (("0 2 * * *", "1h", "UTC"), "2026-01-01T02:59:59.999Z", True),
    (("0 2 * * *", "1h", "UTC"), "2026-01-01T03:00:00Z", False),
    (("0 22 * * fri", "2d", "UTC"), "2026-01-04T21:59:59Z", True),
    (("0 22 * * fri", "2d", "UTC"), "2026-01-04T22:00:00Z", False),
    # windows that meet or overlap are one
    (("*/10 * * * *", "10m", "UTC"), "2026-01-01T00:10:00Z", True),
    (("*/10 * * * *", "9m", "UTC"), "2026-01-01T00:09:00Z", False),
    # in its own zone, summer and winter
    (("0 2 * * *", "1h", "Europe/Berlin"), "2026-01-01T01:30:00Z", True),
    (("0 2 * * *", "1h", "Europe/Berlin"), "2026-07-01T01:30:00Z", False),
    (("0 2 * * *", "1h", "Europe/Berlin"), "2026-07-01T00:30:00Z", True),
    # 02:30 is skipped on 29 March: the window opens right after, at 03:00
    (("30 2 * * *", "1h", "Europe/Berlin"), "2026-03-29T00:59:59Z", False),
    (("30 2 * * *", "1h", "Europe/Berlin"), "2026-03-29T01:00:00Z", True),
    (("30 2 * * *", "1h", "Europe/Berlin"), "2026-03-29T01:59:59Z", True),
    (("30 2 * * *", "1h", "Europe/Berlin"), "2026-03-29T02:00:00Z", False),
    # 02:30 comes twice on 25 October: it opens once, the first time
    (("30 2 * * *", "30m", "Europe/Berlin"), "2026-10-25T00:30:00Z", True),
    (("30 2 * * *", "30m", "Europe/Berlin"), "2026-10-25T01:00:00Z", False),
    (("30 2 * * *", "30m", "Europe/Berlin"), "2026-10-25T01:30:00Z", False),
    # the duration is elapsed time, not the hands of a clock
    (("0 1 * * *", "2h", "Europe/Berlin"), "2026-10-25T00:59:59Z", True),
    (("0 1 * * *", "2h", "Europe/Berlin"), "2026-10-25T01:00:00Z", False),
    # a line for every so many minutes goes on through both hours
    (("*/30 * * * *", "10m", "Europe/Berlin"), "2026-10-25T01:30:00Z", True),
]


@pytest.mark.parametrize(("document", "at", "inside"), WINDOWS)
def test_in_force(document, at, inside):
    assert of(*document).in_force(ns(at)) is inside


@pytest.mark.parametrize(
    ("cron", "span", "minutes"),
    [
        ("0 2 * * *", "1h", range(120, 180)),
        ("0 2,3 * * *", "1h", range(120, 240)),
        # More windows than are joined at once.
        ("* * * * *", "2m", range(360)),
    ],
)
def test_asked_minute_by_minute(cron, span, minutes):
    one, begin_ns = of(cron, span), ns("2026-01-01T00:00:00Z")
    held = [n for n in range(360) if one.in_force(begin_ns + n * duration.MINUTE_NS)]
    assert held == list(minutes)


LINES = [
    ("30 2 * * *", "1h", "Europe/Berlin"),
    ("*/7 1-3 * * *", "3m", "Europe/Berlin"),
    ("30 1,2 * * *", "25m", "America/New_York"),
    ("0 * * * *", "30m", "Australia/Lord_Howe"),
    ("30 1 * * *", "26h", "Europe/London"),
    ("0 22 * * mon-fri", "10h", "Asia/Kolkata"),
    ("0 0 1 * *", "20d", "UTC"),
]
CHANGES = ("2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z", "2026-03-08T07:00:00Z",
           "2026-11-01T06:00:00Z", "2026-04-04T15:00:00Z", "2026-10-03T15:30:00Z")  # fmt: skip


@pytest.mark.parametrize("document", LINES)
def test_what_is_open_is_what_all_ticks_say(document):
    """However a schedule is asked: afresh, or about rising instants."""
    cron, span, zone = document
    rng = random.Random(5)
    begin = datetime(2026, 1, 1, tzinfo=ZoneInfo(zone))
    until_ns = ns("2026-11-20T00:00:00Z")
    ticks = []
    for tick in CronSim(cron, begin - timedelta(days=40)):
        ticks.append(int((tick - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) * 10**9)
        if ticks[-1] > until_ns:
            break
    ticks.sort()
    length_ns = duration.parse(span)
    asked = [
        ns(change) + rng.randrange(-4 * 3600, 4 * 3600) * 10**9
        for change in CHANGES
        for _ in range(25)
    ]
    asked += [
        rng.choice(ticks) + edge for edge in (0, -1, length_ns, length_ns - 1) for _ in range(5)
    ]
    kept = of(*document)
    for at_ns in sorted(at for at in asked if ns("2026-02-15T00:00:00Z") < at < until_ns):
        last = bisect_right(ticks, at_ns) - 1
        inside = at_ns < ticks[last] + length_ns
        assert (of(*document).in_force(at_ns), kept.in_force(at_ns)) == (inside, inside)


REFUSED = [
    # document                                                     field
    ("0 2 * * *", "schedule"),
    ({"cron": "0 2 * * *"}, "schedule.duration"),
    ({"duration": "1h"}, "schedule.cron"),
    ({"cron": "0 2 * * *", "duration": "1h", "tz": "UTC"}, "schedule.tz"),
    ({"cron": "0 2 * * *", "duration": "1h", "timezone": "Mars"}, "schedule.timezone"),
    ({"cron": "0 2 * * *", "duration": "1h", "timezone": "Local"}, "schedule.timezone"),
    ({"cron": "0 2 * * *", "duration": "1h", "timezone": 1}, "schedule.timezone"),
    ({"cron": "0 2 * * *", "duration": "1x"}, "schedule.duration"),
    ({"cron": "0 2 * * *", "duration": "59s"}, "schedule.duration"),
    ({"cron": "0 2 * * *", "duration": "367d"}, "schedule.duration"),
    ({"cron": "0 2 * *", "duration": "1h"}, "schedule.cron"),
    ({"cron": "0 0 2 * * *", "duration": "1h"}, "schedule.cron"),
    ({"cron": "@daily", "duration": "1h"}, "schedule.cron"),
    ({"cron": "61 2 * * *", "duration": "1h"}, "schedule.cron"),
    ({"cron": "0 0 31 2 *", "duration": "1h"}, "schedule.cron"),
    ({"cron": "0 " * 200, "duration": "1h"}, "schedule.cron"),
]


@pytest.mark.parametrize(("document", "field"), REFUSED)
def test_what_is_no_schedule(document, field):
    with pytest.raises(Refused) as caught:
        schedule.checked(document)
    assert caught.value.field == field


def test_what_is_one_is_kept_whole():
    assert schedule.checked(None) is None
    assert schedule.checked({"cron": "0 2 * * sun", "duration": "4h"}) == {
        "cron": "0 2 * * sun", "duration": "4h", "timezone": "UTC",
    }  # fmt: skip


def test_what_is_refused_is_quoted_as_it_was_written():
    for empty in ("cron", "duration"):
        with pytest.raises(Refused, match=": ''"):
            schedule.checked({"cron": "0 2 * * sun", "duration": "4h", empty: ""})
