"""`track_step`: time, throughput, loss and gradient norm of every step of a training.

    for batch in loader:
        with track_step(tokens=batch.numel()) as step:
            loss = model(batch)
            …
            step.report(loss=loss, grad_norm=norm, learning_rate=schedule.get_last_lr()[0])

    training_steps_total               training_step_seconds (histogram)
    training_tokens_total              training_tokens_per_second       of the last step
    training_samples_total             training_samples_per_second
    training_between_steps_seconds     what passes between steps: mostly the wait for data
    training_step_failures_total       steps that raised
    training_loss  training_grad_norm  training_learning_rate

What is reported may be a tensor. It is kept as it is and read when somebody looks, in a thread of
theirs: turning it into a number waits for the device, and a step shall not. Nothing here raises
into the step; what turns out to be no number is not shown.
"""

from types import TracebackType
from typing import Any, Self, TypeVar
from weakref import WeakKeyDictionary

from heliograph.core.clock import Clock, SystemClock
from heliograph.instruments.collector import TelemetryCollector
from heliograph.instruments.family import Family, Point
from heliograph.instruments.metrics import Counter, Gauge, Histogram, Metric

STEP_BUCKETS_S = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0),
)
# What a number of somebody else's making may raise where it is read: torch's errors are these.
_NO_NUMBER = (TypeError, ValueError, OverflowError, RuntimeError, AttributeError)
_SHOWN = (
    ("loss", "Loss as last reported"),
    ("grad_norm", "Norm of the gradients as last reported"),
    ("learning_rate", "Learning rate as last reported"),
)

Kind = TypeVar("Kind", bound=Metric)


class Steps:
    """The metrics of steps in *collector*; more than one training in a process take turns."""

    def __init__(self, collector: TelemetryCollector, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._ended_s: float | None = None
        self._reported: dict[str, Any] = {}
        self.steps = _counter(collector, "steps_total", "Steps done")
        self.failures = _counter(collector, "step_failures_total", "Steps that raised")
        self.seconds = _histogram(collector, "step_seconds", "Seconds that a step takes")
        self.between = _histogram(
            collector, "between_steps_seconds", "Seconds between a step and the next"
        )
        self.tokens = _counter(collector, "tokens_total", "Tokens trained on")
        self.samples = _counter(collector, "samples_total", "Samples trained on")
        self.token_rate = _gauge(
            collector, "tokens_per_second", "Tokens a second, in the last step"
        )
        self.sample_rate = _gauge(
            collector, "samples_per_second", "Samples a second, in the last step"
        )
        collector.add_source(self.families)

    def step(self, *, tokens: float = 0, samples: float = 0) -> "Step":
        """A step to be entered, over *tokens* and *samples*."""
        return Step(self, tokens, samples)

    def families(self) -> list[Family]:
        """What was reported last, read now."""
        found = []
        for name, text in _SHOWN:
            value = _number(self._reported.get(name))
            if value is not None:
                point = Point("", (), value)
                found.append(Family(f"training_{name}", "gauge", text, "", [point]))
        return found

    def report(
        self, *, loss: Any = None, grad_norm: Any = None, learning_rate: Any = None
    ) -> None:
        """Show these from now on; a tensor is read later, by whoever looks."""
        self._keep("loss", loss)
        self._keep("grad_norm", grad_norm)
        self._keep("learning_rate", learning_rate)

    def began(self) -> float:
        """A step begins; its instant."""
        now_s = self._clock.monotonic_s()
        if self._ended_s is not None:
            self.between.observe(max(now_s - self._ended_s, 0.0))
        return now_s

    def ended(self, began_s: float, *, tokens: Any, samples: Any, failed: bool) -> float:
        """The step that began at *began_s* ends; its seconds."""
        now_s = self._clock.monotonic_s()
        self._ended_s = now_s
        seconds = max(now_s - began_s, 0.0)
        if failed:
            self.failures.increment()
            return seconds
        self.steps.increment()
        self.seconds.observe(seconds)
        if tokens:
            _count(self.tokens, self.token_rate, tokens, seconds)
        if samples:
            _count(self.samples, self.sample_rate, samples, seconds)
        return seconds

    def _keep(self, name: str, value: Any) -> None:
        if value is None:
            return
        try:
            # Undetached, a loss would hold on to all of its graph until the next one.
            detach = getattr(value, "detach", None)
            self._reported[name] = value if detach is None else detach()
        except _NO_NUMBER:
            self._reported.pop(name, None)


class Step:
    """One step of `Steps`; a context manager.

    tokens, samples  may be set inside, where they become known later than the step begins
    seconds          how long it took, once it is over
    """

    __slots__ = ("_began_s", "_steps", "samples", "seconds", "tokens")

    def __init__(self, steps: Steps, tokens: float, samples: float) -> None:
        self._steps = steps
        self._began_s = 0.0
        self.tokens = tokens
        self.samples = samples
        self.seconds = 0.0

    def report(
        self, *, loss: Any = None, grad_norm: Any = None, learning_rate: Any = None
    ) -> None:
        """Show these from now on; see `Steps.report`."""
        self._steps.report(loss=loss, grad_norm=grad_norm, learning_rate=learning_rate)

    def __enter__(self) -> Self:
        self._began_s = self._steps.began()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.seconds = self._steps.ended(
            self._began_s, tokens=self.tokens, samples=self.samples, failed=kind is not None
        )


_of: "WeakKeyDictionary[TelemetryCollector, Steps]" = WeakKeyDictionary()


def track_step(
    collector: TelemetryCollector | None = None, *, tokens: float = 0, samples: float = 0
) -> Step:
    """A step of the training whose metrics are in *collector*, or in the default one."""
    if collector is None:
        from heliograph.instruments import face

        collector = face.collector()
    steps = _of.get(collector)
    if steps is None:
        steps = _of.setdefault(collector, Steps(collector))
    return steps.step(tokens=tokens, samples=samples)


def _count(total: Counter, rate: Gauge, amount: Any, seconds: float) -> None:
    number = _number(amount)
    if number is not None and number > 0:
        total.increment(number)
        rate.set(number / seconds if seconds else 0.0)


def _counter(collector: TelemetryCollector, name: str, text: str) -> Counter:
    return _registered(collector, Counter(f"training_{name}", text, strict=False))


def _gauge(collector: TelemetryCollector, name: str, text: str) -> Gauge:
    return _registered(collector, Gauge(f"training_{name}", text, strict=False))


def _histogram(collector: TelemetryCollector, name: str, text: str) -> Histogram:
    metric = Histogram(f"training_{name}", text, STEP_BUCKETS_S, strict=False)
    return _registered(collector, metric)


def _registered(collector: TelemetryCollector, metric: Kind) -> Kind:
    """*metric* in *collector*, or the one of its name and kind that is there already."""
    found = collector.adopt(metric)
    # A name that the user has for something else stays the user's; ours is not shown.
    return found if type(found) is type(metric) else metric


def _number(value: Any) -> float | None:
    """*value* as a number, or None where it is none; waits for the device that it is on."""
    if value is None or isinstance(value, str | bytes):
        return None
    try:
        return float(value)
    except _NO_NUMBER:
        return None
