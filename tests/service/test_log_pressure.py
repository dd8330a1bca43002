"""What the log does not have to hold leaves it before writers are refused, and what it has to is not
called a lag."""

import random

import pytest

from heliograph.core.clock import ManualClock
from heliograph.core.errors import Unavailable
from heliograph.service import backpressure, sealing
from heliograph.service.backpressure import LAG_S_MAX, Backpressure
from tests.service.live import until
from tests.service.running import running
from tests.service.stories import T0_MS

POD = {"pod_id": "p1", "pod_name": "pod-p1", "namespace_name": "train", "host": "n1"}


def lines(number, many=8):
    """A body of *many* lines of 60 KiB, of which half is left when they are packed."""
    given = random.Random(number)
    return [
        {
            "date": T0_MS / 1000 + number,
            "log": given.randbytes(30 * 1024).hex(),
            "kubernetes": POD,
        }
        for _ in range(many)
    ]


def test_a_log_that_fills_up_is_sealed_and_trimmed(tmp_path, monkeypatch):
    monkeypatch.setattr(sealing, "WANTED_EVERY_S", 0.0)
    with running(tmp_path, limits={"log_mb": 1}) as site:

        def taken(number):
            if site.post("/v1/logs", lines(number)).status == 200:
                return True
            site.site.flow.maintenance.round()
            return False

        for number in range(12):
            until(lambda number=number: taken(number), "room in the log")


@pytest.mark.parametrize("away", [True, False])
def test_a_store_that_is_away_is_no_lag(tmp_path, monkeypatch, away):
    monkeypatch.setattr(backpressure, "LAG_S_MAX", 0.3)
    with running(tmp_path) as site:
        flow, state = site.site.flow, site.site.core.state
        stands = []

        def lost(*_, **__):
            stands.append(1)
            if away:
                raise Unavailable("state: no answer", code="unavailable")
            # As slow as that, but nobody is away.
            until(lambda: False in stands, "the end")
            return found(*_, **__)

        found = state.run
        monkeypatch.setattr(state, "run", lost)
        assert site.post("/v1/logs", lines(0, 1)).status == 200
        until(lambda: stands, "the applier")
        if away:
            until(lambda: flow.applier.waits_for, "its wait")

        def lags():
            answers.append(site.post("/v1/logs", lines(1, 1)).status)
            return flow.backpressure.lag_s() > 3 * backpressure.LAG_S_MAX

        answers = []
        until(lags, "a lag")
        ready = site.get("/readyz")
        stands.append(False)
        monkeypatch.setattr(state, "run", found)
        assert answers[-1] == (200 if away else 503)
        if away:
            assert ready.status == 200
            assert "waits: state: no answer" in ready.body.decode()
        until(lambda: flow.applier.position == site.site.core.log.end, "the rest")
        assert flow.backpressure.lag_s() == flow.backpressure.late_s() == 0
        assert flow.applier.waits_for is None


def test_who_comes_back_has_time_to_catch_up():
    """And the lag is all that the frames have waited."""
    clock, away = ManualClock(), True
    pressure = Backpressure(
        clock,
        end=lambda: 9,
        applied=lambda: 1,
        away=lambda: away,
        log_bytes=lambda: 0,
        log_bytes_max=1,
    )
    pressure.check()
    clock.advance(100 * LAG_S_MAX)
    pressure.check()
    away = False
    clock.advance(LAG_S_MAX)
    pressure.check()
    assert (pressure.lag_s(), pressure.late_s()) == (101 * LAG_S_MAX, LAG_S_MAX)
    clock.advance(1)
    with pytest.raises(Unavailable, match="behind"):
        pressure.check()
