"""A real collector, shipped: every kind of metric, identity, platform, and what forks counted."""

import os
import re

import pytest

import heliograph.ship
from heliograph.core.errors import ConfigError
from heliograph.instruments import face, push
from heliograph.instruments.collector import TelemetryCollector
from heliograph.instruments.steps import track_step
from tests.ship.receiver import Receiver


@pytest.fixture
def receiver():
    with Receiver() as opened:
        yield opened


@pytest.fixture
def shipped(receiver, tmp_path):
    """shipped(collector, **more) → {name: [(labels, value)]} of what a flush delivers; where the first
    tick came before it, on a slow machine, as it is in the end."""
    begun = []

    def ship(collector, **more):
        more = {"spool_dir": tmp_path / "spool", "every_s": 60, **more}
        begun.append(push.to(receiver.url, collector, **more))
        assert begun[-1].flush(5)
        last = {
            (name, *sorted(labels.items())): (name, labels, value)
            for name, labels, _, value, _ in receiver.series()
        }
        found = {}
        for name, labels, value in last.values():
            found.setdefault(name, []).append((labels, value))
        return found

    yield ship
    for shipper in begun:
        shipper.close(1)


def test_every_kind_of_metric_arrives(shipped):
    collector = TelemetryCollector(labels={"rank": "3", "job": "llm"})
    collector.register_counter("steps_total").labels(kind="warm").increment(4)
    collector.register_gauge("loss").set(0.25)
    collector.register_histogram("wait_seconds", buckets=[1, 2]).observe(1.5)
    collector.register_summary("size_bytes").observe(10)
    with track_step(collector, tokens=100) as step:
        step.report(loss=2.0)
    found = shipped(collector, labels={"instance": "here"})
    own = {"rank": "3", "job": "llm", "instance": "here"}

    assert found["steps_total"] == [({**own, "kind": "warm"}, 4.0)]
    assert found["loss"] == [(own, 0.25)]
    assert [(labels["le"], value) for labels, value in found["wait_seconds_bucket"]] == [
        ("1", 0.0),
        ("2", 1.0),
        ("+Inf", 1.0),
    ]
    assert found["wait_seconds_sum"] == [(own, 1.5)]
    assert found["size_bytes_count"] == [(own, 1.0)]
    assert {labels["quantile"] for labels, _ in found["size_bytes"]} >= {"0.5"}
    assert found["training_tokens_total"] == [(own, 100.0)]
    assert found["training_loss"] == [(own, 2.0)]
    assert found["telemetry_metrics_count"][0][1] >= 8
    assert found["python_info"][0][1] == 1.0
    assert found["process_resident_memory_bytes"][0][1] > 1e6
    assert found["heliograph_ship_spool_bytes_max"] == [(own, float(32 << 20))]


def test_whoever_scrapes_sees_that_shipping_fails(tmp_path):
    collector = TelemetryCollector()
    shipper = push.to("http://127.0.0.1:1", collector, spool_dir=tmp_path, every_s=60)
    assert not shipper.flush(0.3)
    page = collector.render().decode()
    shipper.close(0)

    [later] = re.findall(
        r'^heliograph_ship_attempts_total\{outcome="later"\} (\d+)', page, re.MULTILINE
    )
    [frames] = re.findall(r"^heliograph_ship_spool_frames (\d+)", page, re.MULTILINE)
    assert int(later) >= 1
    assert int(frames) >= 1


def test_forked_children_count_in_what_the_parent_ships(shipped):
    collector = TelemetryCollector()
    steps = collector.register_counter("steps_total")
    for _ in range(2):
        if (child := os.fork()) == 0:
            steps.increment(10)
            os._exit(0)
        os.waitpid(child, 0)
    steps.increment()

    [(_, value)] = shipped(collector, platform=False)["steps_total"]
    assert value == 21.0


def test_the_default_collector_carries_the_identity(shipped, monkeypatch):
    monkeypatch.setattr(face, "_default", {})
    monkeypatch.setenv("RANK", "7")
    monkeypatch.setenv("POD_UID", "p-1")
    face.counter("steps_total").increment()

    [(labels, value)] = shipped(None)["steps_total"]
    assert value == 1.0
    assert {"rank": "7", "pod_uid": "p-1"}.items() <= labels.items()


def test_host_metrics_come_along_when_asked_for(shipped):
    pytest.importorskip("psutil")
    found = shipped(TelemetryCollector(), host=True)

    assert found["host_memory_total_bytes"][0][1] > 1e6


def test_gpu_metrics_that_cannot_be_are_told_at_once(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.setitem(sys.modules, "amdsmi", None)
    with pytest.raises(ConfigError, match="GPU metrics need"):
        push.to("http://127.0.0.1:1", TelemetryCollector(), gpu=True, spool_dir="")


def test_a_collector_may_be_shipped_bare(receiver, tmp_path):
    collector = TelemetryCollector(labels={"rank": "3"})
    collector.register_gauge("loss").set(0.5)
    shipper = heliograph.ship.to(
        receiver.url, collector=collector, spool_dir=tmp_path, labels={"rank": "4"}, every_s=60
    )
    assert shipper.close(5)

    [(labels, _, value)] = receiver.samples()["loss"]
    assert (labels["rank"], value) == ("4", 0.5)


def test_runs_are_told_once_there_was_one(shipped):
    never, started = TelemetryCollector(), TelemetryCollector()
    started.collect()

    assert "telemetry_collection_runs_total" not in shipped(never, labels={"of": "never"})
    runs = shipped(started, labels={"of": "started"})["telemetry_collection_runs_total"]
    assert [value for _, value in runs] == [1.0]
