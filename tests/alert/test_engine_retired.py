"""Channels of the API that were taken away: told the end of what they were told, by the engine."""

import pytest

from heliograph.alert.config import configuration, routing_rules, setup
from heliograph.alert.model import Delivery
from tests.alert.alert_runner import SENT, Runner

FILE = configuration.parse({})
WEBHOOK = {"type": "webhook", "config": {"url": "https://h.example.org/"}}
PEERS = {"type": "alertmanager", "config": {"url": "http://am.example.org:9093"}}


def with_route(channel):
    document = {"group_by": ["alertname"], "group_wait": "10s", "group_interval": "20s",
                "repeat_interval": "1h", "channels": [channel]}  # fmt: skip
    route, receiver, _ = routing_rules.from_document("r", document, FILE)
    return setup.with_api_routes(FILE, [route], [receiver])


def without_it(before):
    return setup.with_api_routes(FILE, [], [], before.receivers["api/r"].integrations)


def taken_away(run):
    run.setup = without_it(run.setup)
    run.engine.reload(run.setup, run.now_ns)


def statuses(run):
    return [(round(at_s), message.status.value) for at_s, _, message in run.sent]


def test_it_is_owed_what_it_was_told_until_it_is_told_the_end():
    run = Runner(with_route(WEBHOOK))
    run.post(alertname="OOM", resolve_after_ns=0)
    assert run.engine.owed() == frozenset()
    run.until(15)
    assert run.engine.owed() == {"api/r/webhook[0]"}
    taken_away(run)
    run.commit()
    run.until(8000)
    assert run.engine.owed() == {"api/r/webhook[0]"}
    run.post(alertname="OOM", ends_s=8000)
    run.until(8100)
    # Not repeated meanwhile, though the hour is over.
    assert statuses(run) == [(10, "firing"), (8015, "resolved")]
    assert run.engine.owed() == frozenset()
    assert (run.engine.gauges()["groups"], run.store.told) == (0, {})


def test_a_change_that_is_not_stored_leaves_it_where_it_was():
    run = Runner(with_route(WEBHOOK))
    run.post(alertname="OOM", resolve_after_ns=0)
    run.until(15)
    before = run.setup
    taken_away(run)
    run.engine.changes()
    run.engine.abort()
    assert run.engine.setup == before
    run.setup = before
    run.until(20)
    run.post(alertname="OOM", ends_s=20)
    run.until(100)
    assert statuses(run) == [(10, "firing"), (30, "resolved")]


@pytest.mark.parametrize("outcome", ["sent", "later"])
def test_what_it_may_have_been_told_is_not_told_again(outcome):
    answers = [Delivery(outcome, "time-out", unsure=True)]
    run = Runner(with_route(WEBHOOK), deliver=lambda *_: answers.pop() if answers else SENT)
    run.post(alertname="OOM", resolve_after_ns=0)
    run.until(10)
    taken_away(run)
    run.commit()
    run.until(60)
    sent = len(run.attempts)
    assert sent == 1
    run.post(alertname="OOM", ends_s=60)
    run.until(100)
    assert [message.status.value for *_, message in run.attempts[sent:]] == ["resolved"]


def test_an_alertmanager_is_not_kept_awake():
    run = Runner(with_route(PEERS))
    run.post(alertname="OOM", resolve_after_ns=0)
    run.until(15)
    taken_away(run)
    run.commit()
    run.until(1000)
    assert statuses(run) == [(10, "firing")]
    run.post(alertname="OOM", ends_s=1000)
    run.until(1030)
    assert statuses(run)[1][1] == "resolved"


def test_an_alertmanager_is_told_no_more_of_others_when_one_has_ended():
    run = Runner(with_route(PEERS))
    for pod in ("a", "b"):
        run.post(alertname="OOM", pod=pod, resolve_after_ns=0)
    run.until(15)
    taken_away(run)
    run.commit()
    run.post(alertname="OOM", pod="a", ends_s=15)
    run.until(3000)
    told = [
        sorted(
            (dict(alert.labels)["pod"], alert.ends_ns is not None) for alert in message.alerts
        )
        for *_, message in run.sent
    ]
    # The end is repeated for those who were away.
    assert told[:2] == [[("a", False), ("b", False)], [("a", True), ("b", False)]]
    assert len(told) > 3
    assert set(map(str, told[2:])) == {"[('a', True)]"}
    assert run.engine.owed() == {"api/r/alertmanager[0]"}
