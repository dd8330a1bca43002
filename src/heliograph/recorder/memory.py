"""The store of a recorder that was given none: in memory, bounded, gone with the process.

At a bound the older half goes, of events or of one metric, and is counted.
"""

import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from heliograph.core.errors import Unavailable
from heliograph.kernels.metric_rows import Rows
from heliograph.recorder import forking, query
from heliograph.recorder.aggregation import Plain
from heliograph.recorder.points import Event, Part, Point, labels_of
from heliograph.recorder.store import Asked, Expired, Policy, Usage

EVENTS_MAX = 10_000
POINTS_PER_METRIC_MAX = 1_000
METRICS_MAX = 10_000


class _Kept(NamedTuple):
    at_ns: int
    value: float | str
    context: Mapping[str, Any] | None


class MemoryStore:
    """Events and points of this process. Its own `Source`."""

    def __init__(
        self,
        *,
        events_max: int = EVENTS_MAX,
        points_per_metric_max: int = POINTS_PER_METRIC_MAX,
        metrics_max: int = METRICS_MAX,
    ) -> None:
        self._events_max = max(1, events_max)
        self._points_max = max(1, points_per_metric_max)
        self._metrics_max = metrics_max
        self._events: list[Event] = []
        self._points: dict[str, list[_Kept]] = {}
        self._counts: Counter[str] = Counter()
        self.begin_again()
        forking.watch(self)
        self.arithmetic = Plain()
        self.rows: Rows | None = None

    def begin_again(self) -> None:
        """In the child of a fork: with a lock of its own."""
        self._lock = threading.RLock()

    def add_point(self, point: Point) -> None:
        """As `RecorderStore.add_point`. Unavailable for a new metric beyond the bound."""
        with self._lock:
            self._add(point)

    def add_points(self, points: Sequence[Point]) -> None:
        """As `RecorderStore.add_points`."""
        with self._lock:
            new = {point.name for point in points} - self._points.keys()
            if len(self._points) + len(new) > self._metrics_max:
                raise self._full(len(points))
            for point in points:
                self._add(point)

    def add_event(self, event: Event) -> None:
        """As `RecorderStore.add_event`."""
        with self._lock:
            if len(self._events) >= self._events_max:
                gone = (len(self._events) + 1) // 2
                del self._events[:gone]
                self._counts["events_dropped"] += gone
            self._events.append(event)

    def metrics(self, asked: Asked) -> dict[str, Any]:
        """As `RecorderStore.metrics`."""
        return query.answer(self, asked)

    def parts(self, names: Sequence[str] | None, start_ns: int, end_ns: int) -> Iterator[Part]:
        """As `Source.parts`."""
        with self._lock:
            wanted = list(self._points) if names is None else list(dict.fromkeys(names))
            held = [(name, list(self._points.get(name, ()))) for name in wanted]
        for name, points in held:
            series: dict[Any, list[_Kept]] = {}
            for kept in points:
                if start_ns <= kept.at_ns < end_ns:
                    series.setdefault(labels_of(name, kept.context), []).append(kept)
            for labels, inside in series.items():
                yield _part(name, dict(labels), inside)

    def usage(self) -> Usage:
        """As `RecorderStore.usage`: of the room for events."""
        with self._lock:
            share = len(self._events) / self._events_max * 100
            return Usage(share, dict(self._counts))

    def retain(self, policy: Policy, now_ns: int, *, dry_run: bool) -> Expired:
        """As `RecorderStore.retain`; there are no bytes to count."""
        with self._lock:
            events, points = self._events, self._points
            if policy.events_ns is not None:
                floor_ns = now_ns - policy.events_ns
                events = [event for event in events if event.at_ns >= floor_ns]
            if policy.metrics_ns is not None:
                floor_ns = now_ns - policy.metrics_ns
                left = {
                    n: [k for k in kept if k.at_ns >= floor_ns] for n, kept in points.items()
                }
                points = {name: kept for name, kept in left.items() if kept}
            gone = Expired(
                len(self._events) - len(events),
                sum(map(len, self._points.values())) - sum(map(len, points.values())),
            )
            if not dry_run:
                self._events, self._points = events, points
            return gone

    def flush(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Nothing is open; what was recorded can still be asked for."""

    def _add(self, point: Point) -> None:
        kept = self._points.get(point.name)
        if kept is None:
            if len(self._points) >= self._metrics_max:
                raise self._full(1)
            kept = self._points[point.name] = []
        elif len(kept) >= self._points_max:
            gone = (len(kept) + 1) // 2
            del kept[:gone]
            self._counts["metrics_dropped"] += gone
        kept.append(_Kept(point.at_ns, point.value, point.context))

    def _full(self, points: int) -> Unavailable:
        self._counts["metrics_refused"] += points
        return Unavailable(f"more than {self._metrics_max} metrics", code="too_many_metrics")


def _part(name: str, labels: Mapping[str, str], kept: list[_Kept]) -> Part:
    kept.sort(key=lambda one: one.at_ns)
    numbers = [one for one in kept if not isinstance(one.value, str)]
    return Part(
        name,
        labels,
        [one.at_ns for one in numbers],
        [one.value for one in numbers],
        [one.at_ns for one in kept if isinstance(one.value, str)],
    )
