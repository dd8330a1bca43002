"""Metrics as prometheus_client's custom collectors yield them, and as our families.

    class Queues:
        def collect(self):
            family = GaugeMetricFamily("queue_length", "Jobs that wait", labels=["queue"])
            family.add_metric(["gpu"], 7)
            yield family

Names and arguments are those of `prometheus_client.core`. Timestamps of samples are taken and not
shown: what is shown is now.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from heliograph.instruments.family import Exemplar, Family, Point
from heliograph.kernels import careful

KINDS = (
    *("counter", "gauge", "summary", "histogram", "gaugehistogram"),
    *("unknown", "info", "stateset"),
)
# What the text format 0.0.4 calls the kinds that it does not have.
_IN_TEXT = {"stateset": "gauge", "info": "gauge", "gaugehistogram": "histogram"}


class Sample(NamedTuple):
    """One number of a metric, under its whole name."""

    name: str
    labels: dict[str, str]
    value: float
    timestamp: float | None = None
    exemplar: Any = None


class Metric:
    """All samples of one name; *name* of a counter is without `_total`."""

    def __init__(self, name: str, documentation: str, typ: str, unit: str = "") -> None:
        if unit and not name.endswith(f"_{unit}"):
            name += f"_{unit}"
        careful.check_name(name)
        kind = "unknown" if typ == "untyped" else typ
        if kind not in KINDS:
            raise ValueError(f"Invalid metric type: {typ}")
        self.name = name
        self.documentation = documentation
        self.type = kind
        self.unit = unit
        self.samples: list[Sample] = []

    def add_sample(
        self,
        name: str,
        labels: Mapping[str, str],
        value: float,
        timestamp: float | None = None,
        exemplar: Any = None,
    ) -> None:
        """Add a sample under its whole *name*."""
        self.samples.append(Sample(name, dict(labels), value, timestamp, exemplar))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Metric) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]  # its samples are a list

    def __repr__(self) -> str:
        return f"Metric({self.name}, {self.documentation}, {self.type}, {self.unit}, {self.samples})"


class _Labelled(Metric):
    """A family whose points are given by the values of *labels*."""

    kind = ""

    def __init__(
        self, name: str, documentation: str, labels: Sequence[str] | None = None, unit: str = ""
    ) -> None:
        super().__init__(name, documentation, self.kind, unit)
        self._labelnames = tuple(labels or ())

    def _pairs(self, labels: Sequence[str]) -> dict[str, str]:
        return dict(zip(self._labelnames, labels, strict=True))

    @staticmethod
    def _once(value: Any, labels: Sequence[str] | None) -> bool:
        """Whether there is one value, given at once; with labels there cannot be."""
        if value is not None and labels is not None:
            raise ValueError("Can only specify at most one of value and labels.")
        return value is not None


class CounterMetricFamily(_Labelled):
    """A counter; *created* is when it began, in epoch seconds."""

    kind = "counter"

    def __init__(
        self,
        name: str,
        documentation: str,
        value: float | None = None,
        labels: Sequence[str] | None = None,
        created: float | None = None,
        unit: str = "",
        exemplar: Any = None,
    ) -> None:
        super().__init__(name.removesuffix("_total"), documentation, labels, unit)
        if self._once(value, labels):
            assert value is not None
            self.add_metric([], value, created, exemplar=exemplar)

    def add_metric(
        self,
        labels: Sequence[str],
        value: float,
        created: float | None = None,
        timestamp: float | None = None,
        exemplar: Any = None,
    ) -> None:
        """Add a point."""
        pairs = self._pairs(labels)
        self.add_sample(f"{self.name}_total", pairs, value, timestamp, exemplar)
        if created is not None:
            self.add_sample(f"{self.name}_created", pairs, created, timestamp)


class GaugeMetricFamily(_Labelled):
    """A gauge."""

    kind = "gauge"

    def __init__(
        self,
        name: str,
        documentation: str,
        value: float | None = None,
        labels: Sequence[str] | None = None,
        unit: str = "",
    ) -> None:
        super().__init__(name, documentation, labels, unit)
        if self._once(value, labels):
            assert value is not None
            self.add_metric([], value)

    def add_metric(
        self, labels: Sequence[str], value: float, timestamp: float | None = None
    ) -> None:
        """Add a point."""
        self.add_sample(self.name, self._pairs(labels), value, timestamp)


class UnknownMetricFamily(GaugeMetricFamily):
    """A number of which nothing is known."""

    kind = "unknown"


class SummaryMetricFamily(_Labelled):
    """A summary without quantiles."""

    kind = "summary"

    def __init__(
        self,
        name: str,
        documentation: str,
        count_value: int | None = None,
        sum_value: float | None = None,
        labels: Sequence[str] | None = None,
        unit: str = "",
    ) -> None:
        super().__init__(name, documentation, labels, unit)
        if (count_value is None) != (sum_value is None):
            raise ValueError("count_value and sum_value must be provided together.")
        if self._once(count_value, labels):
            assert count_value is not None
            assert sum_value is not None
            self.add_metric([], count_value, sum_value)

    def add_metric(
        self,
        labels: Sequence[str],
        count_value: int,
        sum_value: float,
        timestamp: float | None = None,
    ) -> None:
        """Add a point."""
        pairs = self._pairs(labels)
        self.add_sample(f"{self.name}_count", pairs, count_value, timestamp)
        self.add_sample(f"{self.name}_sum", pairs, sum_value, timestamp)


class HistogramMetricFamily(_Labelled):
    """A histogram; *buckets* are (upper bound as text, cumulative count), up to `+Inf`."""

    kind = "histogram"

    def __init__(
        self,
        name: str,
        documentation: str,
        buckets: Sequence[Sequence[Any]] | None = None,
        sum_value: float | None = None,
        labels: Sequence[str] | None = None,
        unit: str = "",
    ) -> None:
        super().__init__(name, documentation, labels, unit)
        if sum_value is not None and buckets is None:
            raise ValueError("sum value cannot be provided without buckets.")
        if self._once(buckets, labels):
            assert buckets is not None
            self.add_metric([], buckets, sum_value)

    def add_metric(
        self,
        labels: Sequence[str],
        buckets: Sequence[Sequence[Any]],
        sum_value: float | None,
        timestamp: float | None = None,
    ) -> None:
        """Add a point."""
        pairs = self._pairs(labels)
        for bound, count, *exemplar in buckets:
            self.add_sample(
                f"{self.name}_bucket",
                {**pairs, "le": str(bound)},
                count,
                timestamp,
                exemplar[0] if exemplar else None,
            )
        self.add_sample(f"{self.name}_count", pairs, buckets[-1][1], timestamp)
        if sum_value is not None:
            self.add_sample(f"{self.name}_sum", pairs, sum_value, timestamp)


class InfoMetricFamily(_Labelled):
    """Labels that say what something is; the value is 1."""

    kind = "info"

    def __init__(
        self,
        name: str,
        documentation: str,
        value: Mapping[str, str] | None = None,
        labels: Sequence[str] | None = None,
    ) -> None:
        super().__init__(name.removesuffix("_info"), documentation, labels)
        if self._once(value, labels):
            assert value is not None
            self.add_metric([], value)

    def add_metric(
        self, labels: Sequence[str], value: Mapping[str, str], timestamp: float | None = None
    ) -> None:
        """Add a point."""
        self.add_sample(f"{self.name}_info", {**self._pairs(labels), **value}, 1.0, timestamp)


class StateSetMetricFamily(_Labelled):
    """States, each of which is so or not."""

    kind = "stateset"

    def __init__(
        self,
        name: str,
        documentation: str,
        value: Mapping[str, bool] | None = None,
        labels: Sequence[str] | None = None,
    ) -> None:
        super().__init__(name, documentation, labels)
        if self._once(value, labels):
            assert value is not None
            self.add_metric([], value)

    def add_metric(
        self, labels: Sequence[str], value: Mapping[str, bool], timestamp: float | None = None
    ) -> None:
        """Add a point."""
        for state, holds in sorted(value.items()):
            pairs = {**self._pairs(labels), self.name: state}
            self.add_sample(self.name, pairs, 1.0 if holds else 0.0, timestamp)


def families_of(metric: Any, *, openmetrics: bool) -> list[Family]:
    """*metric*, ours or prometheus_client's own, for the renderer or for shipping.

    In the text format `_created` is a gauge of its own, as Prometheus' own clients have it.
    """
    kind = "unknown" if metric.type == "untyped" else metric.type
    points, created = [], []
    for sample in metric.samples:
        suffix = sample.name.removeprefix(metric.name)
        if suffix in {"_total", "_info"} and kind in {"counter", "info"}:
            suffix = ""
        labels = tuple(sorted(sample.labels.items()))
        point = Point(suffix, labels, float(sample.value), _exemplar(sample.exemplar))
        if suffix == "_created" and not openmetrics:
            created.append(point._replace(suffix=""))
        else:
            points.append(point)
    name = metric.name
    if not openmetrics:
        name += {"counter": "_total", "info": "_info"}.get(kind, "")
        kind = _IN_TEXT.get(kind, kind)
    families = [Family(name, kind, metric.documentation, metric.unit, points)]
    if created:
        text = metric.documentation
        families.append(Family(f"{metric.name}_created", "gauge", text, "", created))
    return families


def _exemplar(found: Any) -> Exemplar | None:
    if not found:
        return None
    labels, value, at_s = (*found, None)[:3]
    return Exemplar(tuple(sorted(dict(labels).items())), float(value), at_s)
