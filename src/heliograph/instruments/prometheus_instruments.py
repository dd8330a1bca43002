"""The six instruments themselves; what they share is in `prometheus_metrics`."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from heliograph.core.clock import SystemClock
from heliograph.instruments import metrics as native
from heliograph.instruments.prometheus_metrics import (
    DEFAULT_BUCKETS,
    INF,
    Around,
    Counted,
    Instrument,
    LabelledTimer,
    policy,
)
from heliograph.instruments.prometheus_registry import REGISTRY
from heliograph.instruments.summary import Summary as Sketched

_clock = SystemClock()


class Value:
    """The number of one series, as tests of users read it: `counter._value.get()`."""

    def __init__(self, cell: Any) -> None:
        self._cell = cell

    def get(self) -> float:
        """The number now."""
        return float(self._cell.value())


class Counter(Counted):
    """A sum that only grows."""

    kind = "counter"
    has_created = True

    def inc(self, amount: float = 1, exemplar: Mapping[str, str] | None = None) -> None:
        """Add *amount*. Raises ValueError where it is negative."""
        if exemplar is None:
            self._add(amount)
        else:
            self._add(amount, exemplar=exemplar)

    def reset(self) -> None:
        """Back to 0, as if the process had begun anew."""
        self.native.reset()
        self.began_s = _clock.now_ns() / 1e9

    def count_exceptions(
        self, exception: type[BaseException] | tuple[type[BaseException], ...] = Exception
    ) -> Around:
        """Count blocks or calls that raise *exception*."""

        def behind(kind: Any) -> None:
            if kind is not None and issubclass(kind, exception):
                self.inc()

        return Around(lambda: None, behind)

    @property
    def _value(self) -> Value:
        return Value(self.native)

    def _instrument(self) -> Any:
        return native.Counter(f"{self._name}_total", **self._specified())

    def _adder(self) -> Callable[..., None]:
        add: Callable[..., None] = self.native.increment
        return add


class Gauge(Counted):
    """A value that goes anywhere."""

    kind = "gauge"

    def __init__(
        self,
        name: str,
        documentation: str,
        labelnames: Iterable[str] = (),
        namespace: str = "",
        subsystem: str = "",
        unit: str = "",
        registry: Any = REGISTRY,
        multiprocess_mode: str = "all",
    ) -> None:
        self._policy = policy(multiprocess_mode)
        self.function: Callable[[], float] | None = None
        super().__init__(name, documentation, labelnames, namespace, subsystem, unit, registry)

    def inc(self, amount: float = 1) -> None:
        """Add *amount*."""
        self._add(amount)

    def dec(self, amount: float = 1) -> None:
        """Take *amount* away."""
        self._add(-amount)

    def set(self, value: float) -> None:
        """Make it *value*."""
        if self._labelnames and self._parent is None:
            self._missing()
        self.native.set(float(value))

    def set_to_current_time(self) -> None:
        """Make it the time, in epoch seconds."""
        self.set(_clock.now_ns() / 1e9)

    def set_function(self, f: Callable[[], float]) -> None:
        """Ask *f* for the value whenever somebody looks."""
        if self._labelnames and self._parent is None:
            self._missing()
        self.function = f

    def track_inprogress(self) -> Around:
        """Count the blocks or calls that are under way."""
        return Around(self.inc, lambda _: self.dec())

    def time(self) -> LabelledTimer:
        """Set it to the seconds of a block or call."""
        return LabelledTimer(self, "set")

    @property
    def _value(self) -> Value:
        return Value(self.native)

    def _make(self) -> None:
        self.function = None
        super()._make()

    def _refresh(self) -> None:
        for child in self._shown():
            if child.function is not None:
                child.native.set(float(child.function()))

    def _instrument(self) -> Any:
        return native.Gauge(self._name, **self._specified(), forked=self._policy)

    def _adder(self) -> Callable[..., None]:
        add: Callable[..., None] = self.native.increment
        return lambda amount: add(float(amount))


class Observed(Counted):
    """What observations go into."""

    has_created = True

    def time(self) -> LabelledTimer:
        """Observe the seconds of a block or call."""
        return LabelledTimer(self, "observe")

    def _adder(self) -> Callable[..., None]:
        add: Callable[..., None] = self.native.observe
        return add


class Summary(Observed):
    """Count and sum of observations; `heliograph.summary` has quantiles too."""

    kind = "summary"
    reserved: ClassVar[tuple[str, ...]] = ("quantile",)

    def observe(self, amount: float) -> None:
        """Take *amount* in."""
        self._add(amount)

    def _instrument(self) -> Any:
        return Sketched(self._name, **self._specified(), quantiles=())


class Histogram(Observed):
    """Observations by buckets."""

    kind = "histogram"
    reserved: ClassVar[tuple[str, ...]] = ("le",)
    DEFAULT_BUCKETS: ClassVar[tuple[float, ...]] = DEFAULT_BUCKETS

    def __init__(
        self,
        name: str,
        documentation: str,
        labelnames: Iterable[str] = (),
        namespace: str = "",
        subsystem: str = "",
        unit: str = "",
        registry: Any = REGISTRY,
        buckets: Sequence[float | str] = DEFAULT_BUCKETS,
    ) -> None:
        bounds = [float(bound) for bound in buckets]
        if bounds != sorted(bounds):
            raise ValueError("Buckets not in sorted order")
        if bounds and bounds[-1] != INF:
            bounds.append(INF)
        if len(bounds) < 2:
            raise ValueError("Must have at least two buckets")
        self._bounds = bounds
        super().__init__(name, documentation, labelnames, namespace, subsystem, unit, registry)

    def observe(self, amount: float, exemplar: Mapping[str, str] | None = None) -> None:
        """Take *amount* in."""
        if exemplar is None:
            self._add(amount)
        else:
            self._add(amount, exemplar=exemplar)

    def _instrument(self) -> Any:
        return native.Histogram(self._name, **self._specified(), buckets=self._bounds)


class Info(Instrument):
    """Labels that say what something is."""

    kind = "info"
    _pairs: dict[str, str]

    def info(self, val: Mapping[str, str]) -> None:
        """Show *val* as labels. Raises ValueError where one is a label already, or None."""
        if set(self._labelnames).intersection(val):
            raise ValueError(
                f"Overlapping labels for Info metric, metric: {self._labelnames} child: {val}"
            )
        if any(value is None for value in val.values()):
            raise ValueError("Label value cannot be None")
        self._pairs = dict(val)

    def _make(self) -> None:
        self._pairs = {}

    def series_samples(self) -> list[tuple[str, dict[str, str], float, Any]]:
        return [("_info", self._pairs, 1.0, None)]


class Enum(Instrument):
    """Which of some states it is; the first, until it is told."""

    kind = "stateset"

    def __init__(
        self,
        name: str,
        documentation: str,
        labelnames: Sequence[str] = (),
        namespace: str = "",
        subsystem: str = "",
        unit: str = "",
        registry: Any = REGISTRY,
        states: Sequence[str] | None = None,
    ) -> None:
        if name in labelnames:
            raise ValueError(f"Overlapping labels for Enum metric: {name}")
        if not states:
            raise ValueError(f"No states provided for Enum metric: {name}")
        self._states = list(states)
        super().__init__(name, documentation, labelnames, namespace, subsystem, unit, registry)

    def state(self, state: str) -> None:
        """It is *state* now. Raises ValueError where that is none of its states."""
        if self._labelnames and self._parent is None:
            raise ValueError(f"{self.kind} metric is missing label values")
        self._is = self._states.index(state)

    def _make(self) -> None:
        self._is = 0

    def series_samples(self) -> list[tuple[str, dict[str, str], float, Any]]:
        return [
            ("", {self._name: state}, 1.0 if place == self._is else 0.0, None)
            for place, state in enumerate(self._states)
        ]
