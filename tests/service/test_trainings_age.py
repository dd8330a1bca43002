"""How long runs of a workload are kept when rows come: by what all that is asked for lately costs."""

from types import SimpleNamespace

import pytest

from heliograph.core.clock import ManualClock
from heliograph.service.trainings import AGE_PER_COST, ASKED_S_MAX, Trainings

COST_S = 0.5
STEP_S = 1


@pytest.fixture
def site():
    """Trainings whose every computation takes COST_S, and to each question of which a row came."""
    clock, rows = ManualClock(10**18), [0]
    made = Trainings(None, SimpleNamespace(changed=0), clock, stored=lambda: rows[0])

    def computed(uid):
        clock.advance(COST_S)
        return [uid, rows[0]]

    made._computed = computed

    def asked(uid):
        rows[0] += 1
        return made.runs(uid)

    return SimpleNamespace(clock=clock, asked=asked)


def age_s(site, uid, others=()):
    """How old the runs of *uid* become, asked for all the time together with *others*."""
    site.clock.advance(2 * AGE_PER_COST * COST_S * (1 + len(others)))
    first, since_s = site.asked(uid), site.clock.monotonic_s()
    while site.asked(uid) == first:
        for other in others:
            site.asked(other)
        site.clock.advance(STEP_S)
    return site.clock.monotonic_s() - since_s


def test_what_nobody_asks_for_any_more_costs_nothing(site):
    for n in range(100):
        site.asked(f"old-{n}")
    site.clock.advance(ASKED_S_MAX)
    assert age_s(site, "w") <= AGE_PER_COST * COST_S + COST_S + STEP_S


@pytest.mark.parametrize("many", [1, 4])
def test_a_page_of_many_costs_as_little_as_one_of_few(site, many):
    others = [f"w-{n}" for n in range(many)]
    assert age_s(site, "w", others) >= AGE_PER_COST * COST_S * (1 + many)
