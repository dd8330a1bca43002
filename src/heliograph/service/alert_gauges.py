"""Gauges of the alert side: how much there is of everything that can grow, and bounds reached."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from heliograph.service.alerting import Alerting
from heliograph.service.deliveries import Deliveries
from heliograph.service.measure import Registry

Reads = Callable[[], list[tuple[tuple[str, ...], float]]]


class Counted(Protocol):
    """Something that counts what happened, by name, perhaps while others read."""

    @property
    def counts(self) -> Counter[str]:
        """Since the start."""
        ...


def add(
    registry: Registry,
    alerting: Alerting,
    deliveries: Deliveries,
    channels: Counted,
    correlator: Counted,
    rules: Sequence[Counted],
) -> None:
    """Add them to *registry*; they are read when it is asked for. *rules* evaluate."""
    gauge = registry.gauge
    what = ("what",)
    gauge(
        "heliograph_alerts_held",
        "Of everything that the engine holds, how much.",
        _of(alerting.gauges),
        what,
    )
    gauge(
        "heliograph_alerts_engine_tally",
        "What the engine did since the start, bounds reached among it.",
        _of(lambda: {**alerting.counts(), **_sum([correlator])}),
        what,
    )
    gauge(
        "heliograph_alerts_channels_tally",
        "What channels did since the start: split, shortened, throttled, fell back.",
        _of(lambda: _sum([channels])),
        what,
    )
    gauge(
        "heliograph_alerts_rules_tally",
        "Bounds that rules reached since the start: late, evicted, left out, dropped.",
        _of(lambda: _sum(rules)),
        what,
    )
    gauge(
        "heliograph_alerts_waiting",
        "Alert requests that wait for their turn.",
        lambda: [((), float(alerting.waiting))],
    )
    gauge(
        "heliograph_alerts_attempts_in_flight",
        "Attempts being made.",
        lambda: [((), float(deliveries.in_flight))],
    )


def _sum(counted: Sequence[Counted]) -> Mapping[str, int]:
    """The counts of all of *counted*. Copies, each made at once: a sum of counters goes through them by
    itself, and fails where another thread counts something for the first time."""
    found: Counter[str] = Counter()
    for one in counted:
        found.update(Counter(one.counts))
    return found


def _of(read: Callable[[], Mapping[str, int]]) -> Reads:
    return lambda: [((name,), float(count)) for name, count in sorted(read().items())]
