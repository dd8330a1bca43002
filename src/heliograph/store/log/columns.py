"""The payload of a SAMPLES frame: columns, then the labels of series first used in this file.

    at_ns   i64[n]     value   f64[n], bits as they came     series  u32[n], refs
    definitions        d u32, refs u32[d], label bytes u32[d], packed labels one after the other

A ref is the id that the *writing* process gave the series; only the definitions of the same file
say what it means. A SERIES frame of a sidecar holds definitions alone. Little endian.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from heliograph.core.samples import SampleBatch

_SAMPLE_BYTES = 20
_U32, _I64, _F64 = np.dtype("<u4"), np.dtype("<i8"), np.dtype("<f8")


class Definition(NamedTuple):
    """What a ref means: the packed labels of its series."""

    ref: int
    packed: bytes


def encode_definitions(definitions: Sequence[Definition]) -> bytes:
    """The bytes of *definitions*."""
    refs = [d.ref for d in definitions]
    sizes = [len(d.packed) for d in definitions]
    head = np.array([len(refs), *refs, *sizes], _U32).tobytes()
    return b"".join([head, *(d.packed for d in definitions)])


def decode_definitions(encoded: bytes) -> list[Definition]:
    """The definitions that *encoded* holds. Raises ValueError when its lengths do not add up."""
    count = int.from_bytes(encoded[:4], "little")
    at = 4 + 8 * count
    if len(encoded) < at:
        raise ValueError(f"{count} definitions in {len(encoded)} bytes")
    numbers = np.frombuffer(encoded, _U32, 2 * count, 4)
    refs, sizes = numbers[:count].tolist(), numbers[count:].tolist()
    if at + sum(sizes) != len(encoded):
        raise ValueError(f"definitions of {at + sum(sizes)} bytes in {len(encoded)}")
    definitions = []
    for ref, size in zip(refs, sizes, strict=True):
        definitions.append(Definition(ref, encoded[at : at + size]))
        at += size
    return definitions


def encode(batch: SampleBatch, definitions: bytes) -> bytes:
    """The payload of *batch*, whose ids become the refs, with encoded *definitions*."""
    return b"".join(
        [
            batch.at_ns.astype(_I64, copy=False).tobytes(),
            batch.value.astype(_F64, copy=False).tobytes(),
            batch.series.astype(_U32, copy=False).tobytes(),
            definitions,
        ]
    )


def decode(payload: bytes, count: int) -> SampleBatch:
    """The *count* samples of *payload* as views of it; `series` holds the file's refs.

    Raises ValueError when the payload is too short for them.
    """
    if len(payload) < _SAMPLE_BYTES * count + 4:
        raise ValueError(f"{count} samples in {len(payload)} bytes")
    at_ns: NDArray[np.int64] = np.frombuffer(payload, _I64, count, 0)
    value: NDArray[np.float64] = np.frombuffer(payload, _F64, count, 8 * count)
    series: NDArray[np.uint32] = np.frombuffer(payload, _U32, count, 16 * count)
    return SampleBatch(series, at_ns, value)


def definitions_of(payload: bytes, count: int) -> list[Definition]:
    """The definitions at the end of a payload of *count* samples. Raises ValueError as above."""
    return decode_definitions(payload[_SAMPLE_BYTES * count :])
