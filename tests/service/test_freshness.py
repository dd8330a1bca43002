"""How long a read waits for what was written before it."""

import pytest

from heliograph.service.freshness import BEHIND_WAIT_S_MAX, WAIT_S_MAX, Freshness


class Applier:
    """Applies nothing until it is told to; remembers how long it was waited for."""

    def __init__(self):
        self.end = 10
        self.applied = 0
        self.waited_s = []

    def wait_for(self, end, wait_s):
        self.waited_s.append(wait_s)
        return self.applied >= end


@pytest.fixture
def applier():
    return Applier()


@pytest.fixture
def fresh(applier):
    return Freshness(lambda: applier.end, lambda: applier.applied, applier.wait_for)


def test_each_read_waits_for_the_end_of_its_arrival(fresh, applier):
    applier.applied = 10

    for _ in range(3):
        fresh.wait(fresh.now())

    assert applier.waited_s == [WAIT_S_MAX] * 3


def test_while_one_waited_in_vain_others_wait_less(fresh, applier):
    fresh.wait(fresh.now())
    applier.end = 20
    fresh.wait(fresh.now())
    applier.applied = 10
    fresh.wait(fresh.now())
    applier.applied = 20
    fresh.wait(fresh.now())

    assert applier.waited_s == [WAIT_S_MAX, BEHIND_WAIT_S_MAX, BEHIND_WAIT_S_MAX, WAIT_S_MAX]
    assert BEHIND_WAIT_S_MAX < WAIT_S_MAX
