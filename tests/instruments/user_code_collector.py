"""Code of a user, to be read by a strict type checker alone (`test_face_typing`)."""

import asyncio
from collections.abc import Mapping
from typing import assert_type

import heliograph
from heliograph.instruments import (
    Counter,
    Gauge,
    Histogram,
    JSONExporter,
    Metric,
    MetricsExporter,
    MultiExporter,
    PeriodicExporter,
    PrometheusAdapter,
    TelemetryCollector,
    TelemetryEvent,
)
from heliograph.instruments.collector import setup_health_hooks, setup_messaging_hooks
from heliograph.instruments.exporter import (
    ExportedMetric,
    create_default_exporter,
    export_to_prometheus,
)
from heliograph.instruments.serve import MetricsServer, asgi_app, serve, wsgi_app

collector = TelemetryCollector(collection_interval=30.0)
assert_type(collector.register_counter("a_total", "A"), Counter)
assert_type(collector.register_gauge("g", "G", {"rank": "0"}), Gauge)
assert_type(
    collector.register_histogram("h", "H", buckets=[1, 2.5], labels=["rank"]), Histogram
)
assert_type(collector.get_metric("a_total"), Metric | None)
assert_type(collector.get_all_metrics(), dict[str, Metric])
assert_type(collector.get_events(limit=5), list[TelemetryEvent])
collector.record_event("login", {"user": 1}, labels={"source": "web"}, metadata={"n": 1})


def on_login(event: TelemetryEvent) -> None:
    print(event.name, event.value, event.labels, event.metadata, event.timestamp)


def on_collection(figures: Mapping[str, float]) -> None:
    print(figures["duration"])


collector.add_hook("login", on_login)
collector.add_hook("collection", on_collection, inline=True)
collector.remove_hook("login", on_login)
setup_messaging_hooks(collector, queue_size=lambda: 3)
setup_health_hooks(collector)


class Printing(MetricsExporter):
    """An exporter of a user."""

    async def export_metrics(self, collector: TelemetryCollector) -> bool:
        print(collector.render().decode())
        return True

    def format_metric(self, name: str, metric: Metric) -> ExportedMetric | None:
        return None


async def main() -> None:
    """As in the document."""
    await collector.start_collection()
    adapter = PrometheusAdapter("/tmp/metrics.prom")
    assert_type(await adapter.export_metrics(collector), bool)
    assert_type(await export_to_prometheus(collector), bool)
    both = MultiExporter([adapter, JSONExporter("/tmp/metrics.json", pretty=False), Printing()])
    periodic = PeriodicExporter(both, collector, interval=30.0)
    await periodic.start()
    await periodic.stop()
    await collector.stop_collection()
    assert_type(create_default_exporter("a.prom"), MetricsExporter)
    assert_type(adapter.get_last_export_time(), float)


asyncio.run(main())
collector.start()
assert_type(collector.stop(timeout_s=1), bool)
exporting = PeriodicExporter(PrometheusAdapter("/tmp/metrics.prom"), collector)
exporting.start_thread()
assert_type(exporting.finish(timeout_s=1), bool)

steps = heliograph.counter("steps_total", "Steps done")
steps.increment()
heliograph.gauge("loss").set(2.31)
heliograph.histogram("step_seconds", buckets=[0.1, 1.0]).observe(0.3)
heliograph.event("checkpoint", {"path": "/ckpt/41"})
with heliograph.timer("load_seconds") as took:
    pass
assert_type(took.seconds, float)
with heliograph.track_step(tokens=4096) as step:
    step.report(loss=2.5, grad_norm=1.0)
heliograph.ship.to("http://127.0.0.1:8989", collector=heliograph.collector()).close()
assert_type(heliograph.collector(), TelemetryCollector)
assert_type(heliograph.__version__, str)

with serve(heliograph.collector(), port=0) as server:
    assert_type(server, MetricsServer)
    assert_type(server.url, str)
asgi_app(collector)
wsgi_app(collector)
