"""What a user writes with metrics; `mypy --strict` must have nothing to say. Not run."""

from collections.abc import Callable

from heliograph.instruments import exposition
from heliograph.instruments.family import Family
from heliograph.instruments.metrics import (
    Counter,
    Gauge,
    Histogram,
    Metric,
    MetricType,
    MetricValue,
    Summary,
)


class Temperature(Metric):
    """A metric of one's own."""

    def get_value(self) -> MetricValue:
        return MetricValue(21.5, labels={"room": "a"})

    def reset(self) -> None:
        """Nothing to do."""


def train(step: Callable[[], float]) -> bytes:
    steps = Counter("steps_total", "Steps", {"run": "a"})
    loss = Gauge("loss", "Loss", forked="latest")
    wait = Histogram("wait_seconds", buckets=[0.1, 1, 10], labels=["rank"], unit="seconds")
    size = Summary("batch_bytes", quantiles=(0.5, 0.99), series_max=100)
    child: Counter = steps.labels(rank=3)
    child.increment(2.0, exemplar={"trace_id": "4bf9"})
    steps.increment(labels={"rank": "4"})
    loss.set(step())
    loss.labels(part="lm").decrement(1)
    rank: Histogram = wait.labels(rank="3")
    rank.observe(0.3)
    size.labels(kind="text").observe(4096)
    told: list[str] = []
    lenient = Counter("hits", strict=False, on_error=told.append)
    family: Family = lenient.family()
    value: MetricValue = steps.get_value()
    values: list[MetricValue] = wait.get_value()
    kind: str = MetricType.COUNTER.value
    constant: dict[str, str] = steps.labels
    print(family.name, value.value, values[0].labels, kind, constant)
    metrics: list[Metric] = [steps, loss, wait, size, lenient, Temperature("room_celsius")]
    return exposition.render(metrics, openmetrics=True, labels={"job": "train"})
