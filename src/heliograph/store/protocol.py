"""What the service asks of a sample store, whichever it is, and of whoever takes samples further."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from heliograph.core.labels import Labels
from heliograph.core.matcher import Matcher
from heliograph.core.samples import SampleBatch

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


class Maintained(NamedTuple):
    """What one `maintain` did: wrote files, rows and bytes; deleted `expired_files` by retention."""

    files: int
    rows: int
    size_bytes: int
    expired_files: int
    expired_bytes: int


class StoreStats(NamedTuple):
    """A sample store now, and its counters since it was opened.

    files, size_bytes   by kind: raw, 1m, 1h
    counts              what happened, by a fixed set of names
    """

    series_in_head: int
    samples_in_head: int
    files: Mapping[str, int]
    size_bytes: Mapping[str, int]
    raw_floor_ns: int
    sealed_seq: int
    counts: Mapping[str, int]


class SampleStore(Protocol):
    """Keeping samples. One thread appends and seals, one maintains. What cannot be done now is
    Unavailable, and changes nothing.
    """

    @property
    def sealed_seq(self) -> int:
        """Log frames up to here are kept durably; -1 when there is none."""
        ...

    def series_in_use(self) -> frozenset[int]:
        """Series ids that are held in memory, which the series table must not forget."""
        ...

    def append(self, batch: SampleBatch, seq: int) -> None:
        """Take *batch* of the log's frame *seq*; frames in order, an empty batch for one without."""
        ...

    def should_seal(self, now_ns: int) -> bool:
        """Whether what is in memory is large or old enough."""
        ...

    def seal(self) -> int:
        """Make everything appended durable; `sealed_seq` afterwards."""
        ...

    def maintain(
        self,
        *,
        cuts: Callable[[Labels, int, int], Sequence[int]],
        dirty: Sequence[tuple[int, int]],
    ) -> Maintained:
        """Do the roll-ups, compaction and retention that are due.

        cuts    (labels, start_ns, end_ns) → instants at which the series' owner changes
        dirty   ranges of event time in which owners changed
        """
        ...

    def stats(self) -> StoreStats:
        """Figures for self-metrics."""
        ...


class Outcome(NamedTuple):
    """What came of handing samples on: *retry_after_s* is 0 where no time was named."""

    kind: Literal["sent", "later", "refused"]
    detail: str = ""
    retry_after_s: float = 0.0


class RemoteWriter(Protocol):
    """Hands remote-write requests to one server. Used by one thread."""

    def attempt(self, body: bytes) -> Outcome:
        """Send the snappy-compressed *body* once."""
        ...

    def close(self) -> None:
        """Give the connections back."""
        ...
