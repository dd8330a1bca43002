"""Timers and steps: what they measure, and that they never get in the way."""

import asyncio
import math
import threading

import pytest

from heliograph.core.clock import ManualClock
from heliograph.instruments import steps as stepping
from heliograph.instruments import timing
from heliograph.instruments.collector import TelemetryCollector
from heliograph.instruments.metrics import Counter, Gauge, Histogram, Summary
from heliograph.instruments.steps import Steps, track_step
from heliograph.instruments.timing import timer


@pytest.fixture
def machine(monkeypatch):
    clock = ManualClock()
    monkeypatch.setattr(timing, "_clock", clock)
    return clock


def shown(collector):
    """{name + labels: value} of the training metrics that a page shows."""
    found = {}
    for line in collector.render().decode().splitlines():
        if line.startswith("training_"):
            key, _, value = line.rpartition(" ")
            found[key] = float(value)
    return found


def test_a_block_is_timed(machine):
    histogram = Histogram("save_seconds", buckets=[1, 10])
    with timer(histogram) as took:
        machine.advance(2.5)

    assert took.seconds == 2.5
    assert [value.value for value in histogram.get_value()] == [0, 1, 2.5, 1]


def test_a_block_that_raises_is_timed_and_raises(machine):
    gauge = Gauge("save_seconds")

    @timer(gauge)
    def fail():
        machine.advance(2.5)
        raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert gauge.get_value().value == 2.5


def test_every_call_of_a_function_is_timed_by_itself(machine):
    summary = Summary("call_seconds")

    @timer(summary)
    def down(depth):
        """Docs stay."""
        machine.advance(1.0)
        return depth and down(depth - 1)

    assert down(2) == 0
    assert (down.__name__, down.__doc__) == ("down", "Docs stay.")
    assert (summary.sketch().count, summary.sketch().sum) == (3, 6.0)


def test_a_coroutine_is_timed_to_its_end(machine):
    gauge = Gauge("call_seconds")

    @timer(gauge)
    async def fetch():
        machine.advance(3.0)
        await asyncio.sleep(0)
        machine.advance(4.0)
        return "done"

    assert asyncio.run(fetch()) == "done"
    assert gauge.get_value().value == 7.0


def test_a_counter_takes_no_seconds():
    with pytest.raises(TypeError, match="Counter takes no seconds"):
        timer(Counter("a_total"))


@pytest.fixture
def collector():
    return TelemetryCollector()


def test_a_step_is_time_throughput_loss_and_norm(collector, clock):
    steps = Steps(collector, clock)
    for n in range(3):
        with steps.step(tokens=4096, samples=8) as step:
            clock.advance(0.5)
            step.report(loss=2.0 - n, grad_norm=0.25)
        clock.advance(0.125)
    steps.report(learning_rate=1e-4)
    found = shown(collector)

    assert step.seconds == pytest.approx(0.5)
    assert {key: value for key, value in found.items() if "_bucket" not in key} == {
        "training_steps_total": 3.0,
        "training_step_failures_total": 0.0,
        "training_step_seconds_sum": pytest.approx(1.5),
        "training_step_seconds_count": 3.0,
        "training_between_steps_seconds_sum": pytest.approx(0.25),
        "training_between_steps_seconds_count": 2.0,
        "training_tokens_total": 12288.0,
        "training_samples_total": 24.0,
        "training_tokens_per_second": pytest.approx(8192.0),
        "training_samples_per_second": pytest.approx(16.0),
        "training_loss": 0.0,
        "training_grad_norm": 0.25,
        "training_learning_rate": 1e-4,
    }


def test_a_step_that_raises_is_a_failure_and_raises(collector, clock):
    steps = Steps(collector, clock)
    with pytest.raises(RuntimeError, match="out of memory"), steps.step(tokens=10):
        raise RuntimeError("CUDA out of memory")
    found = shown(collector)

    assert (found["training_step_failures_total"], found["training_steps_total"]) == (1, 0)
    assert found["training_tokens_total"] == 0


def test_tokens_may_be_known_later(collector, clock):
    with Steps(collector, clock).step() as step:
        clock.advance(2.0)
        step.tokens = 100

    assert shown(collector)["training_tokens_per_second"] == pytest.approx(50.0)


class Tensor:
    """A value on a device: reading it waits, and is counted."""

    def __init__(self, value, *, graph=True):
        self.value, self.graph, self.reads = value, graph, []

    def detach(self):
        twin = Tensor(self.value, graph=False)
        twin.reads = self.reads
        return twin

    def __float__(self):
        self.reads.append(threading.current_thread().name)
        if isinstance(self.value, Exception):
            raise type(self.value)(*self.value.args)
        return self.value


def test_a_tensor_is_read_when_somebody_looks_and_keeps_no_graph(collector, clock):
    steps, loss = Steps(collector, clock), Tensor(1.5)
    with steps.step() as step:
        step.report(loss=loss)
    assert loss.reads == []
    assert not steps._reported["loss"].graph

    assert shown(collector)["training_loss"] == 1.5
    assert len(loss.reads) == 1


@pytest.mark.parametrize(
    "wrong", ["2.5", b"1", [1, 2], object(), Tensor(RuntimeError("CUDA error")), 10**400]
)
def test_what_is_no_number_is_not_shown_and_does_not_raise(collector, clock, wrong):
    steps = Steps(collector, clock)
    with steps.step(tokens=wrong) as step:
        step.report(loss=wrong, grad_norm=math.nan)
    found = shown(collector)

    assert "training_loss" not in found
    assert math.isnan(found["training_grad_norm"])
    assert (found["training_steps_total"], found["training_tokens_total"]) == (1, 0)


def test_the_same_collector_has_one_set(collector):
    for _ in range(2):
        with track_step(collector, samples=4):
            pass

    assert shown(collector)["training_samples_total"] == 8
    assert len(collector._sources) == 1


def test_a_name_that_the_user_has_stays_the_users(collector, clock):
    collector.register_gauge("training_steps_total").set(7)
    with Steps(collector, clock).step():
        pass

    assert shown(collector)["training_steps_total"] == 7


def test_the_default_collector_is_the_default(monkeypatch):
    from heliograph.instruments import face

    monkeypatch.setattr(face, "_default", {})
    monkeypatch.setattr(stepping, "_of", {})
    with track_step(tokens=3):
        pass

    assert shown(face.collector())["training_tokens_total" + _constant(face)] == 3


def _constant(face):
    pairs = face.collector().constant_labels.items()
    text = ",".join(f'{name}="{value}"' for name, value in pairs)
    return f"{{{text}}}" if text else ""
