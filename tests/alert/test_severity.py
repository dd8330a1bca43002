"""What is urgent is so to the engine, in the order of a message, and to the channel's budget."""

import pytest

from heliograph.alert.model import Enriched, rank
from heliograph.core.matcher import Matcher
from heliograph.notify import facts
from tests.alert.alert_runner import Runner, post
from tests.alert.test_engine import setup

SEVERITIES = [
    ("critical", True),
    ("Critical", True),
    ("CRITICAL", True),
    ("page", True),
    ("high", False),
    ("error", False),
    ("warning", False),
    ("whatever", False),
    ("", False),
    ("info", False),
    ("none", False),
]


@pytest.mark.parametrize(("severity", "urgent"), SEVERITIES)
def test_everybody_agrees_on_what_is_urgent(severity, urgent):
    run = Runner(setup())
    run.post(alertname="Other", severity="warning")
    run.post(alertname="OOM", severity=severity)
    run.engine.step(run.engine.due_ns())
    run.commit()
    for row in run.engine.ready(run.now_ns + 10**11):
        message = run.engine.begin(row, run.now_ns)
        wanted = urgent and message.alerts[0].name == "OOM"
        assert run.engine.urgent(row) == facts.of(message).urgent == wanted


def test_an_order_for_all():
    assert sorted(SEVERITIES, key=lambda one: rank(one[0])) == SEVERITIES
    run = Runner(setup(route={"group_by": []}))
    for name, _ in reversed(SEVERITIES):
        run.post({"alertname": "OOM", "n": name}, severity=name)
    run.until(20)
    ((_, _, message),) = run.sent
    assert [rank(alert.severity) for alert in message.alerts] == sorted(
        rank(name) for name, _ in SEVERITIES
    )
    assert [one.alert for one in facts.of(message).alerts] == list(message.alerts)


def test_an_alert_is_found_by_the_severity_that_it_has_now():
    run = Runner(setup())
    words = {"alertname": "OOM"}
    run.post(words, severity="warning")

    def found():
        return [
            name
            for name in ("warning", "critical")
            if list(run.engine.find([Matcher("severity", "=", name)], run.now_ns))
        ]

    worse = post(words, at_ns=run.now_ns, severity="critical")
    run.engine.take(worse, Enriched(), run.now_ns)
    assert found() == ["critical"]
    run.engine.abort()
    assert found() == ["warning"]
    run.take([worse])
    assert found() == ["critical"]
