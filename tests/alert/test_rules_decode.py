"""Rules as documents: what is taken, and what is refused by the name of its field."""

import pytest

from heliograph.alert.rules.decode import decode
from heliograph.alert.rules.rule import (
    Absence,
    Anomaly,
    EventMatch,
    LinePattern,
    MetricThreshold,
    SeriesMatch,
    Threshold,
    TraceDuration,
)
from heliograph.core.duration import MINUTE_NS, SECOND_NS
from heliograph.core.errors import Refused

NCCL = {
    "name": "NCCLError",
    "source": "log",
    "enabled": True,
    "rule_type": "pattern",
    "rule_config": {
        "pattern": "NCCL error|NCCL WARN",
        "threshold": {"count": 3, "window": "10m"},
    },
    "severity": "warning",
    "labels": {"category": "network"},
    "annotations": {"summary": "NCCL communication errors detected"},
}


def document(config, **over):
    return {"name": "R", "source": "log", "rule_config": config, **over}


def test_the_example_of_the_specification():
    rule = decode(NCCL, rule_id="r1")

    assert (rule.id, rule.name, rule.source, rule.rule_type) == (
        "r1",
        "NCCLError",
        "log",
        "pattern",
    )
    assert (rule.severity, rule.enabled, rule.builtin) == ("warning", True, False)
    assert rule.labels == (("category", "network"),)
    assert isinstance(rule.body, LinePattern)
    assert rule.body.pattern.text == "NCCL error|NCCL WARN"
    assert rule.body.threshold == Threshold(count=3, window_ns=10 * MINUTE_NS, by=None)


@pytest.mark.parametrize("nested", [False, True])
def test_a_metric_threshold_flat_or_under_its_name(nested):
    config = {
        "metric": "m", "match": ['job="x"'], "agg": "increase", "window": "5m", "op": "==",
        "value": 0, "for": "2m",
    }  # fmt: skip
    rule = decode(document({"threshold": config} if nested else config, source="metric"))

    body = rule.body
    assert isinstance(body, MetricThreshold)
    assert [str(matcher) for matcher in body.match] == ['job="x"']
    assert (body.metric, body.agg, body.window_ns) == ("m", "increase", 5 * MINUTE_NS)
    assert (body.op, body.value, body.for_ns) == ("==", 0.0, 2 * MINUTE_NS)


def test_a_trace_duration():
    config = {"duration": {"service_name": "dataloader", "op": ">", "value_ms": 1000,
                           "threshold": {"count": 2, "window": 60}}}  # fmt: skip
    assert decode(document(config, source="trace")).body == TraceDuration(
        service_name="dataloader",
        operation="",
        op=">",
        value_ms=1000.0,
        threshold=Threshold(count=2, window_ns=60 * SECOND_NS),
    )


def test_an_event_match():
    config = {
        "event_type": "container_exit", "severity": ["error"],
        "attributes": {"exit_code": {"op": "!=", "value": 0}, "oom_killed": False, "node": "n*"},
        "threshold": {"count": 1, "by": ["pod_name"]},
    }  # fmt: skip
    for given in (config, {"match": config}):
        body = decode(document(given, source="event", rule_type="match")).body
        assert isinstance(body, EventMatch)
        assert (body.event_types, body.severities) == (("container_exit",), ("error",))
        assert [(t.name, t.op, t.number, str(t.text)) for t in body.attributes] == [
            ("exit_code", "!=", 0.0, "None"),
            ("oom_killed", "=", None, 'oom_killed="false"'),
            ("node", "=~", None, 'node=~"n.*"'),
        ]


def test_absences_of_every_source():
    line = decode(
        document({"match": {"pattern": "step"}, "window": "10m"}, rule_type="absence")
    )
    assert isinstance(line.body, Absence)
    assert isinstance(line.body.what, LinePattern)
    series = decode(
        document(
            {"absence": {"match": {"metric": "up"}, "window": "5m", "by": ["job"]}},
            source="metric",
            rule_type="absence",
        )
    ).body
    assert isinstance(series, Absence)
    assert (series.what, series.by) == (SeriesMatch("up"), ("job",))


def test_an_anomaly():
    body = decode(document({"fields": "lm_loss", "z": 8}, rule_type="anomaly")).body
    assert isinstance(body, Anomaly)
    assert (body.fields, body.z, body.size, body.least) == (("lm_loss",), 8.0, 100, 20)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": 3}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"severity": ""}, "severity"),
        ({"annotations": {"summary": "{{ bad"}}, "annotations.summary"),
        ({"annotations": {"summary": "{{ $value }} of {{ $labels.x"}}, "annotations.summary"),
        ({"source": "smoke"}, "source"),
        ({"rule_type": "threshold"}, "rule_type"),
        ({"rule_config": None}, "rule_config"),
        ({"rule_config": {}}, "rule_config.pattern"),
        ({"rule_config": {"pattern": "("}}, "rule_config.pattern"),
        ({"rule_config": {"pattern": "(?=x)"}}, "rule_config.pattern"),
        ({"rule_config": {"pattern": "x", "thresold": {}}}, "rule_config.thresold"),
        *(
            (
                {"rule_config": {"pattern": "x", "threshold": {"by": by}}},
                "rule_config.threshold.by",
            )
            for by in (True, 0, 1.5, {}, {"a": 1})
        ),
        (
            {"rule_config": {"pattern": "x", "threshold": {"count": 0}}},
            "rule_config.threshold.count",
        ),
        (
            {"rule_config": {"pattern": "x", "threshold": {"count": 2}}},
            "rule_config.threshold.window",
        ),
        (
            {"rule_config": {"pattern": "x", "threshold": {"count": 2, "window": "10 m"}}},
            "rule_config.threshold.window",
        ),
        ({"rule_config": {"pattern": "x", "match": ["a~b"]}}, "rule_config.match[0]"),
        ({"labels": ["a"]}, "labels"),
        ({"labels": {"a": {}}}, "labels.a"),
        ({"enabled": "yes"}, "enabled"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_is_refused_names_its_field(change, field):
    with pytest.raises(Refused) as refused:
        decode({**NCCL, **change})
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("config", "over", "field"),
    [
        ({"metric": "m", "value": "x"}, {"source": "metric"}, "rule_config.value"),
        ({"metric": "m", "value": 1, "op": "~"}, {"source": "metric"}, "rule_config.op"),
        ({"metric": "m", "value": 1, "agg": "avg"}, {"source": "metric"}, "rule_config.agg"),
        ({"threshold": {"value": 1}}, {"source": "metric"}, "rule_config.threshold.metric"),
        ({"duration": {}}, {"source": "trace"}, "rule_config.duration.value_ms"),
        ({"attributes": {"a": []}}, {"source": "event"}, "rule_config.attributes.a"),
        ({}, {"source": "event"}, "rule_config.event_type"),
        ({"match": {"pattern": "x"}}, {"rule_type": "absence"}, "rule_config.window"),
        ({"fields": "a", "metric": "b"}, {"rule_type": "anomaly"}, "rule_config.metric"),
        ({"fields": "a", "z": float("nan")}, {"rule_type": "anomaly"}, "rule_config.z"),
    ],
)
def test_what_is_refused_of_other_kinds(config, over, field):
    with pytest.raises(Refused) as refused:
        decode(document(config, **over))
    assert refused.value.field == field


@pytest.mark.parametrize("name", ["显存　不足", "a b c\u00a0d", "👩‍🚒 on duty", "🫨"])
def test_a_name_of_one_line_is_taken(name):
    assert decode({**NCCL, "name": name}).name == name


@pytest.mark.parametrize("end", ["\n", "\r", "\x00", "\x1b", "\x85", "\u2028", "\u2029"])
def test_a_name_of_several_lines_is_refused(end):
    with pytest.raises(Refused) as refused:
        decode({**NCCL, "name": f"a{end}b"})
    assert refused.value.field == "name"


@pytest.mark.parametrize(
    "words", [{"name": "a\nb"}, {"severity": ""}, {"annotations": {"summary": "{{ bad"}}]
)
def test_words_that_were_kept_before_they_were_refused_stand(words):
    assert decode({**NCCL, **words}, kept=True).enabled


def test_no_object_is_no_rule():
    for wrong in (None, [], "x", 3):
        with pytest.raises(Refused):
            decode(wrong)


@pytest.mark.parametrize(
    ("said", "severity"),
    [
        ({}, "warning"),
        ({"severity": "info"}, "info"),
        ({"labels": {"severity": "critical"}}, "critical"),
        ({"severity": None, "labels": {"severity": "critical"}}, "critical"),
        ({"severity": "info", "labels": {"severity": "info", "alertname": "R"}}, "info"),
    ],
)
def test_a_severity_of_the_labels_is_the_rules(said, severity):
    assert decode(document({"pattern": "x"}, **said)).severity == severity


@pytest.mark.parametrize(
    ("said", "field", "kept_as"),
    [
        ({"severity": "info", "labels": {"severity": "critical"}}, "labels.severity", "info"),
        ({"labels": {"alertname": "S"}}, "labels.alertname", "warning"),
        ({"labels": {"alertname": "S", "severity": "page"}}, "labels.alertname", "page"),
    ],
)
def test_labels_that_say_another_name_or_severity_are_refused_unless_they_are_kept_already(
    said, field, kept_as
):
    given = document({"pattern": "x"}, **said)
    with pytest.raises(Refused) as refused:
        decode(given)
    assert refused.value.field == field
    assert decode(given, kept=True).severity == kept_as


def test_a_severity_of_the_labels_is_bounded_as_the_rules_own():
    with pytest.raises(Refused) as refused:
        decode(document({"pattern": "x"}, labels={"severity": "x" * 65}))
    assert refused.value.field == "labels.severity"
