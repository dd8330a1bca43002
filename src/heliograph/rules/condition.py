"""What is asked of numbers: a comparison, and what the points of a window come to.

    compare(">", 0.95, 0.9)                              True
    aggregate("increase", points of a counter)           what it grew by, restarts counted from 0
    aggregate("slope", points of a gauge)                how fast it moves: least squares, per second
    aggregate("change", points of a gauge)               from first to last, by the size of the first

A NaN fulfils no comparison but `!=`; NaN points (stale markers among them) are left out of every
aggregate, and a window of which nothing is left has none.
"""

import itertools
import math
import operator
from collections.abc import Callable, Sequence

from heliograph.core.duration import SECOND_NS

Point = tuple[int, float]

OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}
QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
CHANGES = ("delta", "increase", "rate", "slope", "change")
AGGREGATES = (
    *("mean", "sum", "min", "max", "count", "last", "first", *CHANGES),
    *QUANTILES,
)


def compare(op: str, left: float, right: float) -> bool:
    """Whether *left* *op* *right*. Raises KeyError for an unknown operator."""
    return OPERATORS[op](left, right)


def aggregate(name: str, points: Sequence[Point]) -> float | None:
    """What *points*, in time order, come to; None where there is no telling."""
    known = [(at_ns, value) for at_ns, value in points if not math.isnan(value)]
    values = [value for _, value in known]
    if name == "count":
        return float(len(values))
    if not values:
        return None
    if name in QUANTILES:
        return _quantile(sorted(values), QUANTILES[name])
    if name in CHANGES:
        return _change(name, known)
    simple: dict[str, Callable[[Sequence[float]], float]] = {
        "mean": lambda v: (
            math.fsum(v) / len(v) if all(map(math.isfinite, v)) else sum(v) / len(v)
        ),
        "sum": sum,
        "min": min,
        "max": max,
        "last": lambda v: v[-1],
        "first": lambda v: v[0],
    }
    return simple[name](values)


def _change(name: str, known: Sequence[Point]) -> float | None:
    """Of a counter or a gauge: a single point tells of no change."""
    if len(known) < 2:
        return None
    (first_ns, first), (last_ns, last) = known[0], known[-1]
    if name == "delta":
        return last - first
    if name == "change":
        return (last - first) / abs(first) if first else None
    if name == "slope":
        return _slope(known)
    grown = 0.0
    for (_, before), (_, after) in itertools.pairwise(known):
        grown += after - before if after >= before else after
    if name == "increase":
        return grown
    return grown / ((last_ns - first_ns) / SECOND_NS) if last_ns > first_ns else None


def _slope(known: Sequence[Point]) -> float | None:
    """Per second, of the line that is nearest to all points; None for a single instant."""
    first_ns = known[0][0]
    seconds = [(at_ns - first_ns) / SECOND_NS for at_ns, _ in known]
    middle_s = math.fsum(seconds) / len(seconds)
    spread = math.fsum((at_s - middle_s) ** 2 for at_s in seconds)
    if not spread:
        return None
    return (
        sum((at_s - middle_s) * value for at_s, (_, value) in zip(seconds, known, strict=True))
        / spread
    )


def _quantile(ordered: Sequence[float], q: float) -> float:
    """Linear between the two nearest ranks, as Prometheus' `quantile_over_time`."""
    place = q * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    if ordered[low] == ordered[high]:
        return ordered[low]
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
