"""Metrics, events, hooks and exporters inside a process (spec 004); the standard library alone.

    from heliograph.instruments import PrometheusAdapter, TelemetryCollector

    collector = TelemetryCollector(collection_interval=30.0)
    requests = collector.register_counter("requests_total", "Total HTTP requests")
    requests.labels(method="GET").increment()
    await PrometheusAdapter("/tmp/metrics.prom").export_metrics(collector)

The names of the document are found here, each loaded when it is first used. Modules: `metrics`,
`collector`, `exporter` (the document's), `serve` (HTTP, ASGI, WSGI), `identity`, `face`.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from heliograph.instruments.collector import TelemetryCollector as TelemetryCollector
    from heliograph.instruments.collector import (
        setup_coordination_hooks as setup_coordination_hooks,
    )
    from heliograph.instruments.collector import setup_health_hooks as setup_health_hooks
    from heliograph.instruments.collector import setup_messaging_hooks as setup_messaging_hooks
    from heliograph.instruments.events import TelemetryEvent as TelemetryEvent
    from heliograph.instruments.exporter import ExportedMetric as ExportedMetric
    from heliograph.instruments.exporter import JSONExporter as JSONExporter
    from heliograph.instruments.exporter import MetricsExporter as MetricsExporter
    from heliograph.instruments.exporter import MultiExporter as MultiExporter
    from heliograph.instruments.exporter import PeriodicExporter as PeriodicExporter
    from heliograph.instruments.exporter import PrometheusAdapter as PrometheusAdapter
    from heliograph.instruments.exporter import (
        create_default_exporter as create_default_exporter,
    )
    from heliograph.instruments.exporter import export_to_json as export_to_json
    from heliograph.instruments.exporter import export_to_prometheus as export_to_prometheus
    from heliograph.instruments.metrics import Counter as Counter
    from heliograph.instruments.metrics import Gauge as Gauge
    from heliograph.instruments.metrics import Histogram as Histogram
    from heliograph.instruments.metrics import Metric as Metric
    from heliograph.instruments.metrics import MetricType as MetricType
    from heliograph.instruments.metrics import MetricValue as MetricValue
    from heliograph.instruments.metrics import Summary as Summary

_FOUND_IN = {
    **dict.fromkeys(
        ("Counter", "Gauge", "Histogram", "Metric", "MetricType", "MetricValue", "Summary"),
        "metrics",
    ),
    **dict.fromkeys(
        (
            *("TelemetryCollector", "TelemetryEvent", "setup_coordination_hooks"),
            *("setup_health_hooks", "setup_messaging_hooks"),
        ),
        "collector",
    ),
    **dict.fromkeys(
        (
            *("ExportedMetric", "JSONExporter", "MetricsExporter", "MultiExporter"),
            *("PeriodicExporter", "PrometheusAdapter", "create_default_exporter"),
            *("export_to_json", "export_to_prometheus"),
        ),
        "exporter",
    ),
}


if not TYPE_CHECKING:
    from heliograph.core.lazy import face as _face

    __getattr__, __dir__ = _face(globals(), _FOUND_IN)
