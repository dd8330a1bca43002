"""How well a collector does, and when it is tried again."""

import pytest

from heliograph.projection.collector_health import (
    UNHEALTHY_FAILURES,
    CollectorHealth,
    collector_retry_delay_seconds,
)

DELAYS = [
    # failures  initial  factor  max   seconds
    (0, 1, 2, 30, 0.0),
    (1, 1, 2, 30, 1),
    (5, 1, 2, 30, 16),
    (6, 1, 2, 30, 30),
    (10**9, 1, 2, 30, 30),
    (10**9, 1, 1e300, 30, 30),
    (4, 2, 1, 30, 2),
    (4, 2, -3, 30, 2),
    (3, 1, 2, -5, 0.0),
    (3, -1, 2, 30, 0.0),
]


@pytest.mark.parametrize(("failures", "initial", "factor", "most", "seconds"), DELAYS)
def test_the_delay_grows_to_its_bound(failures, initial, factor, most, seconds):
    assert seconds == collector_retry_delay_seconds(
        failures, initial_delay_s=initial, factor=factor, max_delay_s=most
    )


def test_delays_of_the_tracker_are_those_by_default():
    assert [collector_retry_delay_seconds(n) for n in range(8)] == [0, 1, 2, 4, 8, 16, 30, 30]


def test_a_collector_degrades_waits_and_recovers():
    health = CollectorHealth()
    assert (health.status, health.due(0)) == ("healthy", True)

    assert health.failed("lost", now_ns=0) == "collector_degraded"
    assert (health.status, health.due(999_999_999), health.due(10**9)) == (
        "degraded",
        False,
        True,
    )
    assert health.failed("lost", now_ns=10**9) is None
    assert health.failed(ValueError("gone"), now_ns=3 * 10**9) == "collector_degraded"
    assert UNHEALTHY_FAILURES == 3
    assert health.metadata() == {
        "collector_health_status": "unhealthy", "telemetry_partial": False,
        "collector_partial_fields": [], "collector_last_error": "gone",
        "collector_consecutive_failures": 3, "collector_next_retry_epoch_s": 7.0,
    }  # fmt: skip

    assert health.succeeded(partial_fields=["device_total_bytes"]) == "collector_degraded"
    assert health.due(0)
    assert health.metadata()["telemetry_partial"] is True
    assert health.succeeded(partial_fields=["device_total_bytes"]) is None
    assert health.succeeded() == "collector_recovered"
    assert health.succeeded() is None
    assert health.metadata() == {
        "collector_health_status": "healthy", "telemetry_partial": False,
        "collector_partial_fields": [], "collector_last_error": None,
        "collector_consecutive_failures": 0, "collector_next_retry_epoch_s": None,
    }  # fmt: skip
