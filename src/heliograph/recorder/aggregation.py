"""What many values come to: five by name, percentiles, and what a user adds.

    of("MEAN", {})   of("P95", {})   of("spread", {"spread": lambda values: max(values) - min(values)})

A NaN among the values makes MEAN and SUM NaN; MIN, MAX and percentiles look past it. Percentiles
lie on the line between the two nearest ranks. Text values never come here.
"""

import math
import re
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from heliograph.recorder.points import Part

BUILT_IN = ("MEAN", "SUM", "MIN", "MAX", "COUNT")
COUNT = "COUNT"
_PERCENTILE = re.compile(r"P(\d{1,2}(?:\.\d{1,3})?)\Z", re.ASCII)

Own = Callable[[Sequence[float]], Any]


class Aggregation(NamedTuple):
    """One of BUILT_IN, or with a *quantile* in [0, 1), or a user's *function*."""

    name: str
    quantile: float | None = None
    function: Own | None = None


def of(name: object, own: Mapping[str, Own]) -> Aggregation | None:
    """The aggregation of *name*; a user's *own* come first. None when there is none."""
    if not isinstance(name, str):
        return None
    if name in own:
        return Aggregation(name, function=own[name])
    if name in BUILT_IN:
        return Aggregation(name)
    if found := _PERCENTILE.match(name):
        return Aggregation(name, quantile=float(found[1]) / 100)
    return None


class Plain:
    """Arithmetic over lists of numbers."""

    def joined(self, parts: Sequence[Part]) -> tuple[list[int], list[float]]:
        """(at_ns, values) of all *parts*, in the order of time."""
        if len(parts) == 1:
            return parts[0].at_ns, parts[0].values
        pairs = [pair for part in parts for pair in zip(part.at_ns, part.values, strict=True)]
        pairs.sort(key=lambda pair: pair[0])
        return [at_ns for at_ns, _ in pairs], [value for _, value in pairs]

    def windows(self, at_ns: list[int], every_ns: int) -> list[tuple[int, int, int]]:
        """As `Arithmetic.windows`."""
        found = []
        low = 0
        while low < len(at_ns):
            start_ns = at_ns[low] - at_ns[low] % every_ns
            high = bisect_left(at_ns, start_ns + every_ns, low)
            found.append((start_ns, low, high))
            low = high
        return found

    def count(self, values: list[float]) -> int:
        """As `Arithmetic.count`."""
        return len(values)

    def reduce(self, aggregation: Aggregation, values: list[float]) -> Any:
        """As `Arithmetic.reduce`."""
        if aggregation.function is not None:
            return aggregation.function(list(values))
        if aggregation.quantile is not None:
            return quantile(sorted(v for v in values if v == v), aggregation.quantile)  # noqa: PLR0124
        return _NAMED[aggregation.name](values)


def quantile(ordered: Sequence[float], q: float) -> float:
    """The *q*-quantile of ascending *ordered*; NaN of nothing."""
    if not ordered:
        return math.nan
    place = q * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return between(ordered[low], ordered[high], place - low)


def between(low: float, high: float, share: float) -> float:
    """What lies *share* of the way from *low* to *high*; all between a number and infinity is it."""
    if low == high or not share:
        return low
    if math.isinf(low) or math.isinf(high):
        return low + high
    return low + (high - low) * share


def _mean(values: Sequence[float]) -> float:
    try:
        return math.fsum(values) / len(values)
    except (ValueError, OverflowError):  # infinities of both signs; sums beyond a float
        return sum(values) / len(values)


def _known(values: Sequence[float]) -> list[float]:
    return [value for value in values if value == value] or [math.nan]  # noqa: PLR0124


_NAMED: dict[str, Callable[[Sequence[float]], float]] = {
    "MEAN": _mean,
    "SUM": sum,
    "MIN": lambda values: min(_known(values)),
    "MAX": lambda values: max(_known(values)),
    COUNT: len,
}
