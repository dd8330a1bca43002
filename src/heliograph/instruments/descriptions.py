"""Metrics described to forked relatives, who make the same ones of it.

    ("Gauge", scope, "loss", "Loss", {"run": "a"}, [], "", "latest", 10_000, True)

that is: class, number of its collector, name, description, labels, buckets, unit, how processes are
combined, bound of its children, whether it is strict. Of a summary the buckets are the relative
error and the quantiles.
"""

from heliograph.kernels import cells

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def width(spec: "Any") -> int:
    """Doubles that a cell of *spec* takes in its bank."""
    return 2 if spec.kind == "gauge" else int(spec.width)


def describe(kind: str, spec: "Any") -> "tuple[Any, ...]":
    """What another process needs to make the same metric."""
    labels = dict(spec.constant) if spec.declared is None else list(spec.declared)
    policy = cells.POLICIES[spec.policy]
    about = (spec.name, spec.description, labels, list(spec.buckets), spec.unit)
    return (kind, spec.scope, *about, policy, spec.series_max, spec.strict)


def remake(described: "tuple[Any, ...]") -> "Any":
    """A metric as it was described."""
    from heliograph.instruments import metrics

    kind, _, name, text, labels, buckets, unit, policy, series_max, strict = described
    more: dict[str, Any] = {"unit": unit, "series_max": series_max, "strict": strict}
    if kind == "Histogram":
        return metrics.Histogram(name, text, buckets, labels, **more)
    if kind == "Gauge":
        return metrics.Gauge(name, text, labels, forked=policy, **more)
    if kind == "Summary":
        error, *quantiles = buckets
        more |= {"quantiles": quantiles, "relative_error": error}
        return metrics.Summary(name, text, labels, **more)
    return metrics.Counter(name, text, labels, **more)
