"""Rules over series: what is asked for, and what each tick says."""

import math

import pytest

from heliograph.alert.rules import metrics as rule_metrics
from heliograph.alert.rules.decode import decode
from heliograph.alert.rules.rule import Series
from heliograph.core.duration import MINUTE_NS, SECOND_NS
from heliograph.core.samples import STALE

S = SECOND_NS
T0 = 1_767_225_600 * S
LABELS = (("__name__", "m"), ("job", "train"), ("pod", "p0"))
RUNS = {"metric": "m", "agg": "increase", "window": "5m", "op": "==", "value": 0, "for": "2m"}
SLOW = {"metric": "m", "agg": "last", "op": ">", "value": 10, "for": "1m"}


def rule(config, **over):
    given = {
        "name": "R",
        "source": "metric",
        "severity": "warning",
        **over,
        "rule_config": config,
    }
    return decode(given, rule_id="r")


def every(step_s, count, value):
    return [(T0 + n * step_s * S, value(n)) for n in range(count)]


def story(one, series, seconds, since_ns=T0):
    """(second, status) of every post, evaluated at each of *seconds*."""
    return [(at_s, post.status) for at_s, post in posts_of(one, series, seconds, since_ns)[0]]


def posts_of(one, series, seconds, since_ns=T0):
    """(second, post) of every post, evaluated at each of *seconds*; and the state then."""
    state, told = b"", []
    for at_s in seconds:
        now_ns = T0 + at_s * S
        asked = rule_metrics.query(one, now_ns)
        window = [
            Series(s.labels, inside)
            for s in series
            if (inside := [p for p in s.points if asked.start_ns <= p[0] < asked.end_ns])
        ]
        answer = rule_metrics.evaluate(one, state, window, now_ns=now_ns, since_ns=since_ns)
        state = answer.state
        told += [(at_s, post) for post in answer.posts]
    return told, state


def test_what_is_asked_for():
    one = rule({**SLOW, "match": ['job="train"']})
    asked = rule_metrics.query(one, T0)
    assert (asked.metric, [str(m) for m in asked.match]) == ("m", ['job="train"'])
    assert asked.start_ns <= T0 - 5 * MINUTE_NS < T0 < asked.end_ns
    assert (
        rule_metrics.query(
            decode({"name": "x", "source": "log", "rule_config": {"pattern": "x"}}), 0
        )
        is None
    )


def test_a_threshold_fires_after_its_for_repeats_and_ends():
    points = every(15, 40, lambda n: 12.5 if 8 <= n < 20 else 1.0)
    told = story(rule(SLOW), [Series(LABELS, points)], range(0, 360, 30))
    assert told == [
        (180, "firing"),
        (210, "firing"),
        (240, "firing"),
        (270, "firing"),
        (300, "resolved"),
    ]


def test_what_does_not_last_does_not_fire():
    points = every(15, 40, lambda n: 12.5 if 8 <= n < 11 else 1.0)
    assert story(rule(SLOW), [Series(LABELS, points)], range(0, 360, 15)) == []


def test_the_post_has_the_labels_of_the_series_and_the_value():
    one = rule({**SLOW, "for": "0s"}, labels={"team": "a"},
               annotations={"summary": "{{ $labels.pod }} at {{ $value }}%"})  # fmt: skip
    answer = rule_metrics.evaluate(one, b"", [Series(LABELS, [(T0, 12.5)])], now_ns=T0)
    (post,) = answer.posts
    assert dict(post.labels) == {
        "alertname": "R", "severity": "warning", "team": "a", "job": "train", "pod": "p0",
    }  # fmt: skip
    assert dict(post.annotations) == {
        "summary": "p0 at 12.5%", "value": "12.5", "match_reason": "last of m over 5m > 10",
    }  # fmt: skip
    assert (post.starts_ns, post.ends_ns, post.source) == (T0, None, "metric")


def test_a_counter_that_stands_still():
    """`increase(telemetry_collection_runs_total[5m]) == 0` for 2 minutes."""
    still = [Series(LABELS, every(15, 80, lambda n: min(n, 20)))]
    moving = [Series(LABELS, every(15, 80, lambda n: n))]
    told = story(rule(RUNS), still, range(0, 1200, 30))
    # It stops at 300 s; for 5 minutes the window still sees it move, then 2 minutes pass.
    assert told[0] == (720, "firing")
    assert story(rule(RUNS), moving, range(60, 1200, 30)) == []


def test_a_series_that_ends_has_no_condition():
    points = every(15, 20, lambda n: 12.5)
    told = story(rule(SLOW), [Series(LABELS, points)], range(0, 1500, 60))
    assert told[-1][1] == "resolved"
    # Five minutes of window, and five of lateness, after the last point at 285 s.
    assert told[-1][0] == 900


def test_a_client_whose_clock_is_behind_is_judged_by_its_own_points():
    behind = [(at - 4 * MINUTE_NS, value) for at, value in every(15, 40, lambda n: 12.5)]
    ahead = [(at + 60 * MINUTE_NS, value) for at, value in every(15, 40, lambda n: 12.5)]
    told = story(rule({**SLOW, "for": "0s"}), [Series(LABELS, behind)], range(300, 400, 60))
    assert told == [(300, "firing"), (360, "firing")]
    assert (
        story(rule({**SLOW, "for": "0s"}), [Series(LABELS, ahead)], range(300, 400, 60)) == []
    )


def test_nan_points_say_nothing():
    assert story(rule({**SLOW, "for": "0s"}), [Series(LABELS, [(T0, math.nan)])], [0, 30]) == []


def test_a_rule_that_is_removed_ends_what_it_said():
    one = rule({**SLOW, "for": "0s"})
    answer = rule_metrics.evaluate(one, b"", [Series(LABELS, [(T0, 12.5)])], now_ns=T0)
    (over,) = rule_metrics.retire(one, answer.state, now_ns=T0 + S)
    assert (over.status, over.ends_ns, over.fingerprint) == (
        "resolved", T0 + S, answer.posts[0].fingerprint,
    )  # fmt: skip
    assert rule_metrics.retire(one, b"", now_ns=T0) == []


@pytest.mark.parametrize("by", [[], ["pod"]])
def test_absence_of_a_series(by):
    one = rule({"match": {"metric": "m"}, "window": "5m", "by": by}, rule_type="absence")
    points = [
        *every(30, 10, lambda n: 1.0),
        *[(T0 + t * S, 1.0) for t in range(1200, 1500, 30)],
    ]
    told = story(one, [Series(LABELS, points)], range(0, 1500, 60))
    assert told[0] == (600, "firing")
    assert told[-1] == (1200, "resolved")
    assert {status for _, status in told[:-1]} == {"firing"}


def test_an_anomaly_of_a_series():
    one = rule({"metric": "m", "z": 8, "least": 20, "window": "1h"}, rule_type="anomaly")
    points = every(30, 100, lambda n: 100 + (n % 5) + (400 if n == 80 else 0))
    told = story(one, [Series(LABELS, points)], range(0, 3000, 30))
    assert told == [(2400, "firing"), (2430, "resolved")]


@pytest.mark.parametrize(("lasting", "kept"), [({}, True), ({"for": "2m"}, False)])
def test_of_a_series_with_which_nothing_is_the_matter_only_what_is_asked_for_is_kept(
    lasting, kept
):
    config = {"metric": "m", "z": 8, "least": 20, "window": "1h", **lasting}
    one = rule(config, rule_type="anomaly")
    calm = [Series(LABELS, every(30, 100, lambda n: 100 + n % 5))]
    told, state = posts_of(one, calm, range(0, 3000, 30))
    assert (told, bool(state)) == ([], kept)


def test_a_state_of_another_kind_is_begun_anew():
    assert rule_metrics.evaluate(rule(SLOW), b"\xc1x", [], now_ns=T0) == ([], b"", 0)
    absence = rule({"match": {"metric": "m"}, "window": "5m", "by": ["a"]}, rule_type="absence")
    assert rule_metrics.evaluate(absence, b"\xc1x", [], now_ns=T0).posts == []


def test_other_rules_are_not_evaluated_here():
    other = decode({"name": "x", "source": "log", "rule_config": {"pattern": "x"}})
    with pytest.raises(ValueError, match="no rule over series"):
        rule_metrics.evaluate(other, b"", [], now_ns=0)


def test_of_changes_a_jump_fires_once_it_is_the_newest():
    config = {"metric": "m", "z": 8, "least": 5, "of": "change", "direction": "both"}
    one = rule(config, rule_type="anomaly")
    steady = [Series(LABELS, every(1, 30, lambda n: 2.0 * n + n * n % 7 / 10))]
    jump = [Series(LABELS, [*steady[0].points, (T0 + 30 * S, 200.0)])]

    assert story(one, steady, [29]) == []
    assert story(one, jump, [29, 30]) == [(30, "firing")]


# A sample each second from the second 0 on; `x` is a stale marker, `N` any other NaN, `.` nothing.
def points(text):
    values = {"x": float(STALE), "N": math.nan}
    return [
        (T0 + n * S, values.get(word) if word in values else float(word))
        for n, word in enumerate(text.split())
        if word != "."
    ]


@pytest.mark.parametrize(
    ("agg", "over_s", "samples", "expected"),
    [
        # What would have held long enough did not: the series had ended.
        ("last", "6s", "1 11 x", []),
        # Any other NaN, or silence, ends no series.
        ("last", "6s", "1 11 N", [(7, 20)]),
        ("last", "6s", "1 11", [(7, 20)]),
        ("last", "0s", "1 11 x", [(1, 2)]),
        # It comes again: what held before its marker counts no more.
        ("last", "3s", "11 11 x 11 11 11 11 11", [(6, 20)]),
        ("last", "0s", "11 x x", [(0, 1)]),
        # Of a window, the samples before the marker, as long as they are within it.
        ("max", "0s", "1 11 x", [(1, 11)]),
        ("mean", "6s", "11 11 x", [(6, 11)]),
        ("mean", "0s", "11 x 1", [(0, 2)]),
        ("count", "0s", "1 1 x", []),
    ],
)
def test_a_series_ends_at_its_stale_marker(agg, over_s, samples, expected):
    """Spans in which it fires, looked at each second; the window is 10 s."""
    one = rule({**SLOW, "agg": agg, "window": "10s", "for": over_s})
    told = story(one, [Series(LABELS, points(samples))], range(20))
    assert spans(told, 20) == expected


def spans(told, until):
    firing = [at_s for at_s, status in told if status == "firing"]
    ends = [at_s for at_s, status in told if status == "resolved"]
    return [(firing[0], ends[0] if ends else until)] if firing else []


def test_an_aggregate_of_no_samples_holds_of_no_series_that_has_ended():
    one = rule({**SLOW, "agg": "count", "op": "<", "value": 2, "window": "10s", "for": "0s"})
    told = story(one, [Series(LABELS, points("1 1 x"))], range(30))
    # Of two samples: the first alone; then both; then the second alone; then there is none.
    assert told == [(0, "firing"), (1, "resolved"), (10, "firing"), (11, "resolved")]


def test_a_marker_is_no_anomaly_and_no_sign_of_life():
    shape = {"metric": "m", "z": 8, "least": 5, "window": "1h"}
    steady = [*every(1, 30, lambda n: 100 + n % 5), (T0 + 30 * S, 900.0)]
    ended = [*steady, (T0 + 31 * S, float(STALE))]
    anomaly = rule(shape, rule_type="anomaly")
    assert story(anomaly, [Series(LABELS, ended)], [30, 31]) == [
        (30, "firing"),
        (31, "resolved"),
    ]

    absence = rule(
        {"match": {"metric": "m"}, "window": "5s", "by": ["pod"]}, rule_type="absence"
    )
    marked = [Series(LABELS, points("1 1 . . . x"))]
    assert story(absence, marked, range(8)) == [(7, "firing")]


WORDS = "{{ $labels.pod }} is at {{ $value }}"
ABSENT = {"match": {"metric": "m"}, "window": "5s", "by": ["pod"]}
ANOMALY = {"metric": "m", "z": 8, "least": 5, "window": "1h"}
JUMP = " ".join(["1", "2"] * 5)
SPAN = {**SLOW, "window": "5s", "for": "0s"}


@pytest.mark.parametrize(
    ("config", "kind", "samples", "until", "why", "words"),
    [
        (SPAN, "threshold", "1 12.5 1", 3, "condition over", "p0 is at 12.5"),
        (SPAN, "threshold", "1 12.5 13 x", 4, "no data", "p0 is at 13"),
        (SPAN, "threshold", "12.5", 310, "no data", "p0 is at 12.5"),
        (ANOMALY, "anomaly", f"{JUMP} 400 1", 12, "condition over", "p0 is at 400"),
        (ABSENT, "absence", "1 . . . . . . . 1", 9, "heard again", "p0 is at 8"),
        ({**ABSENT, "by": []}, "absence", "1 . . . . . . . 1", 9, "heard again", " is at 8"),
        (
            {**ABSENT, "forget": "9s"},
            "absence",
            "1",
            11,
            "not expected any more",
            "p0 is at 10",
        ),
    ],
)
def test_what_is_over_reads_as_it_fired(config, kind, samples, until, why, words):
    one = rule(config, rule_type=kind, annotations={"summary": WORDS})
    told, _ = posts_of(one, [Series(LABELS, points(samples))], range(until))
    *_, (_, before), (_, over) = told
    assert (before.status, over.status) == ("firing", "resolved")
    assert "{{" not in before.annotations[-1][1]
    assert dict(over.annotations) == {"resolved_because": why, "summary": words}


@pytest.mark.parametrize(
    ("config", "kind", "words"),
    [(SPAN, "threshold", "p0 is at 12.5"), (ABSENT, "absence", "p0 is at 9")],
)
def test_what_is_over_because_its_rule_is_removed_reads_as_it_fired(config, kind, words):
    one = rule(config, rule_type=kind, annotations={"summary": WORDS})
    _, state = posts_of(one, [Series(LABELS, points("12.5"))], range(8))
    (over,) = rule_metrics.retire(one, state, now_ns=T0 + 9 * S)
    assert dict(over.annotations) == {"resolved_because": "rule removed", "summary": words}
