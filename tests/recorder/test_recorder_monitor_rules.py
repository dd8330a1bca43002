"""A monitor in a process and the rule that it becomes over HTTP say the same of the same."""

import math
import random

import pytest

from heliograph.alert.rules import metrics as rule_metrics
from heliograph.alert.rules.decode import decode
from heliograph.alert.rules.rule import Said, Series
from heliograph.alert.rules.stream import RuleStream
from heliograph.core.duration import SECOND_NS
from heliograph.recorder import monitors, points, rule_documents
from heliograph.recorder.monitoring import Monitor, Now
from heliograph.recorder.points import Event, Point
from tests.conftest import NEW_YEAR_NS as T0

S = SECOND_NS
# Two a second, more or less, and once thirty.
CLIMB = [0, 2.3, 4.1, 6.4, 7.9, 10, 12.2, 13.9, 16.3, 18, 20.2, 21.8, 24.1, 26, 28, 58, 60.1]


def both(kind, **options):
    definition = monitors.define("mon", kind, options)
    rule = decode(rule_documents.of(definition), rule_id="r")
    return Monitor(definition, print, Now(T0, T0)), rule


def of_values(monitor, rule, values):
    """Seconds at which the monitor, and the rule, begin to fire over a value a second."""
    told, ruled, state, firing = [], [], b"", False
    pairs = [(T0 + n * S, value) for n, value in enumerate(values)]
    for n, (at_ns, value) in enumerate(pairs):
        point = Point("m", value, {"k": "a"}, at_ns, "", "")
        told += [
            n for one in monitor.take_point(point, Now(at_ns, at_ns)) if one.state == "firing"
        ]
        asked = rule_metrics.query(rule, at_ns)
        series = Series((("__name__", "m"), ("k", "a")),
                        [one for one in pairs[: n + 1] if one[0] >= asked.start_ns])  # fmt: skip
        answer = rule_metrics.evaluate(rule, state, [series], now_ns=at_ns, since_ns=T0)
        state = answer.state
        fires = any(post.status == "firing" for post in answer.posts)
        ruled += [n] if fires and not firing else []
        firing = fires
    return told, ruled


@pytest.mark.parametrize(
    ("kind", "options", "values", "seconds"),
    [
        ("threshold", {"value": 5}, [1, 6, 6, 2, 7], [1, 4]),
        ("threshold", {"value": 5, "for_": "2s"}, [1, 6, 6, 6, 2, 7, 7], [3]),
        ("threshold", {"value": 4, "aggregate": "mean", "window": "3s"}, [1, 6, 6, 2, 0], [2]),
        ("threshold", {"value": 5, "match": {"k": "b"}}, [9, 9], []),
        ("rate", {"value": 2, "window": "5s"}, [0, 1, 2, 6, 9, 0], [4]),
        ("change", {"value": 1.5, "window": "4s"}, [0, 1, 2, 3, 6, 9, 12], [4]),
        ("change", {"value": -1, "op": "<", "window": "10s"}, [9, 9, 9, 2], [3]),
        ("anomaly", {"value": 8, "least": 5}, [n % 3 for n in range(20)] + [90, 1], [20]),
        (
            "anomaly",
            {"value": 8, "least": 5, "direction": "up"},
            [n % 3 for n in range(20)] + [-90],
            [],
        ),
        (
            "anomaly",
            {"value": 8, "least": 5, "of": "change"},
            CLIMB,
            [15],
        ),
    ],
)
def test_over_a_metric(kind, options, values, seconds):
    monitor, rule = both(kind, metric="m", **options)
    if "match" in options:
        # The service asks for the series that match.
        assert [str(one) for one in rule.body.match] == ['k="b"']
        assert of_values(monitor, rule, values)[0] == seconds
        return
    assert of_values(monitor, rule, values) == (seconds, seconds)


@pytest.mark.parametrize("every", [1, 5, 7, 25])
@pytest.mark.parametrize(("of", "jumps"), [("value", 1), ("change", 2)])
def test_one_sample_is_enough_whenever_a_rule_is_looked_at(every, of, jumps):
    monitor, rule = both("anomaly", metric="m", value=8, of=of)
    rng = random.Random(1)
    pairs = [(T0 + n * S, 90.0 if n == 32 else rng.gauss(2, 1)) for n in range(80)]
    told, ruled, state = [], [], b""
    for n, (at_ns, value) in enumerate(pairs):
        point = Point("m", value, {}, at_ns, "", "")
        told += [one.state for one in monitor.take_point(point, Now(at_ns, at_ns))]
        if n % every == every - 1:
            series = [Series((("__name__", "m"),), pairs[: n + 1])]
            answer = rule_metrics.evaluate(rule, state, series, now_ns=at_ns, since_ns=T0)
            state = answer.state
            ruled += [post.status for post in answer.posts]
    # Up and down again are two jumps, which one look may see at once.
    seen = [one for one, before in zip(ruled, [None, *ruled], strict=False) if one != before]

    assert told == ["firing", "resolved"]
    assert seen == ["firing", "resolved"]
    assert ruled.count("firing") in range(1, jumps + 1)


@pytest.mark.parametrize(
    "after", [[(33, 1.0)], [(33, math.nan)], []], ids=["a usual one", "none", "nothing"]
)
def test_what_a_rule_has_seen_it_does_not_tell_again(after):
    _, rule = both("anomaly", metric="m", value=8, least=5)
    first = [(T0 + n * S, float(n % 3)) for n in range(31)]
    more = [(T0 + 32 * S, 90.0), *((T0 + n * S, value) for n, value in after)]
    state, told = b"", []
    for count, now_s in ((31, 30), (33 + len(after), 35), (33 + len(after), 40)):
        series = [Series((("__name__", "m"),), [*first, *more][:count])]
        answer = rule_metrics.evaluate(rule, state, series, now_ns=T0 + now_s * S)
        state = answer.state
        told.append([post.status for post in answer.posts])

    # The newest stands until another comes.
    assert told == [[], ["firing"], ["resolved"] if after else ["firing"]]


def of_events(monitor, rule, events):
    """Seconds at which the monitor, and the rule, begin to fire."""
    stream = RuleStream([rule], since_ns=T0)
    told, ruled, firing = [], [], False
    for second, event_type, source, status in events:
        at_ns = T0 + int(second * S)
        event = Event("e", event_type, source, at_ns, {"status": status}, "", {})
        told += [
            second
            for one in monitor.take_event(event, Now(at_ns, at_ns))
            if one.state == "firing"
        ]
        record = points.record_of_event(event, "s", at_ns)
        stream.record(record, Said(at_ns, "s"), arrival_ns=at_ns)
        for post in stream.drain()[0]:
            ruled += [second] if post.status == "firing" and not firing else []
            firing = post.status == "firing"
    return told, ruled


OK, BAD = ("RUN", "core", "SUCCESS"), ("RUN", "core", "ERROR")
OTHERS = [("RUN", "other", "ERROR"), ("IDLE", "core", "ERROR")]


@pytest.mark.parametrize(
    ("kind", "options", "kinds", "seconds"),
    [
        ("rate", {"value": 3, "window": "10s"}, [OK, *OTHERS, OK, OK, OK, OK], [5]),
        ("rate", {"value": 3, "op": ">=", "window": "3s"}, [OK, *OTHERS, OK, OK, BAD], [5]),
        ("error_share", {"value": 39, "least": 4}, [OK, OK, OK, *OTHERS, BAD, BAD, OK], [6]),
        ("error_share", {"value": 50, "least": 2, "op": ">="}, [BAD, BAD, OK, OK], [1]),
    ],
)
def test_over_events(kind, options, kinds, seconds):
    monitor, rule = both(kind, event_type="RUN", source="core", **options)
    events = [(n, *one) for n, one in enumerate(kinds)]

    assert of_events(monitor, rule, events) == (seconds, seconds)


def test_events_of_any_type_are_not_text_values():
    _, rule = both("rate", value=1, op=">=", window="10s")
    stream = RuleStream([rule], since_ns=T0)
    text = points.record_of_text(Point("m", "hot", {}, T0, "e", ""), "s", T0)
    other = points.record_of_event(Event("e", "A", "b", T0, {}, "", {}), "s", T0)

    for record, count in ((text, 0), (other._replace(source_kind="log"), 0), (other, 1)):
        stream.record(record, Said(T0, "s"), arrival_ns=T0)
        assert len(stream.drain()[0]) == count


def test_over_silence():
    monitor, rule = both("absence", event_type="BEAT", window="10s")
    stream = RuleStream([rule], since_ns=T0)
    event = Event("e", "BEAT", "core", T0 + 5 * S, {}, "", {})
    told, ruled = [], []
    for second in range(40):
        at_ns = T0 + second * S
        if second in {5, 30}:
            told += [one.state for one in monitor.take_event(event, Now(at_ns, at_ns))]
            stream.record(
                points.record_of_event(event, "s", at_ns), Said(at_ns, "s"), arrival_ns=at_ns
            )
        told += [(second, one.state) for one in monitor.tick(Now(at_ns, at_ns))]
        stream.tick(at_ns)
        ruled += [(second, post.status) for post in stream.drain()[0]]

    assert told == [(16, "firing"), "resolved"]
    assert (ruled[0], ruled[-1]) == ((16, "firing"), (30, "resolved"))
