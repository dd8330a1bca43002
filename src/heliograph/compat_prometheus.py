"""prometheus_client's names on our instruments: change the import, keep the code.

    from heliograph.compat_prometheus import Counter, start_http_server

    JOBS = Counter("jobs", "Jobs done", ["queue"])
    JOBS.labels("gpu").inc()
    start_http_server(8000)

    heliograph.ship.to("http://heliograph:8989", source=REGISTRY.families)   # and it is shipped

`install()` puts this module where `import prometheus_client` looks, for code that is not yours.
Not here: the push gateway (ship instead), the multiprocess directory (forks need none), TLS and
`MetricsHandler` (put a proxy, or an app of yours, before it), timestamps of samples.
"""

import sys
import types
from typing import Any, cast

from heliograph.core.errors import ConfigError
from heliograph.instruments import exposition as _exposition
from heliograph.instruments import file as _file
from heliograph.instruments import prometheus_families as _families
from heliograph.instruments import prometheus_instruments as _instruments
from heliograph.instruments import prometheus_metrics as _metrics
from heliograph.instruments import prometheus_registry as _registry
from heliograph.instruments import serve as _serve
from heliograph.instruments.collector import TelemetryCollector
from heliograph.instruments.faults import Faults

# One a line: a type checker takes these for types, and those of a tuple for variables.
Counter = _instruments.Counter
Gauge = _instruments.Gauge
Summary = _instruments.Summary
Histogram = _instruments.Histogram
Info = _instruments.Info
Enum = _instruments.Enum
Collector = _registry.Collector
CollectorRegistry = _registry.Registry
REGISTRY = _registry.REGISTRY
GC_COLLECTOR = _registry.GC_COLLECTOR
PLATFORM_COLLECTOR = _registry.PLATFORM_COLLECTOR
PROCESS_COLLECTOR = _registry.PROCESS_COLLECTOR
GCCollector = _registry.GCCollector
PlatformCollector = _registry.PlatformCollector
ProcessCollector = _registry.ProcessCollector
MultiProcessCollector = _registry.MultiProcessCollector
Metric = _families.Metric
Sample = _families.Sample
CounterMetricFamily = _families.CounterMetricFamily
GaugeMetricFamily = _families.GaugeMetricFamily
HistogramMetricFamily = _families.HistogramMetricFamily
InfoMetricFamily = _families.InfoMetricFamily
StateSetMetricFamily = _families.StateSetMetricFamily
SummaryMetricFamily = _families.SummaryMetricFamily
UnknownMetricFamily = _families.UnknownMetricFamily
UntypedMetricFamily = _families.UnknownMetricFamily
disable_created_metrics = _metrics.disable_created_metrics
enable_created_metrics = _metrics.enable_created_metrics

CONTENT_TYPE_LATEST = _exposition.content_type(openmetrics=False)
CONTENT_TYPE_PLAIN_0_0_4 = CONTENT_TYPE_LATEST
_PARTS = (
    *("core", "exposition", "metrics", "metrics_core", "registry", "samples", "multiprocess"),
    *("gc_collector", "platform_collector", "process_collector"),
)


def generate_latest(registry: Any = REGISTRY, *_: object) -> bytes:
    """The page of *registry* in the text format 0.0.4."""
    return _registry.rendered(registry, openmetrics=False)


def generate_openmetrics(registry: Any = REGISTRY, *_: object) -> bytes:
    """The page of *registry* in OpenMetrics: `prometheus_client.openmetrics.exposition`'s."""
    return _registry.rendered(registry, openmetrics=True)


def start_http_server(
    port: int,
    addr: str = "0.0.0.0",  # noqa: S104 - what users know
    registry: Any = REGISTRY,
    certfile: str | None = None,
    keyfile: str | None = None,
    **_: object,
) -> "tuple[Server, Server]":
    """Serve *registry* at `http://addr:port/metrics`; the server and its thread, here one object.

    Raises ConfigError for TLS, which is a proxy's.
    """
    if certfile or keyfile:
        raise ConfigError("TLS is not served: put a proxy before it")
    server = Server(_serve.serve(_page(registry), host=addr, port=port, insecure=True))
    return server, server


start_wsgi_server = start_http_server


class Server:
    """A running server, as `http.server` has one."""

    def __init__(self, running: _serve.MetricsServer) -> None:
        self._running = running
        self.server_port = running.port

    def shutdown(self) -> None:
        """Stop it."""
        self._running.close()

    def server_close(self) -> None:
        """Nothing more: `shutdown` has closed it."""

    def join(self, timeout: float | None = None) -> None:
        """Nothing more: `shutdown` has waited for it."""


def make_wsgi_app(registry: Any = REGISTRY, *_: object, **__: object) -> _serve.WsgiApp:
    """A WSGI app that answers the page of *registry*."""
    return _serve.wsgi_app(_page(registry))


def make_asgi_app(registry: Any = REGISTRY, *_: object, **__: object) -> _serve.AsgiApp:
    """An ASGI app that answers the page of *registry*."""
    return _serve.asgi_app(_page(registry))


def write_to_textfile(path: str, registry: Any, *_: object) -> None:
    """Write the page of *registry* to *path*, whole or not at all."""
    _file.replaced(path, generate_latest(registry))


def mark_process_dead(pid: int, path: str | None = None) -> None:
    """Nothing: whoever forked it sees that it is gone."""


def install() -> None:
    """Be what `import prometheus_client` finds from now on. Call it before anything imports that."""
    ours = sys.modules[__name__]
    sys.modules["prometheus_client"] = ours
    for part in _PARTS:
        sys.modules[f"prometheus_client.{part}"] = ours
    openmetrics = types.ModuleType("prometheus_client.openmetrics")
    pages = types.ModuleType("prometheus_client.openmetrics.exposition")
    vars(pages)["generate_latest"] = generate_openmetrics
    vars(pages)["CONTENT_TYPE_LATEST"] = _exposition.content_type(openmetrics=True)
    vars(openmetrics)["exposition"] = pages
    sys.modules[openmetrics.__name__] = openmetrics
    sys.modules[pages.__name__] = pages


# They are packages and modules there; here all of them are this one.
for _part in _PARTS:
    globals()[_part] = sys.modules[__name__]


class _Page:
    """What the servers ask of a collector."""

    def __init__(self, registry: Any) -> None:
        self._registry = registry
        self.faults = Faults()

    def render(self, openmetrics: bool = False) -> bytes:
        return _registry.rendered(self._registry, openmetrics=openmetrics)


def _page(registry: Any) -> TelemetryCollector:
    return cast("TelemetryCollector", _Page(registry))
