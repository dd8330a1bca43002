"""Records as bytes: msgpack in the log, JSON mappings in answers and posts.

In msgpack a record is its fields in order; NaN and infinities are floats there. What msgpack cannot
carry (integers over 64 bits, lone surrogates) makes the frame JSON instead: its first byte `[` is in
msgpack the number 91, which is no list. In JSON answers NaN and infinities are the strings "NaN",
"+Inf", "-Inf", which the answering side sees to.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from heliograph.core import instant
from heliograph.core.errors import Refused
from heliograph.core.record import SCHEMA_VERSION, Record

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(list[Record])
_JSON_OPENS = b"["
_REQUIRED = ("record_id", "timestamp_ns", "session_id", "event_type")
_TEXTS = ("stage", "severity", "severity_text", "body")
_MAPPINGS = ("resource", "attributes", "correlation")
# `timestamp` is what answers add; the time that counts is `timestamp_ns`.
_KNOWN = {*Record._fields, "schema_version", "timestamp"}
_NAMES_TOLD = 5


def encode(records: Sequence[Record]) -> bytes:
    """*records* as one log frame carries them. Raises TypeError for values that are not JSON's."""
    try:
        return _ENCODER.encode(records)
    except (OverflowError, UnicodeEncodeError):
        # ASCII only, so that surrogates are escapes; NaN and Infinity in Python's spelling.
        return json.dumps(records).encode()


def decode(payload: bytes) -> list[Record]:
    """The records of *payload*. Raises ValueError when `encode` did not make it."""
    try:
        if payload[:1] == _JSON_OPENS:
            return [Record(*fields) for fields in json.loads(payload)]
        return _DECODER.decode(payload)
    except (msgspec.MsgspecError, ValueError, TypeError) as error:
        raise ValueError(f"not records: {error}") from error


def document(record: Record) -> dict[str, Any]:
    """*record* for an answer: the projected record's fields, and `timestamp` as RFC 3339."""
    return {
        "schema_version": SCHEMA_VERSION,
        "timestamp": instant.text_of(record.timestamp_ns),
        **record._asdict(),
    }


def of_document(posted: Mapping[str, Any]) -> Record:
    """The record that *posted* is, as `document` or a projected record's dictionary spells it.

    Without `observed_timestamp_ns` it was seen when it happened; without `source_kind` it is "other";
    absent mappings are empty. Refused, naming the field, for anything else that does not fit.
    """
    if unknown := posted.keys() - _KNOWN:
        told = ", ".join(sorted(map(str, unknown))[:_NAMES_TOLD])
        raise Refused(f"unknown fields: {told}", field=min(map(str, unknown)))
    for name in _REQUIRED:
        if posted.get(name) is None:
            raise Refused(f"{name} is missing", field=name)
    if posted.get("schema_version", SCHEMA_VERSION) != SCHEMA_VERSION:
        raise Refused("schema_version must be 1", field="schema_version")
    observed_ns = posted.get("observed_timestamp_ns")
    return Record(
        record_id=_named(posted, "record_id"),
        timestamp_ns=_instant(posted, "timestamp_ns"),
        observed_timestamp_ns=_instant(
            posted, "timestamp_ns" if observed_ns is None else "observed_timestamp_ns"
        ),
        session_id=_named(posted, "session_id"),
        source_kind="other"
        if posted.get("source_kind") is None
        else _named(posted, "source_kind"),
        event_type=_named(posted, "event_type"),
        **{name: _text(posted, name) for name in _TEXTS},
        **{name: _mapping(posted, name) for name in _MAPPINGS},
    )


def _named(posted: Mapping[str, Any], field: str) -> str:
    value = posted[field]
    if not (isinstance(value, str) and value.strip()):
        raise Refused(f"{field} must be a non-empty string", field=field)
    return value


def _instant(posted: Mapping[str, Any], field: str) -> int:
    value = posted[field]
    if not isinstance(value, int) or isinstance(value, bool):
        raise Refused(f"{field} must be an integer", field=field)
    return value


def _text(posted: Mapping[str, Any], field: str) -> Any:
    value = posted.get(field)
    if not (value is None or isinstance(value, str)):
        raise Refused(f"{field} must be a string or null", field=field)
    return value


def _mapping(posted: Mapping[str, Any], field: str) -> Any:
    value = posted.get(field)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise Refused(f"{field} must be an object", field=field)
    return value
