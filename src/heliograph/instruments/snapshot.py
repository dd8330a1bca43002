"""The snapshot of a collector, and metrics read with care.

    {"timestamp": 1767225600.0,
     "metrics": {"requests_total": {"value": 1027.0, "labels": {}, "timestamp": 1767225600.0}},
     "events_count": 150, "running": true}

A histogram, and a metric with children, is a list of such values.
"""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from heliograph.instruments import points
from heliograph.instruments.family import Family
from heliograph.instruments.faults import Faults
from heliograph.instruments.metrics import Metric, MetricValue
from heliograph.kernels import cells


def taken(
    metrics: Mapping[str, Metric],
    faults: Faults,
    *,
    now_s: float,
    events_count: int,
    running: bool,
) -> dict[str, Any]:
    """The document of *metrics*; one that raises is left out, logged and counted."""
    documents = {}
    for name, metric in metrics.items():
        what = f"error getting metric {name}"
        document = faults.run("metric_unreadable", what, partial(_document, metric), None)
        if document is not None:
            documents[name] = document
    return {
        "timestamp": now_s,
        "metrics": documents,
        "events_count": events_count,
        "running": running,
    }


def _document(metric: Metric) -> dict[str, Any] | list[dict[str, Any]]:
    values = of_metric(metric)
    return values[0] if len(values) == 1 and not metric.children() else values


def of_metric(metric: Metric) -> list[dict[str, Any]]:
    """The values of *metric* and its children, as documents."""
    children = metric.children()
    own = [metric] if not children or points.is_shown(metric, True) else []
    values = [one.get_value() for one in (*own, *children)]
    return [
        _of_value(one)
        for value in values
        for one in (value if isinstance(value, list) else [value])
    ]


def _of_value(value: MetricValue) -> dict[str, Any]:
    return {"value": value.value, "labels": dict(value.labels), "timestamp": value.timestamp}


def readable(metrics: Iterable[object], faults: Faults) -> list[Metric | Family]:
    """*metrics* for the renderers: those of users' own classes as families read with care.

    What is no metric is left out, and so is one that raises; that is logged and counted.
    """
    found: list[Metric | Family] = []
    for metric in metrics:
        if isinstance(metric, cells.Cell):
            found.append(metric)  # type: ignore[arg-type]  # only metrics are registered
        elif isinstance(metric, Metric):
            what = f"error getting metric {metric.name}"
            family = faults.run("metric_unreadable", what, metric.family, None)
            found += [] if family is None else [family]
    return found
