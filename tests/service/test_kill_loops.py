"""kill -9 under load, again and again: what was acknowledged is there, once."""

import random

import pytest

from tests.service.crowd import Crowd
from tests.service.lives import CLOCK, FAST, Life
from tests.store.conftest import pg_server, pg_url  # noqa: F401 - fixtures are found by name

KILLS = 8
LIVES_S_MAX = 28


def _loop(life, kills, rng):
    """Kill *life* at *kills* random moments under load; check what is left."""
    crowd = Crowd(life.start()).place().come()
    started_s = CLOCK.monotonic_s()
    for number in range(kills):
        CLOCK.sleep(rng.uniform(0.05, min(1.2, LIVES_S_MAX / kills)))
        life.kill()
        # Some lives have quick maintenance, so that kills hit compaction too.
        life.prelude = FAST if number % 2 else None
        life.start(ready=False)
    assert CLOCK.monotonic_s() - started_s < 2 * LIVES_S_MAX
    crowd.leave()
    life.settled()
    crowd.check()
    assert life.measured("heliograph_bugs_total") == {}
    assert life.stop() == 0, life.words()
    life.start().settled()
    crowd.check()
    return crowd


@pytest.mark.timeout(180)
def test_nothing_acknowledged_is_lost_or_doubled_by_kills(tmp_path):
    life = Life(tmp_path / "data", samples={"seal": "1s"})
    try:
        _loop(life, KILLS, random.Random(1))
    finally:
        life.end()


@pytest.mark.timeout(120)
def test_the_same_with_state_on_postgresql(tmp_path, pg_url):  # noqa: F811
    life = Life(tmp_path / "data", samples={"seal": "1s"}, state={"url": pg_url})
    try:
        _loop(life, 3, random.Random(2))
    finally:
        life.end()
