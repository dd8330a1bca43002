"""A frame: one request as a file of the spool holds it.

    48 53 46 31 | kind u8 | items u32 | bytes u32 | crc32 u32 | zlib of the request

Little-endian; the checksum is of kind, items, bytes and what follows. A frame that is cut short
or changed is told by it and costs itself alone.
"""

import struct
import zlib
from typing import NamedTuple

# The kind of a frame: a remote write request, or lines of JSON for `/v1/records`. Others are not ours
# to send.
SAMPLES = 1
RECORDS = 2
_KINDS = frozenset({SAMPLES, RECORDS})

_MAGIC = b"HSF1"
_HEAD = struct.Struct("<4sBIII")
_CHECKED = struct.Struct("<BII")
HEAD_BYTES = _HEAD.size
# Of a request no more is believed; what is written is about 1 MiB.
RAW_BYTES_MAX = 64 << 20


class Damaged(Exception):
    """These bytes are no frame, or no longer."""


class Frame(NamedTuple):
    """A request on its way, uncompressed; *items* is how many samples or records are in it."""

    kind: int
    items: int
    raw: bytes


def encode(frame: Frame) -> bytes:
    """The file of *frame*."""
    body = zlib.compress(frame.raw, 1)
    checked = _CHECKED.pack(frame.kind, frame.items, len(body))
    crc = zlib.crc32(body, zlib.crc32(checked))
    return _HEAD.pack(_MAGIC, frame.kind, frame.items, len(body), crc) + body


def decode(file: bytes) -> Frame:
    """The frame of *file*. Raises Damaged."""
    kind, items = head(file)
    _, _, _, length, crc = _HEAD.unpack_from(file)
    body = file[HEAD_BYTES:]
    checked = _CHECKED.pack(kind, items, length)
    if len(body) != length or zlib.crc32(body, zlib.crc32(checked)) != crc:
        raise Damaged(f"{len(body)} bytes of {length}, or changed ones")
    unpacking = zlib.decompressobj()
    try:
        raw = unpacking.decompress(body, RAW_BYTES_MAX)
    except zlib.error as error:
        raise Damaged(str(error)) from error
    if not unpacking.eof:
        raise Damaged(f"over {RAW_BYTES_MAX} bytes, or cut short")
    return Frame(kind, items, raw)


def head(beginning: bytes) -> tuple[int, int]:
    """(kind, items) as the first HEAD_BYTES of a file say, unchecked. Raises Damaged."""
    if len(beginning) < HEAD_BYTES or not beginning.startswith(_MAGIC):
        raise Damaged("no frame begins here")
    _, kind, items, _, _ = _HEAD.unpack_from(beginning)
    if kind not in _KINDS:
        raise Damaged(f"a frame of kind {kind}")
    return kind, items
