"""A request's body in snappy's block format, with the standard library alone.

    1c | 18 48 65 6c 6c 6f 20 77 …        length when decoded (varint); then literals, as they are

A compressor that runs in Python would cost a training process more than the bytes it saves, so
without cramjam what is said is: these bytes, literally. Every decoder reads that; the body is 0.01 %
longer than what is in it. The spool compresses with zlib, which is C and lets other threads run.
Source: google/snappy, format_description.txt, section 2.1.
"""

import importlib
from collections.abc import Callable
from typing import Any

from heliograph.wire.varint import varint

# A literal whose length takes two bytes; what compressors cut their input into.
_LITERAL_BYTES_MAX = 1 << 16
_ONE_BYTE_LENGTH, _TWO_BYTE_LENGTH = 60 << 2, 61 << 2


def compressor() -> Callable[[bytes], bytes]:
    """cramjam's snappy where it is installed, else `literally`."""
    try:
        cramjam: Any = importlib.import_module("cramjam")
    except ImportError:
        return literally
    return lambda raw: bytes(cramjam.snappy.compress_raw(raw))


def literally(raw: bytes) -> bytes:
    """*raw*, at most 2^32 - 1 bytes, as one block that is nothing but literals."""
    parts = [varint(len(raw))]
    for start in range(0, len(raw), _LITERAL_BYTES_MAX):
        chunk = raw[start : start + _LITERAL_BYTES_MAX]
        parts.append(_literal_tag(len(chunk) - 1))
        parts.append(chunk)
    return b"".join(parts)


def _literal_tag(length_less_one: int) -> bytes:
    if length_less_one < 60:
        return b"%c" % (length_less_one << 2)
    if length_less_one < 0x100:
        return b"%c%c" % (_ONE_BYTE_LENGTH, length_less_one)
    return b"%c%c%c" % (_TWO_BYTE_LENGTH, length_less_one & 0xFF, length_less_one >> 8)
