"""Intervals of collectors and periodic exporters: what is none is refused, what came to be none is borne."""

import asyncio
import math
import threading
from decimal import Decimal
from fractions import Fraction

import pytest

from heliograph.instruments.collector import TelemetryCollector
from heliograph.instruments.exporter import JSONExporter
from heliograph.instruments.periodic import PeriodicExporter
from heliograph.instruments.ticker import PAUSE_S_MIN, Ticker
from tests.service.live import until

NONE = [0, -1, -0.5, math.nan, "x", "30", None, [], 10**400]


@pytest.mark.parametrize("given", NONE, ids=[repr(one)[:9] for one in NONE])
def test_what_is_no_interval_is_refused(given, tmp_path):
    with pytest.raises(ValueError, match="a number of seconds above 0"):
        TelemetryCollector(given)
    with pytest.raises(ValueError, match="a number of seconds above 0"):
        PeriodicExporter(JSONExporter(tmp_path / "m.json"), TelemetryCollector(), given)


@pytest.mark.parametrize("given", [0.5, 1, True, 1e18, math.inf])
def test_what_is_one_is_kept(given):
    assert TelemetryCollector(given).collection_interval == given


@pytest.mark.parametrize("given", [1e18, math.inf])
def test_a_pause_as_long_as_can_be_ends_no_thread(given, tmp_path):
    collector = TelemetryCollector(given)
    collector.start()
    runs = collector.get_metric("telemetry_collection_runs_total")
    until(lambda: runs.get_value().value == 1, "a run")
    assert collector.running
    assert collector.stop()

    async def exported():
        periodic = PeriodicExporter(JSONExporter(tmp_path / "m.json"), collector, given)
        await periodic.start()
        await periodic.stop()

    asyncio.run(asyncio.wait_for(exported(), 20))
    assert (tmp_path / "m.json").exists()


@pytest.mark.parametrize("given", [Decimal("0.002"), Fraction(1, 500)])
def test_any_kind_of_number_is_one(given, tmp_path):
    collector = TelemetryCollector(given)
    collector.start()
    runs = collector.get_metric("telemetry_collection_runs_total")
    until(lambda: runs.get_value().value >= 2, "a second run")
    assert collector.stop()

    periodic = PeriodicExporter(JSONExporter(tmp_path / "m.json"), collector, given)
    pauses = [periodic._pause_s(done) for done in (True, False)]
    assert pauses == [0.002, 0.002]
    assert {type(pause_s) for pause_s in pauses} == {float}


@pytest.mark.parametrize("done", [True, False])
def test_an_exporter_pauses_whatever_its_interval_came_to_be(done, tmp_path):
    periodic = PeriodicExporter(JSONExporter(tmp_path / "m.json"), TelemetryCollector(), 1)
    periodic.interval = -1
    assert periodic._pause_s(done) == PAUSE_S_MIN


@pytest.mark.parametrize("pause_s", [0, -1, math.nan])
def test_a_ticker_pauses_whatever_it_is_told(pause_s, monkeypatch):
    pauses, ended = [], threading.Event()
    ticker = Ticker("t", lambda: pause_s, ended.set)
    really = threading.Event.wait

    def wait(self, timeout=None):
        if threading.current_thread() is ticker.thread:
            pauses.append(timeout)
            ticker.stop(timeout_s=0)
        return really(self, timeout)

    monkeypatch.setattr(threading.Event, "wait", wait)
    ticker.start()
    assert ended.wait(20)

    assert pauses == [PAUSE_S_MIN]
