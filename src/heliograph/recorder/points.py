"""What is recorded, and what it becomes in the stores: an event a record, a number a sample.

    Point("took_ms", 127, {"command_type": "X"}, at_ns, event_id, told)
        → sample of {__name__="took_ms", command_type="X"}; a text value → record `metric_text`
    Event("f47a…", "COMMAND", "core", at_ns, {"a": 1}, told, {})
        → record of source_kind `bridge`, event_type `COMMAND`, attributes {"a": 1}

The HTTP endpoints use the same functions, so that both ways of recording mean the same.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from heliograph.core import labels as label
from heliograph.core.labels import Labels
from heliograph.core.record import Record, record_id
from heliograph.recorder import plain

BRIDGE = "bridge"
TEXT_TYPE = "metric_text"
# Keys of one context that become labels, and the length of a label's value; what is more is cut.
CONTEXT_KEYS_MAX = 32
LABEL_CHARS_MAX = 1024
# Where an event says how it went; the first that is there counts.
_STATUS_KEYS = ("severity", "level", "status", "result_status")
_SEVERITIES = {
    **dict.fromkeys(("CRITICAL", "FATAL"), "critical"),
    **dict.fromkeys(("ERROR", "FAILED", "FAILURE", "FAIL", "TIMEOUT"), "error"),
    **dict.fromkeys(("WARNING", "WARN"), "warning"),
}


class Point(NamedTuple):
    """One value of one metric.

    value     a number (bool counts as one), or text, which no aggregate but COUNT sees
    context   what to group by; not changed after it was handed over
    at_ns     UTC nanoseconds; the store may move it by nanoseconds, where another has it
    told      the instant as the answer repeats it
    """

    name: str
    value: float | str
    context: Mapping[str, Any] | None
    at_ns: int
    event_id: str
    told: str


class Event(NamedTuple):
    """One event; *extra* are keys beside those of spec 002."""

    event_id: str
    event_type: str
    source: str
    at_ns: int
    data: Mapping[str, Any]
    told: str
    extra: Mapping[str, Any]


class Part(NamedTuple):
    """The points of one series in a range, in the order of time.

    at_ns, values   (n,) numbers, in whatever the source's arithmetic works with
    texts           instants of its text values
    """

    name: str
    labels: Mapping[str, str]
    at_ns: Any
    values: Any
    texts: Sequence[int]


def labels_of(name: str, context: Mapping[str, Any] | None) -> Labels:
    """The labels of the series of metric *name* in *context*.

    Text is itself, other values are as JSON spells them; what is empty is absent. The key
    `__name__` is the metric's, so a context's own becomes `context.__name__`.
    """
    name = plain.text(name)
    if not context:
        return ((label.NAME, name),)
    pairs = {label.NAME: name}
    for key, value in list(context.items())[:CONTEXT_KEYS_MAX]:
        text = plain.text(key if isinstance(key, str) else str(key))
        if text == label.NAME:
            text = f"context.{label.NAME}"
        pairs[text or "context"] = label_text(value)
    return label.of(pairs)


def label_text(value: Any) -> str:
    """*value* of a context as a label has it."""
    if isinstance(value, str):
        return plain.text(value[:LABEL_CHARS_MAX])
    try:
        return json.dumps(value, sort_keys=True)[:LABEL_CHARS_MAX]
    except (TypeError, ValueError, RecursionError):
        return plain.canonical(value)[:LABEL_CHARS_MAX]


def record_of_event(event: Event, session_id: str, now_ns: int) -> Record:
    """*event* as the record store keeps it; equal events at one instant with one id are one."""
    data, extra = event.data, event.extra
    data = data if plain.is_plain(data) else plain.of(data)
    extra = extra if plain.is_plain(extra) else plain.of(extra)
    told = plain.canonical(data) + (plain.canonical(extra) if extra else "")
    event_id, event_type, source = map(
        plain.text, (event.event_id, event.event_type, event.source)
    )
    identity = (event_id, event_type, source, event.at_ns, told)
    correlation: dict[str, Any] = {"event_id": event_id, "source": source}
    if extra:
        correlation["extra"] = extra
    return Record(
        record_id=record_id(BRIDGE, *identity),
        timestamp_ns=event.at_ns,
        observed_timestamp_ns=now_ns,
        session_id=session_id,
        source_kind=BRIDGE,
        event_type=event_type or "event",
        severity=severity_of(event_type, data),
        attributes=data,
        correlation=correlation,
    )


def record_of_text(point: Point, session_id: str, now_ns: int) -> Record:
    """The text value *point* as a record; its id is of its event id, so that each call counts."""
    context, name, told = (
        point.context or {},
        plain.text(point.name),
        plain.text(str(point.value)),
    )
    return Record(
        record_id=record_id(TEXT_TYPE, point.event_id, name, point.at_ns),
        timestamp_ns=point.at_ns,
        observed_timestamp_ns=now_ns,
        session_id=session_id,
        source_kind=BRIDGE,
        event_type=TEXT_TYPE,
        body=told,
        attributes={
            "metric_name": name,
            "metric_value": told,
            "context": context if plain.is_plain(context) else plain.of(context),
        },
        correlation={"event_id": point.event_id},
    )


def severity_of(event_type: str, data: Mapping[str, Any]) -> str:
    """`critical`, `error`, `warning` or `info`, by what the event says of itself."""
    for key in _STATUS_KEYS:
        said = data.get(key)
        if isinstance(said, str) and (found := _SEVERITIES.get(said.upper())):
            return found
    return "error" if "ERROR" in event_type.upper() else "info"


def is_error(event_type: str, data: Mapping[str, Any]) -> bool:
    """Whether the event tells of an error."""
    return severity_of(event_type, data) in {"critical", "error"}
