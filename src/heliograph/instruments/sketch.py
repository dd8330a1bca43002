"""Quantiles of a stream in bounded memory, whose parts may be merged.

    sketch = QuantileSketch(relative_error=0.01)
    sketch.add(0.25)
    sketch.quantile(0.99)

A value falls into the bucket of its logarithm: bucket k holds (g^(k-1), g^k], with
g = (1 + e) / (1 - e), and the answer is the point of the bucket that is within *e* of all of it.
So an answer is off by at most the share *e* of the true value, whatever the distribution, and two
sketches are merged by adding their counts: any split of the samples gives the same answers, as
long as nothing was collapsed.

Memory is bounded by `buckets_max` for either sign. Past that the buckets nearest to zero become
one: the tail that people ask for keeps its precision, and `collapsed` says that it happened.
Zeros, infinities and NaN have counts of their own; NaN is in `count` and in nothing else.

As bytes, little-endian: `QSK1`, e (f64), buckets_max (u32), nans, zeros, minus and plus infinities,
collapsed (5 u64), sum, low, high (3 f64), then for either sign a number of buckets (u32) and
key (i32), count (u64) of each, ascending.
Source: the idea is that of DDSketch (Masson, Rim, Lee, VLDB 2019), section 2.
"""

import struct
from math import ceil, exp, inf, isfinite, isnan, log, nan

RELATIVE_ERROR = 0.01
# 1 % and 2048 buckets span 17 decimal orders of magnitude, at about 100 bytes a used bucket.
BUCKETS_MAX = 2048
BUCKETS_MIN = 8
# Finer than this, the logarithm of a double no longer tells neighbouring buckets apart.
RELATIVE_ERROR_MIN = 1e-6

_MAGIC = b"QSK1"
_HEAD = struct.Struct("<4sdI5Q3d")
_LENGTH = struct.Struct("<I")
_BUCKET = struct.Struct("<iQ")
_COUNT_MAX = 2**63 - 1


class QuantileSketch:
    """Counts by logarithm. Not thread-safe: whoever owns it serialises `add` and `merge`.

    count       values added, NaN included
    nans        of these, NaN
    sum         of all but NaN
    low, high   extremes of all but NaN; NaN where there are none
    zeros, minus_infinities, plus_infinities, positive, negative
                counts of what they say, the last two by bucket, for whoever writes them elsewhere
    collapsed   values whose bucket was made one with a neighbour for want of room
    Raises ValueError for a *relative_error* outside [1e-6, 1) or fewer than 8 buckets.
    """

    __slots__ = (
        "_below",
        "_scale",
        "buckets_max",
        "collapsed",
        "count",
        "greatest",
        "least",
        "minus_infinities",
        "nans",
        "negative",
        "plus_infinities",
        "positive",
        "relative_error",
        "sum",
        "zeros",
    )

    def __init__(
        self, relative_error: float = RELATIVE_ERROR, buckets_max: int = BUCKETS_MAX
    ) -> None:
        if not RELATIVE_ERROR_MIN <= relative_error < 1:
            raise ValueError(f"relative error {relative_error!r}, not in [1e-6, 1)")
        if buckets_max < BUCKETS_MIN:
            raise ValueError(f"{buckets_max} buckets, at least {BUCKETS_MIN}")
        self.relative_error = relative_error
        self.buckets_max = buckets_max
        self._scale = 1.0 / log((1.0 + relative_error) / (1.0 - relative_error))
        # What turns the upper bound of a bucket into its answer, 2 / (1 + g).
        self._below = 1.0 - relative_error
        self.clear()

    def clear(self) -> None:
        """Forget every value."""
        self.sum = 0.0
        self.count = self.nans = self.collapsed = 0
        self.zeros = self.minus_infinities = self.plus_infinities = 0
        self.least, self.greatest = inf, -inf
        self.positive: dict[int, int] = {}
        self.negative: dict[int, int] = {}

    def add(self, value: float) -> None:
        """Count *value*, any float."""
        self.count += 1
        if isnan(value):
            self.nans += 1
            return
        self.sum += value
        if value < self.least:  # noqa: PLR1730 - a call costs as much as all the rest
            self.least = value
        if value > self.greatest:  # noqa: PLR1730
            self.greatest = value
        if value > 0.0:
            if value == inf:
                self.plus_infinities += 1
                return
            store = self.positive
            key = ceil(log(value) * self._scale)
        elif value < 0.0:
            if value == -inf:
                self.minus_infinities += 1
                return
            store = self.negative
            key = ceil(log(-value) * self._scale)
        else:
            self.zeros += 1
            return
        store[key] = store.get(key, 0) + 1
        if len(store) > self.buckets_max:
            self._collapse(store)

    def merge(self, other: "QuantileSketch") -> None:
        """Add what *other* has counted; *other* stays. Raises ValueError for another precision."""
        if other.relative_error != self.relative_error:
            raise ValueError(
                f"relative error {other.relative_error!r} cannot be merged into "
                f"{self.relative_error!r}"
            )
        self.sum += other.sum
        self.count += other.count
        self.nans += other.nans
        self.collapsed += other.collapsed
        self.zeros += other.zeros
        self.minus_infinities += other.minus_infinities
        self.plus_infinities += other.plus_infinities
        self.least = min(self.least, other.least)
        self.greatest = max(self.greatest, other.greatest)
        for store, more in (
            (self.positive, other.positive),
            (self.negative, other.negative),
        ):
            # A copy, so that a sketch may be merged into itself.
            for key, count in list(more.items()):
                store[key] = store.get(key, 0) + count
            if len(store) > self.buckets_max:
                self._collapse(store)

    def quantile(self, q: float) -> float:
        """The value below which the share *q* of the values lies; NaN where there are none.

        The extremes are exact. Raises ValueError for a *q* outside [0, 1].
        """
        if not 0.0 <= q <= 1.0:
            raise ValueError(f"quantile {q!r}, not in [0, 1]")
        measured = self.measured
        if not measured:
            return nan
        if q in {0.0, 1.0}:
            return self.greatest if q else self.least
        rank = q * (measured - 1)
        return min(max(self._at(rank), self.least), self.greatest)

    def quantiles(self, qs: tuple[float, ...]) -> list[float]:
        """`quantile` of each of *qs*."""
        return [self.quantile(q) for q in qs]

    @property
    def measured(self) -> int:
        """Values that were not NaN."""
        return self.count - self.nans

    @property
    def low(self) -> float:
        """The least value; NaN where there is none."""
        return self.least if self.least <= self.greatest else nan

    @property
    def high(self) -> float:
        """The greatest value; NaN where there is none."""
        return self.greatest if self.least <= self.greatest else nan

    def copy(self) -> "QuantileSketch":
        """A sketch of the same values that goes its own way."""
        twin = QuantileSketch(self.relative_error, self.buckets_max)
        twin.merge(self)
        return twin

    def to_bytes(self) -> bytes:
        """The sketch as the module describes it; equal sketches give equal bytes."""
        parts = [
            _HEAD.pack(
                _MAGIC,
                self.relative_error,
                self.buckets_max,
                self.nans,
                self.zeros,
                self.minus_infinities,
                self.plus_infinities,
                self.collapsed,
                self.sum,
                self.least,
                self.greatest,
            )
        ]
        for store in (self.positive, self.negative):
            parts.append(_LENGTH.pack(len(store)))
            parts.extend(_BUCKET.pack(key, store[key]) for key in sorted(store))
        return b"".join(parts)

    @classmethod
    def from_bytes(cls, raw: bytes) -> "QuantileSketch":
        """What `to_bytes` made *raw* of. Raises ValueError on anything else."""
        try:
            magic, error, buckets_max, *counts, total, low, high = _HEAD.unpack_from(raw)
            if magic != _MAGIC:
                raise ValueError("not a sketch")
            sketch = cls(error, buckets_max)
            at = _HEAD.size
            for store in (sketch.positive, sketch.negative):
                at = _read_store(raw, at, store, buckets_max)
        except struct.error as cut:
            raise ValueError("a sketch cut short") from cut
        if at != len(raw):
            raise ValueError(f"{len(raw) - at} bytes behind the sketch")
        if max(counts) > _COUNT_MAX or isnan(low) or isnan(high):
            raise ValueError("not a sketch: numbers out of range")
        sketch.nans, sketch.zeros, *rest = counts
        sketch.minus_infinities, sketch.plus_infinities, sketch.collapsed = rest
        sketch.count = sum(counts[:4]) + sum(sketch.positive.values())
        sketch.count += sum(sketch.negative.values())
        sketch.sum, sketch.least, sketch.greatest = total, low, high
        return sketch

    def _at(self, rank: float) -> float:
        """The value of *rank*, counted from 0, from the least up."""
        seen = self.minus_infinities
        if seen > rank:
            return -inf
        for key in sorted(self.negative, reverse=True):
            seen += self.negative[key]
            if seen > rank:
                return -self._value(key)
        seen += self.zeros
        if seen > rank:
            return 0.0
        for key in sorted(self.positive):
            seen += self.positive[key]
            if seen > rank:
                return self._value(key)
        return inf

    def _value(self, key: int) -> float:
        """The answer of bucket *key*, as a magnitude."""
        try:
            value = exp(key / self._scale) * self._below
        except OverflowError:
            value = inf
        return value if isfinite(value) else self._largest()

    def _largest(self) -> float:
        """The largest finite magnitude there is: the bucket's bound was beyond a double."""
        finite = [abs(v) for v in (self.least, self.greatest) if isfinite(v)]
        return max(finite, default=inf)

    def _collapse(self, store: dict[int, int]) -> None:
        """Make the buckets of *store* nearest to zero one, until there is room again."""
        keys = sorted(store)
        kept = self.buckets_max - self.buckets_max // 8
        last = keys[len(keys) - kept]
        for key in keys[: len(keys) - kept]:
            count = store.pop(key)
            self.collapsed += count
            store[last] += count


def _read_store(raw: bytes, at: int, store: dict[int, int], buckets_max: int) -> int:
    """Fill *store* from *raw* at *at*; where it ends. Raises ValueError or struct.error."""
    (length,) = _LENGTH.unpack_from(raw, at)
    at += _LENGTH.size
    if length > buckets_max or length * _BUCKET.size > len(raw) - at:
        raise ValueError(f"not a sketch: {length} buckets")
    previous = None
    for _ in range(length):
        key, count = _BUCKET.unpack_from(raw, at)
        at += _BUCKET.size
        if not 0 < count <= _COUNT_MAX or (previous is not None and key <= previous):
            raise ValueError("not a sketch: buckets out of order, or empty")
        store[key] = count
        previous = key
    return at
