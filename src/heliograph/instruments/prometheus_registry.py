"""A registry as prometheus_client's users know it, on our renderer.

    registry = CollectorRegistry()
    Counter("jobs", "Jobs done", registry=registry).inc()
    generate_latest(registry)           # text
    heliograph.ship.to(url, source=registry.families)

What is registered has `collect()`, which yields metrics: our own instruments, custom collectors,
and prometheus_client's, for whoever moves over one module at a time.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from heliograph.instruments import exposition
from heliograph.instruments.family import Family
from heliograph.instruments.gc_metrics import gc_metrics
from heliograph.instruments.platform_metrics import platform_metrics
from heliograph.instruments.process_metrics import ProcessMetrics
from heliograph.instruments.prometheus_families import Metric, Sample, families_of

_SUFFIXES = {
    "counter": ("_total", "_created"),
    "summary": ("_sum", "_count", "_created"),
    "histogram": ("_bucket", "_sum", "_count", "_created"),
    "gaugehistogram": ("_bucket", "_gsum", "_gcount"),
    "info": ("_info",),
}


class Collector(Protocol):
    """What may be registered."""

    def collect(self) -> Iterable[Metric]:
        """Its metrics, now."""
        ...


class Registry:
    """Collectors by the names of the series they show; `CollectorRegistry` to users.

    *auto_describe* asks a collector without `describe` for its names by collecting once.
    """

    def __init__(
        self,
        auto_describe: bool = False,
        target_info: Mapping[str, str] | None = None,
        support_collectors_without_names: bool = False,
    ) -> None:
        self._auto_describe = auto_describe
        # Only registering and unregistering take it; no code of others runs under it.
        self._lock = threading.RLock()
        self._names: dict[Any, list[str]] = {}
        self._collectors: dict[str, Any] = {}
        self._target_info: dict[str, str] | None = None
        self._shows_nameless = support_collectors_without_names
        self.set_target_info(target_info)

    def register(self, collector: Any) -> None:
        """Show *collector*. Raises ValueError where a name it shows is taken."""
        names = self._described(collector)
        with self._lock:
            taken = sorted(set(names).intersection(self._collectors))
            if taken:
                raise ValueError(f"Duplicated timeseries in CollectorRegistry: {set(taken)}")
            self._names[collector] = names
            self._collectors.update(dict.fromkeys(names, collector))

    def unregister(self, collector: Any) -> None:
        """Show *collector* no more. Raises KeyError where it is not registered."""
        with self._lock:
            for name in self._names.pop(collector):
                del self._collectors[name]

    def registered(self) -> list[Any]:
        """All collectors, in the order in which they were registered."""
        with self._lock:
            return list(self._names)

    def collect(self) -> Iterator[Metric]:
        """The metrics of all collectors, in that order."""
        yield from self._target()
        for collector in self.registered():
            yield from collector.collect()

    def restricted_registry(self, names: Iterable[str]) -> "Restricted":
        """What has `collect()` and shows only the series of *names*."""
        return Restricted(self, frozenset(names))

    def set_target_info(self, labels: Mapping[str, str] | None) -> None:
        """Show *labels* as `target_info`, or nothing for none."""
        with self._lock:
            if labels and not self._target_info and "target_info" in self._collectors:
                raise ValueError("CollectorRegistry already contains a target_info metric")
            self._target_info = dict(labels) if labels else None

    def get_target_info(self) -> dict[str, str] | None:
        """What is shown as `target_info`."""
        return self._target_info

    def get_sample_value(
        self, name: str, labels: Mapping[str, str] | None = None
    ) -> float | None:
        """The value of one sample by its whole *name*, or None; for tests."""
        for metric in self.collect():
            for sample in metric.samples:
                if sample.name == name and sample.labels == dict(labels or {}):
                    return sample.value
        return None

    def sources(self, *, openmetrics: bool) -> list[Any]:
        """What the renderer shows: whole metrics where it can read them fast, else families."""
        found: list[Any] = []
        for target in self._target():
            found += families_of(target, openmetrics=openmetrics)
        for collector in self.registered():
            fast: Callable[..., list[Any]] | None = getattr(collector, "render_sources", None)
            if fast is not None:
                found += fast(openmetrics=openmetrics)
                continue
            for metric in collector.collect():
                found += families_of(metric, openmetrics=openmetrics)
        return found

    def families(self) -> list[Family]:
        """All of it for `heliograph.ship.to(url, source=…)`, or a collector's `add_source`."""
        return [
            one if isinstance(one, Family) else one.family()
            for one in self.sources(openmetrics=False)
        ]

    def _target(self) -> Iterator[Metric]:
        info = self._target_info
        if info:
            target = Metric("target", "Target metadata", "info")
            target.add_sample("target_info", info, 1.0)
            yield target

    def _described(self, collector: Any) -> list[str]:
        """The names of the series that *collector* shows; none where it does not say."""
        describe = getattr(collector, "describe", None)
        if describe is None:
            if not self._auto_describe:
                return []
            describe = collector.collect
        names = []
        for metric in describe():
            suffixes = ("", *_SUFFIXES.get(metric.type, ()))
            names += [metric.name + suffix for suffix in suffixes]
        return names


class Restricted:
    """Some series of a registry."""

    def __init__(self, registry: Registry, names: frozenset[str]) -> None:
        self._registry = registry
        self._series = names

    def collect(self) -> Iterator[Metric]:
        """The metrics that have any of the names, with only the samples that have them."""
        for metric in self._registry.collect():
            samples = [sample for sample in metric.samples if sample.name in self._series]
            if samples:
                kept = Metric(metric.name, metric.documentation, metric.type, metric.unit)
                kept.samples = samples
                yield kept

    def sources(self, *, openmetrics: bool) -> list[Any]:
        """As of `Registry.sources`."""
        return [
            family
            for metric in self.collect()
            for family in families_of(metric, openmetrics=openmetrics)
        ]


class FromFamilies:
    """A collector of what a source of ours shows: process, platform, GC."""

    def __init__(self, source: Callable[[], list[Family]]) -> None:
        self._source = source

    def collect(self) -> Iterator[Metric]:
        """Its metrics, now."""
        for family in self._source():
            name = family.name
            metric = Metric(name.removesuffix("_total"), family.help, family.kind, family.unit)
            metric.samples = [
                Sample(name + point.suffix, dict(point.labels), point.value)
                for point in family.points
            ]
            yield metric

    def render_sources(self, *, openmetrics: bool) -> list[Family]:
        """As of `Registry.sources`."""
        del openmetrics
        return self._source()


def rendered(registry: Any, *, openmetrics: bool) -> bytes:
    """The page of *registry*: ours, a restricted one, or anything that has `collect()`."""
    sources = getattr(registry, "sources", None)
    if sources is None:
        found = [
            family
            for metric in registry.collect()
            for family in families_of(metric, openmetrics=openmetrics)
        ]
    else:
        found = sources(openmetrics=openmetrics)
    return exposition.render(found, openmetrics)


REGISTRY = Registry(auto_describe=True)


class GCCollector(FromFamilies):
    """The garbage collector, on *registry*."""

    def __init__(self, registry: Any = REGISTRY) -> None:
        super().__init__(gc_metrics)
        registry.register(self)


class PlatformCollector(FromFamilies):
    """The interpreter, on *registry*."""

    def __init__(self, registry: Any = REGISTRY) -> None:
        super().__init__(platform_metrics)
        if registry is not None:
            registry.register(self)


class ProcessCollector(FromFamilies):
    """This process, on *registry*, under names that *namespace* begins."""

    def __init__(
        self, namespace: str = "", *, proc: str = "/proc", registry: Any = REGISTRY
    ) -> None:
        read = ProcessMetrics(Path(proc))
        before = f"{namespace}_" if namespace else ""
        super().__init__(lambda: [f._replace(name=before + f.name) for f in read()])
        if registry is not None:
            registry.register(self)


class MultiProcessCollector:
    """All that `REGISTRY` has, on another *registry*: with forked processes, whose sums these are."""

    def __init__(self, registry: Any, path: str | None = None) -> None:
        del path
        if registry is not REGISTRY:
            registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """The metrics of `REGISTRY`, but for those of the process that answers."""
        for collector in REGISTRY.registered():
            if not isinstance(collector, FromFamilies):
                yield from collector.collect()


GC_COLLECTOR = GCCollector()
PLATFORM_COLLECTOR = PlatformCollector()
PROCESS_COLLECTOR = ProcessCollector()
