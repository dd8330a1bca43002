"""A document (mappings, lists, text, numbers) as bytes, and back: NaN, infinities and all text survive.

MessagePack. What MessagePack cannot carry (integers over 64 bits, lone surrogates) makes the
whole document JSON instead, in a list of one: its first byte `[` is in MessagePack the number 91,
which is no document, so the two cannot be mistaken. Tuples come back as lists.
"""

import json
from typing import Any

import msgspec

from heliograph.core.errors import Refused

_JSON_OPENS = b"["
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder()


def encode(document: Any) -> bytes:
    """*document* as bytes. Refused for values that neither form can carry."""
    return packed(document) or _as_json(document)


def packed(document: Any) -> bytes | None:
    """*document* as MessagePack, None where that cannot carry it."""
    try:
        return _encoder.encode(document)
    except (OverflowError, UnicodeEncodeError, TypeError, RecursionError):
        return None


def decode(stored: bytes) -> Any:
    """What `encode` was given. Raises ValueError for bytes it did not make."""
    if stored[:1] == _JSON_OPENS:
        return json.loads(stored)[0]
    return _decoder.decode(stored)


def _as_json(document: Any) -> bytes:
    try:
        # ASCII only, so that surrogates are escapes; NaN and Infinity in Python's spelling.
        return json.dumps([document]).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise Refused(f"cannot be stored: {error}", code="unstorable") from error
