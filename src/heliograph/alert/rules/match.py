"""Whether one thing that streams in is what a rule is about: pure tests of values.

Attributes and resources of a record, and the named groups of a line, may be matched on and counted
by as labels may; where two have the same name, what is known of the source wins.
"""

import math
from collections.abc import Mapping
from typing import Any

from heliograph.alert.rules.fields import shown
from heliograph.alert.rules.rule import (
    AttributeTest,
    EventMatch,
    FieldTest,
    Said,
    Trace,
    TraceDuration,
    admitted,
    known,
)
from heliograph.core.record import Record
from heliograph.rules.anomaly import double
from heliograph.rules.condition import compare


def record_values(record: Record, said: Said) -> dict[str, str]:
    """What is known of *record*, as labels: scalars of its resource and attributes included."""
    own: dict[str, str] = {}
    for part in (record.attributes, record.resource):
        for name, value in part.items():
            if isinstance(value, str | int | float):
                own[str(name)] = shown(value)
    own["event_type"] = record.event_type
    own["source_kind"] = record.source_kind
    if isinstance(source := record.correlation.get("source"), str):
        own["event_source"] = source
    if record.severity:
        own["record_severity"] = record.severity
    named = {"node": "node_name", "pod_uid": "pod_id"}
    for name, ours in named.items():
        if name in own:
            own.setdefault(ours, own[name])
    return {name: value for name, value in {**own, **known(said)}.items() if value}


def is_event(body: EventMatch, record: Record, values: Mapping[str, str]) -> bool:
    """Whether *record* is one that *body* is about; *values* as `record_values` gives them."""
    if body.event_types and record.event_type not in body.event_types:
        return False
    if body.severities and not {record.severity, record.severity_text}.intersection(
        body.severities
    ):
        return False
    if not all(_passes(test, record.attributes.get(test.name)) for test in body.attributes):
        return False
    return admitted(body.match, values)


def _passes(test: AttributeTest, value: Any) -> bool:
    if test.text is not None:
        return test.text.matches(shown(value) if not isinstance(value, list | dict) else "")
    assert test.number is not None
    if isinstance(value, bool):
        return False
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return compare(test.op, number, test.number)


def field_of(body: FieldTest, fields: Mapping[str, Any]) -> tuple[str, float] | None:
    """The first field of *body* that passes, with its value; None where none does."""
    for name in body.fields:
        value = fields.get(name)
        if value is None or isinstance(value, bool) or not isinstance(value, int | float):
            continue
        number = double(value)
        match body.op:
            case "any":
                passes = True
            case "nan":
                passes = math.isnan(number)
            case "inf":
                passes = math.isinf(number)
            case op:
                passes = compare(op, number, body.value)
        if passes:
            return name, number
    return None


def is_trace(body: TraceDuration, trace: Trace, values: Mapping[str, str]) -> bool:
    """Whether *trace* is of the operation of *body*, and took as long as that says."""
    if body.service_name and trace.service_name != body.service_name:
        return False
    if body.operation and trace.operation != body.operation:
        return False
    return compare(body.op, trace.duration_ms, body.value_ms) and admitted(body.match, values)


def trace_of(record: Record) -> Trace | None:
    """The operation that *record* tells of, where it names one and its duration."""
    attributes = record.attributes
    taken = attributes.get("duration_ms")
    service = attributes.get("service_name", record.resource.get("service_name"))
    operation = attributes.get("operation")
    if isinstance(taken, bool) or not isinstance(taken, int | float):
        return None
    if not (isinstance(service, str) and isinstance(operation, str)):
        return None
    return Trace(
        service,
        operation,
        float(taken),
        trace_id=shown(record.correlation.get("trace_id")),
        span_id=shown(record.correlation.get("span_id")),
    )
