"""The numbers of rows as columns: plain twin of `row_samples.pyx`.

row     (pod, source, rank group, at_ns, iteration, marker, framework, fields)
known   (pod, source, rank group) → Kind of its latest row; what a job prints has the same fields,
        mostly, as what it printed before
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

COMPILED = False
_FIELDS_AT, _MARKER_AT, _TIME_AT = 7, 5, 3


class Kind(NamedTuple):
    """Rows of one stream with the same *names* of fields. Of each name whose byte in *taken* is 1 the
    next of *places* (64-bit, native) is where its series stands."""

    names: tuple[str, ...]
    taken: bytes
    places: bytes


class Packed(NamedTuple):
    """Columns of native 64-bit numbers: places of series, UTC nanoseconds, float64 values; and how
    many rows were *skipped* for their time."""

    series: bytes
    at_ns: bytes
    value: bytes
    skipped: int


Stream = tuple[str, str, str]


def pack(
    rows: Sequence[tuple[Any, ...]],
    known: dict[Stream, Kind],
    kind_of: Callable[[Stream, tuple[str, ...]], Kind],
    odd: Callable[[Kind, Mapping[str, Any]], tuple[bytes, bytes]],
    low_ns: int,
    high_ns: int,
) -> Packed:
    """The taken numbers of *rows*, in order; rows with a marker have none, and times are within
    (*low_ns*, *high_ns*), both of 64 bits.

    *kind_of* tells a kind that is not *known*; *odd* gives places and values of a row of which what
    is taken is not all int and float.
    """
    series: list[bytes] = []
    values: list[bytes] = []
    ats: list[bytes] = []
    skipped = 0
    for row in rows:
        if row[_MARKER_AT] is not None:
            continue
        fields, stream, names = row[_FIELDS_AT], row[:3], tuple(row[_FIELDS_AT])
        kind = known.get(stream)
        if kind is None or kind.names != names:
            kind = known[stream] = kind_of(stream, names)
        if not kind.places:
            continue
        at_ns = row[_TIME_AT]
        if not low_ns < at_ns < high_ns:
            skipped += 1
            continue
        taken = [value for value, one in zip(fields.values(), kind.taken, strict=True) if one]
        places, packed = kind.places, _doubles(taken)
        if packed is None:
            places, packed = odd(kind, fields)
        series.append(places)
        values.append(packed)
        ats.append(struct.pack("=q", at_ns) * (len(packed) // 8))
    return Packed(b"".join(series), b"".join(ats), b"".join(values), skipped)


def _doubles(values: Sequence[Any]) -> bytes | None:
    """*values* as float64; None where they are not all int and float, and within its range."""
    if not all(type(value) in {float, int} for value in values):
        return None
    try:
        return struct.pack(f"={len(values)}d", *values)
    except (struct.error, OverflowError):
        return None
