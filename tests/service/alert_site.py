"""What tests of the alert interface share: the examples of the documents, and how to wait.

with running(folder, alerting=telling(hook)) as site:
    site.post("/v1/alerts/log", OOM)
    until(lambda: hook.alerts("firing"), "told")
"""

import json

from heliograph.core import instant
from tests.service.live import until
from tests.service.running import NOW_NS

LOOPBACK = ["127.0.0.0/8"]

# The examples of spec 001, their dates moved to the day of these tests.
GPU_MEMORY = {
    "status": "firing",
    "labels": {
        "alertname": "GPUMemoryHigh",
        "severity": "warning",
        "workload_id": "training-job-123",
        "pod": "worker-0",
        "node": "gpu-node-01",
    },
    "annotations": {
        "summary": "GPU memory usage above 90%",
        "description": "GPU 0 on gpu-node-01 memory is at 95%",
    },
    "startsAt": "2026-11-22T01:30:00Z",
    "fingerprint": "abc123def456",
}
OOM = {
    "rule_name": "OOMDetected",
    "severity": "critical",
    "message": "CUDA out of memory error detected",
    "pattern": "OutOfMemoryError|CUDA out of memory",
    "workload_id": "training-job-123",
    "pod_name": "worker-0",
    "pod_id": "uuid-456",
    "log_time": "2026-11-22T01:32:00Z",
    "labels": {"error_type": "oom"},
}
SLOW = {
    "rule_name": "SlowOperation",
    "severity": "warning",
    "message": "Data loading operation exceeded threshold",
    "trace_id": "trace-789",
    "span_id": "span-101",
    "service_name": "dataloader",
    "operation": "load_batch",
    "duration": 5000,
    "workload_id": "training-job-123",
}
ROUTE = {
    "matchers": [
        {"name": "severity", "value": "critical"},
        {"name": "workload_id", "value": "prod-*", "is_regex": True},
    ],
    "channels": [
        {"type": "webhook", "config": {"url": "http://alert-handler/critical"}},
        {
            "type": "dingtalk",
            "config": {"webhook_url": "https://oapi.dingtalk.com/robot/send?access_token=xxx"},
        },
    ],
    "group_by": ["alertname", "workload_id"],
    "group_wait": "30s",
    "repeat_interval": "4h",
}
SILENCE = {
    "matchers": [
        {"name": "alertname", "value": "GPUMemoryHigh"},
        {"name": "workload_id", "value": "test-job-*"},
    ],
    "starts_at": "2026-11-22T01:00:00Z",
    "ends_at": "2026-11-22T03:00:00Z",
    "comment": "Maintenance window for test workloads",
    "created_by": "admin@example.com",
}
RULE = {
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
    "annotations": {
        "summary": "NCCL communication errors detected",
        "description": "Multiple NCCL errors indicate network issues",
    },
}


def telling(hook, **more):
    """An alertmanager.yml that tells *hook* at once, without grouping."""
    return {
        "route": {
            "receiver": "hook",
            "group_by": ["..."],
            "group_wait": "10ms",
            "group_interval": "50ms",
            "repeat_interval": "1h",
        },
        "receivers": [{"name": "hook", "webhook_configs": [{"url": hook.url}]}],
        **more,
    }


def at(seconds):
    """RFC 3339 of so many seconds after the tests' now."""
    return instant.text_of(NOW_NS + round(seconds * 1e9))


def firing(name, **labels):
    """A v2 alert that fires for an hour."""
    return {"labels": {"alertname": name, **labels}, "endsAt": at(3600)}


def over(name, **labels):
    """The end of `firing`, when it is posted."""
    return {"labels": {"alertname": name, **labels}, "endsAt": at(-1)}


def post_v2(site, *alerts):
    """Post v2 *alerts*, which must all be taken."""
    answer = site.post("/api/v2/alerts", list(alerts))
    assert answer.status == 200, answer.body


def listed(site, **query):
    """The alerts of a list."""
    answer = site.get("/v1/alerts", **{"limit": 1000, **query})
    assert answer.status == 200, answer.body
    return answer.json()["items"]


def ledger(site, alert_id=None, **query):
    """Lines of the ledger, oldest first."""
    chosen = {} if alert_id is None else {"alert_id": alert_id}
    answer = site.get("/v1/notifications", limit=1000, **chosen, **query)
    assert answer.status == 200, answer.body
    return answer.json()["items"][::-1]


def in_ledger(site, alert_id, what, **wanted):
    """The first line of the alert's ledger with all of *wanted*, which must come."""

    def found():
        return [
            line
            for line in ledger(site, alert_id)
            if all(line[key] == value for key, value in wanted.items())
        ]

    return until(found, what, timeout_s=10)[0]


def named(site, name, **query):
    """The alerts of that name, when there are any."""
    return until(
        lambda: listed(site, alert_name=name, **query), f"{name} is listed", timeout_s=10
    )


def body(document):
    """*document* as bytes."""
    return json.dumps(document).encode()
