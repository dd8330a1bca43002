"""Shared by all tests: hypothesis profiles, the folder of shared cases, a manual clock, peers."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from heliograph.core.clock import ManualClock
from tests.peers import browser, page, start  # noqa: F401 - fixtures are found by their name here

ROOT = Path(__file__).parent.parent
SERVICES = ROOT / "tests" / "service"
# The files that take longest: first of all, so that no worker ends with one while others wait.
LONGEST = (
    *("test_live_alerts", "test_kill_statements", "test_demo", "test_kill_loops"),
    *("test_live_senders", "test_alert_kill_loops", "test_wandb_native_clients"),
    *("test_recovery_stop", "test_ship_live", "test_alerts_statistics"),
)
SHARED_DATA = ROOT.parent / "shared" / "data"
# 2026-01-01T00:00:00Z
NEW_YEAR_NS = 1_767_225_600_000_000_000

# A cold CI machine is slow on the first example; the deadline would measure the machine, not us.
settings.register_profile(
    "ci", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("random", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole services first: a file of them takes a minute or two, and last it would have the other
    workers wait for it."""
    ranks = {name: rank for rank, name in enumerate(LONGEST)}
    items.sort(
        key=lambda item: (
            ranks.get(item.path.stem, len(ranks)),
            SERVICES not in item.path.parents,
        )
    )


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of shared cases beside the project; tests of it skip by name without it."""
    if not SHARED_DATA.is_dir():
        pytest.skip("no shared data folder beside the project")
    return SHARED_DATA


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands at the beginning of 2026."""
    return ManualClock(NEW_YEAR_NS)
