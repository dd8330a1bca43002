"""A simulated week on a virtual clock: in seconds, and twice the same to the last byte."""

import hashlib
import random
import time

import msgspec

from heliograph.alert.config import configuration
from heliograph.alert.correlation.correlate import Correlator
from heliograph.alert.model import Delivery, Status
from tests.alert.alert_runner import SENT, Runner, post

WEEK_S = 7 * 86_400
NIGHT = {"times": [{"start_time": "00:00", "end_time": "06:00"}]}
SETUP = configuration.parse({
    "route": {
        "receiver": "team", "group_by": ["alertname", "job"],
        "group_wait": "30s", "group_interval": "5m", "repeat_interval": "4h",
        "routes": [
            {"matchers": ["severity=critical"], "receiver": "pager", "continue": True},
            {"matchers": ["severity=info"], "receiver": "quiet", "mute_time_intervals": ["night"]},
        ],
    },
    "inhibit_rules": [{
        "source_matchers": ["severity=critical"], "target_matchers": ["severity=info"],
        "equal": ["node"],
    }],
    "time_intervals": [{"name": "night", "time_intervals": [NIGHT]}],
    "receivers": [
        {"name": "team", "webhook_configs": [{"url": "http://team"}]},
        {"name": "pager", "webhook_configs": [{"url": "http://a"}, {"url": "http://b"}]},
        {"name": "quiet", "webhook_configs": [{"url": "http://quiet", "send_resolved": False}]},
    ],
})  # fmt: skip


def live(seed, *, restarts=()):
    """A week of a small cluster; the ledger as bytes, and the run."""
    chance = random.Random(seed)
    down_until = {}

    def deliver(message, integration, at_s):
        if at_s < down_until.get(integration, 0):
            return Delivery("later", "503", 503)
        if chance.random() < 0.002:
            down_until[integration] = at_s + chance.choice([20, 600, 5000])
        return SENT

    run = Runner(SETUP, deliver=deliver, correlator=Correlator)
    firing = {}
    at_s, restarts = 0.0, list(restarts)
    while at_s < WEEK_S:
        at_s += 300
        run.until(at_s)
        if restarts and restarts[0] <= at_s:
            restarts.pop(0)
            run.restart()
        for _ in range(chance.randint(0, 3)):
            labels = {
                "alertname": chance.choice(["OOM", "Xid", "Slow", "Link"]),
                "job": f"llm-{chance.randint(0, 5)}", "node": f"n{chance.randint(0, 20)}",
                "severity": chance.choice(["critical", "warning", "info"]),
            }  # fmt: skip
            firing[tuple(labels.items())] = at_s + chance.choice([60, 900, 7200])
        posts = []
        for labels, until_s in list(firing.items()):
            over = until_s <= at_s
            if over:
                del firing[labels]
            # Now and then a sender dies without a word.
            if not over or chance.random() < 0.9:
                posts.append(
                    post(labels, at_ns=run.now_ns, ends_ns=run.now_ns if over else None,
                         resolve_after_ns=900 * 10**9)
                )  # fmt: skip
        run.take(posts)
        if chance.random() < 0.01:
            node = f"n{chance.randint(0, 20)}"
            run.silence([("node", "=", node)], at_s, at_s + 3600, f"{node}-{at_s:.0f}")
    run.until(WEEK_S + 4 * 3600)
    return run


def digest(run):
    lines = [msgspec.json.encode(entry) for entry in run.store.entries]
    return hashlib.sha256(b"\n".join(lines)).hexdigest()


def test_a_week_gives_the_same_ledger_twice():
    started = time.process_time()
    run, again = live(7), live(7)
    took_s = time.process_time() - started

    assert len(run.store.entries) > 2000
    assert digest(run) == digest(again)
    assert run.store.statistics == again.store.statistics
    assert took_s < 30
    told_well(run)
    kinds = {(entry.kind, entry.stage) for entry in run.store.entries}
    assert {("sent", ""), ("failed", ""), ("held", "silence"), ("held", "inhibit"),
            ("held", "mute")} <= kinds  # fmt: skip


def test_a_week_with_restarts_loses_nothing():
    run = live(8, restarts=[k * 50_000.0 for k in range(1, 12)])

    told_well(run)
    keys = [(integration, message.key) for _, integration, message in run.sent]
    assert len(set(keys)) == len(keys)


def told_well(run):
    """Everything is over by now, and who was told that something fires was told that it ended."""
    last = {}
    for _, integration, message in run.sent:
        for alert in message.alerts:
            last[integration, alert.id] = alert.status(message.now_ns)
    assert len(last) > 1000
    assert {status for (one, _), status in last.items() if "quiet" not in one} == {
        Status.RESOLVED
    }
    assert run.engine.gauges()["outbox"] == 0
    told = {alert_id for _, alert_id in last}
    noted = {entry.alert_id for entry in run.store.entries}
    # Of every episode the ledger says who was told, or what held it.
    assert set(run.store.fired) - noted == set()
    assert told <= noted
