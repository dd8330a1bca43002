"""Single alerts from logs, traces and anything else: `POST /v1/alerts/log|trace|webhook`.

    log      {"rule_name": "OOMDetected", "severity": "critical", "message": "…", "pattern": "…",
              "workload_id": "w", "pod_name": "p", "log_time": "2025-11-03T10:05:00Z", "labels": {}}
    trace    {"rule_name": "SlowOperation", "trace_id": "…", "span_id": "…", "service_name": "…",
              "operation": "load_batch", "duration": 5000, "workload_id": "w"}      (milliseconds)
    webhook  {"alert_name": "X", "severity": "high", "status": "resolved", "labels": {"n": 1}}

The identity is the given labels and, where present, alertname, source, workload_id, pod_name,
pod_id, node_name, cluster_name, pattern, service_name, operation; a trace's id is not part of it,
or every slow trace would be an alert of its own.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from heliograph.alert.model import Context, Post
from heliograph.core import instant
from heliograph.core.errors import Refused
from heliograph.receive import alerts, json_body
from heliograph.receive.alert_labels import identity
from heliograph.receive.alert_webhook import STATUSES, as_text, pairs
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
    given = json_body.document(body, _object)
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
    starts_ns = _starts_ns(given, source)
    labels = _labels(given, source, name or DEFAULT_NAME)
    known = identity(labels, "labels", classic=False)
    at_ns = times.now_ns if starts_ns is None else min(starts_ns, times.now_ns)
    return Post(
        source=source,
        labels=known.labels,
        fingerprint=known.fingerprint,
        annotations=_annotations(given, source),
        received_ns=times.now_ns,
        at_ns=at_ns,
        resolve_after_ns=times.resolve_after_ns,
        starts_ns=starts_ns,
        ends_ns=_ends_ns(given, times.now_ns) if status == "resolved" else None,
        status=status,
        hints=Context(**{key: _text(given, key) for key in _HINTS}),
        severity=_text(given, "severity") or known.severity or DEFAULT_SEVERITY[source],
        raw=body,
    )


def _labels(given: Mapping[str, Any], source: str, name: str) -> dict[str, str | None]:
    labels = pairs(given.get("labels"), "labels")
    for key, value in (
        ("alertname", name),
        ("source", source),
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


def _starts_ns(given: Mapping[str, Any], source: str) -> int | None:
    """When it began: what the body names, else None for now."""
    for key in ("log_time", "starts_at") if source == "log" else ("starts_at", "start_time"):
        if given.get(key) is not None:
            return _instant(given[key], key)
    return None


def _ends_ns(given: Mapping[str, Any], now_ns: int) -> int:
    said = given.get("ends_at")
    at_ns = None if said is None else _instant(said, "ends_at")
    return now_ns if at_ns is None else min(at_ns, now_ns)


def _instant(value: object, field: str) -> int | None:
    if isinstance(value, str):
        return alerts.instant_of(value, field)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refused("expected RFC 3339 text or epoch seconds", field=field, code="time")
    try:
        return instant.of_written(value)
    except (ValueError, OverflowError) as error:
        raise Refused(str(error), field=field, code="time") from error


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
