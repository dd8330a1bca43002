"""Events and metrics as programs post them: `POST /v1/events`, `POST /v1/metrics` (spec 002).

    {"event_type": "COMMAND", "source": "core", "data": {"command_id": "12345"},
     "timestamp": "2025-05-21T14:32:17.123Z", "event_id": "f47ac10b-…"}
    {"metric_name": "took_ms", "metric_value": 127, "context": {"command_type": "X"},
     "timestamp": 1747837937.25}

A body is one, a list, `{"events": […]}` or `{"metrics": […]}`, or lines. Each item stands or falls
alone, in its place, as a `Fault` in the words of spec 002; Refused is for a body of which nothing
can be read, or over a limit. What they become is `recorder.points`' to say: the same as in-process.

Who sends an event again with the event_id that it had changes nothing: the record's id is made of it.
An event that says where it ran (`node`, `pod_name`, `namespace`, `pod_uid` in its data) is that pod's.
"""

from collections.abc import Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from heliograph.core import labels as label
from heliograph.core.errors import Refused
from heliograph.core.record import Record, record_id
from heliograph.receive import json_body, json_items, log_entry
from heliograph.receive.json_items import WrongItemError
from heliograph.receive.records import PLACES
from heliograph.recorder import checks, ids, moments, points
from heliograph.recorder.checks import Fault
from heliograph.recorder.points import Event, Point

T = TypeVar("T")

NAME_CHARS_MAX = 1024
INVALID_METRIC = "INVALID_METRIC"
# Who records: the session that a recorder in a process sends along, and of those that have none.
SESSION = "session_id"
SESSION_OF_HTTP = "http"
_OF_EVENT = frozenset({"event_type", "source", "event_id", "timestamp", "data", SESSION})
_NAMES = {
    "event_type": "Event type",
    "source": "Source",
    "event_id": "Event id",
    SESSION: "Session id",
}
_STAMPS = moments.Stamps()


class RecorderLimits(NamedTuple):
    """Bounds of one request.

    items           events or metrics of a body; 413 beyond
    decoded_bytes   bytes after decompression; 413 beyond
    item_bytes      of one; it is a fault beyond
    """

    items: int = 10_000
    decoded_bytes: int = 128 << 20
    item_bytes: int = 1 << 20


class Told(NamedTuple, Generic[T]):
    """What one body held, in order.

    items      each taken, or what is wrong with it
    alone      the body was one object, not a list of it
    keys_cut   keys of contexts beyond `points.CONTEXT_KEYS_MAX`, which are no labels
    """

    items: list[T | Fault]
    alone: bool
    keys_cut: int = 0


class GivenEvent(NamedTuple):
    """An event, and who recorded it; *named*: by the event_id that its sender gave it."""

    event: Event
    session_id: str
    named: bool


class GivenPoint(NamedTuple):
    """A point, and who recorded it; *named* as of `GivenEvent`. *packed* are the labels of its series;
    b"" for a text value, which has none."""

    point: Point
    session_id: str
    named: bool
    packed: bytes


def events(
    body: bytes, *, content_encoding: str | None, arrival_ns: int, limits: RecorderLimits
) -> Told[GivenEvent]:
    """The events of *body*; those without a time are of *arrival_ns*. Raises Refused."""
    found, alone = _documents(body, content_encoding, limits, "events", "event_type")
    items = [one if isinstance(one, Fault) else _event(one, arrival_ns) for one in found]
    return Told(items, alone)


def metrics(
    body: bytes, *, content_encoding: str | None, arrival_ns: int, limits: RecorderLimits
) -> Told[GivenPoint]:
    """The points of *body*, as `events`."""
    found, alone = _documents(body, content_encoding, limits, "metrics", "metric_name")
    items = [one if isinstance(one, Fault) else _point(one, arrival_ns) for one in found]
    cut = sum(
        max(0, len(one.point.context or ()) - points.CONTEXT_KEYS_MAX)
        for one in items
        if not isinstance(one, Fault)
    )
    return Told(items, alone, cut)


def record_of(given: GivenEvent, arrival_ns: int) -> Record:
    """The record of an event."""
    event = given.event
    record = points.record_of_event(event, given.session_id, arrival_ns)
    data = record.attributes
    if (told := event.extra.get("severity")) is not None:
        # Beside `data`, and not in it: what the event says within comes first.
        said = {**data, "severity": data.get("severity", told)}
        record = record._replace(severity=points.severity_of(event.event_type, said))
    where = {key: data[key] for key in PLACES if isinstance(data.get(key), str) and data[key]}
    if given.named:
        record = record._replace(record_id=record_id(points.BRIDGE, event.event_id))
    return record._replace(resource=where) if where else record


def record_of_text(given: GivenPoint, arrival_ns: int) -> Record:
    """The record of a point whose value is text."""
    record = points.record_of_text(given.point, given.session_id, arrival_ns)
    if not given.named:
        return record
    return record._replace(record_id=record_id(points.TEXT_TYPE, given.point.event_id))


def _documents(
    body: bytes, content_encoding: str | None, limits: RecorderLimits, wrap: str, of_one: str
) -> tuple[list[dict[str, Any] | Fault], bool]:
    """The objects of *body*, or what is wrong with them; whether the body is but one object."""
    raw = json_body.inflated(
        body, content_encoding=content_encoding, decoded_bytes_max=limits.decoded_bytes
    )
    raw, _ = json_body.as_utf8(raw)
    # Half of a surrogate pair is no text that a store, or another program, could take.
    mends = b"\\ud" in raw or b"\\uD" in raw
    found: list[dict[str, Any] | Fault] = []
    readable, alone = False, False
    for item in json_items.of_body(raw, wrap=wrap, never=(of_one,)):
        if len(found) >= limits.items:
            raise Refused(
                f"more than {limits.items} {wrap}",
                field=json_body.FIELD,
                code="too_many",
                status=413,
            )
        alone = not found and bytes(item).strip() == raw.strip()
        try:
            document = json_items.document(item, bytes_max=limits.item_bytes)
        except WrongItemError as wrong:
            readable = readable or wrong.reason not in log_entry.UNREADABLE
            code = checks.INVALID_EVENT if wrap == "events" else INVALID_METRIC
            found.append(Fault(code, wrong.detail[:400], {"reason": wrong.reason}))
            continue
        readable = True
        found.append(_mended(document) if mends else document)
    if not readable and (found or not _is_json(raw)):
        raise Refused(
            "not JSON" if raw.strip() else "empty", field=json_body.FIELD, code="json"
        )
    return found, alone


def _event(document: dict[str, Any], arrival_ns: int) -> GivenEvent | Fault:
    fault = checks.event_fault(document) or _fault_of_names(document)
    if fault is not None:
        return fault
    when = document.get("timestamp")
    try:
        at_ns = arrival_ns if when is None else moments.at_ns_of(when)
    except (ValueError, TypeError) as error:
        return checks.moment_fault(error)
    event_id = document.get("event_id")
    event = Event(
        event_id=event_id or ids.event_id(),
        event_type=document["event_type"],
        source=document["source"],
        at_ns=at_ns,
        data=document.get("data", {}),
        told=_STAMPS.text(at_ns) if when is None else moments.told_of(when),
        extra={key: value for key, value in document.items() if key not in _OF_EVENT},
    )
    return GivenEvent(event, document.get(SESSION) or SESSION_OF_HTTP, bool(event_id))


def _fault_of_names(document: Mapping[str, Any]) -> Fault | None:
    """Of the names that an event has, or does without."""
    for name, words in _NAMES.items():
        value = document.get(name)
        if value is None:
            continue
        if not isinstance(value, str):
            details = {"validation_errors": {"invalid_type": name}}
            return Fault(checks.INVALID_EVENT, f"{words} must be a string", details)
        if len(value) > NAME_CHARS_MAX:
            details = {"validation_errors": {"too_long": name}}
            message = f"{words} is longer than {NAME_CHARS_MAX} characters"
            return Fault(checks.INVALID_EVENT, message, details)
    return None


def _point(document: dict[str, Any], arrival_ns: int) -> GivenPoint | Fault:
    name, value = document.get("metric_name"), document.get("metric_value")
    context, when = document.get("context"), document.get("timestamp")
    event_id, session_id = document.get("event_id"), document.get(SESSION)
    fault = checks.metric_fault(name, value)
    if fault is not None:
        return fault
    assert isinstance(name, str)
    assert isinstance(value, int | float | str)
    if context is not None and not isinstance(context, dict):
        return Fault(INVALID_METRIC, "Context must be a dictionary", {"field": "context"})
    for key, text in (("metric_name", name), ("event_id", event_id), (SESSION, session_id)):
        if text is not None and not (isinstance(text, str) and len(text) <= NAME_CHARS_MAX):
            words = f"must be text of at most {NAME_CHARS_MAX} characters"
            return Fault(INVALID_METRIC, f"{key} {words}", {"field": key})
    try:
        at_ns = arrival_ns if when is None else moments.at_ns_of(when)
    except (ValueError, TypeError) as error:
        code = "TYPE_ERROR" if isinstance(error, TypeError) else "INVALID_VALUE"
        return Fault(code, str(error), {"field": "timestamp"})
    packed = b"" if isinstance(value, str) else label.pack(points.labels_of(name, context))
    number = value if isinstance(value, str) else float(value)
    told = _STAMPS.text(at_ns) if when is None else moments.told_of(when)
    point = Point(name, number, context, at_ns, event_id or ids.event_id(), told)
    return GivenPoint(point, session_id or SESSION_OF_HTTP, bool(event_id), packed)


def _is_json(raw: bytes) -> bool:
    try:
        msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _mended(value: Any) -> Any:
    """*value*, no deeper than `json_items` lets through, with `?` for half pairs."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_mended(key): _mended(one) for key, one in value.items()}
    return [_mended(one) for one in value] if isinstance(value, list) else value
