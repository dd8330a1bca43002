"""Snappy's block format, under a ceiling. The codec is cramjam's; what is ours is to distrust.

    0b | 28 68 65 6c 6c 6f …        length when decoded, LEB128 varint of 32 bits; then elements

The length is what a decoder allocates, and seven bytes can claim 4 GiB (cramjam then aborts the
process). So it is read first, and compared with the limit and with what so many bytes can yield.
The framed format (`ff 06 00 00 73 4e 61 50 70 59`) is another one and refused.
Source: google/snappy, format_description.txt.
"""

import cramjam

from heliograph.core.errors import Refused

# An element of 3 bytes copies 64, and none does better: literals yield less than they take, the
# copy of 2 bytes yields 11, that of 5 bytes 64.
_COPY_BYTES, _COPIED_BYTES = 3, 64

_LENGTH_BYTES_MAX = 5
_LENGTH_MAX = 2**32 - 1
_FRAMED = b"\xff\x06\x00\x00sNaPpY"


def declared_length(body: bytes) -> int:
    """The decoded length that *body* claims. Raises Refused (400) where it claims none."""
    return _preamble(body)[0]


def decompress(body: bytes, *, decoded_bytes_max: int) -> bytes:
    """The bytes that *body* decodes to.

    Raises Refused: 413 for an honest length over *decoded_bytes_max*, 400 for what is not snappy,
    is damaged, or claims more than it can hold. Neither allocates what was claimed.
    """
    declared, preamble_bytes = _preamble(body)
    if declared * _COPY_BYTES > (len(body) - preamble_bytes) * _COPIED_BYTES:
        raise _corrupt(f"{len(body)} bytes cannot hold the {declared} they claim")
    if declared > decoded_bytes_max:
        raise Refused(
            f"{declared} bytes decoded, limit {decoded_bytes_max}",
            field="body",
            code="body_too_large",
            status=413,
        )
    try:
        return bytes(cramjam.snappy.decompress_raw(body))
    except cramjam.DecompressionError as error:
        raise _corrupt(str(error)) from error


def compress(raw: bytes) -> bytes:
    """*raw* in snappy's block format."""
    return bytes(cramjam.snappy.compress_raw(raw))


def _preamble(body: bytes) -> tuple[int, int]:
    """(declared length, bytes it takes)."""
    if body.startswith(_FRAMED):
        raise _corrupt("this is the framed format; send the block format")
    length = 0
    for i, byte in enumerate(body[:_LENGTH_BYTES_MAX]):
        length |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            if length > _LENGTH_MAX:
                break
            return length, i + 1
    raise _corrupt("no length at its beginning" if body else "the body is empty")


def _corrupt(detail: str) -> Refused:
    return Refused(f"not snappy: {detail}", field="body", code="corrupt_snappy")
