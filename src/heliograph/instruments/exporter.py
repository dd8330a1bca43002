"""Exporters: the metrics of a collector as files, once or again and again (spec 004).

    await PrometheusAdapter("/var/metrics/training.prom").export_metrics(collector)   # → True
    await PeriodicExporter(JSONExporter("/tmp/metrics.json"), collector, interval=30.0).start()

A file is replaced whole (`instruments.file`), so a reader never sees half of one. An export that
fails is False, logged and counted (`sdk_errors_total{reason="export_failed"}`), never raised.
"""

import asyncio
import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

from heliograph.core.clock import Clock, SystemClock
from heliograph.instruments import exposition, file, json_text, periodic, snapshot
from heliograph.instruments.collector import TelemetryCollector
from heliograph.instruments.faults import Faults
from heliograph.instruments.metrics import Metric

# Where the document has it.
PeriodicExporter = periodic.PeriodicExporter

OutputFile: TypeAlias = str | os.PathLike[str] | None

ATTEMPTS = 3
RETRY_FIRST_S = 0.05

_log = logging.getLogger(__name__)


class ExportedMetric(NamedTuple):
    """A metric made ready for export.

    metric_type  counter, gauge, histogram or summary
    values       `{"value": …, "labels": {…}}` each; of a histogram the buckets carry `le`, the
                 sum and the count the label `type`
    timestamp    when it was read, in seconds since 1970 UTC
    """

    name: str
    metric_type: str
    description: str
    values: list[dict[str, Any]]
    timestamp: float


class MetricsExporter(ABC):
    """What brings the metrics of a collector somewhere. Exporters of users are subclasses of it."""

    @abstractmethod
    async def export_metrics(self, collector: TelemetryCollector) -> bool:
        """Export what *collector* holds now; whether that succeeded."""

    @abstractmethod
    def format_metric(self, name: str, metric: Metric) -> ExportedMetric | None:
        """One metric made ready, or None where this exporter does not make them one by one."""

    def export(self, collector: TelemetryCollector) -> bool:
        """`export_metrics` for a thread without an event loop; it blocks."""
        return asyncio.run(self.export_metrics(collector))


class _FileExporter(MetricsExporter):
    """What replaces one file; without a file it only logs how much there is."""

    _what = "metrics"

    def __init__(self, output_file: OutputFile, clock: Clock | None) -> None:
        self.output_file = output_file
        self._clock = clock or SystemClock()
        self._faults = Faults(self._clock)
        self._last_export = 0.0

    async def export_metrics(self, collector: TelemetryCollector) -> bool:
        """Export what *collector* holds now, in a thread beside the event loop."""
        return await asyncio.to_thread(self.export, collector)

    def export(self, collector: TelemetryCollector) -> bool:
        """`export_metrics` for a thread without an event loop; it blocks."""

        def exported() -> bool:
            text, metrics = self._text(collector)
            if self.output_file is None:
                _log.info("exported %s: %d", self._what, metrics)
            else:
                self._write(self.output_file, text)
            return True

        what = f"error exporting {self._what} to {self.output_file}"
        done = _faults_of(collector, self._faults).run(
            "export_failed", what, exported, otherwise=False
        )
        if done:
            self._last_export = self._clock.now_ns() / 1e9
        return done

    def get_last_export_time(self) -> float:
        """When the last export succeeded, in seconds since 1970 UTC; 0.0 before the first."""
        return self._last_export

    def _write(self, path: str | os.PathLike[str], text: bytes) -> None:
        """Replace the file; what may pass is tried again."""
        delay_s = RETRY_FIRST_S
        for attempt in range(1, ATTEMPTS + 1):
            try:
                file.replaced(path, text)
            except OSError as error:
                if attempt == ATTEMPTS or not file.passing(error):
                    raise
                self._clock.sleep(delay_s)
                delay_s *= 2
            else:
                return

    def _text(self, collector: TelemetryCollector) -> tuple[bytes, int]:
        raise NotImplementedError


class PrometheusAdapter(_FileExporter):
    """A file in the Prometheus text format, as node_exporter's textfile collector reads it."""

    def __init__(self, output_file: OutputFile = None, *, clock: Clock | None = None) -> None:
        super().__init__(output_file, clock)

    def format_metric(self, name: str, metric: Metric) -> ExportedMetric | None:
        """*metric* made ready; None, logged and counted, where it cannot be read."""

        def formatted() -> ExportedMetric:
            values = snapshot.of_metric(metric)
            return ExportedMetric(
                name=name,
                metric_type=metric.family().kind,
                description=metric.description,
                values=[{"value": one["value"], "labels": one["labels"]} for one in values],
                timestamp=self._clock.now_ns() / 1e9,
            )

        what = f"error formatting metric {name}"
        return self._faults.run("metric_unreadable", what, formatted, None)

    def _text(self, collector: TelemetryCollector) -> tuple[bytes, int]:
        metrics = collector.get_all_metrics()
        ours = isinstance(collector, TelemetryCollector)
        families = collector.extra_families() if ours else []
        labels = collector.constant_labels if ours else {}
        found = snapshot.readable(metrics.values(), _faults_of(collector, self._faults))
        return exposition.render([*found, *families], labels=labels), len(found)


class JSONExporter(_FileExporter):
    """A file with the snapshot as JSON; NaN and the infinities are strings in it."""

    _what = "JSON metrics"

    def __init__(
        self,
        output_file: OutputFile = None,
        pretty: bool = True,
        *,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(output_file, clock)
        self.pretty = pretty

    def format_metric(self, name: str, metric: Metric) -> ExportedMetric | None:  # noqa: ARG002
        """None: the snapshot is exported whole."""
        return None

    def _text(self, collector: TelemetryCollector) -> tuple[bytes, int]:
        document = collector.get_snapshot()
        text = json_text.text(document, pretty=self.pretty)
        return text.encode(), len(document["metrics"])


class MultiExporter(MetricsExporter):
    """Several exporters as one, which succeeded where any of them did."""

    def __init__(self, exporters: Sequence[MetricsExporter]) -> None:
        self.exporters = list(exporters)
        self._faults = Faults()

    async def export_metrics(self, collector: TelemetryCollector) -> bool:
        """Export with each in turn; one that raises counts as failed."""
        results = [await self._one(exporter, collector) for exporter in self.exporters]
        return any(results)

    def export(self, collector: TelemetryCollector) -> bool:
        """`export_metrics` for a thread without an event loop; it blocks."""
        results = [self._one_blocking(exporter, collector) for exporter in self.exporters]
        return any(results)

    def format_metric(self, name: str, metric: Metric) -> ExportedMetric | None:
        """As the first of them makes it."""
        return self.exporters[0].format_metric(name, metric) if self.exporters else None

    async def _one(self, exporter: MetricsExporter, collector: TelemetryCollector) -> bool:
        faults = _faults_of(collector, self._faults)
        return await faults.awaited(
            "export_failed",
            _named(exporter),
            lambda: exporter.export_metrics(collector),
            otherwise=False,
        )

    def _one_blocking(self, exporter: MetricsExporter, collector: TelemetryCollector) -> bool:
        return _faults_of(collector, self._faults).run(
            "export_failed",
            _named(exporter),
            lambda: exporter.export(collector),
            otherwise=False,
        )


async def export_to_prometheus(
    collector: TelemetryCollector, output_file: str = "metrics.prom"
) -> bool:
    """One export in the Prometheus text format; whether it succeeded."""
    return await PrometheusAdapter(output_file).export_metrics(collector)


async def export_to_json(
    collector: TelemetryCollector, output_file: str = "metrics.json"
) -> bool:
    """One export of the snapshot as JSON; whether it succeeded."""
    return await JSONExporter(output_file).export_metrics(collector)


def create_default_exporter(
    prometheus_file: str | None = None, json_file: str | None = None
) -> MetricsExporter:
    """An exporter to the files given; to none it is a `JSONExporter` that only logs."""
    exporters: list[MetricsExporter] = []
    if prometheus_file:
        exporters.append(PrometheusAdapter(prometheus_file))
    if json_file:
        exporters.append(JSONExporter(json_file))
    if not exporters:
        exporters.append(JSONExporter())
    return exporters[0] if len(exporters) == 1 else MultiExporter(exporters)


def _faults_of(collector: object, otherwise: Faults) -> Faults:
    return collector.faults if isinstance(collector, TelemetryCollector) else otherwise


def _named(exporter: object) -> str:
    return f"error in exporter {type(exporter).__name__}"
