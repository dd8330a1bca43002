"""Monitors as alert rules: documents of `POST /v1/alert-rules` that mean what the monitor means.

Definition("slow", "threshold", metric="took_ms", aggregate="p95", value=500)
→ {"name": "slow", "source": "metric", "rule_type": "threshold",
   "rule_config": {"metric": "took_ms", "agg": "p95", "op": ">", "value": 500, …}, …}

threshold     metric threshold                        rate of events   match, with a count
rate          metric threshold of the rate            absence          absence
change        metric threshold of the slope           error_share      share
anomaly       metric anomaly
"""

import math
from collections.abc import Mapping
from typing import Any

from heliograph.core import duration
from heliograph.core.duration import HOUR_NS
from heliograph.core.errors import Refused
from heliograph.recorder.monitors import Definition, hears_silence
from heliograph.recorder.points import BRIDGE, TEXT_TYPE

Document = dict[str, Any]

# What tells the rule of a monitor from another of the same name.
LABEL = "recorder_monitor"
SEVERITY = "warning"
COUNT_MAX = 10_000
# The source of an event, as rules match on it.
SOURCE_LABEL = "event_source"
_FAILED = ["critical", "error"]
_AGGREGATE = {"rate": "rate", "change": "slope"}


def of(definition: Definition) -> Document:
    """The rule of *definition*. Raises Refused for what no rule can say."""
    rule_type, config = (_of_metric if definition.metric else _of_events)(definition)
    what = definition.metric or definition.event_type or "events"
    return {
        "name": definition.name,
        "source": "metric" if definition.metric else "event",
        "rule_type": rule_type,
        "severity": SEVERITY,
        "rule_config": config,
        "labels": {LABEL: definition.name},
        "annotations": {"summary": f"{definition.kind} of {what}: {{{{ $value }}}}"},
    }


def is_of_monitor(document: Mapping[str, Any]) -> bool:
    """Whether the rule was made by `of`."""
    labels = document.get("labels")
    return isinstance(labels, Mapping) and labels.get(LABEL) == document.get("name")


def _of_metric(definition: Definition) -> tuple[str, Document]:
    what = {"metric": definition.metric, "match": _matchers(definition.match)}
    window = duration.format_ns(definition.window_ns)
    if definition.kind == "absence":
        return "absence", {"match": what, "window": window}
    lasting = {"for": duration.format_ns(definition.for_ns)}
    if definition.kind == "anomaly":
        least = {} if definition.least is None else {"least": definition.least}
        return "anomaly", {
            **what,
            **lasting,
            **least,
            "z": definition.value,
            "direction": definition.direction,
            "of": definition.of,
            # A monitor's past is of values, a rule's of time: an hour of them, at least.
            "window": duration.format_ns(max(definition.window_ns, HOUR_NS)),
        }
    if hears_silence(definition):
        words = f"a rule hears no silence: {definition.aggregate} compares with what 0 is not"
        raise Refused(f"{words}; use an absence for too few", field="op")
    return "threshold", {
        **what,
        **lasting,
        "agg": _AGGREGATE.get(definition.kind, definition.aggregate),
        "window": window,
        "op": definition.op,
        "value": definition.value,
    }


def _of_events(definition: Definition) -> tuple[str, Document]:
    match = dict(definition.match)
    if definition.source:
        match[SOURCE_LABEL] = definition.source
    # Of all that is recorded, and nothing that others tell.
    match["source_kind"] = BRIDGE
    what: Document = {"match": _matchers(match)}
    if definition.event_type:
        what["event_type"] = definition.event_type
    else:
        # Text values of metrics are records beside the events, and are none.
        what["match"].append({**_matchers({"event_type": TEXT_TYPE})[0], "is_equal": False})
    window = duration.format_ns(definition.window_ns)
    if definition.kind == "absence":
        return "absence", {"match": what, "window": window}
    if definition.for_ns:
        raise Refused(
            f"{definition.kind} of events lasts for no time: without for_", field="for_"
        )
    if definition.kind == "error_share":
        return "share", {
            "match": what,
            "part": {"severity": _FAILED},
            "op": definition.op,
            "value": definition.value / 100,
            "window": window,
            **({} if definition.least is None else {"least": definition.least}),
        }
    return "match", {
        **what,
        "threshold": {"count": _count(definition), "window": window, "by": []},
    }


def _count(definition: Definition) -> int:
    """How many events of a window make the rate."""
    least = {">": math.floor(definition.value) + 1, ">=": math.ceil(definition.value)}
    count = least.get(definition.op)
    if count is None:
        words = "a rate of events compares with > or >=; use an absence for too few"
        raise Refused(words, field="op")
    if not 1 <= count <= COUNT_MAX:
        raise Refused(f"a rate of {count} events, limit {COUNT_MAX}", field="value")
    return count


def _matchers(match: Mapping[str, str]) -> list[Document]:
    return [
        {"name": name, "value": value, "is_regex": False, "is_glob": False, "is_equal": True}
        for name, value in match.items()
    ]
