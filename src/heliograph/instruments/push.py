"""`to`: ship a collector, with what every process shows of itself, in one call.

    from heliograph.instruments import push

    push.to("http://heliograph:8989")            # the default collector, by the environment's identity

The whole of it is `add_platform(collector)` and `heliograph.ship.to(url, collector=…)`, which see.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from heliograph.instruments import face, platform_metrics
from heliograph.instruments.collector import TelemetryCollector
from heliograph.instruments.family import Family, Point
from heliograph.ship import begin
from heliograph.ship.shipper import Shipper


def to(
    url: str,
    collector: TelemetryCollector | None = None,
    *,
    platform: bool = True,
    host: bool = False,
    gpu: bool = False,
    labels: Mapping[str, str] | None = None,
    **more: Any,
) -> Shipper:
    """Ship *collector*, the default one where none is given, to *url* from now on.

    platform   with interpreter, GC and process metrics
    host, gpu  with those of the machine, where their libraries are; one process a node is enough
    labels     of every series, besides the collector's constant ones
    more       as of `heliograph.ship.to`

    Raises ConfigError as that does, and where *host* or *gpu* is asked for and cannot be.
    """
    if collector is None:
        collector = face.collector()
    sources: list[Callable[[], list[Family]]] = []
    if host:
        from heliograph.instruments.host_metrics import HostMetrics

        sources.append(HostMetrics.here())
    if gpu:
        from heliograph.instruments.gpu_metrics import GpuMetrics

        sources.append(GpuMetrics.here())
    shipper = begin.to(url, collector=collector, labels=labels, own_metrics=False, **more)
    # In the collector, and by it among what is shipped: whoever scrapes sees that shipping fails.
    collector.add_source(partial(own_metrics, shipper))
    if platform:
        platform_metrics.add_platform(collector)
    for source in sources:
        collector.add_source(source)
    return shipper


def own_metrics(shipper: Shipper) -> list[Family]:
    """The shipper's own metrics, as a collector shows them."""
    return [
        Family(
            family.name,
            family.kind,
            family.help,
            family.unit,
            [Point("", point.labels, point.value) for point in family.points],
        )
        for family in shipper.families()
    ]
