"""The hourly copy of the state: one that failed is made soon, and not at each round."""

from itertools import pairwise
from types import SimpleNamespace

import pytest

from heliograph.core.clock import ManualClock
from heliograph.core.errors import Unavailable
from heliograph.service.maintenance import BACKUP_EVERY_S, BACKUP_RETRY_S, ROUND_S, Maintenance
from heliograph.service.meters import Meters
from heliograph.service.supervisor import Supervisor


@pytest.mark.parametrize(
    ("failing", "after_s"),
    [
        (0, [BACKUP_EVERY_S, BACKUP_EVERY_S]),
        (2, [BACKUP_RETRY_S, BACKUP_RETRY_S, BACKUP_EVERY_S]),
    ],
    ids=["one that is made", "two that the disk refuses"],
)
def test_a_copy_comes_each_hour_and_soon_after_one_that_failed(failing, after_s):
    clock, meters, tried = ManualClock(), Meters(), []

    def backup():
        tried.append(clock.monotonic_s())
        if len(tried) <= failing:
            raise Unavailable("the disk is full")

    state = SimpleNamespace(on_sqlite=True, backup=backup)
    supervisor = Supervisor(meters.registry)
    looked_after = Maintenance(SimpleNamespace(state=state), None, supervisor, meters, clock)
    while len(tried) <= len(after_s):
        clock.advance(ROUND_S)
        supervisor.attempt(looked_after._backup, where="backup")
    apart_s = [later - one for one, later in pairwise(tried)]
    assert apart_s == after_s
    assert "heliograph_bugs_total{" not in meters.registry.exposition()
