"""Summaries: quantiles of what was observed, within a known relative error.

    latency = Summary("request_seconds", quantiles=(0.5, 0.99))
    latency.observe(0.3)
    latency.sketch().merge(others_sketch)

`observe` appends to a queue and takes no lock; whoever finds the queue long, or reads, moves it
into the sketch unless somebody is at it. Count and sum are those of all forked processes; the
quantiles are those of this one, for a sketch does not fit into shared memory.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from heliograph.instruments import metrics, shared_memory
from heliograph.instruments.family import Family, Labels, Point
from heliograph.instruments.sketch import RELATIVE_ERROR, QuantileSketch
from heliograph.kernels import careful, cells

if TYPE_CHECKING:
    from heliograph.instruments.metrics import Children

QUANTILES = (0.5, 0.9, 0.95, 0.99)
# Values that wait; from here on an `observe` tries to move them.
PENDING_MAX = 256
_READ_WAIT_S = 0.25


class Summary(cells.Cell, metrics._Celled):  # noqa: SLF001 - one family of classes, two modules
    """A distribution by quantiles: `observe(value, labels=None)`.

    quantiles       those that are exported, in [0, 1]
    relative_error  how far off they may be, as a share of the value
    Raises ValueError for what is neither; otherwise as `Counter`.
    """

    __slots__ = ("_lock", "_pending", "_pid", "_sketch")

    def __init__(
        self,
        name: str,
        description: str = "",
        labels: "Mapping[str, object] | Sequence[str] | None" = None,
        *,
        quantiles: Sequence[float] = QUANTILES,
        relative_error: float = RELATIVE_ERROR,
        unit: str = "",
        series_max: int = careful.SERIES_MAX,
        strict: bool = True,
        on_error: Callable[[str], None] | None = None,
    ) -> None:
        asked = sorted({float(quantile) for quantile in quantiles})
        if any(not 0.0 <= quantile <= 1.0 for quantile in asked):
            raise ValueError(f"quantiles {asked}, not all in [0, 1]")
        QuantileSketch(relative_error)
        spec = metrics._spec(  # noqa: SLF001
            *("summary", name, description, labels),
            unit=unit,
            series_max=series_max,
            strict=strict,
            on_error=on_error,
        )
        # Count and sum; what else there is to know of it has no other place.
        spec.width = 2
        spec.buckets = [relative_error, *asked]
        metrics._begin(self, spec)  # noqa: SLF001

    def bind(self, spec: cells.Spec, shape: int, key: Any, at: int) -> None:
        """As `Cell.bind`, with a sketch."""
        super().bind(spec, shape, key, at)
        self._begin_sketch()

    def _begin_sketch(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._pending: deque[float] = deque()
        self._sketch = QuantileSketch(self.spec.buckets[0])

    if TYPE_CHECKING:

        @property
        def labels(self) -> "Children[Summary]":
            """The labels; called with more, the child that has those."""

    def observe(self, value: float, labels: Mapping[str, object] | None = None) -> None:
        """Count *value*, here or in the child of *labels*."""
        careful.observe(self, value, labels, None)

    def add(self, value: float) -> int:
        """Count *value*, a float; -1, for there are no buckets."""
        if self.at >= 0:
            if self._pid != os.getpid():
                self._begin_sketch()
            cells.add_pair(self.at, value)
            self._pending.append(value)
            if len(self._pending) >= PENDING_MAX:
                self._drain(0.0)
        return -1

    def _drain(self, wait_s: float) -> None:
        if self._lock.acquire(timeout=wait_s) if wait_s else self._lock.acquire(blocking=False):
            try:
                for _ in range(len(self._pending)):
                    self._sketch.add(self._pending.popleft())
            finally:
                self._lock.release()

    def sketch(self) -> QuantileSketch:
        """A copy of what this process observed, to ask or to merge."""
        if self._pid != os.getpid():
            self._begin_sketch()
        # A signal handler may have interrupted whoever drains: then it answers without the rest.
        self._drain(_READ_WAIT_S)
        return self._sketch.copy()

    def values(self) -> list[float]:
        """Sum and count over all processes."""
        if self.at < 0:
            return [0.0, 0.0]
        return [cells.total(self.at), cells.total(self.at + 1)]

    def quantiles(self) -> list[tuple[float, float]]:
        """(quantile, value) of those that are exported; NaN where nothing was observed."""
        sketch = self.sketch()
        return [(quantile, sketch.quantile(quantile)) for quantile in self.spec.buckets[1:]]

    def get_value(self) -> list[metrics.MetricValue]:
        """The quantiles (label `quantile`), the sum and the count (label `type`)."""
        shared_memory.look()
        labels = dict(self.labels)
        found = [
            metrics.MetricValue(value, None, labels | {"quantile": str(quantile)})
            for quantile, value in self.quantiles()
        ]
        total, count = self.values()
        found.append(metrics.MetricValue(total, None, labels | {"type": "sum"}))
        found.append(metrics.MetricValue(int(count), None, labels | {"type": "count"}))
        return found

    def reset(self) -> None:
        """Back to nothing observed."""
        cells.clear(self.at, 2)
        self._begin_sketch()

    def family(self) -> Family:
        """All of it and its children, for exporters."""
        from heliograph.instruments import points

        shared_memory.look()
        children = self.children()
        found: list[Point] = []
        for cell in [self, *children] if points.is_shown(self, bool(children)) else children:
            found += _points(cell, tuple(sorted(points.shown_labels(self.spec, cell))))
        return Family(self.name, "summary", self.description, self.unit, found)


def _points(cell: Summary, labels: Labels) -> list[Point]:
    total, count = cell.values()
    found = [
        Point("", tuple(sorted((*labels, ("quantile", str(quantile))))), value)
        for quantile, value in cell.quantiles()
    ]
    return [*found, Point("_sum", labels, total), Point("_count", labels, int(count))]
