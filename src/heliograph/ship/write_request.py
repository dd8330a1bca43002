"""What a collection found, as remote write 1.0 requests: one sample a series, all of one instant.

    0a <n> TimeSeries*:   0a <n> Label*     0a <n> name 12 <n> value      sorted by name
                          12 <n> Sample     09 <value, 8 bytes> 10 <ms, varint>
                          1a <n> Exemplar   0a <n> Label* 11 <value> 18 <ms, varint>

All but value and time of a series is the same every time, so it is kept from one collection to the
next; what remains is one lookup and one concatenation a series. A series that was there last time
and is not now gets one stale marker, so that it ends where it ended.
Source: Prometheus remote write specification 1.0; prompb/types.proto.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping
from math import inf
from typing import NamedTuple

from heliograph.core import labels as label
from heliograph.ship.family import ExemplarLike, FamilyLike, Pairs, PointLike
from heliograph.wire.varint import varint

# Small enough for every receiver, large enough that a request's cost does not matter.
REQUEST_BYTES_MAX = 1 << 20
# The NaN that ends a series; every other NaN is a value.
STALE = struct.pack("<Q", 0x7FF0_0000_0000_0002)

_VALUE = struct.Struct("<d").pack
_SAMPLE_BYTES = 18
# From 1971 to 2109 a time in milliseconds takes 6 bytes; outside, samples differ in size.
_SIX_BYTES_MS, _SEVEN_BYTES_MS = 1 << 35, 1 << 42


class Request(NamedTuple):
    """An uncompressed WriteRequest, and how many samples are in it."""

    raw: bytes
    samples: int


class Encoder:
    """Turns collections into requests. Not thread-safe.

    constant    labels of every series; those of a point win over them
    duplicates  points left out because an earlier one of the collection was of the same series
    unreadable  points left out because their value is no number
    """

    def __init__(self, constant: Mapping[str, str]) -> None:
        self._constant = dict(constant)
        self._heads: dict[tuple[str, Pairs], bytes] = {}
        self._exemplars: dict[tuple[str, Pairs], ExemplarLike] = {}
        self.duplicates = 0
        self.unreadable = 0

    def encode(self, families: Iterable[FamilyLike], at_ms: int) -> Iterator[Request]:
        """Requests of all points of *families* at *at_ms*, which is within [1972, 2109)."""
        assert _SIX_BYTES_MS <= at_ms < _SEVEN_BYTES_MS, at_ms
        time = b"\x10" + varint(at_ms)
        out: list[bytes] = []
        size = samples = 0
        for part in self._series(families, at_ms, time):
            out.append(part)
            size += len(part)
            samples += 1
            if size >= REQUEST_BYTES_MAX:
                yield Request(b"".join(out), samples)
                out, size, samples = [], 0, 0
        if samples:
            yield Request(b"".join(out), samples)

    def _series(
        self, families: Iterable[FamilyLike], at_ms: int, time: bytes
    ) -> Iterator[bytes]:
        last, self._heads = self._heads, {}
        heads = self._heads
        for family in families:
            name = family.name
            if family.kind == "info" and not name.endswith("_info"):
                # As both text formats show it.
                name += "_info"
            suffix, full = "", name
            for point in family.points:
                if point.suffix != suffix:
                    suffix = point.suffix
                    full = name + suffix
                key = (full, point.labels)
                if key in heads:
                    self.duplicates += 1
                    continue
                try:
                    value = _VALUE(point.value)
                except (struct.error, OverflowError):
                    value = _unusual(point)
                    if not value:
                        self.unreadable += 1
                        continue
                head = last.pop(key, None) or self._head(full, point.labels)
                heads[key] = head
                if point.exemplar is not None and (
                    exemplar := self._exemplar(key, point.exemplar, at_ms)
                ):
                    yield _with_exemplar(head, value, time, exemplar)
                else:
                    yield head + value + time
        for key, head in last.items():
            self._exemplars.pop(key, None)
            yield head + STALE + time

    def _head(self, name: str, pairs: Pairs) -> bytes:
        """A series up to the value of its sample."""
        own = {**self._constant, **dict(pairs), label.NAME: name}
        fields = b"".join(_label(*pair) for pair in sorted(own.items()) if pair[1])
        return b"\x0a%b%b\x12\x10\x09" % (varint(len(fields) + _SAMPLE_BYTES), fields)

    def _exemplar(
        self, key: tuple[str, Pairs], exemplar: ExemplarLike, at_ms: int
    ) -> bytes | None:
        """The field of *exemplar*, or None when it was sent before."""
        if self._exemplars.get(key) == exemplar:
            return None
        self._exemplars[key] = exemplar
        ms = at_ms if exemplar.at_s is None else int(exemplar.at_s * 1000)
        body = b"%b\x11%b\x18%b" % (
            b"".join(_label(*pair) for pair in exemplar.labels),
            _VALUE(exemplar.value),
            varint(ms & 0xFFFF_FFFF_FFFF_FFFF),
        )
        return b"\x1a%b%b" % (varint(len(body)), body)


def _with_exemplar(head: bytes, value: bytes, time: bytes, exemplar: bytes) -> bytes:
    """The series of *head*, longer by *exemplar*."""
    at, length = 1, 0
    while True:
        length |= (head[at] & 0x7F) << (7 * (at - 1))
        at += 1
        if head[at - 1] < 0x80:
            break
    whole = varint(length + len(exemplar))
    return b"\x0a%b%b%b%b%b" % (whole, head[at:], value, time, exemplar)


def _unusual(point: PointLike) -> bytes:
    """The value of a point that is an int beyond a double; nothing where it is no number."""
    value: object = point.value
    if not isinstance(value, int):
        return b""
    return _VALUE(inf if value > 0 else -inf)


def _label(name: str, value: str) -> bytes:
    # A lone surrogate has no UTF-8; "?" costs a character, an error would cost the series.
    name_bytes, value_bytes = name.encode("utf-8", "replace"), value.encode("utf-8", "replace")
    body = b"\x0a%b%b\x12%b%b" % (
        varint(len(name_bytes)),
        name_bytes,
        varint(len(value_bytes)),
        value_bytes,
    )
    return b"\x0a%b%b" % (varint(len(body)), body)
