"""kill -9 under load: whatever was answered 2xx is told, its end too, and copies are few."""

import random

import pytest

from tests.service.alarms import Alarms, alerting
from tests.service.flaky import Flaky
from tests.service.lives import CLOCK, FAST, Life
from tests.store.conftest import pg_server, pg_url  # noqa: F401 - fixtures are found by name

KILLS = 5
BADNESS = 0.35


@pytest.fixture
def hook():
    opened = Flaky(random.Random(7), badness=BADNESS)
    yield opened
    opened.close()


def _loop(life, hook, kills, rng):
    """Kill *life* at *kills* random moments; check what was told."""
    alarms = Alarms(life.start(), hook).prepare().come()
    for number in range(kills):
        CLOCK.sleep(rng.uniform(0.1, 1.2))
        life.kill()
        life.prelude = FAST if number % 2 else None
        life.start(ready=False)
    CLOCK.sleep(0.5)
    alarms.leave()
    alarms.finish()
    alarms.check(kills)
    assert life.measured("heliograph_bugs_total") == {}
    # Enough happened for this to say something.
    assert len(alarms.sent) > 100
    assert len(alarms.lines) > 5
    assert sum(hook.ambiguous().values()) > 3
    return alarms


@pytest.mark.timeout(120)
def test_nothing_is_lost_by_kills(tmp_path, hook):
    life = Life(tmp_path / "data", alerting=alerting(hook))
    try:
        alarms = _loop(life, hook, KILLS, random.Random(1))
        # A stop that was asked for is not even a reason for a copy.
        before = len(hook.taken())
        assert life.stop() == 0, life.words()
        life.start()
        CLOCK.sleep(1.0)
        assert len(hook.taken()) == before
        listed = {one["labels"].get("n") for one in life.items("/v1/alerts", status="firing")}
        assert alarms.stays | alarms.again | alarms.muted <= listed
    finally:
        life.end()


@pytest.mark.timeout(120)
def test_the_same_with_state_on_postgresql(tmp_path, hook, pg_url):  # noqa: F811
    life = Life(tmp_path / "data", alerting=alerting(hook), state={"url": pg_url})
    try:
        _loop(life, hook, 3, random.Random(2))
    finally:
        life.end()
