r"""Records as programs post them: `POST /v1/records`.

    {"schema_version": 3, "session_id": "s-1", "timestamp_ns": 17953113050…, "event_type": "sample",
     "collector": "…", "allocator_allocated_bytes": 10, "device_used_bytes": 20, …, "metadata": {}}
    {"schema_version": 1, "record_id": "telemetry-…", "timestamp_ns": …, "resource": {}, …}

The first is a memory telemetry event: version 2, 3 or 4, or older and without a version, which is
read as version 3. The second is a record that was projected already. A body is one, a list,
`{"events": […]}` or lines; each stands or falls alone, as `Rejected` with its field, and Refused is
for a body of which nothing can be read, or over a limit.

An event's record id is a digest of the event, so that sending it again changes nothing. Where its
metadata says where it ran (`node`, `pod_name`, `namespace`, `pod_uid`), its record's resource does.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from heliograph.core import instant
from heliograph.core.errors import Refused
from heliograph.core.record import Record
from heliograph.projection.events import (
    project_telemetry_event,
    telemetry_event_from_record,
)
from heliograph.projection.record import projected_record_to_dict
from heliograph.receive import json_body, json_items, log_entry
from heliograph.receive.json_items import WrongItemError
from heliograph.wire import records as wire_records

TEXT_CHARS_MAX = 1024
WRAP = "events"
# Keys of an item alone, which no wrapping object has.
_OF_ONE = ("timestamp_ns", "record_id")
# Of resources; metadata says the same of an event.
PLACES = ("node", "pod_name", "namespace", "pod_uid")

_NAMED = ("session_id", "event_type", "source_kind", "record_id")
_FIELD = re.compile(
    r"\b(?!record is)([a-z][a-z0-9_]*(?:\[\d+\])?(?:\.[a-z0-9_]+)*) (?:must|cannot|is)\b"
)
_UNKNOWN = re.compile(r"Unknown telemetry fields: ([^,]+)")
_MISSING = re.compile(r"[Mm]issing (?:required )?(?:telemetry )?fields?:? ([A-Za-z0-9_]+)")
_WORD = re.compile(r"\b(schema_version|timestamp)\b")


class RecordLimits(NamedTuple):
    """Bounds of one request.

    items           events and records of a body; 413 beyond
    decoded_bytes   bytes after decompression; 413 beyond
    item_bytes      of one; it is rejected alone beyond
    rejected        rejected items that are listed; the rest are counted
    """

    items: int = 50_000
    decoded_bytes: int = 128 << 20
    item_bytes: int = 1 << 20
    rejected: int = 100


class RejectedItem(NamedTuple):
    """One item that can never be taken.

    index    its place in the body, from 0
    field    the part at fault as the sender wrote it, "" for the item itself
    reason   fixed short word: `syntax`, `too_deep`, `too_large`, `not_object`, `invalid`
    detail   what a human needs to mend it
    """

    index: int  # type: ignore[assignment]
    field: str
    reason: str
    detail: str


class RecordBatch(NamedTuple):
    """Everything that was in one body, once.

    records          in the order sent
    received         items, good and bad
    rejected         the first bad ones, at most `RecordLimits.rejected`
    rejected_total   how many bad ones there are
    """

    records: list[Record]
    received: int
    rejected: list[RejectedItem]
    rejected_total: int


def decode(
    body: bytes, *, content_encoding: str | None, arrival_ns: int, limits: RecordLimits
) -> RecordBatch:
    """The records of *body*, observed at *arrival_ns* where they do not say.

    Raises Refused: 400 `body` when no item is JSON, 413 over a limit, 415 for an encoding that is
    not spoken.
    """
    raw = json_body.inflated(
        body, content_encoding=content_encoding, decoded_bytes_max=limits.decoded_bytes
    )
    raw, _ = json_body.as_utf8(raw)
    found: list[Record] = []
    rejected: list[RejectedItem] = []
    received = bad = 0
    readable = False
    for item in json_items.of_body(raw, wrap=WRAP, never=_OF_ONE):
        if received >= limits.items:
            raise Refused(
                f"more than {limits.items} records",
                field=json_body.FIELD,
                code="too_many",
                status=413,
            )
        try:
            found.append(_record(item, arrival_ns, limits.item_bytes))
            readable = True
        except WrongItemError as wrong:
            readable = readable or wrong.reason not in log_entry.UNREADABLE
            bad += 1
            if len(rejected) < limits.rejected:
                rejected.append(
                    RejectedItem(received, wrong.field, wrong.reason, wrong.detail[:400])
                )
        received += 1
    # A list of nothing is JSON, and nothing is wrong with it.
    if not readable and (received or not raw.strip()):
        raise Refused(
            "not JSON" if raw.strip() else "empty", field=json_body.FIELD, code="json"
        )
    return RecordBatch(found, received, rejected, bad)


def of_mapping(value: Mapping[str, Any], arrival_ns: int) -> Record:
    """The record of one document, event or projected. Raises Refused naming the field."""
    if "record_id" in value and value.get("schema_version") == 1:
        record = wire_records.of_document(value)
    else:
        record = _of_event(value, arrival_ns)
    if not instant.AT_NS_MIN <= record.timestamp_ns <= instant.AT_NS_MAX:
        raise Refused("an instant of more than 64 bits", field="timestamp_ns")
    for name in _NAMED:
        text = getattr(record, name)
        if not text or len(text) > TEXT_CHARS_MAX:
            raise Refused(f"text of 1 to {TEXT_CHARS_MAX} characters", field=name)
    return record


def _of_event(value: Mapping[str, Any], arrival_ns: int) -> Record:
    try:
        event = telemetry_event_from_record(value)
        projected = project_telemetry_event(event, observed_timestamp_ns=max(arrival_ns, 0))
    except ValueError as error:
        raise Refused(str(error), field=_field(str(error))) from error
    # Out of JSON: plain already, once it is thawed.
    _, *fields = projected_record_to_dict(projected).values()
    record = Record(*fields)
    for name in PLACES:
        text = record.attributes.get(name)
        if isinstance(text, str) and text:
            record.resource[name] = text  # type: ignore[index] # ours alone so far
    return record


def _field(text: str) -> str:
    for pattern in (_FIELD, _UNKNOWN, _MISSING, _WORD):
        if found := pattern.search(text):
            return found[1]
    return ""


def _record(item: bytes | msgspec.Raw, arrival_ns: int, bytes_max: int) -> Record:
    value = json_items.document(item, bytes_max=bytes_max)
    try:
        return of_mapping(value, arrival_ns)
    except Refused as refused:
        raise WrongItemError("invalid", refused.detail, refused.field) from refused
