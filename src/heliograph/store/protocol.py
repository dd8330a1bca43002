"""What the service asks of a sample store, whichever it is."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from heliograph.core.labels import Labels
from heliograph.core.matcher import Matcher

AGGREGATIONS = ("mean", "sum", "min", "max", "count", "last", "p50", "p90", "p95", "p99")


class RangeQuery(NamedTuple):
    """Samples of one metric in `[start_ns, end_ns)`.

    metric      name; a `workload_` name reads the attributed view
    step_ns     width of the windows, aligned to the epoch; None for raw samples
    agg         one of AGGREGATIONS; without a step it is not used
    points_max  bound on points in the answer
    """

    metric: str
    matchers: Sequence[Matcher]
    start_ns: int
    end_ns: int
    step_ns: int | None
    agg: str
    points_max: int


class SeriesPoints(NamedTuple):
    """One series of an answer.

    at_ms   (n,) ascending; a window's start, or a raw sample's time
    value   (n,) None where a raw sample is a stale marker
    """

    labels: Labels
    at_ms: Sequence[int]
    value: Sequence[float | None]


class RangeAnswer(NamedTuple):
    """What a RangeQuery found, by labels in order.

    next_ns     where to go on when *truncated*; points before it are all there
    warnings    what a reader must know: parts that could not be answered, and why
    """

    series: list[SeriesPoints]
    truncated: bool = False
    next_ns: int | None = None
    warnings: Sequence[str] = ()


class SampleQueries(Protocol):
    """Reading samples. Thread-safe. Raises Refused for what can never be answered."""

    def range(self, query: RangeQuery) -> RangeAnswer:
        """The points of *query*."""
        ...

    def metrics(self, matchers: Sequence[Matcher], limit: int) -> list[str]:
        """Sorted names of metrics that have a series which *matchers* match."""
        ...

    def label_sets(self, matchers: Sequence[Matcher], limit: int) -> list[Labels]:
        """Sorted labels of the series that *matchers* match."""
        ...
