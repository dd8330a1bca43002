"""What is searched of a record, and the whole as a document.

id         16 bytes: the hexadecimal digits of `telemetry-…`, else a hash of the record id
stream     pod uid where the resource names one, else the session id
session, type, severity, source     session_id, event_type, severity, source_kind
at_ns      timestamp_ns, at 64 bits' ends where it is outside
doc        the record's fields in order, as `document` bytes: NaN, NUL and surrogates survive

`table` keeps a row a record; `chunks` are of several.
"""

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from heliograph.core.errors import Refused
from heliograph.core.record import Record
from heliograph.kernels import record_groups
from heliograph.kernels.record_groups import Names
from heliograph.store.state import document, text

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
DOC_BYTES_MAX = 8 << 20
COLUMNS = ("id", "stream", "session", "type", "severity", "source", "at_ns", "doc")

# Names whose stored form is remembered: many records have the same few.
_key = lru_cache(maxsize=4096)(text.key)


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


def of(id_: bytes, record: Record) -> Row:
    """*record*, whose id is *id_*, as a row. Refused for a value that cannot be stored, or over
    `DOC_BYTES_MAX`."""
    names = stored(record_groups.names_of(record))
    return Row(id_, *names, at_ns_of(record), document_of(record))


def stored(names: Names) -> Names:
    """*names* as they are kept and compared."""
    stream, session, type_, severity, source = names
    return _key(stream), _key(session), _key(type_), _key(severity), _key(source)


def at_ns_of(record: Record) -> int:
    """The time that *record* is found by."""
    return max(INT64_MIN, min(record.timestamp_ns, INT64_MAX))


def document_of(record: Record) -> bytes:
    """*record* as a document. Refused as for `of`."""
    doc = document.encode(record)
    if len(doc) > DOC_BYTES_MAX:
        raise Refused(f"a record of {len(doc)} bytes, limit {DOC_BYTES_MAX}", status=413)
    return doc


def record(doc: bytes) -> Record:
    """The record that `document_of` was given."""
    return Record(*document.decode(doc))


def by_id(records: Iterable[Record]) -> dict[bytes, Record]:
    """*records* by their ids, the first of each id, in order."""
    return record_groups.by_id(records, _hashed)


def id_of(record_id: str) -> bytes:
    """16 bytes that stand for *record_id*."""
    return record_groups.digits_of(record_id) or _hashed(record_id)


def _hashed(record_id: str) -> bytes:
    return hashlib.sha256(record_id.encode("utf-8", "surrogatepass")).digest()[:16]
