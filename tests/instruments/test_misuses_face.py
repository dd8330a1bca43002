"""The misuses of single instruments, on the face: nothing raises, nothing changes, it is counted.

On the instruments of spec 004 the same calls raise as the original's do; see the tests of metrics.
"""

import decimal
import gc
import itertools
import math
import os
import signal
import threading

import pytest

import heliograph
from heliograph.core.clock import SystemClock
from tests.instruments.forked import child, status

CLOCK = SystemClock()
_names = map("misused_{}".format, itertools.count())


@pytest.fixture
def counted():
    """counted() → how many errors were counted since the test began."""

    def errors():
        return sum(heliograph.collector().faults.counts().values())

    before = errors()
    return lambda: errors() - before


class Number:
    """What has a `__float__`, like a tensor."""

    def __init__(self, float_of):
        self.float_of = float_of

    def __float__(self):
        return self.float_of()


def raising():
    raise RuntimeError("no number")


def slow():
    CLOCK.sleep(0.5)
    return 4.0


AMOUNTS = {
    "counter-inc-negative": -1,
    "counter-inc-nan": math.nan,
    "counter-inc-inf": math.inf,
    "counter-inc-string": "5",
    "counter-inc-none": None,
    "counter-inc-bool": True,
    "counter-inc-complex": 1j,
    "counter-inc-bigint": 10**400,
    "counter-inc-decimal-snan": decimal.Decimal("sNaN"),
    "counter-inc-numpy-array": [1, 2],
}


@pytest.mark.parametrize("amount", AMOUNTS.values(), ids=AMOUNTS)
def test_an_amount_that_is_none(amount, counted):
    counter = heliograph.counter(next(_names))
    for cell in (counter, counter.labels(rank="0")):
        cell.increment(2.0)
        cell.increment(amount)

        assert cell.get_value().value == 2.0
    assert counted() == 2


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(math.nan, "NaN", id="gauge-set-nan"),
        pytest.param(-math.inf, "-Inf", id="gauge-set-minus-inf"),
        pytest.param(Number(lambda: 4.0), "4.0", id="gauge-set-tensor-like"),
    ],
)
def test_a_value_that_is_kept(value, expected, counted):
    name = next(_names)
    heliograph.gauge(name).set(value)

    assert f"\n{name} {expected}\n" in heliograph.collector().render().decode()
    assert counted() == 0


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("x", id="gauge-set-string"),
        pytest.param(Number(raising), id="gauge-set-float-raises"),
        pytest.param(None, id="gauge-set-none"),
    ],
)
def test_a_value_that_is_none(value, counted):
    gauge = heliograph.gauge(next(_names))
    gauge.set(1.5)
    gauge.set(value)

    assert gauge.get_value().value == 1.5
    assert counted() == 1


def test_a_slow_value_holds_nobody_else():
    """id gauge-set-float-sleeps"""
    gauge = heliograph.gauge(next(_names))
    setting = threading.Thread(target=gauge.set, args=[Number(slow)])
    began = CLOCK.monotonic_s()
    setting.start()
    heliograph.counter(next(_names)).increment()
    heliograph.collector().render()
    took = CLOCK.monotonic_s() - began
    setting.join()

    assert took < 0.4
    assert gauge.get_value().value == 4.0


BUCKETS = {
    "histogram-buckets-unsorted": ([3, 1, 2], [1, 2, 3]),
    "histogram-buckets-duplicate": ([1, 1, 2], [1, 2]),
    "histogram-buckets-no-inf": ([1, 2, 3], [1, 2, 3]),
    "histogram-buckets-inf-twice": ([1, math.inf, math.inf], [1]),
    "histogram-buckets-nan": ([1, math.nan], None),
    "histogram-buckets-strings": (["1"], None),
    "histogram-buckets-million": (list(range(10**6)), None),
}


@pytest.mark.parametrize(("given", "expected"), BUCKETS.values(), ids=BUCKETS)
def test_buckets(given, expected, counted):
    name = next(_names)
    heliograph.histogram(name, buckets=given).observe(1)
    lines = heliograph.collector().render().decode().splitlines()
    bounds = [line.split('"')[1] for line in lines if line.startswith(f'{name}_bucket{{le="')]

    if expected is None:
        assert (bounds, counted()) == ([], 1)
    else:
        assert [float(bound) for bound in bounds] == [*expected, math.inf]
        assert bounds[-1] == "+Inf"
        assert counted() == 0


def test_no_buckets_are_the_usual_ones():
    """id histogram-buckets-empty"""
    assert len(heliograph.histogram(next(_names), buckets=[]).buckets) == 11


def test_label_values(counted):
    """ids label-value-newline, label-value-bytes"""
    name = next(_names)
    counter = heliograph.counter(name)
    counter.labels(x='a\nb"c\\d').increment()
    counter.labels(x=b"\xff").increment()
    text = heliograph.collector().render().decode()

    assert f'\n{name}{{x="a\\nb\\"c\\\\d"}} 1.0\n' in text
    assert text.count(f"\n{name}{{") == 1
    assert counted() == 1


def test_label_names(counted):
    """ids label-missing, label-extra"""
    name = next(_names)
    counter = heliograph.counter(name, labels=["x"])
    counter.labels().increment()
    counter.labels(x="1", y="2").increment()
    counter.increment()
    assert counted() == 3
    counter.labels(x="1").increment()

    assert f'\n{name}{{x="1"}} 1.0\n' in heliograph.collector().render().decode()
    assert counted() == 3


def test_many_label_values_end_in_the_overflow(counted):
    """id label-cardinality-1e6, a twentieth of it: the rest is the same call again."""
    name = next(_names)
    counter = heliograph.counter(name)
    for index in range(50_000):
        counter.labels(x=str(index)).increment()
    text = heliograph.collector().render().decode()
    heliograph.collector().unregister(name)

    assert text.count(f"\n{name}{{") <= 10_001
    assert f'\n{name}{{overflow="true"}} 40000.0\n' in text
    assert counted() == 0


def test_threads_count_exactly():
    """id threads-16x1e5"""
    counter = heliograph.counter(next(_names))

    def count():
        for _ in range(100_000):
            counter.increment()

    threads = [threading.Thread(target=count) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert counter.get_value().value == 1_600_000


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timers here")
def test_finalizers_and_signal_handlers_may_do_anything():
    """id reentrant-gc"""
    counter, name = heliograph.counter(next(_names)), next(_names)

    def everything(*_):
        counter.increment()
        counter.labels(where="handler").increment()
        heliograph.counter(name).increment()
        heliograph.event("x", {"a": [1]})

    class Dying:
        def __init__(self):
            self.me = self

        def __del__(self):
            everything()

    previous = signal.signal(signal.SIGALRM, everything)
    signal.setitimer(signal.ITIMER_REAL, 0.003, 0.003)
    try:
        for _ in range(300):
            Dying()
            everything()
            heliograph.collector().collect()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    gc.collect()

    assert counter.get_value().value >= 600
    assert heliograph.counter(name).get_value().value == counter.get_value().value


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forking_while_others_count_and_register():
    """id fork-while-locked"""
    counter, stop, made = heliograph.counter(next(_names)), threading.Event(), itertools.count()

    def busy():
        while not stop.is_set():
            counter.labels(n=str(next(made) % 100)).increment()
            heliograph.event("busy", {"a": 1})
            heliograph.collector().render()

    threads = [threading.Thread(target=busy) for _ in range(3)]
    for thread in threads:
        thread.start()

    def work():
        for _ in range(100):
            counter.increment()
        heliograph.counter("misused_in_a_child").increment()
        heliograph.event("child", {"a": 1})
        heliograph.collector().render()

    statuses = [status(child(work)) for _ in range(5)]
    stop.set()
    for thread in threads:
        thread.join()

    assert statuses == [0] * 5
    assert counter.get_value().value == 500
