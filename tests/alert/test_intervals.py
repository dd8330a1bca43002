"""Time intervals: what is an interval, and which instants are in it."""

import json
from datetime import datetime

import pytest

from heliograph.alert import intervals
from heliograph.alert.intervals import Interval
from heliograph.core import document, instant
from heliograph.core.errors import ConfigError


def ns(text):
    return instant.parse(text)


def of(text):
    return intervals.parse(document.parse(text, source="test"))


def test_alertmanagers_table(shared_data):
    path = shared_data / "tables" / "am_time_intervals_yaml.json"
    cases = json.loads(path.read_text())["cases"]
    asked = 0
    for case in cases:
        if case["expect_error"]:
            with pytest.raises(ConfigError):
                of(case["yaml"])
            continue
        read = of(case["yaml"])
        for key, inside in (("contains_rfc822z", True), ("excludes_rfc822z", False)):
            for text in case[key]:
                moment = datetime.strptime(text, "%d %b %y %H:%M %z")
                at_ns = int(moment.timestamp()) * 10**9
                assert intervals.contains(read, at_ns) is inside, (case["yaml"], text)
                asked += 1
    assert (len(cases), asked) == (21, 15)


INSIDE = [
    # interval                                                   instant                 inside
    # every key must hold, one entry of it is enough; without keys, always
    ("[{}]", "2026-01-01T00:00:00Z", True),
    ("[]", "2026-01-01T00:00:00Z", False),
    ("[{weekdays: [monday], months: [june]}]", "2026-06-01T12:00:00Z", True),
    ("[{weekdays: [monday], months: [june]}]", "2026-06-02T12:00:00Z", False),
    ("[{weekdays: [monday]}, {months: [june]}]", "2026-06-02T12:00:00Z", True),
    # the end of a time is not part of it
    ("[{times: [{start_time: '09:00', end_time: '17:00'}]}]", "2026-01-01T08:59:59.999Z", False),
    ("[{times: [{start_time: '09:00', end_time: '17:00'}]}]", "2026-01-01T09:00:00Z", True),
    ("[{times: [{start_time: '09:00', end_time: '17:00'}]}]", "2026-01-01T16:59:59.999Z", True),
    ("[{times: [{start_time: '09:00', end_time: '17:00'}]}]", "2026-01-01T17:00:00Z", False),
    ("[{times: [{start_time: 23:59, end_time: 24:00}]}]", "2026-01-01T23:59:59Z", True),
    # weeks begin on Sunday; both ends are part of a range
    ("[{weekdays: ['sunday:saturday']}]", "2026-01-03T00:00:00Z", True),
    ("[{weekdays: ['Monday:FRIDAY']}]", "2026-01-02T23:59:59Z", True),
    ("[{weekdays: ['monday:friday']}]", "2026-01-03T00:00:00Z", False),
    ("[{weekdays: [sunday]}]", "2026-01-04T12:00:00Z", True),
    # days from the month's end
    ("[{days_of_month: ['-1']}]", "2026-02-28T12:00:00Z", True),
    ("[{days_of_month: ['-1']}]", "2028-02-28T12:00:00Z", False),
    ("[{days_of_month: ['-1']}]", "2028-02-29T12:00:00Z", True),
    ("[{days_of_month: ['-31:-29']}]", "2026-02-01T12:00:00Z", False),
    ("[{days_of_month: ['-31:-28']}]", "2026-02-01T12:00:00Z", True),
    ("[{days_of_month: ['29:31']}]", "2026-02-28T12:00:00Z", False),
    ("[{days_of_month: ['5:-2']}]", "2026-02-27T12:00:00Z", True),
    ("[{days_of_month: ['5:-2']}]", "2026-02-28T12:00:00Z", False),
    ("[{days_of_month: [3]}]", "2026-02-03T12:00:00Z", True),
    ("[{days_of_month: ['27:-1']}]", "2026-01-31T12:00:00Z", True),
    ("[{days_of_month: ['1:-27']}]", "2026-02-02T12:00:00Z", True),
    ("[{months: ['march:5', 12]}]", "2026-05-31T12:00:00Z", True),
    ("[{months: ['march:5', 12]}]", "2026-12-31T12:00:00Z", True),
    ("[{months: ['march:5', 12]}]", "2026-06-01T12:00:00Z", False),
    ("[{years: [2026, '2030:2035']}]", "2035-12-31T23:59:59Z", True),
    ("[{years: [2026, '2030:2035']}]", "2027-01-01T00:00:00Z", False),
    # places
    ("[{years: ['2027'], location: Australia/Sydney}]", "2026-12-31T12:59:59Z", False),
    ("[{years: ['2027'], location: Australia/Sydney}]", "2026-12-31T13:00:00Z", True),
    ("[{times: [{start_time: '02:00', end_time: '03:00'}], location: Europe/Berlin}]",
     "2026-06-01T00:30:00Z", True),
    ("[{times: [{start_time: '02:00', end_time: '03:00'}], location: Europe/Berlin}]",
     "2026-01-01T00:30:00Z", False),
    # the hour that summer time skips is not there, the one that it repeats is there twice
    ("[{times: [{start_time: '02:00', end_time: '03:00'}], location: Europe/Berlin}]",
     "2026-03-29T01:00:00Z", False),
    ("[{times: [{start_time: '02:00', end_time: '03:00'}], location: Europe/Berlin}]",
     "2026-10-25T00:30:00Z", True),
    ("[{times: [{start_time: '02:00', end_time: '03:00'}], location: Europe/Berlin}]",
     "2026-10-25T01:30:00Z", True),
    ("[{years: ['1969'], location: ''}]", "1969-12-31T23:59:59.5Z", True),
]  # fmt: skip


@pytest.mark.parametrize(("text", "at", "inside"), INSIDE)
def test_contains(text, at, inside):
    assert intervals.contains(of(text), ns(at)) is inside


WRONG = [
    # interval                                                       what the message names
    ("{}", "expected a list"),
    ("[5]", "[0]: expected a mapping"),
    ("[{weekday: [monday]}]", "unknown key weekday"),
    ("[{weekdays: monday}]", "[0].weekdays: expected a list"),
    ("[{weekdays: ['monday:tuesday:friday']}]", "not a range"),
    ("[{weekdays: ['saturday:sunday']}]", "the start is after the end"),
    ("[{weekdays: [2]}]", "2 is not a valid weekday"),
    ("[{weekdays: ['']}]", "not a range"),
    ("[{months: [0]}]", "0 is not a valid month"),
    ("[{months: [13]}]", "13 is not a valid month"),
    ("[{months: [1.5]}]", "not a range"),
    ("[{months: [true]}]", "not a range"),
    ("[{days_of_month: ['1:']}]", "not a number"),
    ("[{days_of_month: ['32']}]", "out of range"),
    ("[{days_of_month: ['29:-1']}]", "day -1 is before day 29 in the shortest month"),
    ("[{days_of_month: ['28:-1']}]", "day -1 is before day 28"),
    ("[{days_of_month: ['15:-15']}]", "day -15 is before day 15"),
    ("[{days_of_month: ['1:-28']}]", "day -28 is before day 1"),
    ("[{days_of_month: ['-2:-3']}]", "day -3 is before day -2"),
    ("[{years: [x]}]", "not a number"),
    ("[{times: [{start_time: '09:00'}]}]", "expected start_time and end_time"),
    ("[{times: [{start_time: '09:00', end_time: '09:00'}]}]", "not before end_time"),
    ("[{times: [{start_time: '22:00', end_time: '06:00'}]}]", "a night is two ranges"),
    ("[{times: [{start_time: '9:00', end_time: '10:00'}]}]", "not a time of day"),
    ("[{times: [{start_time: '24:00', end_time: '24:00'}]}]", "not before end_time"),
    ("[{times: ['09:00']}]", "expected start_time"),
    ("[{location: Mars/Olympus}]", "unknown time zone 'Mars/Olympus'"),
    ("[{location: ../../etc/passwd}]", "unknown time zone"),
    ("[{location: [UTC]}]", "location: expected text"),
]


@pytest.mark.parametrize(("text", "named"), WRONG)
def test_what_is_no_interval(text, named):
    with pytest.raises(ConfigError) as caught:
        of(text)
    assert named in str(caught.value)
    assert str(caught.value).startswith("time_intervals")


def test_too_many():
    with pytest.raises(ConfigError, match="limit 1000"):
        intervals.parse([{}] * 1001)


def test_local_is_the_machines_zone():
    assert intervals.parse([{"location": "Local"}]) == (Interval(zone="Local"),)
    noon = datetime(2026, 6, 1, 12).astimezone()
    local = of("[{times: [{start_time: '12:00', end_time: '12:01'}], location: Local}]")
    assert intervals.contains(local, int(noon.timestamp()) * 10**9)


NAMED = {
    "always": (Interval(),),
    "never": (),
    "2026": (Interval(years=((2026, 2026),)),),
    "2027": (Interval(years=((2027, 2027),)),),
}
MUTED = [
    # mutes                     actives             muted by in 2026
    ((), (), ()),
    (("always",), (), ("always",)),
    (("never", "2027"), (), ()),
    (("always", "2027", "2026"), (), ("always", "2026")),
    ((), ("2026", "never"), ()),
    ((), ("2027", "never"), ("2027", "never")),
    (("2026",), ("2027",), ("2026", "2027")),
    (("2026",), ("2026",), ("2026",)),
    (("unknown",), (), ()),
    ((), ("unknown",), ("unknown",)),
]


@pytest.mark.parametrize(("mutes", "actives", "expected"), MUTED)
def test_what_mutes_a_route(mutes, actives, expected):
    at_ns = ns("2026-06-01T00:00:00Z")
    assert intervals.muted_by(mutes, actives, NAMED, at_ns) == expected
