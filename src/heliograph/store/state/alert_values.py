"""Values of the alert engine as bytes, and back: `document`, for structs with their types.

MessagePack of the struct; JSON in a list of one where a text has a lone surrogate.
"""

import hashlib
import json
from typing import Generic, TypeVar

import msgspec

_JSON_OPENS = b"["
T = TypeVar("T", bound=msgspec.Struct)
_encoder = msgspec.msgpack.Encoder()


class Codec(Generic[T]):
    """Structs of one type to bytes and back."""

    def __init__(self, type_: type[T]) -> None:
        self._type = type_
        self._decoder = msgspec.msgpack.Decoder(type_)

    def encode(self, value: T) -> bytes:
        """*value* as bytes."""
        try:
            return _encoder.encode(value)
        except UnicodeEncodeError:
            # ASCII only, so that surrogates are escapes.
            return json.dumps([msgspec.to_builtins(value)]).encode()

    def decode(self, stored: bytes) -> T:
        """What `encode` was given. Raises ValueError for bytes it did not make."""
        if stored[:1] == _JSON_OPENS:
            return msgspec.convert(json.loads(stored)[0], self._type)
        return self._decoder.decode(stored)


def digest(*parts: str) -> bytes:
    """Sixteen bytes that stand for *parts*, however long: a key that an index can hold."""
    made = hashlib.blake2b(digest_size=16)
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        made.update(b"%d:" % len(encoded))
        made.update(encoded)
    return made.digest()
