"""Self-measurement: counters, gauges, histograms and summaries of the service, as Prometheus text.

    received = registry.counter("heliograph_received_total", "…", ("protocol", "kind"))
    received.add(3, "remote_write", "samples")

A family holds at most CHILDREN_MAX label sets; beyond it they fold into one child whose values
are `other`, and a value is cut at VALUE_CHARS_MAX, so that a sender's strings cannot grow our memory.
Source of the text format: Prometheus exposition formats, text 0.0.4.
"""

import math
import threading
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from heliograph.core.errors import HeliographError

F = TypeVar("F", bound="Family")

CHILDREN_MAX = 1000
VALUE_CHARS_MAX = 200
SUMMARY_WINDOW = 1024
WAITING_MAX = 20_000
QUANTILES = (0.5, 0.9, 0.95, 0.99)
SECONDS_BUCKETS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
LATENCY_BUCKETS = (0.1, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0)


class Family:
    """What all metrics share: a name, a help text, label names, children by label values."""

    kind = "untyped"

    def __init__(self, name: str, text: str, labels: Sequence[str]) -> None:
        self.name = name
        self.text = text
        self.labels = tuple(labels)
        self._lock = threading.Lock()

    def key(
        self, children: Mapping[tuple[str, ...], object], values: tuple[str, ...]
    ) -> tuple[str, ...]:
        """The child that *values* count under: their own, or `other` when there are too many."""
        assert len(values) == len(self.labels), (self.name, values)
        if values in children:
            return values
        values = tuple(value[:VALUE_CHARS_MAX] for value in values)
        if values in children or len(children) < CHILDREN_MAX:
            return values
        return ("other",) * len(self.labels)

    def lines(self) -> Iterator[str]:
        """Sample lines of the exposition."""
        raise AssertionError("a family without lines")


class Counter(Family):
    """A total that only grows."""

    kind = "counter"

    def __init__(self, name: str, text: str, labels: Sequence[str]) -> None:
        super().__init__(name, text, labels)
        self._values: dict[tuple[str, ...], float] = {} if self.labels else {(): 0.0}

    def add(self, amount: float, *values: str) -> None:
        """Add *amount* (≥ 0) to the child of *values*."""
        with self._lock:
            before = self._values.get(values)
            if before is None:
                values = self.key(self._values, values)
                before = self._values.get(values, 0.0)
            self._values[values] = before + amount

    def value(self, *values: str) -> float:
        """The total of the child of *values*; 0 when it never counted."""
        return self._values.get(values, 0.0)

    def items(self) -> list[tuple[tuple[str, ...], float]]:
        """All children, for the first page."""
        with self._lock:
            return sorted(self._values.items())

    def lines(self) -> Iterator[str]:
        for key, value in self.items():
            yield f"{self.name}{_braces(self.labels, key)} {_number(value)}"


class Gauge(Family):
    """A value read when it is asked for: *read* yields (label values, value) pairs."""

    kind = "gauge"

    def __init__(
        self,
        name: str,
        text: str,
        labels: Sequence[str],
        read: Callable[[], Iterable[tuple[tuple[str, ...], float]]],
    ) -> None:
        super().__init__(name, text, labels)
        self._read = read

    def lines(self) -> Iterator[str]:
        try:
            read = list(self._read())
        except HeliographError:
            # A store that is away must not take the page with it, just when it is looked at.
            return
        for key, value in read:
            yield f"{self.name}{_braces(self.labels, key)} {_number(value)}"


class Observing(Family):
    """A family of observations. Those of many children at once wait until somebody looks, or until
    there are WAITING_MAX: counted together, they cost a fraction."""

    def __init__(self, name: str, text: str, labels: Sequence[str]) -> None:
        super().__init__(name, text, labels)
        self._waiting: list[Sequence[tuple[str, Sequence[float]]]] = []
        self._waiting_size = 0

    def observe_all(self, observed: Sequence[float], *values: str) -> None:
        """Count each of *observed*."""
        with self._lock:
            self._count(observed, values)

    def observe_each(self, observed: Sequence[tuple[str, Sequence[float]]]) -> None:
        """Count observations by the value of the one label."""
        with self._lock:
            self._waiting.append(observed)
            self._waiting_size += 1 + sum(len(some) for _, some in observed)
            if self._waiting_size >= WAITING_MAX:
                self._count_waiting()

    def _count_waiting(self) -> None:
        waiting, self._waiting, self._waiting_size = self._waiting, [], 0
        found: dict[str, list[float]] = {}
        for observed in waiting:
            for value, some in observed:
                found.setdefault(value, []).extend(some)
        for value, some in found.items():
            self._count(some, (value,))

    def _count(self, observed: Sequence[float], values: tuple[str, ...]) -> None:
        raise AssertionError(self.name, observed, values)


class Histogram(Observing):
    """Counts by upper bound, with sum and count."""

    kind = "histogram"

    def __init__(
        self, name: str, text: str, labels: Sequence[str], buckets: Sequence[float]
    ) -> None:
        super().__init__(name, text, labels)
        self.buckets = tuple(buckets)
        self._counts: dict[tuple[str, ...], list[float]] = {}

    def observe(self, value: float, *values: str) -> None:
        """Count one *value*."""
        with self._lock:
            counts = self._counts_of(values)
            counts[bisect_left(self.buckets, value)] += 1
            counts[-1] += value

    def _counts_of(self, values: tuple[str, ...]) -> list[float]:
        counts = self._counts.get(values)
        if counts is None:
            key = self.key(self._counts, values)
            counts = self._counts.setdefault(key, [0.0] * (len(self.buckets) + 2))
        return counts

    def _count(self, observed: Sequence[float], values: tuple[str, ...]) -> None:
        counts = self._counts_of(values)
        if len(observed) > len(self.buckets):
            # Fewer questions: how many are not above each bound.
            ordered, before = sorted(observed), 0
            for place, bound in enumerate((*self.buckets, math.inf)):
                through = bisect_right(ordered, bound)
                counts[place] += through - before
                before = through
        else:
            for value in observed:
                counts[bisect_left(self.buckets, value)] += 1
        counts[-1] += sum(observed)

    def lines(self) -> Iterator[str]:
        with self._lock:
            self._count_waiting()
            children = sorted((key, list(counts)) for key, counts in self._counts.items())
        for key, counts in children:
            running = 0.0
            for bound, count in zip((*self.buckets, float("inf")), counts, strict=False):
                running += count
                labels = _braces((*self.labels, "le"), (*key, _number(bound)))
                yield f"{self.name}_bucket{labels} {_number(running)}"
            yield f"{self.name}_sum{_braces(self.labels, key)} {_number(counts[-1])}"
            yield f"{self.name}_count{_braces(self.labels, key)} {_number(running)}"


class Summary(Observing):
    """Quantiles over the last SUMMARY_WINDOW observations of each child, with sum and count."""

    kind = "summary"

    def __init__(self, name: str, text: str, labels: Sequence[str]) -> None:
        super().__init__(name, text, labels)
        self._recent: dict[tuple[str, ...], deque[float]] = {}
        self._totals: dict[tuple[str, ...], tuple[float, int]] = {}

    def _count(self, observed: Sequence[float], values: tuple[str, ...]) -> None:
        key = self.key(self._recent, values)
        self._recent.setdefault(key, deque(maxlen=SUMMARY_WINDOW)).extend(observed)
        total, count = self._totals.get(key, (0.0, 0))
        self._totals[key] = total + sum(observed), count + len(observed)

    def lines(self) -> Iterator[str]:
        with self._lock:
            self._count_waiting()
            children = sorted((key, sorted(recent)) for key, recent in self._recent.items())
            totals = dict(self._totals)
        for key, recent in children:
            for quantile in QUANTILES:
                value = recent[min(int(quantile * len(recent)), len(recent) - 1)]
                labels = _braces((*self.labels, "quantile"), (*key, _number(quantile)))
                yield f"{self.name}{labels} {_number(value)}"
            total, count = totals[key]
            yield f"{self.name}_sum{_braces(self.labels, key)} {_number(total)}"
            yield f"{self.name}_count{_braces(self.labels, key)} {count}"


class Registry:
    """All families of one service, in the order of their names."""

    def __init__(self) -> None:
        self._families: dict[str, Family] = {}

    def counter(self, name: str, text: str, labels: Sequence[str] = ()) -> Counter:
        """A new counter; the name must not be taken."""
        return self._added(Counter(name, text, labels))

    def gauge(
        self,
        name: str,
        text: str,
        read: Callable[[], Iterable[tuple[tuple[str, ...], float]]],
        labels: Sequence[str] = (),
    ) -> Gauge:
        """A new gauge that calls *read* at exposition."""
        return self._added(Gauge(name, text, labels, read))

    def histogram(
        self,
        name: str,
        text: str,
        labels: Sequence[str] = (),
        buckets: Sequence[float] = SECONDS_BUCKETS,
    ) -> Histogram:
        """A new histogram."""
        return self._added(Histogram(name, text, labels, buckets))

    def summary(self, name: str, text: str, labels: Sequence[str] = ()) -> Summary:
        """A new summary."""
        return self._added(Summary(name, text, labels))

    def exposition(self) -> str:
        """The whole page of `/metrics`."""
        out: list[str] = []
        for name, family in sorted(self._families.items()):
            out.append(f"# HELP {name} {_escaped_help(family.text)}")
            out.append(f"# TYPE {name} {family.kind}")
            out.extend(family.lines())
        return "\n".join(out) + "\n"

    def _added(self, family: F) -> F:
        assert family.name not in self._families, family.name
        self._families[family.name] = family
        return family


def _braces(names: Sequence[str], values: Sequence[str]) -> str:
    if not names:
        return ""
    pairs = (f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True))
    return "{" + ",".join(pairs) + "}"


def _escaped(value: str) -> str:
    safe = value.encode("utf-8", "replace").decode("utf-8")
    return safe.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _escaped_help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _number(value: float) -> str:
    if value == float("inf"):
        return "+Inf"
    if value == float("-inf"):
        return "-Inf"
    if value != value:  # noqa: PLR0124 - the one test of NaN that needs no import
        return "NaN"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))
