"""What a rule says when it fires or is over: a `Post`, the same for the same cause.

    labels        of the rule, and alertname, severity, and the labels it counts by
    annotations   of the rule, `{{ $labels.pod }}` and `{{ $value }}` filled in; the line itself
    raw           what fired it, JSON

Placeholders are those people write: `{{ $labels.x }}`, `{{ .Labels.x }}`, `{{ $value }}`, and
`{{ .PodName }}` and the like for context; one that is none of these stays as it is written.
"""

import re
from collections.abc import Mapping

import msgspec

from heliograph.alert.model import NOBODY, Context, Post
from heliograph.alert.rules.rule import Rule
from heliograph.core import labels as core_labels
from heliograph.core import xids
from heliograph.core.labels import Labels

LINE_CHARS_MAX = 2000
LABEL_CHARS_MAX = 1024
UNKNOWN = "?"

_PLACEHOLDER = re.compile(r"\{\{-?\s*(\$?[.\w]+)\s*-?\}\}")
_CAMEL = {
    "PodName": "pod_name",
    "PodID": "pod_id",
    "WorkloadID": "workload_id",
    "WorkloadName": "workload_name",
    "NodeName": "node_name",
    "Namespace": "namespace",
    "ClusterName": "cluster_name",
    "LogMessage": "log_line",
    "Message": "log_line",
}
_WHOSE = {"pod_name", "pod_id", "node_name", "cluster_name"} | {
    *("workload_id", "workload_name", "workload_uid")
}
_ENCODER = msgspec.json.Encoder()


def firing(
    rule: Rule,
    key: Labels,
    *,
    at_ns: int,
    arrival_ns: int,
    resolve_after_ns: int,
    seq: int = -1,
    values: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    value: float | None = None,
    hints: Context = NOBODY,
    starts_ns: int | None = None,
) -> Post:
    """The post of *rule* that fires for *key* because of what happened *at_ns*.

    *values* are what placeholders may name; *annotations* are added to the rule's own.
    An instant ahead of *arrival_ns* is a wrong clock's; an alert does not start in the future.
    """
    labels = labels_of(rule, key)
    filled = {**dict(labels), **(values or {})}
    more = {name: text for name, text in (annotations or {}).items() if text}
    if rule.explain and (code := filled.get(rule.explain, "")):
        more["meaning"] = xids.meaning(code)
    said = {"rule": rule.name, "rule_id": rule.id, **more}
    if value is not None:
        said["value"] = number(value)
    begin_ns = at_ns if starts_ns is None else starts_ns
    return Post(
        source=rule.source,
        labels=labels,
        fingerprint=core_labels.fingerprint(labels),
        annotations=core_labels.of({**more, **_own(rule, filled, value)}),
        received_ns=arrival_ns,
        at_ns=at_ns,
        resolve_after_ns=resolve_after_ns,
        starts_ns=min(begin_ns, arrival_ns),
        status="firing",
        hints=hints,
        severity=rule.severity,
        raw=_ENCODER.encode(said),
        seq=seq,
    )


def over(
    rule: Rule,
    key: Labels,
    *,
    now_ns: int,
    resolve_after_ns: int,
    reason: str,
    seq: int = -1,
    values: Mapping[str, str] | None = None,
    value: float | None = None,
    starts_ns: int | None = None,
) -> Post:
    """The post that says that *rule* no longer fires for *key*; *reason* is why.

    *values* and *value* are what placeholders may name, the last that it fired with.
    """
    labels = labels_of(rule, key)
    filled = {**dict(labels), **(values or {})}
    return Post(
        source=rule.source,
        labels=labels,
        fingerprint=core_labels.fingerprint(labels),
        annotations=core_labels.of({"resolved_because": reason} | _own(rule, filled, value)),
        received_ns=now_ns,
        at_ns=now_ns,
        resolve_after_ns=resolve_after_ns,
        starts_ns=starts_ns,
        ends_ns=now_ns,
        status="resolved",
        severity=rule.severity,
        raw=_ENCODER.encode({"rule": rule.name, "rule_id": rule.id, "resolved": reason}),
        seq=seq,
    )


def labels_of(rule: Rule, key: Labels) -> Labels:
    """The identity of what *rule* says for *key*; its own labels never hide whose it is."""
    values = {name: value[:LABEL_CHARS_MAX] for name, value in key}
    values = {**dict(rule.labels), **values, "alertname": rule.name}
    if rule.severity:
        values["severity"] = rule.severity
    return core_labels.of(values)


def rendered(text: str, values: Mapping[str, str], value: float | None) -> str:
    """*text* with its placeholders filled in; a value that nobody knows any more is UNKNOWN."""

    def filled(match: re.Match[str]) -> str:
        name = match[1]
        if name in {"$value", ".Value"}:
            return UNKNOWN if value is None else number(value)
        label = _label(name)
        return match[0] if label is None else values.get(label, "")

    return _PLACEHOLDER.sub(filled, text) if "{{" in text else text


def asks_whose(rule: Rule) -> bool:
    """Whether an annotation of *rule* names whose an alert is: its pod, workload or node."""
    return any(
        _label(found[1]) in _WHOSE
        for _, text in rule.annotations
        for found in _PLACEHOLDER.finditer(text)
    )


def _label(name: str) -> str | None:
    """The label that a placeholder of *name* stands for; None for what is none of these."""
    for prefix in ("$labels.", ".Labels."):
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    return _CAMEL.get(name.removeprefix("."))


def _own(rule: Rule, values: Mapping[str, str], value: float | None) -> dict[str, str]:
    return {name: rendered(text, values, value) for name, text in rule.annotations}


def line_cut(text: str) -> str:
    """The line as an annotation holds it; NUL, which no store takes, is shown."""
    text = text.replace("\0", "\\0")
    return text if len(text) <= LINE_CHARS_MAX else f"{text[: LINE_CHARS_MAX - 1]}…"


def number(value: float) -> str:
    """*value* as people read it: `3`, `0.9512`, `NaN`, `+Inf`."""
    if value != value:  # noqa: PLR0124 - NaN
        return "NaN"
    if value in {float("inf"), float("-inf")}:
        return "+Inf" if value > 0 else "-Inf"
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return f"{value:.6g}"
