"""What `import heliograph` offers: instruments of one default collector, which never raise.

    steps = heliograph.counter("steps_total", "Steps done")
    steps.increment()
    heliograph.gauge("loss").set(2.31)
    heliograph.event("checkpoint", {"path": "/ckpt/41"})

Asked for the same name again, the same instrument comes back. An invalid call changes nothing,
costs no exception, and is counted in `sdk_errors_total`; with `HELIOGRAPH_STRICT=1` in the
environment it raises, for tests. All it shows carries the process's identity (`identity`).
"""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from heliograph.instruments import shared_memory
from heliograph.instruments.collector import Labels, TelemetryCollector
from heliograph.instruments.identity import identity
from heliograph.instruments.metrics import Counter, Gauge, Histogram, Metric

if TYPE_CHECKING:
    from heliograph.instruments.steps import Step
    from heliograph.instruments.summary import Summary
    from heliograph.instruments.timing import Observes, Sets, Timer

Kind = TypeVar("Kind", bound=Metric)

_default: dict[str, TelemetryCollector] = {}
_strict = os.environ.get("HELIOGRAPH_STRICT", "") in {"1", "true", "yes", "on"}


def collector() -> TelemetryCollector:
    """The default collector: one in a process, made when it is first asked for."""
    made = _default.get("default")
    if made is None:
        labels = identity(dict(os.environ))
        made = _default.setdefault("default", TelemetryCollector(labels=labels))
    return made


def counter(name: str, description: str = "", labels: Labels = None) -> Counter:
    """The counter *name*; *labels* are constant ones, or the names of those to be given."""
    return _instrument(Counter, name, lambda **how: Counter(name, description, labels, **how))


def gauge(name: str, description: str = "", labels: Labels = None) -> Gauge:
    """The gauge *name*; *labels* as of `counter`."""
    return _instrument(Gauge, name, lambda **how: Gauge(name, description, labels, **how))


def histogram(
    name: str,
    description: str = "",
    buckets: Sequence[float] | None = None,
    labels: Labels = None,
) -> Histogram:
    """The histogram *name* with upper bounds *buckets*; *labels* as of `counter`."""
    return _instrument(
        Histogram, name, lambda **how: Histogram(name, description, buckets, labels, **how)
    )


def summary(name: str, description: str = "", labels: Labels = None) -> "Summary":
    """The summary of quantiles *name*; *labels* as of `counter`."""
    from heliograph.instruments.summary import Summary

    return _instrument(Summary, name, lambda **how: Summary(name, description, labels, **how))


def event(
    name: str,
    value: Any = None,
    labels: Mapping[str, str] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Record that *name* happened."""
    collector().record_event(name, value, labels, metadata)


def timer(into: "str | Observes | Sets", description: str = "") -> "Timer":
    """Times a block or a function, in seconds, into an instrument or the histogram of that name."""
    from heliograph.instruments import timing

    metric = histogram(into, description) if isinstance(into, str) else into
    if _strict:
        return timing.timer(metric)
    home = collector()
    made = home.faults.run(
        "invalid_metric", "heliograph.timer", partial(timing.timer, metric), None
    )
    return made or timing.Timer(Histogram("unregistered", **_lenient(home)).observe)


def track_step(*, tokens: float = 0, samples: float = 0) -> "Step":
    """A step of training, to be entered: see `heliograph.instruments.steps`."""
    from heliograph.instruments import steps

    home = collector()
    track = partial(steps.track_step, home, tokens=tokens, samples=samples)
    if _strict:
        return track()
    made = home.faults.run("invalid_metric", "heliograph.track_step", track, None)
    if made is None:
        made = steps.track_step(TelemetryCollector(), tokens=tokens, samples=samples)
    return made


def _instrument(kind: type[Kind], name: str, make: Callable[..., Kind]) -> Kind:
    """The metric *name* of *kind*, or one that nobody sees where there cannot be such a one."""
    home = collector()
    if _strict:
        return _registered(home, kind, name, make)
    found = home.faults.run(
        "invalid_metric",
        f"heliograph.{kind.__name__.lower()}",
        lambda: _registered(home, kind, name, make),
        None,
    )
    return kind("unregistered", **_lenient(home)) if found is None else found


def _registered(
    home: TelemetryCollector, kind: type[Kind], name: str, make: Callable[..., Kind]
) -> Kind:
    found: Metric | None = home.get_metric(name)
    while found is None:
        made = make() if _strict else make(**_lenient(home))
        # Another thread may have been first.
        found = home.adopt(made)
    if type(found) is not kind:
        raise ValueError(
            f"Metric {name} already registered as a {type(found).__name__.lower()}"
        )
    # If only a forked worker had registered it so far, it is ours as well from now on.
    shared_memory.claim(found)
    return found


def _lenient(home: TelemetryCollector) -> dict[str, Any]:
    return {"strict": False, "on_error": home.faults.count}
