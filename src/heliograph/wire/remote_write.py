"""Prometheus remote write 1.0, sender's side: series to an uncompressed WriteRequest.

    0a <n> TimeSeries*:   0a <n> Label*: 0a <n> name 12 <n> value
                          12 <n> Sample*: 09 <value, 8 bytes LE> 10 <ms, varint>

A request is `snappy.compress(encode(...))`, POSTed with `HEADERS`. Values are copied as bits, also
those of 0.0 and -0.0, which other encoders leave out. What changes between two requests of a series
is its samples only, so whoever sends often keeps `label_fields` and calls `encode_fields`.
Source: Prometheus remote write specification 1.0.
"""

from collections.abc import Iterable
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from heliograph.core.labels import Labels
from heliograph.wire.varint import varint

CONTENT_TYPE = "application/x-protobuf"
CONTENT_ENCODING = "snappy"
VERSION_HEADER = "X-Prometheus-Remote-Write-Version"
VERSION = "0.1.0"
HEADERS = MappingProxyType(
    {
        "Content-Type": CONTENT_TYPE,
        "Content-Encoding": CONTENT_ENCODING,
        VERSION_HEADER: VERSION,
    }
)

# Times that take 6 bytes as varint, from 1971 to 2109; their samples are all of one size.
_SIX_BYTES_MS, _SEVEN_BYTES_MS = 1 << 35, 1 << 42
_SAMPLE_BYTES = 18

# From so many samples on, numpy's fixed cost is less than that of a loop.
_COLUMNS_MIN = 12


def encode(
    series: Iterable[tuple[Labels, NDArray[np.int64], NDArray[np.float64]]],
) -> bytes:
    """A WriteRequest of *series*: labels, (n,) at_ms int64, (n,) value float64. Order is kept."""
    return encode_fields(
        (label_fields(labels), at_ms, value) for labels, at_ms, value in series
    )


def encode_fields(
    series: Iterable[tuple[bytes, NDArray[np.int64], NDArray[np.float64]]],
) -> bytes:
    """`encode`, with what `label_fields` made of the labels in their place."""
    out = bytearray()
    for fields, at_ms, value in series:
        samples = _samples(at_ms, value)
        out += b"\x0a" + varint(len(fields) + len(samples))
        out += fields
        out += samples
    return bytes(out)


def label_fields(labels: Labels) -> bytes:
    """*labels* as the first fields of a TimeSeries."""
    out = bytearray()
    for name, value in labels:
        # A lone surrogate has no UTF-8; "?" costs a character, an error would stop the forward.
        name_bytes, value_bytes = (text.encode("utf-8", "replace") for text in (name, value))
        label = b"\x0a%b%b\x12%b%b" % (
            varint(len(name_bytes)),
            name_bytes,
            varint(len(value_bytes)),
            value_bytes,
        )
        out += b"\x0a" + varint(len(label)) + label
    return bytes(out)


def _samples(at_ms: NDArray[np.int64], value: NDArray[np.float64]) -> bytes:
    assert len(at_ms) == len(value)
    bits = np.ascontiguousarray(value, np.float64).view(np.uint64).astype("<u8", copy=False)
    if len(at_ms) >= _COLUMNS_MIN and _all_six_bytes(at_ms):
        return _columns(at_ms, bits)
    values = bits.tobytes()
    return b"".join(
        _sample(values[8 * i : 8 * i + 8], ms) for i, ms in enumerate(at_ms.tolist())
    )


def _all_six_bytes(at_ms: NDArray[np.int64]) -> bool:
    return int(at_ms.min()) >= _SIX_BYTES_MS and int(at_ms.max()) < _SEVEN_BYTES_MS


def _sample(value: bytes, ms: int) -> bytes:
    time = varint(ms & 0xFFFF_FFFF_FFFF_FFFF)
    return b"\x12%c\x09%b\x10%b" % (10 + len(time), value, time)


def _columns(at_ms: NDArray[np.int64], bits: NDArray[np.uint64]) -> bytes:
    """Samples of 18 bytes each, a byte of all of them at a time."""
    out = np.empty((len(at_ms), _SAMPLE_BYTES), np.uint8)
    out[:, :3] = (0x12, 0x10, 0x09)
    out[:, 3:11] = bits.view(np.uint8).reshape(-1, 8)
    out[:, 11] = 0x10
    for i in range(6):
        more = 0x80 if i < 5 else 0
        out[:, 12 + i] = (at_ms >> (7 * i)) & 0x7F | more
    return out.tobytes()
