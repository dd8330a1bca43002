"""The collector of spec 004: registry, snapshot, collection with and without an event loop."""

import asyncio
import math
import os
import subprocess
import sys
import threading
from functools import partial
from itertools import count

import pytest

from heliograph.core.clock import ManualClock, SystemClock
from heliograph.instruments import (
    Counter,
    Gauge,
    Histogram,
    Metric,
    MetricValue,
    TelemetryCollector,
)
from heliograph.instruments import (
    collector as collector_module,
)
from heliograph.instruments.family import Family, Point
from tests.instruments.forked import child, status

SELF = [
    "telemetry_events_total",
    "telemetry_collection_runs_total",
    "telemetry_metrics_count",
    "telemetry_collection_duration_seconds",
]

CLOCK = SystemClock()


def value_of(collector, name):
    return collector.get_metric(name).get_value().value


def test_a_new_collector_has_its_self_metrics():
    collector = TelemetryCollector()

    assert list(collector.get_all_metrics()) == SELF
    assert collector.collection_interval == 30.0
    assert value_of(collector, "telemetry_metrics_count") == 4


def test_registering_returns_the_metric():
    collector = TelemetryCollector(collection_interval=60.0)
    counter = collector.register_counter("requests_total", "Total HTTP requests")
    gauge = collector.register_gauge("active", "Active", {"kind": "tcp"})
    histogram = collector.register_histogram("took_seconds", "Took", [0.1, 1.0])

    assert [type(one) for one in (counter, gauge, histogram)] == [Counter, Gauge, Histogram]
    assert all(isinstance(one, Metric) for one in (counter, gauge, histogram))
    assert collector.get_metric("requests_total") is counter
    assert (counter.name, counter.description) == ("requests_total", "Total HTTP requests")
    assert collector.get_metric("absent") is None
    assert value_of(collector, "telemetry_metrics_count") == 7
    assert collector.metrics[-3:] == [counter, gauge, histogram]


def test_a_name_is_taken_once():
    collector = TelemetryCollector()
    first = collector.register_counter("a_total", "A")
    first.increment(3)
    for register in (
        collector.register_counter,
        collector.register_gauge,
        collector.register_histogram,
        collector.register_summary,
    ):
        with pytest.raises(ValueError, match=r"^Metric a_total already registered$"):
            register("a_total", "B")

    assert collector.get_metric("a_total") is first
    assert value_of(collector, "telemetry_metrics_count") == 5


def test_all_metrics_are_a_copy():
    collector = TelemetryCollector()
    collector.get_all_metrics().clear()

    assert len(collector.get_all_metrics()) == 4


def test_metrics_and_sources_are_bounded(monkeypatch):
    monkeypatch.setattr(collector_module, "METRICS_MAX", 5)
    monkeypatch.setattr(collector_module, "SOURCES_MAX", 1)
    collector = TelemetryCollector()
    collector.register_counter("a_total")
    collector.add_source(list)
    with pytest.raises(ValueError, match="5 metrics, limit 5"):
        collector.register_counter("b_total")
    with pytest.raises(ValueError, match="1 sources, limit 1"):
        collector.add_source(list)


def test_threads_register_each_name_once():
    collector, refused = TelemetryCollector(), []

    def register():
        for index in range(200):
            try:
                collector.register_counter(f"c{index}_total", "")
            except ValueError:
                refused.append(index)

    threads = [threading.Thread(target=register) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(refused) == sorted(list(range(200)) * 3)
    assert value_of(collector, "telemetry_metrics_count") == 204


def test_unregistering_frees_the_name():
    collector = TelemetryCollector()
    collector.register_counter("a_total", "A")
    collector.unregister("a_total")
    collector.register_gauge("a_total", "A")

    assert value_of(collector, "telemetry_metrics_count") == 5


def test_the_snapshot_has_the_shape_of_the_document():
    clock = ManualClock(1_632_150_000 * 10**9)
    collector = TelemetryCollector(clock=clock)
    collector.register_counter("http_requests_total", "", {"code": "200"}).increment(1027)
    collector.record_event("x", 1)
    snapshot = collector.get_snapshot()
    entry = snapshot["metrics"]["http_requests_total"]

    assert {k: v for k, v in snapshot.items() if k != "metrics"} == {
        "timestamp": 1632150000.0,
        "events_count": 1,
        "running": False,
    }
    assert list(snapshot) == ["timestamp", "metrics", "events_count", "running"]
    assert (entry["value"], entry["labels"]) == (1027, {"code": "200"})
    assert list(snapshot["metrics"]) == [*SELF, "http_requests_total"]
    assert abs(entry["timestamp"] * 1e9 - CLOCK.now_ns()) < 60e9


def test_children_are_in_the_snapshot():
    collector = TelemetryCollector()
    counter = collector.register_counter("a_total", "A")
    counter.labels(rank="0").increment()
    counter.labels(rank="1").increment(2)
    histogram = collector.register_histogram("h", "H", [1], labels=["rank"])
    histogram.labels(rank="0").observe(0.5)
    metrics = collector.get_snapshot()["metrics"]

    assert [(one["labels"], one["value"]) for one in metrics["a_total"]] == [
        ({"rank": "0"}, 1.0),
        ({"rank": "1"}, 2.0),
    ]
    assert [(one["labels"], one["value"]) for one in metrics["h"]] == [
        ({"rank": "0", "le": "1"}, 1),
        ({"rank": "0", "type": "sum"}, 0.5),
        ({"rank": "0", "type": "count"}, 1),
    ]


def test_a_metric_that_raises_is_left_out(caplog):
    class Broken(Counter):
        def get_value(self):
            raise RuntimeError("broken")

    collector = TelemetryCollector()
    collector.register(Broken("broken_total"))

    assert list(collector.get_snapshot()["metrics"]) == SELF
    assert collector.faults.counts() == {"metric_unreadable": 1}
    assert "telemetry_events_total" in collector.render().decode()
    assert "broken_total" in caplog.text


class Own(Metric):
    """A metric of a user's own class."""

    def get_value(self):
        if self.description == "broken":
            raise RuntimeError("broken")
        return MetricValue(7, labels={"a": "b"})

    def reset(self):
        pass


def test_metrics_of_a_users_own_class():
    collector = TelemetryCollector()
    collector.register(Own("mine"))
    collector.register(Own("theirs", "broken"))

    assert '# TYPE mine untyped\nmine{a="b"} 7\n' in collector.render().decode()
    assert "theirs" not in collector.render().decode()
    assert [family.name for family in collector.families()][4:] == ["mine", "sdk_errors_total"]
    assert set(collector.get_snapshot()["metrics"]) == {*SELF, "mine"}
    assert set(collector.faults.counts()) == {"metric_unreadable"}


def test_resetting_all():
    collector = TelemetryCollector()
    counter = collector.register_counter("a_total", "A")
    counter.increment(5)
    collector.record_event("x", 1)
    collector.reset_all_metrics()

    assert (counter.get_value().value, collector.get_events()) == (0, [])
    assert value_of(collector, "telemetry_events_total") == 0
    assert value_of(collector, "telemetry_metrics_count") == 5


def test_collection_in_an_event_loop():
    collector = TelemetryCollector(collection_interval=0.02)

    async def run():
        await collector.start_collection()
        await collector.start_collection()
        assert collector.get_snapshot()["running"] is True
        await asyncio.sleep(0.2)
        await collector.stop_collection()
        await collector.stop_collection()

    asyncio.run(run())
    runs = value_of(collector, "telemetry_collection_runs_total")
    names = {event.name for event in collector.get_events()}

    assert 3 <= runs <= 11
    assert names == {"collection_run"}
    assert value_of(collector, "telemetry_events_total") == runs
    assert (
        collector.get_metric("telemetry_collection_duration_seconds").get_value()[-1].value
        == runs
    )
    assert collector.get_snapshot()["running"] is False
    CLOCK.sleep(0.05)
    assert value_of(collector, "telemetry_collection_runs_total") == runs


def test_collection_in_a_plain_thread():
    collector = TelemetryCollector(collection_interval=0.01)
    asyncio.run(
        collector.start_collection()
    )  # The loop is over at once; the collection is not.
    until(lambda: value_of(collector, "telemetry_collection_runs_total") >= 2)
    assert collector.stop() is True
    assert collector.running is False
    collector.start()
    before = value_of(collector, "telemetry_collection_runs_total")
    until(lambda: value_of(collector, "telemetry_collection_runs_total") >= before + 2)
    asyncio.run(collector.stop_collection())

    assert collector.running is False


def test_collection_may_be_started_as_a_task_or_gathered():
    collector = TelemetryCollector(collection_interval=0.01)

    async def run():
        await asyncio.create_task(collector.start_collection())
        await asyncio.gather(collector.stop_collection(), asyncio.sleep(0))

    asyncio.run(run())

    assert collector.running is False


def test_collection_goes_on_beneath_a_blocking_hook():
    collector = TelemetryCollector(collection_interval=0.01, hook_wait_s=0.02)
    go = threading.Event()
    collector.add_hook("collection", lambda figures: go.wait(20))
    collector.start_collection()
    until(lambda: value_of(collector, "telemetry_collection_runs_total") >= 5)
    go.set()
    asyncio.run(collector.stop_collection())


def test_a_failing_collection_is_told_and_goes_on(caplog, monkeypatch):
    monkeypatch.setattr(collector_module, "ERROR_PAUSE_S", 0.01)
    collector = TelemetryCollector(collection_interval=0.01)
    whole, failures = collector.collect, []

    def failing():
        if len(failures) < 2:
            failures.append(1)
            raise RuntimeError("disk")
        whole()

    collector.collect = failing
    collector.start_collection()
    until(lambda: value_of(collector, "telemetry_collection_runs_total") >= 1)
    asyncio.run(collector.stop_collection())

    assert collector.faults.counts() == {"collection_failed": 2}
    assert "error in telemetry collection: RuntimeError: disk" in caplog.text


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_does_not_collect_and_may():
    collector = TelemetryCollector(collection_interval=0.01)
    collector.start_collection()

    def work():
        assert not collector.running
        collector.start()
        assert collector.running

    found = status(child(work))
    asyncio.run(collector.stop_collection())

    assert found == 0


def test_a_program_ends_while_it_collects():
    program = (
        "from heliograph.instruments import TelemetryCollector\n"
        "c = TelemetryCollector(collection_interval=0.001)\n"
        "c.add_hook('collection', lambda d: None)\n"
        "c.start_collection()\n"
    )
    began = CLOCK.monotonic_s()
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=30
    )

    assert done.stderr == ""
    assert CLOCK.monotonic_s() - began < 5


def test_sources_are_shown_with_the_rest():
    collector = TelemetryCollector()
    family = Family("gpu_used_bytes", "gauge", "Used", "bytes", [Point("", (("gpu", "0"),), 5)])
    end = collector.add_source(lambda: [family])
    collector.add_source(lambda: 1 / 0)
    collector.add_source(lambda: [family._replace(help="again")])

    assert family in collector.families()
    assert 'gpu_used_bytes{gpu="0"} 5' in collector.render().decode()
    assert collector.render().decode().count("# TYPE gpu_used_bytes") == 1
    counts = collector.faults.counts()
    assert set(counts) == {"source_failed", "source_name_taken"}
    assert "sdk_errors_total" in collector.render().decode()
    end()
    end()
    assert "again" in collector.render().decode()


def test_constant_labels_are_on_everything():
    collector = TelemetryCollector(labels={"rank": "3"})
    collector.register_gauge("loss", "Loss").set(math.nan)
    collector.faults.count("hook_slow")
    lines = [
        line for line in collector.render().decode().splitlines() if line and line[0] != "#"
    ]

    assert 'loss{rank="3"} NaN' in lines
    assert all('rank="3"' in line for line in lines)


def test_registering_from_a_finalizer_or_a_signal_handler_is_all_right():
    signal = pytest.importorskip("signal")
    if not hasattr(signal, "setitimer"):
        pytest.skip("no interval timers here")
    collector, numbers, made = TelemetryCollector(), count(), []

    def on_alarm(*_):
        # The next alarm may come in the middle of this one.
        number = next(numbers)
        made.append(number)
        collector.register_counter(f"signal{number}_total", "")
        collector.record_event("alarm", {"n": number})

    previous = signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
    try:
        for index in range(1000):
            collector.register_gauge(f"loop{index}", "")
            collector.record_event("loop", {"index": index})
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)

    assert len(collector.get_all_metrics()) == 4 + 1000 + len(made)
    assert value_of(collector, "telemetry_metrics_count") == 4 + 1000 + len(made)
    assert value_of(collector, "telemetry_events_total") == 1000 + len(made)


def until(condition, timeout_s=10):
    end = CLOCK.monotonic_s() + timeout_s
    while not condition():
        assert CLOCK.monotonic_s() < end
        CLOCK.sleep(0.005)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_what_forked_children_count_and_register_is_the_parents_too():
    """id fork-dataloader: workers forked anew every epoch; the counts add up."""
    collector = TelemetryCollector()
    loaded = collector.register_counter("loaded_total", "Loaded")
    loaded.increment(1)

    def work(worker):
        loaded.increment(10)
        loaded.labels(worker=str(worker)).increment(1)
        collector.record_event("loaded", {"worker": worker})
        made = collector.adopt(Counter("made_there_total", "Made in a child"))
        made.increment()

    for _ in range(3):
        children = [child(partial(work, worker)) for worker in range(4)]
        assert [status(one) for one in children] == [0] * 4
    text = collector.render().decode()

    assert loaded.get_value().value == 121
    assert {
        c.labels["worker"]: c.get_value().value for c in loaded.children()
    } == dict.fromkeys("0123", 3)
    assert value_of(collector, "telemetry_events_total") == 12
    assert "\nmade_there_total 12.0\n" in text
    assert collector.running is False
