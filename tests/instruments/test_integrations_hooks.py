"""The three integrations: every metric of the document is fed."""

import asyncio
import enum

import pytest

from heliograph.core.clock import ManualClock
from heliograph.instruments.collector import (
    TelemetryCollector,
    setup_coordination_hooks,
    setup_health_hooks,
    setup_messaging_hooks,
)


def shown(collector, name):
    value = collector.get_metric(name).get_value()
    if isinstance(value, list):
        return (value[-2].value, value[-1].value)
    return value.value


def test_coordination():
    collector, clock = TelemetryCollector(), ManualClock()
    setup_coordination_hooks(collector, clock=clock)
    for value in (
        {"n": 1},
        {"node_id": "a", "latency_seconds": 0.25},
        {"node_id": "b", "latency_ms": 500},
        {"node_id": "a", "latency": -1},
        "no mapping",
    ):
        collector.record_event("coordination_message", value)

    assert shown(collector, "coordination_messages_total") == 5
    assert shown(collector, "coordination_active_nodes") == 2
    assert shown(collector, "coordination_message_latency_seconds") == (0.75, 2)

    clock.advance(200)
    collector.record_event("coordination_message", {"node_id": "b"})
    clock.advance(200)
    collector.collect()
    assert shown(collector, "coordination_active_nodes") == 1

    collector.record_event("coordination_message", {"active_nodes": 7})
    assert shown(collector, "coordination_active_nodes") == 7
    collector.record_event("coordination_message", {"active_nodes": ["a", "b", "c"]})
    assert shown(collector, "coordination_active_nodes") == 3


def test_coordination_may_be_asked():
    collector = TelemetryCollector()
    setup_coordination_hooks(collector, active_nodes=lambda: 12)
    collector.collect()

    assert shown(collector, "coordination_active_nodes") == 12


def test_messaging():
    collector = TelemetryCollector()
    setup_messaging_hooks(collector)
    collector.record_event("message_sent", {"queue_size": 4})
    collector.record_event("message_received", {"processing_time": 0.5, "queue_size": 3})
    collector.record_event("message_received", {}, metadata={"duration_ms": 250})
    collector.record_event("message_received", {"duration": True})

    assert shown(collector, "messages_sent_total") == 1
    assert shown(collector, "messages_received_total") == 3
    assert shown(collector, "message_queue_size") == 3
    assert shown(collector, "message_processing_duration_seconds") == (0.75, 2)


def test_messaging_may_be_given_its_queue():
    queue = asyncio.Queue()
    collector = TelemetryCollector()
    setup_messaging_hooks(collector, queue_size=queue.qsize)
    queue.put_nowait(1)
    collector.record_event("message_sent", {})
    assert shown(collector, "message_queue_size") == 1
    queue.put_nowait(2)
    collector.collect()
    assert shown(collector, "message_queue_size") == 2


class Status(enum.Enum):
    DEGRADED = "deg"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"status": "HEALTHY"}, 1),
        ({"status": "DEGRADED"}, 2),
        ({"status": "UNHEALTHY"}, 3),
        ({"status": "UNKNOWN"}, 0),
        ({"status": "healthy"}, 0),
        ({"status": ["HEALTHY"]}, 0),
        ({"status": None}, 0),
        ({"status": Status.DEGRADED}, 2),
        ({}, 0),
        ("HEALTHY", 0),
    ],
)
def test_health(value, expected):
    collector = TelemetryCollector()
    setup_health_hooks(collector)
    collector.record_event("health_check", {"status": "UNHEALTHY", "duration_ms": 125})
    collector.record_event("health_check", value)

    assert shown(collector, "health_status") == expected
    assert shown(collector, "health_checks_total") == 2
    assert shown(collector, "health_check_duration_seconds") == (0.125, 1)


def test_set_up_twice_counts_once():
    collector = TelemetryCollector()
    for _ in range(2):
        setup_coordination_hooks(collector)
        setup_messaging_hooks(collector)
        setup_health_hooks(collector)
    for name in ("coordination_message", "message_sent", "message_received", "health_check"):
        collector.record_event(name, {})

    assert shown(collector, "telemetry_metrics_count") == 14
    assert shown(collector, "telemetry_events_total") == 4
    assert shown(collector, "coordination_messages_total") == 1
    assert shown(collector, "messages_sent_total") == 1
    assert shown(collector, "health_checks_total") == 1
