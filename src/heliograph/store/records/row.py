"""A record as a row: what is searched in columns of its own, the whole as a document.

id         16 bytes: the hexadecimal digits of `telemetry-…`, else a hash of the record id
stream     pod uid where the resource names one, else the session id
session, type, severity, source     session_id, event_type, severity, source_kind
at_ns      timestamp_ns, at 64 bits' ends where it is outside
doc        the record's fields in order, as `document` bytes: NaN, NUL and surrogates survive
"""

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from heliograph.core.errors import Refused
from heliograph.core.record import Record
from heliograph.store.state import document, text

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
DOC_BYTES_MAX = 8 << 20
COLUMNS = ("id", "stream", "session", "type", "severity", "source", "at_ns", "doc")

# Names whose stored form is remembered: many records have the same few.
_key = lru_cache(maxsize=4096)(text.key)
_CANONICAL = re.compile("telemetry-([0-9a-f]{32})")


class Row(NamedTuple):
    """One row; see the module."""

    id: bytes
    stream: str
    session: str
    type: str
    severity: str
    source: str
    at_ns: int
    doc: bytes


def of(record: Record) -> Row:
    """*record* as a row. Refused for a value that cannot be stored, or over `DOC_BYTES_MAX`."""
    doc = document.encode(tuple(record))
    if len(doc) > DOC_BYTES_MAX:
        raise Refused(f"a record of {len(doc)} bytes, limit {DOC_BYTES_MAX}", status=413)
    return Row(
        id=id_of(record.record_id),
        stream=_key(stream_of(record)),
        session=_key(record.session_id),
        type=_key(record.event_type),
        severity=_key(record.severity or ""),
        source=_key(record.source_kind),
        at_ns=max(INT64_MIN, min(record.timestamp_ns, INT64_MAX)),
        doc=doc,
    )


def record(doc: bytes) -> Record:
    """The record that `of` was given."""
    return Record(*document.decode(doc))


def first_of(records: Sequence[Record], rows: Sequence[Row], ids: set[bytes]) -> list[Record]:
    """Those of *records* whose row's id is in *ids*, each id once, in order."""
    by_id: dict[bytes, Record] = {}
    for each, of_each in zip(records, rows, strict=True):
        if of_each.id in ids:
            by_id.setdefault(of_each.id, each)
    return list(by_id.values())


def stream_of(record: Record) -> str:
    """Whose timeline *record* belongs to."""
    pod_uid = record.resource.get("pod_uid")
    return pod_uid if isinstance(pod_uid, str) and pod_uid else record.session_id


def id_of(record_id: str) -> bytes:
    """16 bytes that stand for *record_id*."""
    if found := _CANONICAL.fullmatch(record_id):
        return bytes.fromhex(found[1])
    return hashlib.sha256(record_id.encode("utf-8", "surrogatepass")).digest()[:16]
