"""Summary: what is left of many samples of one series, and the only aggregation we have.

Instruments make summaries, roll-ups merge them, queries and alert rules read them. One law makes
that safe (tests/core/test_summary.py): `merge` is associative and commutative up to the rounding
of `total`, and EMPTY changes nothing, so any split of the samples gives the same answer.

`increase` needs order: it is exact when the parts are merged in time order without overlap, which
is how roll-ups are cut; it follows PromQL's counter-reset rule without extrapolation.
"""

from collections.abc import Iterable
from functools import reduce
from math import inf, isnan, nan
from typing import NamedTuple


class Summary(NamedTuple):
    """Of *count* samples; all but `nans` are in the samples' own unit.

    count       samples, NaN included, stale markers not: they are an end, not a value
    nans        samples that were NaN; counted here and left out of what follows
    total       sum
    low, high   extremes
    first, last the samples of the least and greatest (at_ns, value)
    increase    growth of a counter over the span, a fall read as a reset to 0
    """

    count: int = 0  # type: ignore[assignment]  # hides tuple.count, which nobody needs here
    nans: int = 0
    total: float = 0.0
    low: float = inf
    high: float = -inf
    first_at_ns: int = 2**63 - 1
    first: float = inf
    last_at_ns: int = -(2**63)
    last: float = -inf
    increase: float = 0.0

    @property
    def measured(self) -> int:
        """Samples that were not NaN."""
        return self.count - self.nans

    @property
    def mean(self) -> float:
        """NaN when there is nothing to average."""
        return self.total / self.measured if self.measured else nan


EMPTY = Summary()


def of_sample(at_ns: int, value: float) -> Summary:
    """The summary of one sample, which must not be a stale marker."""
    if isnan(value):
        return Summary(count=1, nans=1)
    return Summary(
        count=1, total=value, low=value, high=value,
        first_at_ns=at_ns, first=value, last_at_ns=at_ns, last=value,
    )  # fmt: skip


def merge(a: Summary, b: Summary) -> Summary:
    """The summary of the samples of *a* and *b* together."""
    earlier, later = (a, b) if _span(a) <= _span(b) else (b, a)
    first_at_ns, first = min((a.first_at_ns, a.first), (b.first_at_ns, b.first))
    last_at_ns, last = max((a.last_at_ns, a.last), (b.last_at_ns, b.last))
    increase = a.increase + b.increase
    if earlier.measured and later.measured:
        step = later.first - earlier.last
        increase += step if step >= 0 else later.first
    return Summary(
        count=a.count + b.count,
        nans=a.nans + b.nans,
        total=a.total + b.total,
        low=min(a.low, b.low),
        high=max(a.high, b.high),
        first_at_ns=first_at_ns,
        first=first,
        last_at_ns=last_at_ns,
        last=last,
        increase=increase,
    )


def _span(of: Summary) -> tuple[int, float, int, float]:
    return of.first_at_ns, of.first, of.last_at_ns, of.last


def of_samples(samples: Iterable[tuple[int, float]]) -> Summary:
    """The summary of (at_ns, value) pairs in time order."""
    return reduce(merge, (of_sample(at_ns, value) for at_ns, value in samples), EMPTY)
