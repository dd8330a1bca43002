"""Trying a rule over given input."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.core.errors import Refused
from tests.alert.rule_trial import trial

NOW_NS = 1_767_225_600_000_000_000


def rule(config, **over):
    return {"name": "R", "source": "log", "severity": "warning", **over, "rule_config": config}


def tried(one, **given):
    return trial({"rule": one, **given}, now_ns=NOW_NS)


def test_lines_as_text_and_as_objects():
    answer = tried(
        rule(
            {"pattern": "NCCL", "threshold": {"count": 2, "window": "1m", "by": ["pod_name"]}}
        ),
        lines=[
            {"message": "NCCL a", "pod_name": "p0", "date": "2026-01-01T00:00:00Z"},
            {"log": "NCCL b", "pod_name": "p0", "timestamp": 1767225630},
            {"log": "NCCL c", "pod_name": "p1", "timestamp": 1767225630.5},
            "fine",
        ],
    )
    (alert,) = answer.pop("alerts")
    assert answer == {
        "evaluated": 4, "matched": 3, "fires": True, "truncated": False, "warnings": [],
    }  # fmt: skip
    assert alert["labels"] == {"alertname": "R", "severity": "warning", "pod_name": "p0"}
    assert alert["annotations"]["log_line"] == "NCCL b"
    assert (alert["status"], alert["at"], alert["count"]) == (
        "firing",
        "2026-01-01T00:00:30Z",
        1,
    )


def test_a_rule_that_does_not_fire():
    assert tried(rule({"pattern": "NCCL"}, enabled=False), lines=["fine"]) == {
        "evaluated": 1, "matched": 0, "fires": False, "alerts": [], "truncated": False,
        "warnings": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("one", "given"),
    [
        (rule({"event_type": "oom"}, source="event"), {"records": [{"event_type": "oom"}]}),
        (
            rule({"value_ms": 10}, source="trace"),
            {"traces": [{"operation": "a", "duration": 11}]},
        ),
        (
            rule({"field": "lm_loss", "op": "nan"}, rule_type="field"),
            {"rows": [{"fields": {"lm_loss": "nan"}}]},
        ),
        (
            rule({"metric": "m", "value": 1}, source="metric"),
            {
                "series": [
                    {"labels": {"__name__": "m", "pod": "p"}, "points": [[0, 1], [30_000, 2]]}
                ]
            },
        ),
        (
            rule({"match": {"pattern": "alive"}, "window": "1m"}, rule_type="absence"),
            {"lines": [{"log": "alive", "timestamp": 1767225000}]},
        ),
    ],
)
def test_every_kind_of_input(one, given):
    answer = tried(one, **given)
    assert answer["fires"] is True
    assert answer["warnings"] == []


def entry(text, pod="a", date=1767225600.5, **block):
    """An entry of `POST /v1/logs`, as Fluent Bit makes it."""
    pod = {
        "pod_name": pod, "pod_id": f"u-{pod}", "namespace_name": "d", "host": "n1",
        "container_name": "main", "labels": {"app": "x"}, **block,
    }  # fmt: skip
    return {"date": date, "log": text, "stream": "stdout", "logtag": "F", "kubernetes": pod}


@pytest.mark.parametrize(
    ("match", "fires"),
    [
        ('pod_name="a"', True),
        ('pod_name="b"', False),
        ('pod_id="u-a"', True),
        ('namespace="d"', True),
        ('node_name="n1"', True),
        ('container="main"', True),
        ('stream="stdout"', True),
        ('kubernetes!=""', False),
    ],
)
def test_whose_an_entry_of_logs_is_may_be_matched_on(match, fires):
    one = rule({"pattern": "boom", "match": [match]})
    assert tried(one, lines=[entry("boom\n")])["fires"] is fires


@pytest.mark.parametrize(("pods", "fires"), [("ab", False), ("aa", True)])
def test_entries_of_logs_count_by_their_pod(pods, fires):
    threshold = {"count": 2, "window": "10s", "by": ["pod_name"]}
    lines = [entry("boom", pod, 1767225600 + n) for n, pod in enumerate(pods)]
    answer = tried(rule({"pattern": "boom", "threshold": threshold}), lines=lines)
    assert (answer["matched"], answer["fires"]) == (2, fires)


@pytest.mark.parametrize(
    "date",
    [
        1767225600.5,
        "1767225600.5",
        1767225600500,
        1767225600500.0,
        "1767225600500",
        1767225600500000,
        1767225600500000000,
        1.7672256005e18,
        "2026-01-01T00:00:00.5Z",
        "2026-01-01 00:00:00.500000",
    ],
)
def test_the_unit_of_a_date_is_told_by_its_magnitude(date):
    (alert,) = tried(rule({"pattern": "boom"}), lines=[entry("boom", date=date)])["alerts"]
    assert alert["at"] == "2026-01-01T00:00:00.500Z"


@pytest.mark.parametrize(
    ("text", "found", "lines"),
    [
        ("a boom\n", 1, 1),
        ("a boom\r\nboom\n\n   \nfine", 2, 3),
        ("boom b", 0, 1),
        ("", 0, 0),
    ],
)
def test_an_entry_is_so_many_lines_as_its_text_has(text, found, lines):
    answer = tried(rule({"pattern": "boom$"}), lines=[entry(text)])
    assert (answer["matched"], answer["evaluated"]) == (found, lines)


def test_an_entry_whose_message_is_empty_says_what_its_log_says():
    lines = [{"message": "", "log": "boom"}, {"MESSAGE": "boom", "_HOSTNAME": "n1"}]
    answer = tried(rule({"pattern": "boom", "match": ['node_name="n1"']}), lines=lines)
    assert (answer["matched"], len(answer["alerts"])) == (2, 1)


def test_a_point_of_null_ends_its_series():
    config = {"metric": "m", "op": ">", "value": 1, "for": "20s", "window": "1m"}
    points = [[0, 5], [10_000, 5], [20_000, 5], [30_000, None], [40_000, None]]
    one = rule({**config, "agg": "last"}, source="metric")
    answer = tried(one, series=[{"labels": {}, "points": points}], step="10s")
    assert [(alert["status"], alert["at"]) for alert in answer["alerts"]] == [
        ("firing", "1970-01-01T00:00:20Z"),
        ("resolved", "1970-01-01T00:00:30Z"),
    ]


FIELD = {"field": "lm_loss", "op": "nan"}
LINES = {"lines": ["lm_loss: nan"]}


@pytest.mark.parametrize(
    ("one", "given", "needs"),
    [
        (rule(FIELD, rule_type="field"), LINES, "rows: a field rule"),
        (rule({"event_type": "a"}, source="event"), LINES, "records: a match rule"),
        (rule({"part": {"severity": "error"}, "op": ">", "value": 0.1, "window": "1m"},
              source="event", rule_type="share"), LINES, "records: a share rule"),
        (rule({"metric": "m", "value": 1}, source="metric"), LINES, "series: a threshold rule"),
        (rule({"metric": "m"}, source="metric", rule_type="anomaly"), {}, "series: an anomaly"),
        (rule({"fields": ["a"]}, rule_type="anomaly"), LINES, "rows: an anomaly rule"),
        (rule({"value_ms": 1}, source="trace"), LINES, "traces or records: a duration rule"),
        (rule({"match": {"pattern": "x"}, "window": "1m"}, rule_type="absence"),
         {"rows": [{"fields": {"a": 1}}]}, "lines: an absence rule"),
        (rule({"pattern": "x"}), {"lines": []}, "lines: a pattern rule"),
    ],
)  # fmt: skip
def test_a_rule_that_is_given_nothing_to_look_at_says_what_it_needs(one, given, needs):
    answer = tried(one, **given)
    (warning,) = answer["warnings"]
    assert answer["fires"] is False
    assert warning.startswith(needs)


def test_series_that_the_rule_does_not_ask_for_are_not_looked_at():
    one = rule({"metric": "m", "value": 1, "match": ['pod="q"']}, source="metric")
    series = [
        {"labels": {"pod": "p"}, "points": [[0, 5]]},
        {"labels": {"__name__": "n", "pod": "q"}, "points": [[0, 5]]},
    ]
    assert tried(one, series=series)["alerts"] == []


def test_silence_that_is_broken_resolves():
    one = rule({"match": {"pattern": "alive"}, "window": "1m"}, rule_type="absence")
    lines = [{"log": "alive", "timestamp": 1767225000 + t} for t in (0, 30, 300)]
    answer = tried(one, lines=lines, now=1767225301)
    assert [alert["status"] for alert in answer["alerts"]] == ["firing", "resolved"]


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({}, "rule"),
        ({"rule": {}}, "name"),
        ({"rule": rule({"pattern": "("})}, "rule_config.pattern"),
        ({"rule": rule({"pattern": "x"}), "lines": 3}, "lines"),
        ({"rule": rule({"pattern": "x"}), "lines": [3]}, "lines[0]"),
        ({"rule": rule({"pattern": "x"}), "lines": [{"date": "soon"}]}, "lines[0].date"),
        ({"rule": rule({"pattern": "x"}), "lines": [{"date": True}]}, "lines[0].date"),
        (
            {"rule": rule({"pattern": "x"}), "lines": [{"timestamp_ns": 2**63}]},
            "lines[0].timestamp_ns",
        ),
        ({"rule": rule({"pattern": "x"}), "lines": [{"date": "9" * 30}]}, "lines[0].date"),
        ({"rule": rule({"pattern": "x"}), "lines": [{"date": 1e300}]}, "lines[0].date"),
        ({"rule": rule({"pattern": "x"}), "lines": [{"date": "1e999999999"}]}, "lines[0].date"),
        ({"rule": rule({"pattern": "x"}), "lines": ["x"] * 10_001}, "lines"),
        ({"rule": rule({"pattern": "x"}), "lines": ["x\n" * 10_001]}, "lines"),
        (
            {
                "rule": rule({"metric": "m", "value": 1}, source="metric"),
                "series": [{"points": 3}],
            },
            "series[0].points",
        ),
    ],
)
def test_what_is_refused(document, field):
    with pytest.raises(Refused) as refused:
        trial(document, now_ns=NOW_NS)
    assert refused.value.field == field


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
CONFIGS = [
    {
        "pattern": "x",
        "exclude": "y",
        "match": ['a="b"'],
        "threshold": {"count": 2, "window": "1m", "by": ["pod"]},
    },
    {
        "metric": "m",
        "match": ['a="b"'],
        "agg": "mean",
        "window": "1m",
        "op": ">",
        "value": 1,
        "for": "1m",
    },
    {
        "service_name": "a",
        "operation": "b",
        "op": ">",
        "value_ms": 1,
        "threshold": {"count": 2, "window": 9},
    },
    {
        "event_type": ["a"],
        "severity": "b",
        "attributes": {"a": {"op": ">", "value": 1}, "b": "c*"},
    },
    {"match": {"fields": ["a"]}, "window": "1m", "by": ["pod"], "until": {"event_type": "b"}},
    {"fields": ["a"], "z": 3, "direction": "up", "size": 9, "least": 3, "by": ["pod"]},
]
SOURCES = ["log", "metric", "trace", "event", "log", "event"]
TYPES = ["pattern", "threshold", "duration", "match", "absence", "anomaly"]
GIVEN = {
    "lines": [{"message": "x", "pod": "p", "date": 1}],
    "records": [
        {"event_type": "a", "attributes": {"a": 2, "b": "cc"}, "resource": {"node": "n"}}
    ],
    "traces": [{"service_name": "a", "operation": "b", "duration": 2}],
    "rows": [{"fields": {"a": 1.5}}],
    "series": [{"labels": {"a": "b"}, "points": [[0, 2], [1000, "NaN"]]}],
}


def changed(document, draw):
    """*document* with one of its parts, wherever, being anything."""
    if isinstance(document, dict) and document and draw(st.booleans() | st.just(True)):
        key = draw(st.sampled_from(sorted(document)))
        if isinstance(document[key], dict | list) and draw(st.booleans()):
            return {**document, key: changed(document[key], draw)}
        return {**document, key: draw(ANYTHING)}
    if isinstance(document, list) and document:
        return [changed(document[0], draw), *document[1:]]
    return draw(ANYTHING)


@settings(max_examples=400)
@given(st.data())
def test_anything_is_an_answer_or_is_refused(data):
    number = data.draw(st.integers(0, len(CONFIGS) - 1))
    one = rule(CONFIGS[number], source=SOURCES[number], rule_type=TYPES[number])
    document = changed({"rule": one, **GIVEN}, data.draw)
    try:
        answer = trial(document, now_ns=NOW_NS)
    except Refused:
        return
    json.dumps(answer, allow_nan=False)


def test_an_operation_that_is_told_twice_counts_once():
    one = rule({"value_ms": 1, "threshold": {"count": 2, "window": "1m"}}, source="trace")
    told = {"service_name": "a", "operation": "b", "duration": 2}
    again = [{**told, "trace_id": "t", "span_id": "s"}] * 2
    assert tried(one, traces=again)["fires"] is False
    assert tried(one, traces=[told, told])["fires"] is True
