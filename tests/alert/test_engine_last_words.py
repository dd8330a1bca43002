"""What the ledger says last of an alert that is over: what is true, once, whatever came between."""

import pytest

from heliograph.alert.config import configuration
from heliograph.alert.model import Delivery
from tests.alert.alert_runner import SENT, Runner, ns

DOWN = Delivery("later", "HTTP 503: down", 503)
NEVER_TOLD = ("held", "compare", "it was over before it was told")
ENDED = ("sent", "", "all resolved")
OFF = ("held", "compare", "send_resolved is off")


def setup(**over):
    """Three receivers of every alert; of the first, one channel wants no ends."""
    hooks = [{"url": "http://h/0"}, {"url": "http://h/1"}]
    no_ends = {"url": "http://h/2", "send_resolved": False}
    return configuration.parse(
        {
            "route": {
                "receiver": "many", "group_by": ["alertname"],
                "group_wait": "10s", "group_interval": "60s",
                "routes": [
                    {"receiver": "many", "continue": True},
                    {"receiver": "quiet", "continue": True},
                    {"receiver": "other", **over},
                ],
            },
            "receivers": [
                {"name": "many", "webhook_configs": [*hooks, no_ends]},
                {"name": "quiet", "webhook_configs": [no_ends]},
                {"name": "other", "webhook_configs": [{"url": "http://h/3"}]},
            ],
        }
    )  # fmt: skip


def words(run, since=0):
    """(kind, stage, cause) of every channel's lines but those of failed attempts."""
    found = {}
    for one in run.store.entries[since:]:
        if one.kind != "failed":
            found.setdefault(one.integration, []).append((one.kind, one.stage, one.cause))
    return found


def restarted(run):
    run.restart(210)


def reloaded(run):
    run.engine.reload(setup(matchers=['node=""']), run.now_ns)
    run.commit()


@pytest.mark.parametrize("again", [restarted, reloaded])
def test_while_one_channel_is_owed_an_end_nothing_is_said_anew_of_the_others(again):
    down = set()
    run = Runner(
        setup(), deliver=lambda _, integration, __: DOWN if integration in down else SENT
    )
    run.post(alertname="OOM")
    run.until(20)
    down.add("many/webhook[1]")
    run.at(30).post(alertname="OOM", ends_s=30)
    run.until(200)
    assert {name: said[-1] for name, said in words(run).items()} == {
        "many/webhook[0]": ENDED, "many/webhook[1]": ("sent", "", "first notification"),
        "many/webhook[2]": OFF, "quiet/webhook[0]": OFF, "other/webhook[0]": ENDED,
    }  # fmt: skip
    since = len(run.store.entries)
    again(run)
    run.until(400)
    assert words(run, since) == {}
    again(run)
    down.clear()
    run.until(1000)

    assert words(run, since) == {"many/webhook[1]": [ENDED]}
    assert run.engine.gauges()["groups"] == 0


def test_what_was_never_told_has_its_last_word_after_a_restart_too():
    run = Runner(setup(), deliver=lambda *_: DOWN)
    run.post(alertname="OOM")
    run.until(20)
    run.at(30).post(alertname="OOM", ends_s=30)
    run.restart(31)
    run.until(1000)

    assert all(said == [NEVER_TOLD] for said in words(run).values()), words(run)
    assert len(words(run)) == 5
    assert run.engine.gauges()["groups"] == 0


def test_an_end_that_its_sender_says_was_long_ago_is_a_last_word_too():
    run = Runner(setup())
    run.post(alertname="OOM")
    run.at(5).post(alertname="OOM", ends_s=-100)
    run.until(100)

    assert set(map(tuple, words(run).values())) == {(NEVER_TOLD,)}


@pytest.mark.parametrize("restarts", [False, True])
def test_what_ends_while_a_rate_holds_it_was_over_before_it_was_told(restarts):
    run = Runner(setup())
    run.post(alertname="OOM")
    run.engine.step(ns(10))
    run.commit()
    for outgoing in run.engine.ready(ns(10)):
        run.engine.postpone(outgoing, ns(12), "1 message a second", ns(10))
    run.now_ns = ns(11)
    run.post(alertname="OOM", ends_s=11)
    if restarts:
        run.restart(11)
    run.until(100)

    held = ("held", "rate", "1 message a second, next at 2026-01-01T00:00:12Z")
    assert words(run)["other/webhook[0]"] == [held, NEVER_TOLD]
    assert all(said == [held, NEVER_TOLD] for said in words(run).values())
    assert len(words(run)) == 5
    assert run.sent == []


def test_an_end_that_was_told_stays_told_while_another_channel_is_told_it_again():
    route = {
        "receiver": "both", "group_by": ["job"], "group_wait": "10s", "group_interval": "60s",
    }  # fmt: skip
    both = {
        "name": "both", "webhook_configs": [{"url": "http://h"}],
        "alertmanager_configs": [{"url": "http://a"}],
    }  # fmt: skip
    run = Runner(configuration.parse({"route": route, "receivers": [both]}))
    for name in ("OOM", "Other"):
        run.post(alertname=name, job="j", resolve_after_ns=0)
    run.at(20).post(alertname="OOM", job="j", ends_s=20)
    # News of the group, and more of it, while what has resolved is here for the Alertmanager.
    for at_s in (100, 200):
        run.at(at_s).post(alertname=f"at {at_s}", job="j", resolve_after_ns=0)
    run.until(3000)

    assert [what for _, *what in run.told("both/webhook[0]")] == [
        [["OOM,j", "Other,j"], []],
        [["Other,j"], ["OOM,j"]],
        [["Other,j", "at 100,j"], []],
        [["Other,j", "at 100,j", "at 200,j"], []],
    ]
    assert [one for said in words(run).values() for one in said if one[0] == "held"] == []
