"""The acceptance scenarios of Alertmanager, on a virtual clock, with a tolerance of zero."""

import json
from collections import Counter

import pytest

from heliograph.alert.config import configuration
from heliograph.alert.model import Delivery, Status
from tests.alert.alert_runner import SENT, Runner, ns, post, seconds

RETRY = {
    "name": "Retry",
    "config": {
        "route": {
            "receiver": "default", "group_by": ["alertname"],
            "group_wait": "1s", "group_interval": "2s", "repeat_interval": "3s",
        },
        "receivers": [
            {"name": "default",
             "webhook_configs": [{"url": "http://HOOK0"}, {"url": "http://HOOK1"}]}
        ],
    },
    "fails_before": {1: 4.5},
    "steps": [{"at": 1, "push": [{"labels": {"alertname": "test1"}, "startsAt": 1}]}],
    "want": [
        {"hook": 0, "between": [2, 2], "alerts": [{"labels": {"alertname": "test1"}, "startsAt": 1}]},
        {"hook": 0, "between": [6, 6], "alerts": [{"labels": {"alertname": "test1"}, "startsAt": 1}]},
        {"hook": 1, "between": [4.5, 6], "alerts": [{"labels": {"alertname": "test1"}, "startsAt": 1}]},
    ],
}  # fmt: skip
RELOAD = {
    "name": "Reload",
    "config": {
        "route": {
            "receiver": "default", "group_by": [],
            "group_wait": "1s", "group_interval": "6s", "repeat_interval": "10m",
        },
        "receivers": [{"name": "default", "webhook_configs": [{"url": "http://HOOK0"}]}],
    },
    "steps": [
        {"at": 1, "push": [{"labels": {"alertname": "test1"}}]},
        {"at": 3, "reload": True},
        {"at": 4, "push": [{"labels": {"alertname": "test2"}}]},
    ],
    "want": [
        {"hook": 0, "between": [2, 2], "alerts": [{"labels": {"alertname": "test1"}, "startsAt": 1}]},
        {"hook": 0, "between": [9, 9], "alerts": [
            {"labels": {"alertname": "test1"}, "startsAt": 1},
            {"labels": {"alertname": "test2"}, "startsAt": 4}]},
    ],
}  # fmt: skip
BOTH_RESOLVE = {
    "name": "what inhibits and what is inhibited resolve at once",
    "config": {
        "route": {
            "receiver": "default", "group_by": [],
            "group_wait": "1s", "group_interval": "1s", "repeat_interval": "1s",
        },
        "inhibit_rules": [{"source_match": {"alertname": "JobDown"},
                           "target_match": {"alertname": "InstanceDown"}, "equal": ["job", "zone"]}],
        "receivers": [{"name": "default",
                       "webhook_configs": [{"url": "http://HOOK0", "send_resolved": True}]}],
    },
    "steps": [
        {"at": 1, "push": [
            {"labels": {"alertname": "JobDown", "job": "j", "zone": "a"}},
            {"labels": {"alertname": "InstanceDown", "job": "j", "zone": "a"}}]},
        {"at": 2.6, "push": [
            {"labels": {"alertname": "JobDown", "job": "j", "zone": "a"}, "startsAt": 1, "endsAt": 2.6},
            {"labels": {"alertname": "InstanceDown", "job": "j", "zone": "a"},
             "startsAt": 1, "endsAt": 2.6}]},
    ],
    "want": [
        {"hook": 0, "between": [2, 2], "alerts": [
            {"labels": {"alertname": "JobDown", "job": "j", "zone": "a"}, "startsAt": 1}]},
        {"hook": 0, "between": [3, 3], "alerts": [
            {"labels": {"alertname": "JobDown", "job": "j", "zone": "a"}, "startsAt": 1, "endsAt": 2.6},
            {"labels": {"alertname": "InstanceDown", "job": "j", "zone": "a"},
             "startsAt": 1, "endsAt": 2.6}]},
    ],
}  # fmt: skip
SILENCE_DELETED = {
    "name": "a silence is deleted",
    "config": {
        "route": {
            "receiver": "default", "group_by": [],
            "group_wait": "1s", "group_interval": "1s", "repeat_interval": "1ms",
        },
        "receivers": [{"name": "default", "webhook_configs": [{"url": "http://HOOK0"}]}],
    },
    "steps": [
        {"at": 1, "push": [{"labels": {"alertname": "test1"}, "startsAt": 1}]},
        {"at": 1.3, "set_silence": {"ref": "s", "startsAt": 1.5, "endsAt": 100, "matchers": [
            {"name": "alertname", "value": ".+", "isRegex": True}]}},
        {"at": 3.5, "delete_silence": {"ref": "s"}},
    ],
    "want": [
        {"hook": 0, "between": [4, 4], "alerts": [{"labels": {"alertname": "test1"}, "startsAt": 1}]},
    ],
}  # fmt: skip
OWN = [RETRY, RELOAD, BOTH_RESOLVE, SILENCE_DELETED]


@pytest.mark.parametrize("case", OWN, ids=lambda case: case["name"])
def test_own_scenarios(case):
    play(case)


@pytest.mark.parametrize(
    "name", ["MergeAlerts", "Repeat", "Batching", "ResolvedFilter", "Silencing", "Inhibiting"]
)
def test_shared_scenarios(shared_data, name):
    table = json.loads((shared_data / "tables" / "am_acceptance_scenarios.json").read_text())
    play({case["name"]: case for case in table["cases"]}[name])


@pytest.mark.parametrize("restarts", [0.0, 0.05, 0.45])
def test_shared_scenarios_without_loss_over_restarts(shared_data, restarts):
    """A restart right after what is told tells nothing twice, and the end is told all the same."""
    table = json.loads((shared_data / "tables" / "am_acceptance_scenarios.json").read_text())
    case = {case["name"]: case for case in table["cases"]}["ResolvedFilter"]
    run = Runner(configuration.parse(case["config"]))
    run.at(1).post(alertname="test", lbl="v1")
    run.at(2 + restarts).restart()
    run.at(3).post(alertname="test", lbl="v1", starts_s=1, ends_s=3)
    run.until(30)

    assert [(firing, resolved) for _, firing, resolved in run.told("default/webhook[0]")] == [
        (["test,v1"], []),
        ([], ["test,v1"]),
    ]


def play(case):
    end_s = max(want["between"][1] for want in case["want"])
    fails_before = case.get("fails_before", {})

    def deliver(message, integration, at_s):
        hook = int(integration.rpartition("[")[2][:-1])
        return Delivery("later", "down", 500) if at_s < fails_before.get(hook, 0) else SENT

    run = Runner(configuration.parse(case["config"]), deliver=deliver)
    resolve_ns = run.setup.resolve_timeout_ns
    for step in case["steps"]:
        run.until(step["at"])
        if "push" in step:
            run.take([
                post(
                    one["labels"], at_ns=run.now_ns, annotations=one.get("annotations", {}),
                    starts_ns=ns(one["startsAt"]) if "startsAt" in one else None,
                    ends_ns=ns(one["endsAt"]) if "endsAt" in one else None,
                    resolve_after_ns=resolve_ns,
                )
                for one in step["push"]
            ])  # fmt: skip
        if silence := step.get("set_silence"):
            matchers = [
                (m["name"], "=~" if m["isRegex"] else "=", m["value"])
                for m in silence["matchers"]
            ]
            run.silence(matchers, silence["startsAt"], silence["endsAt"], silence["ref"])
        if "delete_silence" in step:
            run.engine.expire_silence(step["delete_silence"]["ref"], run.now_ns)
            run.commit()
        if "reload" in step:
            run.engine.reload(run.setup, run.now_ns)
            run.turn()
    run.until(end_s)

    batches = [
        (
            at_s,
            int(integration.rpartition("[")[2][:-1]),
            sorted(map(_seen(message), message.alerts)),
        )
        for at_s, integration, message in run.sent
    ]
    received, wanted = Counter(), Counter()
    for _, hook, alerts in batches:
        received[hook] += len(alerts)
    for want in case["want"]:
        wanted[want["hook"]] += len(want["alerts"])
        low, high = want["between"]
        expected = sorted(map(_wanted, want["alerts"]))
        found = [
            alerts for at, hook, alerts in batches if hook == want["hook"] and low <= at <= high
        ]
        assert found == ([expected] if expected else []), (want["between"], batches)
    assert received == +wanted


def _seen(message):
    def seen(alert):
        over = alert.status(message.now_ns) is Status.RESOLVED
        return (
            alert.labels, alert.annotations, seconds(alert.starts_ns),
            seconds(alert.ends_ns) if over else -1.0,
        )  # fmt: skip

    return seen


def _wanted(alert):
    return (
        tuple(sorted(alert["labels"].items())),
        tuple(sorted(alert.get("annotations", {}).items())),
        float(alert["startsAt"]),
        float(alert.get("endsAt", -1.0)),
    )
