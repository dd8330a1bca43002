"""Counters, gauges, histograms and summaries (spec 004), with label children.

    steps = Counter("steps_total", "Steps done")
    steps.increment()
    steps.labels(rank="3").increment(2.0)
    Gauge("loss", labels={"run": "a"}).set(0.25)
    Histogram("step_seconds", buckets=[0.1, 0.5, 1.0]).observe(0.3)

*labels* of a metric are constant ones, `{"run": "a"}`, or names that every call must give,
`["rank"]`. A child has the class of its metric, costs some 200 bytes, and lasts as long as it.
There is one child for a label set, however often and in whatever order it is asked for, and at
most `series_max` of them: what comes later counts in the child `{overflow="true"}`.

No method takes a lock: all may be called from threads, signal handlers and finalizers, and a fork
may happen anywhere. In forked children they count in memory shared with the parent
(`instruments.shared_memory`): everywhere the value is that of all processes together. Gauges are
combined as *forked* says: `latest` write, `sum`, `max` or `min` of the processes that live.
"""

from collections.abc import Callable, Mapping, Sequence

from heliograph.instruments import metric, shared_memory
from heliograph.kernels import careful, cells

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Generic, TypeVar

    from heliograph.instruments import summary
    from heliograph.instruments.family import Family

    MetricType = metric.MetricType
    Summary = summary.Summary
    Child_co = TypeVar("Child_co", covariant=True)

    class Children(cells.LabelsOf, Generic[Child_co]):
        """The labels of a metric; called with more of them, the child that has those."""

        def __call__(self, /, **values: object) -> Child_co:
            """The child of the labels *values*."""


Metric = metric.Metric
MetricValue = metric.MetricValue

DEFAULT_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
BUCKETS_MAX = 1024
DESCRIPTION_CHARS_MAX = 4096
careful.clock.append(metric.now_s)


def __getattr__(name: str) -> "Any":
    """`MetricType` and `Summary`, loaded when they are wanted."""
    if name == "MetricType":
        return getattr(metric, name)
    if name == "Summary":
        from heliograph.instruments import summary

        return summary.Summary
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _spec(
    kind: str,
    name: str,
    description: str,
    labels: "Mapping[str, object] | Sequence[str] | None",
    *,
    bounds: Sequence[float] = (),
    policy: str = "latest",
    strict: bool = True,
    on_error: Callable[[str], None] | None = None,
    series_max: int = careful.SERIES_MAX,
    unit: str = "",
) -> cells.Spec:
    """The checked spec of a new metric. Raises ValueError, TypeError."""
    careful.check_name(name)
    constant: careful.Labels = ()
    declared = None
    if isinstance(labels, Mapping):
        constant = tuple(
            (careful.check_label_name(key), careful.label_value(key, value))
            for key, value in labels.items()
        )
    elif isinstance(labels, str):
        raise TypeError("labels are a mapping, or a list of names")
    elif labels:
        declared = tuple(careful.check_label_name(key) for key in labels)
        if len(set(declared)) < len(declared):
            raise ValueError(f"a label name occurs twice in {declared}")
    if len(declared or constant) > careful.LABELS_MAX:
        raise ValueError(f"{len(declared or constant)} labels, limit {careful.LABELS_MAX}")
    if policy not in cells.POLICIES:
        raise ValueError(f"forked={policy!r}: one of {', '.join(cells.POLICIES)}")
    spec = cells.Spec(
        name,
        kind,
        constant,
        declared,
        tuple(float(bound) for bound in bounds),
        strict,
        on_error,
        cells.POLICIES.index(policy),
        series_max,
    )
    spec.buckets = list(bounds)
    spec.description = str(description or "")[:DESCRIPTION_CHARS_MAX]
    spec.unit = unit
    return spec


def _begin(cell: "cells.Cell", spec: cells.Spec) -> None:
    """Make *cell* the metric of *spec*."""
    cell.bind(spec, -1, None, 0 if spec.declared is None else careful.WANTS_LABELS)
    shared_memory.enroll(cell)
    for hook in careful.made_hooks:
        hook(cell)


class _Celled(Metric):
    """What counters, gauges and histograms have in common: they are cells."""

    __slots__ = ()
    if TYPE_CHECKING:
        spec: cells.Spec
        shape: int

    @property
    def name(self) -> str:  # type: ignore[override]
        """The name."""
        return self.spec.name

    @property
    def description(self) -> str:  # type: ignore[override]
        """What it means, for HELP."""
        return self.spec.description

    @property
    def unit(self) -> str:
        """The unit, the last word of the name, or ""."""
        return self.spec.unit

    @property
    def series_refused(self) -> int:
        """Calls whose labels were beyond the bound, and counted in the overflow child."""
        return int(self.labels.refused)

    def children(self) -> "list[Any]":
        """The label children there are, those of the same label names together."""
        tables = self.labels.tables or {}
        return [child for _, table in list(tables.values()) for child in list(table.values())]

    def family(self) -> "Family":
        """All of it and its children, for exporters."""
        from heliograph.instruments.points import family_of

        return family_of(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} {dict(self.labels)}>"


@cells.settle
class Counter(cells.CounterCell, _Celled):
    """A sum that only grows: `increment(amount=1.0, labels=None, exemplar=None)`.

    Raises ValueError for a negative amount and for names and labels that are none, TypeError for
    what is no number; with *strict* false nothing is raised and `on_error(reason)` is told.
    """

    __slots__ = ()

    def __init__(
        self,
        name: str,
        description: str = "",
        labels: "Mapping[str, object] | Sequence[str] | None" = None,
        *,
        unit: str = "",
        series_max: int = careful.SERIES_MAX,
        strict: bool = True,
        on_error: Callable[[str], None] | None = None,
    ) -> None:
        _begin(
            self,
            _spec(
                *("counter", name, description, labels),
                unit=unit,
                series_max=series_max,
                strict=strict,
                on_error=on_error,
            ),
        )

    if TYPE_CHECKING:

        @property
        def labels(self) -> "Children[Counter]":
            """The labels; called with more, the child that has those."""

    def get_value(self) -> MetricValue:
        """The sum."""
        shared_memory.look()
        return MetricValue(self.value(), None, self.labels)

    def reset(self) -> None:
        """Back to 0.0."""
        self.clear()


@cells.settle
class Gauge(cells.GaugeCell, _Celled):
    """A value that goes anywhere: `set(value)`, `increment(amount=1.0)`, `decrement(amount=1.0)`.

    An int stays one until a float is added. *forked* is how processes are combined. Raises
    TypeError for what is no number; otherwise as `Counter`.
    """

    __slots__ = ()

    def __init__(
        self,
        name: str,
        description: str = "",
        labels: "Mapping[str, object] | Sequence[str] | None" = None,
        *,
        unit: str = "",
        forked: str = "latest",
        series_max: int = careful.SERIES_MAX,
        strict: bool = True,
        on_error: Callable[[str], None] | None = None,
    ) -> None:
        _begin(
            self,
            _spec(
                *("gauge", name, description, labels),
                unit=unit,
                policy=forked,
                series_max=series_max,
                strict=strict,
                on_error=on_error,
            ),
        )

    if TYPE_CHECKING:

        @property
        def labels(self) -> "Children[Gauge]":
            """The labels; called with more, the child that has those."""

    def get_value(self) -> MetricValue:
        """The value; an int where that was set."""
        shared_memory.look()
        return MetricValue(self.value(), None, self.labels)

    def reset(self) -> None:
        """Back to 0.0."""
        self.clear()


@cells.settle
class Histogram(cells.HistogramCell, _Celled):
    """A distribution: `observe(value, labels=None, exemplar=None)`.

    *buckets* are upper bounds: numbers, at most `BUCKETS_MAX`; they are sorted, of equal ones the
    first counts, and +Inf is always there. Raises ValueError for NaN, -Inf and what is no number;
    otherwise as `Counter`.
    """

    __slots__ = ()

    def __init__(
        self,
        name: str,
        description: str = "",
        buckets: Sequence[float] | None = None,
        labels: "Mapping[str, object] | Sequence[str] | None" = None,
        *,
        unit: str = "",
        series_max: int = careful.SERIES_MAX,
        strict: bool = True,
        on_error: Callable[[str], None] | None = None,
    ) -> None:
        _begin(
            self,
            _spec(
                *("histogram", name, description, labels),
                bounds=_bounds(buckets),
                unit=unit,
                series_max=series_max,
                strict=strict,
                on_error=on_error,
            ),
        )

    if TYPE_CHECKING:

        @property
        def labels(self) -> "Children[Histogram]":
            """The labels; called with more, the child that has those."""

    @property
    def buckets(self) -> list[float]:
        """The bounds, ascending, as they were given; without +Inf."""
        return list(self.spec.buckets)

    def get_value(self) -> list[MetricValue]:
        """The cumulative count of each bucket (label `le`), the sum and the count (label `type`)."""
        from heliograph.instruments.points import own_name

        shared_memory.look()
        at_s = metric.now_s()
        labels = {own_name(name, ("le", "type")): value for name, value in self.labels.items()}
        total, *counts = self.values()
        values: list[MetricValue] = []
        count = 0
        for bound, more in zip(self.spec.buckets, counts, strict=False):
            count += int(more)
            values.append(MetricValue(count, at_s, labels | {"le": str(bound)}))
        count += int(counts[-1])
        values.append(MetricValue(total, at_s, labels | {"type": "sum"}))
        values.append(MetricValue(count, at_s, labels | {"type": "count"}))
        return values

    def reset(self) -> None:
        """Back to nothing observed."""
        self.clear()


def _bounds(buckets: Sequence[float] | None) -> list[float]:
    """Checked upper bounds. Raises ValueError naming the rule."""
    given = list(DEFAULT_BUCKETS if buckets is None or not len(buckets) else buckets)
    if len(given) > BUCKETS_MAX:
        raise ValueError(f"{len(given)} buckets, limit {BUCKETS_MAX}")
    kept: dict[float, float] = {}
    for bound in given:
        if isinstance(bound, str | bytes | bool) or not hasattr(bound, "__float__"):
            raise ValueError(f"bucket bound {bound!r} is no number")
        exact = float(bound)
        if exact != exact or exact == -cells.INF:  # noqa: PLR0124 - NaN
            raise ValueError(f"bucket bound {bound!r}: neither NaN nor -Inf can be one")
        if exact != cells.INF:
            kept.setdefault(exact, bound if isinstance(bound, int) else exact)
    return [kept[exact] for exact in sorted(kept)]
