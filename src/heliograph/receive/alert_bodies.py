"""Single alerts from logs, traces and anything else: `POST /v1/alerts/log|trace|webhook`.

    log      {"rule_name": "OOMDetected", "severity": "critical", "message": "…", "pattern": "…",
              "workload_id": "w", "pod_name": "p", "log_time": "2025-11-03T10:05:00Z", "labels": {}}
    trace    {"rule_name": "SlowOperation", "trace_id": "…", "span_id": "…", "service_name": "…",
              "operation": "load_batch", "duration": 5000, "workload_id": "w"}      (milliseconds)
    webhook  {"alert_name": "X", "severity": "high", "status": "resolved", "labels": {"n": 1}}

The identity is the given labels and, where present, alertname, source, workload_id, pod_name,
pod_id, node_name, cluster_name, pattern, service_name, operation; a trace's id is not part of it,
or every slow trace would be an alert of its own. A given label `source` stands, and so do labels
`alertname` and `severity` where the body has no name and no severity beside its labels: else an alert
would be listed as one and routed as the other. A start that is ahead is the time of arrival.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from heliograph.alert.model import Context, Post
from heliograph.core.errors import Refused
from heliograph.receive import alerts, json_body
from heliograph.receive.alert_labels import identity
from heliograph.receive.alert_webhook import STATUSES, as_text, instant_of, pairs
from heliograph.receive.alerts import Times

TEXT_CHARS_MAX = 64 * 1024
# Three hundred centuries.
DURATION_MS_MAX = 1e15
DEFAULT_NAME = "generic_webhook_alert"
DEFAULT_SEVERITY = {"log": "warning", "trace": "warning", "webhook": "info"}
_HINTS = ("workload_id", "pod_name", "pod_id", "node_name", "cluster_name")
_IDENTITY = (*_HINTS, "pattern", "service_name", "operation")
_NOTED = ("message", "trace_id", "span_id")

_object = msgspec.json.Decoder(dict[str, Any])


def decode(body: bytes, source: str, times: Times) -> Post:
    """The alert of *body*, of `log`, `trace` or `webhook`. Raises Refused naming the field."""
    body, given = json_body.legible(body, _object)
    name = _text(given, "alert_name" if source == "webhook" else "rule_name")
    if not name and source != "webhook":
        raise Refused("required, and not empty", field="rule_name", code="missing")
    status = _text(given, "status") or "firing"
    if status not in STATUSES:
        raise Refused(
            f"is one of {', '.join(STATUSES)}; got {status[:50]!r}",
            field="status",
            code="status",
        )
    starts_ns = _starts_ns(given, source, times.now_ns)
    # Also of one that fires, where it does not count: what is no time is told at once.
    ends_ns = instant_of(given.get("ends_at"), "ends_at", alerts.parsed_end)
    known = identity(_labels(given, source, name), "labels", classic=False)
    return Post(
        source=source,
        labels=known.labels,
        fingerprint=known.fingerprint,
        annotations=_annotations(given, source),
        received_ns=times.now_ns,
        at_ns=times.now_ns if starts_ns is None else starts_ns,
        resolve_after_ns=times.resolve_after_ns,
        starts_ns=starts_ns,
        ends_ns=_ended_ns(ends_ns, times.now_ns) if status == "resolved" else None,
        status=status,
        hints=Context(**{key: _text(given, key) for key in _HINTS}),
        severity=known.severity or _text(given, "severity") or DEFAULT_SEVERITY[source],
        raw=body,
    )


def _labels(given: Mapping[str, Any], source: str, name: str) -> dict[str, str | None]:
    labels = pairs(given.get("labels"), "labels")
    severity = _text(given, "severity")
    for key, value in (
        ("alertname", name or labels.get("alertname") or DEFAULT_NAME),
        # Where there is none, it is no part of the identity: it may change.
        ("severity", severity if labels.get("severity") else ""),
        ("source", labels.get("source") or source),
        *((key, _text(given, key)) for key in _IDENTITY),
    ):
        if value:
            labels[key] = value
    return labels


def _annotations(given: Mapping[str, Any], source: str) -> Any:
    noted = pairs(given.get("annotations"), "annotations")
    for key in _NOTED:
        if value := _text(given, key):
            noted.setdefault(key, value)
    duration = given.get("duration")
    if source == "trace" and duration is not None:
        if (
            isinstance(duration, bool)
            or not isinstance(duration, int | float)
            or not abs(duration) <= DURATION_MS_MAX
        ):
            raise Refused("expected milliseconds, a number", field="duration")
        noted.setdefault("duration", f"{duration:.2f}ms")
    return alerts.annotations(noted, "annotations")


def _starts_ns(given: Mapping[str, Any], source: str, now_ns: int) -> int | None:
    """When it began, not later than *now_ns*: what the body names, else None for now."""
    for key in ("log_time", "starts_at") if source == "log" else ("starts_at", "start_time"):
        if given.get(key) is not None:
            at_ns = instant_of(given[key], key)
            return None if at_ns is None else min(at_ns, now_ns)
    return None


def _ended_ns(ends_ns: int | None, now_ns: int) -> int:
    return now_ns if ends_ns is None else min(ends_ns, now_ns)


def _text(given: Mapping[str, Any], key: str) -> str:
    value = given.get(key)
    if isinstance(value, dict | list):
        raise Refused("expected text", field=key)
    text = as_text(value)
    if len(text) > TEXT_CHARS_MAX:
        raise Refused(
            f"{len(text)} characters, limit {TEXT_CHARS_MAX}", field=key, code="too_large"
        )
    return text
