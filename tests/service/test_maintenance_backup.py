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

    state = SimpleNamespace(on_sqlite=True, backup=backup, copied_ns=clock.now_ns())
    supervisor = Supervisor(meters.registry)
    looked_after = Maintenance(SimpleNamespace(state=state), None, supervisor, meters, clock)
    while len(tried) <= len(after_s):
        clock.advance(ROUND_S)
        supervisor.attempt(looked_after._backup, where="backup")
    apart_s = [later - one for one, later in pairwise(tried)]
    assert apart_s == after_s
    assert "heliograph_bugs_total{" not in meters.registry.exposition()


@pytest.mark.parametrize(
    ("age_s", "after_s"),
    [
        (None, ROUND_S),
        (BACKUP_EVERY_S + 1, ROUND_S),
        (BACKUP_EVERY_S - 60, 60),
        # A clock that was set back.
        (-60, BACKUP_EVERY_S + ROUND_S),
    ],
)
def test_a_start_makes_one_where_the_newest_is_old(age_s, after_s):
    clock, meters, tried = ManualClock(), Meters(), []
    copied_ns = None if age_s is None else clock.now_ns() - int(age_s * 10**9)
    state = SimpleNamespace(
        on_sqlite=True, backup=lambda: tried.append(clock.monotonic_s()), copied_ns=copied_ns
    )
    supervisor = Supervisor(meters.registry)
    started_s = clock.monotonic_s()
    looked_after = Maintenance(SimpleNamespace(state=state), None, supervisor, meters, clock)
    while not tried:
        clock.advance(ROUND_S)
        looked_after._backup()
    assert tried == [started_s + after_s]
