"""Code of a user, to be read by a strict type checker alone (`test_sdk_page`)."""

from typing import assert_type

import heliograph.ship
from heliograph.compat_prometheus import REGISTRY, Counter, Gauge, Histogram, generate_latest
from heliograph.instruments import TelemetryCollector, push
from heliograph.instruments.gpu_metrics import GpuMetrics
from heliograph.instruments.identity import identity
from heliograph.instruments.sketch import QuantileSketch
from heliograph.instruments.steps import track_step
from heliograph.instruments.timing import timer

collector = TelemetryCollector(labels=identity({"RANK": "3"}))
shipper = heliograph.ship.to(
    "http://h:8989", collector=collector, every_s=15, spool_dir="/spool"
)
assert_type(shipper, heliograph.ship.Shipper)
assert_type(shipper.flush(1.0), bool)
assert_type(push.to("http://h:8989", gpu=True), heliograph.ship.Shipper)
collector.add_source(GpuMetrics.here())
heliograph.ship.to("http://h:8989", source=REGISTRY.families)

JOBS = Counter("jobs", "Jobs", ["queue"])
assert_type(JOBS.labels("gpu"), Counter)
JOBS.labels(queue="gpu").inc(exemplar={"trace_id": "4bf9"})
Gauge("level", "Level").set(1)
with Histogram("took", "Took").time() as took:
    pass
assert_type(took.seconds, float)
assert_type(generate_latest(), bytes)

with track_step(collector, tokens=4096) as step:
    step.report(loss=0.5)
assert_type(step.seconds, float)


@timer(collector.register_histogram("save_seconds"))
def save(path: str) -> int:
    return len(path)


assert_type(save("a"), int)
assert_type(QuantileSketch.from_bytes(b"").quantile(0.5), float)
