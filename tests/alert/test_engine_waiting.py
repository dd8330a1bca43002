"""What waits for a look at its group is said to whom asks, and written nowhere."""

from heliograph.core import instant
from tests.alert.alert_runner import Runner, ns
from tests.alert.test_engine import ALL, setup


def waiting(run, alert_id):
    found = run.engine.waiting(alert_id, run.now_ns)
    return [
        (one.integration, one.kind, one.status.value, one.stage, one.cause) for one in found
    ]


def looked(at_s):
    return f"looked at {instant.text_of(ns(at_s))}"


def test_what_waits_and_for_what():
    run = Runner(setup())
    first = run.post(alertname="OOM", resolve_after_ns=0).alert_id
    assert waiting(run, first) == [(ALL, "held", "firing", "group_wait", looked(10))]
    run.until(20)
    assert waiting(run, first) == []
    later = run.post(alertname="OOM", n="2", resolve_after_ns=0).alert_id
    assert waiting(run, later) == [(ALL, "held", "firing", "group_interval", looked(70))]
    run.post(alertname="OOM", n="2", ends_s=20)
    run.post(alertname="OOM", ends_s=20)
    for one in (first, later):
        assert waiting(run, one) == [(ALL, "held", "resolved", "group_interval", looked(70))]
    assert {one.kind for one in run.store.entries} == {"sent"}
    run.until(80)
    assert waiting(run, first) == waiting(run, later) == waiting(run, "unknown") == []


def test_what_is_held_waits_for_no_look():
    run = Runner(setup())
    run.silence([("alertname", "=", "OOM")], 0, 500)
    held = run.post(alertname="OOM", resolve_after_ns=0).alert_id
    assert [row[3] for row in waiting(run, held)] == ["group_wait"]
    run.until(20)
    assert waiting(run, held) == []
    assert [one.stage for one in run.store.entries] == ["silence"]
