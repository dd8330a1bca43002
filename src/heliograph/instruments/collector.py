"""The collector: metrics by name, events, hooks, and a thread that collects (spec 004).

    collector = TelemetryCollector(collection_interval=30.0)
    steps = collector.register_counter("steps_total", "Steps done")
    collector.record_event("checkpoint", {"path": "/ckpt/41"})
    await collector.start_collection()      # collector.start() where there is no event loop

Registering and recording take no lock: they may be interrupted by signal handlers, finalizers and
`fork` at any point. Invalid calls raise, as in the document; the functions of `heliograph` itself
count instead (`instruments.face`).
"""

import os
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from heliograph.core.clock import Clock, SystemClock
from heliograph.instruments import events, exposition, integrations, shared_memory, snapshot
from heliograph.instruments.events import Budget, Events, cleaned
from heliograph.instruments.family import Family, Point
from heliograph.instruments.faults import Faults, shown
from heliograph.instruments.hooks import HOOK_WAIT_S, Hook, Hooks
from heliograph.instruments.metrics import Counter, Gauge, Histogram, Metric
from heliograph.instruments.ticker import STOP_WAIT_S, Done, Ticker, interval_of

if TYPE_CHECKING:
    from heliograph.instruments.summary import Summary

Source: TypeAlias = Callable[[], Iterable[Family]]
Labels: TypeAlias = Mapping[str, str] | Sequence[str] | None
Kind = TypeVar("Kind", bound=Metric)

# Where the document has them.
TelemetryEvent = events.TelemetryEvent
setup_coordination_hooks = integrations.setup_coordination_hooks
setup_messaging_hooks = integrations.setup_messaging_hooks
setup_health_hooks = integrations.setup_health_hooks

ERROR_PAUSE_S = 1.0
SOURCES_MAX = 100
METRICS_MAX = 100_000


class TelemetryCollector:
    """Central hub of metrics and events. Every method is thread-safe; a recording never raises.

    collection_interval   seconds between collection runs; ValueError where it is no number above 0
    labels                constant labels of everything it shows and ships, such as the rank
    hook_wait_s           how long an event waits for a slow hook
    """

    def __init__(
        self,
        collection_interval: float = 30.0,
        *,
        labels: Mapping[str, str] | None = None,
        clock: Clock | None = None,
        hook_wait_s: float = HOOK_WAIT_S,
    ) -> None:
        self.collection_interval = interval_of(collection_interval, "collection_interval")
        self.constant_labels: dict[str, str] = dict(labels or {})
        self.faults = Faults(clock)
        self._clock = clock or SystemClock()
        self._metrics: dict[str, Metric] = {}
        self._metrics_count: Gauge | None = None
        self._events = Events()
        self._hooks = Hooks(self.faults, wait_s=hook_wait_s)
        self._sources: dict[int, Source] = {}
        self._collection = Ticker("heliograph-collection", self._tick)
        self._events_total = self.register_counter(
            "telemetry_events_total", "Total number of telemetry events"
        )
        self._runs_total = self.register_counter(
            "telemetry_collection_runs_total", "Total collection runs"
        )
        # Of forked processes each has its number of metrics: the latest to say so would be any.
        self._metrics_count = self.register(
            Gauge("telemetry_metrics_count", "Number of registered metrics", forked="max")
        )
        self._duration_seconds = self.register_histogram(
            "telemetry_collection_duration_seconds", "Collection duration"
        )
        shared_memory.join(self)

    def register_counter(
        self, name: str, description: str = "", labels: Labels = None
    ) -> Counter:
        """A new counter. *labels*: constant ones by name, or the names of those to be given.

        Raises ValueError where *name* is taken or no name of a metric, or a label no label.
        """
        return self.register(Counter(name, description, labels))

    def register_gauge(self, name: str, description: str = "", labels: Labels = None) -> Gauge:
        """A new gauge; otherwise as `register_counter`."""
        return self.register(Gauge(name, description, labels))

    def register_histogram(
        self,
        name: str,
        description: str = "",
        buckets: Sequence[float] | None = None,
        labels: Labels = None,
    ) -> Histogram:
        """A new histogram with upper bounds *buckets*; otherwise as `register_counter`."""
        return self.register(Histogram(name, description, buckets, labels))

    def register_summary(
        self, name: str, description: str = "", labels: Labels = None
    ) -> "Summary":
        """A new summary of quantiles; otherwise as `register_counter`."""
        from heliograph.instruments.summary import Summary

        return self.register(Summary(name, description, labels))

    def register(self, metric: Kind) -> Kind:
        """Make *metric* one of this collector's. Raises ValueError where its name is taken."""
        kept = self.adopt(metric)
        if kept is metric:
            return metric
        # One that only a forked worker had registered so far is there for whoever asks first.
        if type(kept) is type(metric) and shared_memory.claim(kept):
            return kept
        raise ValueError(f"Metric {metric.name} already registered")

    def adopt(self, metric: Metric) -> Metric:
        """*metric*, now registered, or the one that has its name already.

        Raises ValueError where there are `METRICS_MAX`.
        """
        if len(self._metrics) >= METRICS_MAX:
            raise ValueError(f"{len(self._metrics)} metrics, limit {METRICS_MAX}")
        # One step that no other thread can come between; so it needs no lock.
        kept = self._metrics.setdefault(metric.name, metric)
        if kept is metric:
            shared_memory.registered(self, metric)
            self._update_metrics_count()
        return kept

    def unregister(self, name: str) -> Metric | None:
        """Take the metric *name* out, and return it; None where there is none."""
        metric = self._metrics.pop(name, None)
        self._update_metrics_count()
        return metric

    def get_metric(self, name: str) -> Metric | None:
        """The metric registered as *name*, or None."""
        return self._metrics.get(name)

    def get_all_metrics(self) -> dict[str, Metric]:
        """A copy of name → metric, in the order of registration."""
        # What forked processes registered in the meantime is here too.
        shared_memory.refresh()
        return self._metrics.copy()

    @property
    def metrics(self) -> list[Metric]:
        """The metrics, in the order of registration."""
        return list(self.get_all_metrics().values())

    def reset_all_metrics(self) -> None:
        """Set all metrics back to their beginning and forget all events."""
        for name, metric in self.get_all_metrics().items():
            what = f"error resetting metric {name}"
            self.faults.run("reset_failed", what, metric.reset, None)
        self._events.clear()
        self._update_metrics_count()

    def _update_metrics_count(self) -> None:
        held = -1
        while self._metrics_count is not None and held != len(self._metrics):
            held = len(self._metrics)
            self._metrics_count.set(held)

    def record_event(
        self,
        name: str,
        value: Any,
        labels: Mapping[str, str] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Keep an event and call the hooks of its name with it. Never raises.

        Hooks see *value* as it was given; what is kept is a cleaned copy (`events.cleaned`).
        """
        self._record(name, value, labels, metadata)

    def _record(
        self,
        name: str,
        value: Any,
        labels: Any = None,
        metadata: Any = None,
        *,
        own: bool = False,
    ) -> None:
        name = name if type(name) is str else shown(name)
        at_s = self._clock.now_ns() / 1e9
        kept = (value, labels or {}, metadata or {})
        if not own:
            kept = self.faults.run(
                "event_unreadable",
                "event with a value that cannot be read",
                lambda: self._cleaned(*kept),
                ("[unreadable]", {}, {}),
            )
        event = TelemetryEvent(name, kept[0], at_s, kept[1], kept[2], self._events.sequence())
        self._events.append(event, own=own)
        self._events_total.increment()
        if name in self._hooks:
            given = TelemetryEvent(name, value, at_s, labels, metadata, event.sequence)
            self._hooks.run(name, given)

    def _cleaned(self, *parts: Any) -> tuple[Any, Any, Any]:
        budget = Budget(shown)
        value, labels, metadata = (cleaned(part, budget) for part in parts)
        for mark in budget.marks:
            self.faults.count(mark)
        return value, labels, metadata

    def get_events(self, limit: int | None = None) -> list[TelemetryEvent]:
        """The newest events, at most *limit* (all where it is None or 0), oldest first."""
        newest = self._events.newest()
        return newest[-limit:] if limit else newest

    def add_hook(self, hook_type: str, callback: Hook, *, inline: bool = False) -> None:
        """Call *callback* with each event named *hook_type*; `collection`: with each run's figures.

        It runs in a thread of its own and is waited for a while; *inline* runs it in the thread
        that records, however long it takes. What it raises is logged and counted.
        """
        self._hooks.add(hook_type, callback, inline=inline)

    def remove_hook(self, hook_type: str, callback: Hook) -> None:
        """Undo one `add_hook`; nothing where there was none."""
        self._hooks.remove(hook_type, callback)

    def start(self) -> None:
        """`start_collection` for a thread without an event loop."""
        self._collection.start()

    def stop(self, *, timeout_s: float = STOP_WAIT_S) -> bool:
        """`stop_collection` for a thread without an event loop; False if it took too long."""
        return self._collection.stop(timeout_s=timeout_s)

    def start_collection(self) -> Coroutine[Any, Any, None]:
        """Begin to collect in a thread, at once; nothing where it runs. May be awaited."""
        self._collection.start()
        return Done()

    def stop_collection(self) -> Coroutine[Any, Any, None]:
        """End collecting; awaited, it returns when the run under way is over."""
        self._collection.stop(timeout_s=0)
        return Done(self._collection.stopping)

    @property
    def running(self) -> bool:
        """Whether collection was started in this process, and not stopped."""
        return self._collection.running

    _running = running

    @property
    def _collection_task(self) -> object:
        return self._collection.thread

    def collect(self) -> None:
        """One collection run: an event, the self metrics, the hooks of `collection`."""
        began_s = self._clock.monotonic_s()
        self._update_metrics_count()
        figures = {"metrics_count": len(self._metrics), "events_count": len(self._events)}
        run = {"timestamp": self._clock.now_ns() / 1e9, **figures}
        self._record("collection_run", run, own=True)
        duration_s = max(0.0, self._clock.monotonic_s() - began_s)
        self._runs_total.increment()
        self._duration_seconds.observe(duration_s)
        self._hooks.run("collection", {"duration": duration_s, **figures})

    def _tick(self) -> float:
        def collected() -> bool:
            self.collect()
            return True

        done = self.faults.run(
            "collection_failed", "error in telemetry collection", collected, otherwise=False
        )
        return self.collection_interval if done else ERROR_PAUSE_S

    def add_source(self, source: Source) -> Callable[[], None]:
        """Show the families of *source*, called whenever somebody looks; call the result to end it.

        A source that raises is left out of that look, logged and counted. Raises ValueError when
        there are `SOURCES_MAX` already.
        """
        if len(self._sources) >= SOURCES_MAX:
            raise ValueError(f"{len(self._sources)} sources, limit {SOURCES_MAX}")
        key = id(source)
        self._sources[key] = source
        return lambda: self._sources.pop(key, None) and None

    def get_snapshot(self) -> dict[str, Any]:
        """All metrics and counts as plain data (see the module `snapshot`)."""
        return snapshot.taken(
            self.get_all_metrics(),
            self.faults,
            now_s=self._clock.now_ns() / 1e9,
            events_count=len(self._events),
            running=self.running,
        )

    def families(self) -> list[Family]:
        """What every metric and source shows now, in order, without the constant labels."""
        shown_metrics = snapshot.readable(self.metrics, self.faults)
        families = [one if isinstance(one, Family) else one.family() for one in shown_metrics]
        return [*families, *self.extra_families()]

    def extra_families(self) -> list[Family]:
        """What the sources show, and `sdk_errors_total` where anything went wrong.

        A name that is taken is left out and counted: no name may be shown twice.
        """
        names = set(self._metrics)
        found = []
        for source in list(self._sources.values()):
            for family in self._asked(source):
                if family.name in names:
                    self.faults.count("source_name_taken")
                    continue
                names.add(family.name)
                found.append(family)
        errors = self.faults.family()
        errors.points.extend(
            Point("", (("reason", reason),), cases)
            for reason, cases in shared_memory.losses().items()
            if cases
        )
        return [*found, *([errors] if errors.points else [])]

    def _asked(self, source: Source) -> list[Family]:
        what = f"source {getattr(source, '__qualname__', type(source).__name__)}"
        return self.faults.run("source_failed", what, lambda: list(source()), [])

    def render(self, openmetrics: bool = False) -> bytes:
        """All of it as Prometheus text, or as OpenMetrics text."""
        return exposition.render(
            [*snapshot.readable(self.metrics, self.faults), *self.extra_families()],
            openmetrics=openmetrics,
            labels=self.constant_labels,
        )


def _load_before_fork() -> None:
    """Load what would be loaded in passing: a child forked meanwhile would wait for it for ever."""
    from heliograph.instruments import points, summary  # noqa: F401


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_load_before_fork)
