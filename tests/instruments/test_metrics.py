"""Counters, gauges and histograms as spec 004 has them; labels, bounds, what is refused."""

import gc
import math
from decimal import Decimal

import numpy as np
import pytest

from heliograph.instruments import metrics
from heliograph.instruments.family import Family, Point
from heliograph.instruments.metrics import (
    Counter,
    Gauge,
    Histogram,
    Metric,
    MetricValue,
    Summary,
)
from tests.instruments.both_kernels import KERNELS, run


def value(metric):
    return metric.get_value().value


def test_counter():
    counter = Counter("steps_total", "Steps")
    assert value(counter) == 0.0
    counter.increment()
    counter.increment(2)
    counter.increment(0.5)
    assert (value(counter), type(value(counter))) == (3.5, float)
    assert (counter.name, counter.description, counter.labels) == ("steps_total", "Steps", {})
    counter.reset()
    assert value(counter) == 0.0


@pytest.mark.parametrize("amount", [-1, -1.0, -math.inf, Decimal(-1)])
def test_counter_refuses_what_is_negative(amount):
    counter = Counter("c")
    with pytest.raises(
        ValueError, match="Counter can only be incremented by non-negative values"
    ):
        counter.increment(amount)
    assert value(counter) == 0.0


@pytest.mark.parametrize(
    ("amount", "total"),
    [
        (0, 0.0),
        (True, 1.0),
        (Decimal("1.5"), 1.5),
        (np.float32(2), 2.0),
        (np.int64(3), 3.0),
        (math.inf, math.inf),
        (2**60, float(2**60)),
    ],
)
def test_counter_takes_numbers(amount, total):
    counter = Counter("c")
    counter.increment(amount)
    assert value(counter) == total


def test_counter_keeps_nan():
    counter = Counter("c")
    counter.increment(math.nan)
    assert math.isnan(value(counter))


def test_gauge_keeps_ints_until_a_float_comes():
    gauge = Gauge("g")
    assert (value(gauge), type(value(gauge))) == (0.0, float)
    gauge.increment(1)
    assert type(value(gauge)) is float
    gauge.set(42)
    gauge.increment(1)
    gauge.decrement(2)
    assert (value(gauge), type(value(gauge))) == (41, int)
    gauge.increment()
    assert (value(gauge), type(value(gauge))) == (42.0, float)
    gauge.set(True)
    assert (value(gauge), type(value(gauge))) == (1, int)
    gauge.set(np.int32(7))
    assert (value(gauge), type(value(gauge))) == (7, int)
    gauge.set(-math.inf)
    gauge.decrement(1.5)
    assert value(gauge) == -math.inf
    gauge.reset()
    assert (value(gauge), type(value(gauge))) == (0.0, float)


def test_histogram():
    histogram = Histogram("h", "H", [0.1, 0.5, 1], {"run": "a"})
    for observed in (0.05, 0.1, 0.3, 2, math.nan, math.inf):
        histogram.observe(observed)
    values = histogram.get_value()
    assert [(v.value, v.labels) for v in values if v.labels.get("type") != "sum"] == [
        (2, {"run": "a", "le": "0.1"}),
        (3, {"run": "a", "le": "0.5"}),
        (3, {"run": "a", "le": "1"}),
        (6, {"run": "a", "type": "count"}),
    ]
    assert math.isnan(values[3].value)
    histogram.reset()
    assert [v.value for v in histogram.get_value()] == [0, 0, 0, 0.0, 0]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (None, list(metrics.DEFAULT_BUCKETS)),
        ([], list(metrics.DEFAULT_BUCKETS)),
        ([3, 1, 2], [1, 2, 3]),
        ([1, 1.0, 2], [1, 2]),
        ([1, math.inf, math.inf], [1]),
        ([math.inf], []),
        (np.array([0.5, 0.25]), [0.25, 0.5]),
    ],
)
def test_buckets_are_sorted_and_once(given, kept):
    assert Histogram("h", buckets=given).buckets == kept


@pytest.mark.parametrize("count", [1, 5, 32, 33, 100, 1024])
def test_every_bound_is_inclusive(count):
    bounds = [i / 4 for i in range(count)]
    histogram = Histogram("h", buckets=bounds)
    for bound in bounds:
        histogram.observe(bound)
        histogram.observe(math.nextafter(bound, math.inf))
    _, *counts = histogram.values()
    assert counts == [1.0] + [2.0] * (count - 1) + [1.0]


def test_children_are_one_for_a_label_set_in_any_order():
    counter = Counter("c", labels={"run": "a"})
    child = counter.labels(rank="3", host="h")
    assert counter.labels(host="h", rank="3") is child
    assert counter.labels(host="h", rank=3) is child
    assert type(child) is Counter
    child.increment()
    counter.increment(2.0, {"rank": 3, "host": "h"})
    assert child.get_value().labels == {"run": "a", "host": "h", "rank": "3"}
    assert (value(child), value(counter)) == (3.0, 0.0)
    assert counter.labels == {"run": "a"}
    assert counter.children() == [child]


def test_children_of_gauges_and_histograms():
    gauge = Gauge("g")
    gauge.labels(a="1").set(5)
    gauge.increment(1, {"a": "1"})
    gauge.decrement(2, {"a": "1"})
    gauge.set(9, {"a": "2"})
    assert [value(child) for child in gauge.children()] == [4, 9]
    histogram = Histogram("h", buckets=[1])
    histogram.observe(0.5, {"a": "1"})
    assert histogram.labels(a="1").values() == [0.5, 1.0, 0.0]


def test_empty_values_are_no_labels():
    counter = Counter("c")
    assert counter.labels(a="") is counter
    assert counter.labels() is counter
    assert counter.labels(a="", b="1") is counter.labels(b="1")


def test_declared_labels():
    counter = Counter("c", labels=["a", "b"])
    counter.labels(b="2", a="1").increment()
    counter.labels(a="", b="").increment()
    for wrong in ({}, {"a": "1"}, {"a": "1", "b": "2", "c": "3"}):
        with pytest.raises(ValueError, match="c has the labels a, b; got"):
            counter.labels(**wrong)
    with pytest.raises(ValueError, match="c wants the labels a, b"):
        counter.increment()
    with pytest.raises(ValueError, match="labels already"):
        counter.labels(a="1", b="2").labels(a="1", b="2")
    assert counter.family() == Family(
        "c",
        "counter",
        "",
        "",
        [Point("", (("a", "1"), ("b", "2")), 1.0), Point("", (), 1.0)],
    )


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        ({"a-b": "1"}, "must match"),
        ({"__a": "1"}, "reserved"),
        ({"run": "1"}, "constant"),
        ({"a": "x" * 1025}, "1025 characters"),
        ({f"a{i}": "1" for i in range(33)}, "33 labels"),
    ],
)
def test_labels_that_are_none(labels, why):
    counter = Counter("c", labels={"run": "a"})
    with pytest.raises(ValueError, match=why):
        counter.labels(**labels)
    assert counter.children() == []


@pytest.mark.parametrize(
    "labels", [{"a-b": "1"}, {"": "1"}, {"__x": "1"}, ["a", "a"], ["a b"], {"a" * 256: "1"}]
)
def test_constant_and_declared_labels_that_are_none(labels):
    with pytest.raises(ValueError, match=r"label name"):
        Counter("c", labels=labels)


def test_series_are_bounded_and_the_rest_is_counted_together():
    counter = Counter("c", series_max=10)
    for i in range(100):
        counter.labels(x=str(i)).increment()
        counter.labels(**{f"name_{i}": "1"}).increment()
    assert len(counter.children()) == 11
    overflow = counter.labels(overflow="true")
    assert value(overflow) == 190.0
    assert counter.series_refused == 190
    assert sum(value(child) for child in counter.children()) == 200.0


def test_lenient_metrics_tell_and_do_not_raise():
    told = []
    how = {"strict": False, "on_error": told.append}
    counter = Counter("c", labels=["a"], **how)
    for amount in (-1, math.nan, math.inf, "5", None, True, 1j, 10**400, [1]):
        counter.labels(a="1").increment(amount)
    assert told == ["amount"] * 9
    told.clear()
    counter.labels(b="1").increment()
    counter.increment()
    counter.labels(a=b"\xff").increment()
    assert told == ["labels", "amount", "labels"]
    assert value(counter.labels(a="1")) == 0.0
    assert len(counter.children()) == 1
    gauge = Gauge("g", **how)
    told.clear()
    gauge.set("hot")
    gauge.increment(None)
    Histogram("h", **how).observe("x")
    assert told == ["value", "amount", "amount"]
    assert value(gauge) == 0.0


def test_errors_have_the_originals_words():
    with pytest.raises(
        TypeError, match="'<' not supported between instances of 'str' and 'int'"
    ):
        Counter("c").increment("5")
    words = r"unsupported operand type\(s\) for \+=: 'float' and 'str'"
    with pytest.raises(TypeError, match=words):
        Histogram("h").observe("x")
    with pytest.raises(TypeError, match=words):
        Gauge("g").increment("x")


def test_exemplars():
    counter = Counter("c")
    counter.increment(2.0, exemplar={"trace_id": "4bf9"})
    (point,) = counter.family().points
    assert (point.exemplar.labels, point.exemplar.value) == ((("trace_id", "4bf9"),), 2.0)
    assert point.exemplar.at_s > 1.7e9
    histogram = Histogram("h", buckets=[1, 2])
    histogram.observe(1.5, exemplar={"trace_id": "a"})
    histogram.observe(1.7, exemplar={"trace_id": "b"})
    found = [point.exemplar for point in histogram.family().points]
    assert [e and dict(e.labels) for e in found] == [None, {"trace_id": "b"}, None, None, None]
    with pytest.raises(ValueError, match="more than 128 characters"):
        counter.increment(1.0, exemplar={"trace_id": "x" * 121})
    assert value(counter) == 2.0


def test_summary():
    summary = Summary("s", quantiles=(0.5, 0.99))
    for i in range(1, 1001):
        summary.observe(i)
    summary.labels(a="1").observe(3)
    total, count = summary.values()
    assert (total, count) == (500500.0, 1000.0)
    (_, median), (_, high) = summary.quantiles()
    assert median == pytest.approx(500, rel=0.011)
    assert high == pytest.approx(990, rel=0.011)
    assert [v.labels for v in summary.get_value()] == [
        {"quantile": "0.5"},
        {"quantile": "0.99"},
        {"type": "sum"},
        {"type": "count"},
    ]
    assert len(summary.family().points) == 8
    with pytest.raises(ValueError, match="not all in"):
        Summary("s", quantiles=(1.5,))


def test_metrics_of_users():
    class Temperature(Metric):
        def get_value(self):
            return MetricValue(21.5, 1.0, self.labels)

        def reset(self):
            """Nothing."""

    metric = Temperature("room_celsius", "Warmth", {"room": "a"})
    family = metric.family()
    assert family == Family(
        "room_celsius", "unknown", "Warmth", "", [Point("", (("room", "a"),), 21.5)]
    )
    with pytest.raises(TypeError, match="abstract"):
        Metric("x")
    assert repr(metric.get_value()) == (
        "MetricValue(value=21.5, timestamp=1.0, labels={'room': 'a'})"
    )
    assert [kind.value for kind in metrics.MetricType] == [
        "counter",
        "gauge",
        "histogram",
        "summary",
    ]


def test_subclasses_of_users_keep_their_class_and_attributes():
    class Tagged(Counter):
        pass

    counter = Tagged("c")
    counter.tag = "mine"
    counter.increment()
    assert (counter.tag, type(counter.labels(a="1")), value(counter)) == ("mine", Tagged, 1.0)


DROPPED = """
import gc, weakref
from heliograph.instruments.metrics import Counter
from heliograph.kernels import cells
gc.disable()
class Seen(Counter):
    pass
def use():
    counter = Seen("c")
    counter.labels(a="1").increment()
    Counter("other").labels(a="1").increment()
    return weakref.ref(counter)
warm = [use() for _ in range(200)]
gc.collect()
used = cells.sums.used
gone = [use() for _ in range(200)]
gc.collect()
assert [ref() for ref in [*warm, *gone]] == [None] * 400
# Their places are used again.
assert cells.sums.used == used
"""


@pytest.mark.parametrize("kernel", KERNELS)
def test_dropped_metrics_leave_nothing_behind(kernel):
    run(kernel, DROPPED)


def test_labels_outlive_their_metric():
    labels = Counter("c").labels
    gc.collect()
    assert labels == {}
    assert type(labels(a="1")) is Counter
