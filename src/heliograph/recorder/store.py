"""What the recorder asks of a store, and what a query asks of whatever holds points.

Three stores fulfil it: `memory`, `wiring.folder` on a data folder, `remote` over HTTP.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from heliograph.kernels.metric_rows import Rows
from heliograph.recorder.aggregation import Aggregation
from heliograph.recorder.monitors import Definition
from heliograph.recorder.points import Event, Part, Point


class Asked(NamedTuple):
    """A query for metrics in [start_ns, end_ns).

    names     metrics, in the order of the answer; None for all
    every_ns  width of buckets, aligned to the epoch; None for none
    by        keys of the context to group by
    told      the range as the answer repeats it
    """

    names: Sequence[str] | None
    start_ns: int
    end_ns: int
    aggregation: Aggregation
    every_ns: int | None
    by: tuple[str, ...]
    told: tuple[str, str]


class Policy(NamedTuple):
    """How long things are kept; None is for good. *bytes_max* bounds all of it together."""

    events_ns: int | None = None
    metrics_ns: int | None = None
    bytes_max: int | None = None


class Expired(NamedTuple):
    """What retention removed, or would: events, samples, and the bytes that come free."""

    events: int = 0
    metrics: int = 0
    size_bytes: int = 0


class Usage(NamedTuple):
    """How full a store is, in percent; what it counted; what is the matter, "" for nothing."""

    percentage: float
    counts: Mapping[str, int]
    failing: str = ""


class RecorderStore(Protocol):
    """Keeps points and events. Thread-safe. Unavailable when it cannot now: nothing was kept then;
    Refused for what it never will.
    """

    rows: Rows | None
    """Takes numbers by itself where calls return at once and nothing else is to be seen to."""

    def add_point(self, point: Point) -> None:
        """Keep *point*: durable on return, unless the store was asked to buffer."""
        ...

    def add_points(self, points: Sequence[Point]) -> None:
        """Keep all of *points*, or none."""
        ...

    def add_event(self, event: Event) -> None:
        """Keep *event*, as `add_point`."""
        ...

    def metrics(self, asked: Asked) -> dict[str, Any]:
        """What *asked* comes to, by metric; those without samples are left out."""
        ...

    def usage(self) -> Usage:
        """How it is."""
        ...

    def retain(self, policy: Policy, now_ns: int, *, dry_run: bool) -> Expired:
        """Remove what *policy* no longer keeps; with *dry_run* only say what that is."""
        ...

    def flush(self) -> None:
        """Return when all that was added is durable."""
        ...

    def close(self) -> None:
        """Flush, and let go of everything. May be called again."""
        ...


@runtime_checkable
class RuleKeeper(Protocol):
    """A store behind which there is an alert engine: monitors become its rules."""

    def register_monitor(self, definition: Definition) -> str:
        """Make *definition* a rule, in the place of one of its name; the rule's id."""
        ...

    def remove_monitor(self, name: str) -> bool:
        """Delete the rule of the monitor *name*; whether there was one."""
        ...


class Arithmetic(Protocol):
    """How a source's columns are worked with."""

    def joined(self, parts: Sequence[Part]) -> tuple[Any, Any]:
        """(at_ns, values) of all *parts*, in the order of time."""
        ...

    def windows(self, at_ns: Any, every_ns: int) -> list[tuple[int, int, int]]:
        """(start_ns, low, high): the points low..high of ascending *at_ns* are of that window."""
        ...

    def count(self, values: Any) -> int:
        """How many samples *values* are, or stand for."""
        ...

    def reduce(self, aggregation: Aggregation, values: Any) -> Any:
        """What *values*, which are not empty, come to."""
        ...


class Source(Protocol):
    """Holds points that can be asked for."""

    @property
    def arithmetic(self) -> Arithmetic:
        """How its columns are worked with."""
        ...

    def parts(self, names: Sequence[str] | None, start_ns: int, end_ns: int) -> Iterable[Part]:
        """The series of metrics *names* (None: all) that have points in [start_ns, end_ns)."""
        ...
