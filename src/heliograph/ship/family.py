"""What ship reads of a metric, and the shape of the shipper's own.

`instruments.family` has the same fields; ship stands below it and asks only for these.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol, TypeAlias

Pairs: TypeAlias = tuple[tuple[str, str], ...]


class ExemplarLike(Protocol):
    """One observation that stands for others, with the trace it came from."""

    @property
    def labels(self) -> Pairs:
        """Sorted; usually `trace_id`."""
        ...

    @property
    def value(self) -> float:
        """What was observed."""
        ...

    @property
    def at_s(self) -> float | None:
        """When, in epoch seconds; None is the time of the collection."""
        ...


class PointLike(Protocol):
    """One number of one series, now."""

    @property
    def suffix(self) -> str:
        """What follows the family's name in the series' name: `_total`, `_bucket`, ``."""
        ...

    @property
    def labels(self) -> Pairs:
        """Sorted, without the name; `le` and `quantile` among them."""
        ...

    @property
    def value(self) -> float:
        """Any float."""
        ...

    @property
    def exemplar(self) -> ExemplarLike | None:
        """An observation to show for it."""
        ...


class FamilyLike(Protocol):
    """All points of one metric."""

    @property
    def name(self) -> str:
        """The metric's name without the suffixes of its points."""
        ...

    @property
    def kind(self) -> str:
        """counter, gauge, histogram, summary, info or unknown."""
        ...

    @property
    def points(self) -> Sequence[PointLike]:
        """In the order of exposition."""
        ...


Source: TypeAlias = Callable[[], Iterable[FamilyLike]]


class Point(NamedTuple):
    """A point of the shipper's own metrics."""

    suffix: str
    labels: Pairs
    value: float
    exemplar: None = None


class Family(NamedTuple):
    """One of the shipper's own metrics."""

    name: str
    kind: str
    help: str
    unit: str
    points: list[Point]
