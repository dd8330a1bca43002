"""Alerts that end read as they fired: absences and shares over a stream."""

import pytest

from heliograph.alert.model import Context
from heliograph.alert.rules.decode import decode
from heliograph.alert.rules.rule import Said
from heliograph.alert.rules.stream import RuleStream
from heliograph.core.duration import SECOND_NS as S
from tests.alert.test_rules_share import record

T0 = 1_767_225_600 * S
WORDS = "{{ $labels.pod_name }}: {{ $value }} {{ $labels.silent_for }}"


def made(source, kind, config):
    given = {"name": "R", "source": source, "rule_type": kind, "rule_config": config}
    return decode({**given, "annotations": {"summary": WORDS}}, rule_id="r")


def heard(stream, at_s):
    said = Said(T0 + at_s * S, "c", Context(pod_name="a"), {}, "alive")
    stream.line(stream.match("alive"), said, arrival_ns=T0 + at_s * S)


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (lambda stream: heard(stream, 12), "a: 12 12s"),
        (lambda stream: stream.retire(T0 + 13 * S), "a: 13 13s"),
        (lambda stream: stream.tick(T0 + 100 * S), "a: 100 1m40s"),
    ],
)
def test_an_absence(end, words):
    config = {
        "match": {"pattern": "alive"},
        "window": "5s",
        "by": ["pod_name"],
        "forget": "20s",
    }
    stream = RuleStream([made("log", "absence", config)], since_ns=T0)
    heard(stream, 0)
    stream.tick(T0 + 10 * S)
    (firing,) = stream.drain()[0]
    assert dict(firing.annotations)["summary"] == "a: 10 10s"
    end(stream)
    (over,) = stream.drain()[0]
    assert dict(over.annotations)["summary"] == words


def test_a_share():
    config = {"match": {"event_type": "OPERATION"}, "op": ">=", "value": 0.5, "window": "1m",
              "least": 4}  # fmt: skip
    stream = RuleStream([made("event", "share", config)], since_ns=T0)
    for at_s, severity in enumerate(["info", "error", "info", "error", "info"]):
        said = Said(T0 + at_s * S, "s", Context(pod_name="a"))
        stream.record(record(severity), said, arrival_ns=said.at_ns)
    posts = stream.drain()[0]
    assert [(post.status, dict(post.annotations)["summary"]) for post in posts] == [
        ("firing", "a: 0.5 "),
        ("resolved", "a: 0.5 "),
    ]
