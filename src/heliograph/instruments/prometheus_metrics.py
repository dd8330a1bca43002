"""Counter, Gauge, Summary, Histogram, Info and Enum as prometheus_client's users know them.

    JOBS = Counter("jobs", "Jobs done", ["queue"])
    JOBS.labels("gpu").inc()
    JOBS.labels(queue="gpu").inc(exemplar={"trace_id": "4bf9"})

They count in our own instruments, so they are exact over threads and forks, and shared with forked
children; names, arguments, answers and errors are prometheus_client's. `multiprocess_mode` says how
a gauge's processes are combined; the modes by process id have no place here and are the latest.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from types import TracebackType
from typing import Any, ClassVar, Self

from heliograph.core.clock import SystemClock
from heliograph.instruments.family import Family, Point
from heliograph.instruments.prometheus_families import Metric, families_of
from heliograph.instruments.prometheus_registry import REGISTRY
from heliograph.instruments.timing import Timer
from heliograph.kernels import careful

INF = float("inf")
DEFAULT_BUCKETS = (
    *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0),
    *(2.5, 5.0, 7.5, 10.0, INF),
)
# prometheus_client knows no bound; a million label sets of one metric is a mistake in any case.
SERIES_MAX = 1_000_000
_POLICIES = {"min": "min", "max": "max", "sum": "sum"}
_clock = SystemClock()
_created = os.environ.get("PROMETHEUS_DISABLE_CREATED_SERIES", "").lower() not in {
    *("true", "1", "t"),
}


def disable_created_metrics() -> None:
    """Show no `_created` series from now on."""
    global _created  # noqa: PLW0603 - a switch of the process, as users know it
    _created = False


def enable_created_metrics() -> None:
    """Show `_created` series from now on."""
    global _created  # noqa: PLW0603
    _created = True


class Instrument:
    """What the six have in common: names, labels and children, registration, collection."""

    kind: ClassVar[str]
    reserved: ClassVar[tuple[str, ...]] = ()
    has_created: ClassVar[bool] = False
    # What counts, where one of ours does.
    native: Any = None

    def __init__(
        self,
        name: str,
        documentation: str,
        labelnames: Iterable[str] = (),
        namespace: str = "",
        subsystem: str = "",
        unit: str = "",
        registry: Any = REGISTRY,
    ) -> None:
        self._name = _full_name(self.kind, name, namespace, subsystem, unit)
        self._documentation = documentation
        self._unit = unit
        self._labelnames = _label_names(labelnames, self.reserved)
        self.label_values: tuple[str, ...] = ()
        self._parent: Instrument | None = None
        self._children: dict[tuple[str, ...], Any] = {}
        self.began_s = _clock.now_ns() / 1e9
        self._make()
        if registry is not None:
            registry.register(self)

    def labels(self, *labelvalues: object, **labelkwargs: object) -> Self:
        """The child of these values, by place or by name."""
        if self._parent is not None:
            raise ValueError(f"{self} already has labels set; can not chain calls to .labels()")
        if not self._labelnames:
            raise ValueError(f"No label names were set when constructing {self}")
        if labelkwargs:
            if labelvalues:
                raise ValueError("Can't pass both *args and **kwargs")
            if labelkwargs.keys() != set(self._labelnames):
                raise ValueError("Incorrect label names")
            values = tuple([str(labelkwargs[name]) for name in self._labelnames])
        else:
            if len(labelvalues) != len(self._labelnames):
                raise ValueError("Incorrect label count")
            values = tuple(map(str, labelvalues))
        child: Self | None = self._children.get(values)
        # Threads that are both first agree on the one that is kept.
        return child or self._children.setdefault(values, self._child(values))

    def remove(self, *labelvalues: object) -> None:
        """Forget the child of these values; nothing where there is none."""
        if not self._labelnames:
            raise ValueError(f"No label names were set when constructing {self}")
        if len(labelvalues) != len(self._labelnames):
            raise ValueError(
                f"Incorrect label count (expected {len(self._labelnames)}, got {labelvalues})"
            )
        child = self._children.pop(tuple(map(str, labelvalues)), None)
        if child is not None:
            self._forget(child)

    def remove_by_labels(self, labels: dict[str, str]) -> None:
        """Forget all children that have these *labels*."""
        if not self._labelnames:
            raise ValueError(f"No label names were set when constructing {self}")
        if unknown := [name for name in labels if name not in self._labelnames]:
            raise ValueError(f"Unknown label names: {unknown}; expected {self._labelnames}")
        wanted = {self._labelnames.index(name): str(value) for name, value in labels.items()}
        for values in list(self._children) if wanted else ():
            if all(values[place] == value for place, value in wanted.items()):
                self.remove(*values)

    def clear(self) -> None:
        """Forget all children."""
        for values in list(self._children):
            self.remove(*values)

    def describe(self) -> list[Metric]:
        """The metric without samples: what names it takes."""
        return [Metric(self._name, self._documentation, self.kind, self._unit)]

    def collect(self) -> list[Metric]:
        """The metric with its samples, now."""
        [metric] = self.describe()
        for child in self._shown():
            pairs = dict(zip(self._labelnames, child.label_values, strict=False))
            for suffix, labels, value, exemplar in child.series_samples():
                metric.add_sample(
                    self._name + suffix, {**pairs, **labels}, value, None, exemplar
                )
            if _created and self.has_created:
                metric.add_sample(f"{self._name}_created", pairs, child.began_s)
        return [metric]

    def render_sources(self, *, openmetrics: bool) -> list[Any]:
        """For the renderer: see `Registry.sources`."""
        [metric] = self.collect()
        return families_of(metric, openmetrics=openmetrics)

    def _make(self) -> None:
        """Begin to count, unless it is children that will."""

    def series_samples(self) -> list[tuple[str, dict[str, str], float, Any]]:
        """(suffix, labels besides the child's own, value, exemplar) of one series' samples."""
        raise NotImplementedError

    def _shown(self) -> "list[Self]":
        return list(self._children.values()) if self._labelnames else [self]

    def _child(self, values: tuple[str, ...]) -> Self:
        child = object.__new__(type(self))
        child.__dict__.update(self.__dict__)
        child.label_values = values
        child._parent = self
        child._children = {}
        child.began_s = _clock.now_ns() / 1e9
        child._make()
        return child

    def _forget(self, child: Self) -> None:
        """*child* is no longer among the children."""

    def __str__(self) -> str:
        return f"{self.kind}:{self._name}"

    def __repr__(self) -> str:
        return f"{type(self).__module__}.{type(self).__name__}({self._name})"


class Counted(Instrument):
    """An instrument that one of ours does the counting of; `native` is it, or its child."""

    _add: Callable[..., None]

    def _make(self) -> None:
        if self._parent is None:
            self.native = self._instrument()
        else:
            names = dict(zip(self._labelnames, self.label_values, strict=True))
            self.native = self._parent.native.labels(**names)
        waits = self._labelnames and self._parent is None
        self._add = self._missing if waits else self._adder()

    def render_sources(self, *, openmetrics: bool) -> list[Any]:
        """The instrument itself, which the renderer reads fast; and when the series began."""
        self._refresh()
        if not (_created and self.has_created):
            return [self.native]
        if openmetrics:
            return super().render_sources(openmetrics=True)
        points = [
            Point(
                "",
                tuple(zip(self._labelnames, child.label_values, strict=False)),
                child.began_s,
            )
            for child in self._shown()
        ]
        name = f"{self._name}_created"
        return [self.native, Family(name, "gauge", self._documentation, "", points)]

    def _instrument(self) -> Any:
        """Our own instrument, of this one's name."""
        raise NotImplementedError

    def _adder(self) -> Callable[..., None]:
        """What counts, of `native`."""
        raise NotImplementedError

    def _refresh(self) -> None:
        """Before anything is shown."""

    def _missing(self, *_: object, **__: object) -> None:
        raise ValueError(f"{self.kind} metric is missing label values")

    def _forget(self, child: Self) -> None:
        labels = self.native.labels
        for _, table in list(labels.tables.values()):
            # Whoever still holds the child goes on counting in it, and nobody shows it.
            if table.get(child.native.key) is child.native:
                del table[child.native.key]
                labels.series -= 1

    def collect(self) -> list[Metric]:
        """The metric with its samples, now."""
        [metric] = self.describe()
        if self._parent is not None:
            return self._collect_child(metric)
        self._refresh()
        suffix = "_total" if self.kind == "counter" else ""
        shown = {child.label_values: child.began_s for child in self._shown()}
        last: dict[str, str] | None = None
        for point in self.native.family().points:
            labels = dict(point.labels)
            own = {name: labels[name] for name in self._labelnames if name in labels}
            if last is not None and last != own:
                self._add_created(metric, last, shown)
            last = own
            metric.add_sample(
                self._name + suffix + point.suffix,
                labels,
                float(point.value),
                None,
                point.exemplar,
            )
        self._add_created(metric, last, shown)
        return [metric]

    def _collect_child(self, metric: Metric) -> list[Metric]:
        """Of a child alone its samples have no labels but those of its buckets."""
        assert self._parent is not None
        pairs = dict(zip(self._labelnames, self.label_values, strict=True))
        [whole] = self._parent.collect()
        for sample in whole.samples:
            if pairs.items() <= sample.labels.items():
                rest = {n: v for n, v in sample.labels.items() if n not in pairs}
                metric.samples.append(sample._replace(labels=rest))
        return [metric]

    def _add_created(
        self,
        metric: Metric,
        labels: dict[str, str] | None,
        began_s: dict[tuple[str, ...], float],
    ) -> None:
        """When the series of *labels* began, behind its samples."""
        if labels is None or not (_created and self.has_created):
            return
        at_s = began_s.get(tuple(labels.get(name, "") for name in self._labelnames))
        if at_s is not None:
            metric.add_sample(f"{self._name}_created", labels, at_s)

    def _specified(self) -> dict[str, Any]:
        """Arguments that all of ours take."""
        return {
            "description": self._documentation,
            "labels": list(self._labelnames) or None,
            "unit": self._unit,
            "series_max": SERIES_MAX,
        }


class Around:
    """Calls one thing before a block or function and another behind it, whatever happens."""

    def __init__(self, before: Callable[[], None], behind: Callable[[Any], None]) -> None:
        self._before = before
        self._behind = behind

    def __enter__(self) -> None:
        self._before()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._behind(kind)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """*function*, each call of it in such a block."""

        @wraps(function)
        def around(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return around


class LabelledTimer(Timer):
    """A timer whose labels may be given inside the block: `with h.time() as t: t.labels("a")`."""

    __slots__ = ("_method", "_metric")

    def __init__(self, metric: Any, method: str) -> None:
        super().__init__(getattr(metric, method))
        self._metric = metric
        self._method = method

    def labels(self, *args: object, **kwargs: object) -> None:
        """Tell the child of these labels."""
        self._metric = self._metric.labels(*args, **kwargs)
        self._tell = getattr(self._metric, self._method)


def _full_name(kind: str, name: str, namespace: str, subsystem: str, unit: str) -> str:
    """The metric's name, without `_total`; raises ValueError where it is none."""
    if not name:
        raise ValueError("Metric name should not be empty")
    full = "_".join(part for part in (namespace, subsystem, name) if part)
    if kind == "counter":
        full = full.removesuffix("_total")
    if unit and kind in {"info", "stateset"}:
        raise ValueError(f"Metric name is of a type that cannot have a unit: {full}")
    if unit and not full.endswith(f"_{unit}"):
        full += f"_{unit}"
    return careful.check_name(full)


def _label_names(names: Iterable[str], reserved: Sequence[str]) -> tuple[str, ...]:
    if isinstance(names, str):
        raise ValueError(f"label names are a list, not the text {names!r}")  # noqa: TRY004
    kept = tuple(careful.check_label_name(name) for name in names)
    if taken := [name for name in kept if name in reserved]:
        raise ValueError(f"Reserved label metric name: {taken[0]}")
    return kept


def policy(multiprocess_mode: str) -> str:
    """How processes are combined, in our words. Raises ValueError for an unknown mode."""
    mode = multiprocess_mode.removeprefix("live")
    if mode not in {"all", "min", "max", "sum", "mostrecent"}:
        raise ValueError(f"Invalid multiprocess mode: {multiprocess_mode}")
    return _POLICIES.get(mode, "latest")
