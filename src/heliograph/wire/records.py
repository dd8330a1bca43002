"""Records as bytes: msgpack in the log, JSON mappings in answers.

In msgpack a record is its fields in order; NaN and infinities are floats there. In JSON they are
the strings "NaN", "+Inf", "-Inf", which the answering side sees to.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from heliograph.core import instant
from heliograph.core.record import SCHEMA_VERSION, Record

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(list[Record])


def encode(records: Sequence[Record]) -> bytes:
    """*records* as one log frame carries them."""
    return _ENCODER.encode(records)


def decode(payload: bytes) -> list[Record]:
    """The records of *payload*. Raises ValueError when `encode` did not make it."""
    try:
        return _DECODER.decode(payload)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not records: {error}") from error


def document(record: Record) -> dict[str, Any]:
    """*record* for an answer: the projected record's fields, and `timestamp` as RFC 3339."""
    return {
        "schema_version": SCHEMA_VERSION,
        "timestamp": instant.text_of(record.timestamp_ns),
        **record._asdict(),
    }
