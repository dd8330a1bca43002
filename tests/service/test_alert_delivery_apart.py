"""Channels apart: one that hangs, or refuses, costs the others nothing and the process no time."""

import random

import psutil
import pytest

from tests.service.alarms import alerting
from tests.service.flaky import Flaky
from tests.service.live import until
from tests.service.lives import CLOCK, Life

GROUPS = 600


@pytest.fixture
def hook():
    opened = Flaky(random.Random(7))
    yield opened
    opened.close()


def by_n(hook, *paths):
    """Every alert is a group of its own; the first path waits long for its answer."""
    document = alerting(hook, *paths)
    document["route"]["group_by"] = ["alertname", "n"]
    document["receivers"][0]["webhook_configs"][0]["timeout"] = "10s"
    return document


@pytest.mark.timeout(60)
def test_a_channel_that_hangs_delays_no_other(tmp_path, hook):
    hook.hang.clear()
    life = Life(tmp_path / "data", alerting=by_n(hook, "/hang", "/good")).start()
    try:
        for start in range(0, GROUPS, 200):
            posted = [
                {"labels": {"alertname": "A", "n": str(n)}} for n in range(start, start + 200)
            ]
            assert life.post("/api/v2/alerts", posted).status == 200
        until(lambda: len(hook.firing("/good")) == GROUPS, "all are told", timeout_s=20)
        process = psutil.Process(life.process.pid)
        before = sum(process.cpu_times()[:2])
        CLOCK.sleep(2)
        used_s = sum(process.cpu_times()[:2]) - before
        alert = {"labels": {"alertname": "A", "n": "late"}}
        assert life.post("/api/v2/alerts", [alert]).status == 200
        until(lambda: len(hook.firing("/good")) == GROUPS + 1, "the late one", timeout_s=5)
        assert used_s < 0.8, "it spins"
        assert life.measured("heliograph_bugs_total") == {}
        # What hangs is made again after the next start; the stop does not wait for it.
        assert life.stop(9) == 0
    finally:
        life.end()
