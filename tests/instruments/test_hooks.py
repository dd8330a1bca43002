"""Hooks of users: in order, in time, and harmless whatever they do."""

import logging
import os
import sqlite3
import threading

import pytest

from heliograph.core.clock import ManualClock, SystemClock
from heliograph.instruments import hooks as hooks_module
from heliograph.instruments.collector import TelemetryCollector
from heliograph.instruments.hooks import HOOK_PENDING_MAX
from tests.instruments.forked import child, status

CLOCK = SystemClock()


def test_a_hook_is_called_with_the_event_before_recording_returns():
    collector, seen = TelemetryCollector(), []
    collector.add_hook("x", seen.append)
    collector.record_event("x", {"a": 1}, {"l": "1"}, {"m": 2})
    collector.record_event("y", 2)
    (event,) = seen

    assert (event.name, event.value, event.labels, event.metadata) == (
        "x", {"a": 1}, {"l": "1"}, {"m": 2},
    )  # fmt: skip


def test_hooks_are_called_in_the_order_they_were_added_and_as_often():
    collector, seen = TelemetryCollector(), []
    first, second = (
        lambda event: seen.append(("first", event.value)),
        lambda event: seen.append("second"),
    )
    collector.add_hook("x", first)
    collector.add_hook("x", second)
    collector.add_hook("x", first)
    collector.record_event("x", 1)

    assert seen == [("first", 1), "second", ("first", 1)]


def test_a_hook_sees_the_value_as_it_was_given():
    collector, seen, given = TelemetryCollector(), [], object()
    collector.add_hook("x", lambda event: seen.append(event.value))
    collector.record_event("x", given)

    assert seen == [given]


def test_a_removed_hook_is_not_called():
    collector, seen = TelemetryCollector(), []
    collector.add_hook("x", seen.append)
    collector.add_hook("x", seen.append)
    collector.remove_hook("x", seen.append)
    collector.remove_hook("x", print)
    collector.remove_hook("y", print)
    collector.record_event("x", 1)
    assert len(seen) == 1
    collector.remove_hook("x", seen.append)
    collector.record_event("x", 2)

    assert len(seen) == 1


def test_a_hook_that_removes_itself_does_not_skip_the_next():
    collector, seen = TelemetryCollector(), []

    def once(event):
        collector.remove_hook("x", once)
        seen.append("once")

    collector.add_hook("x", once)
    collector.add_hook("x", lambda event: seen.append("next"))
    collector.record_event("x", 1)
    collector.record_event("x", 2)

    assert seen == ["once", "next", "next"]


def test_a_raising_hook_is_logged_once_a_minute_and_the_others_run(caplog):
    clock = ManualClock()
    collector, seen = TelemetryCollector(clock=clock), []

    def bad(event):
        raise KeyError("mine")

    collector.add_hook("x", bad)
    collector.add_hook("x", seen.append)
    for _ in range(10):
        collector.record_event("x", 1)
    assert len(seen) == 10
    assert collector.faults.counts() == {"hook_raised": 10}
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "error in telemetry hook x: KeyError: 'mine'" in caplog.text

    clock.advance(61)
    collector.record_event("x", 1)

    assert len(caplog.records) == 2
    assert "9 more" in caplog.records[1].getMessage()


def test_a_blocking_hook_is_left_behind():
    collector, seen, go = TelemetryCollector(hook_wait_s=0.05), [], threading.Event()
    collector.add_hook("x", lambda event: go.wait(20))
    collector.add_hook("x", lambda event: seen.append(event.value))
    began = CLOCK.monotonic_s()
    for index in range(20):
        collector.record_event("x", index)
    took = CLOCK.monotonic_s() - began
    go.set()

    assert seen == list(range(20))
    assert took < 1
    assert collector.faults.counts() == {"hook_slow": 1}


def test_a_slow_hook_gets_all_events_later_and_in_order():
    collector, seen, done = TelemetryCollector(hook_wait_s=0.02), [], threading.Event()

    def slow(event):
        CLOCK.sleep(0.05 if event.value == 0 else 0)
        seen.append(event.value)
        if event.value == 49:
            done.set()

    collector.add_hook("x", slow)
    for index in range(50):
        collector.record_event("x", index)

    assert done.wait(10)
    assert seen == list(range(50))


def test_events_for_a_hook_that_never_returns_are_bounded_and_counted():
    collector, go = TelemetryCollector(hook_wait_s=0.01), threading.Event()
    collector.add_hook("x", lambda event: go.wait(20))
    for index in range(HOOK_PENDING_MAX + 11):
        collector.record_event("x", index)
    counts = collector.faults.counts()
    go.set()

    assert counts == {"hook_behind": 10, "hook_slow": 1}


def test_a_hook_that_records_its_own_trigger_does_not_go_round():
    collector = TelemetryCollector()

    def again(event):
        collector.record_event("y", event.value)

    def back(event):
        collector.record_event("x", event.value)

    collector.add_hook("x", again)
    collector.add_hook("y", back)
    collector.record_event("x", 1)

    assert [event.name for event in collector.get_events()] == ["x", "y", "x"]
    assert collector.faults.counts() == {"hook_reentered": 1}


def test_an_inline_hook_runs_in_the_thread_that_records():
    collector, seen = TelemetryCollector(), []
    connection = sqlite3.connect(":memory:")
    collector.add_hook("x", lambda event: connection.execute("select 1"), inline=True)
    collector.add_hook("x", lambda event: seen.append(threading.get_ident()), inline=True)
    collector.add_hook("x", lambda event: collector.record_event("x", 2), inline=True)
    collector.record_event("x", 1)
    connection.close()

    # Of the second event all are told but the one that recorded it.
    assert seen == [threading.get_ident()] * 2
    assert collector.faults.counts() == {"hook_reentered": 1}


def test_a_hook_must_be_callable():
    with pytest.raises(TypeError):
        TelemetryCollector().add_hook("x", 5)


def test_a_hook_that_exits_ends_neither_the_program_nor_later_hooks():
    collector, seen = TelemetryCollector(), []

    def leave(event):
        seen.append(event.value)
        raise SystemExit(3)

    collector.add_hook("x", leave)
    for index in range(3):
        collector.record_event("x", index)
    assert seen == [0, 1, 2]
    assert collector.faults.counts() == {"hook_raised": 3}

    collector.add_hook("y", leave, inline=True)
    for index in (4, 5):
        with pytest.raises(SystemExit):  # In one's own thread it is what it always is.
            collector.record_event("y", index)
    assert seen == [0, 1, 2, 4, 5]


def test_hooks_are_bounded(monkeypatch):
    monkeypatch.setattr(hooks_module, "HOOKS_MAX", 2)
    collector = TelemetryCollector()
    collector.add_hook("x", print)
    collector.add_hook("y", print)
    with pytest.raises(ValueError, match="2 hooks, limit 2"):
        collector.add_hook("z", print)


def test_recording_while_holding_a_lock_that_the_hook_wants_goes_on():
    collector, lock, seen = TelemetryCollector(hook_wait_s=0.05), threading.RLock(), []

    def wants(event):
        with lock:
            seen.append(event.value)

    collector.add_hook("x", wants)
    with lock:
        collector.record_event("x", 1)
    for _ in range(200):
        if seen:
            break
        CLOCK.sleep(0.01)

    assert seen == [1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_has_hooks_of_its_own():
    collector, seen = TelemetryCollector(), []
    collector.add_hook("x", lambda event: seen.append(event.value))
    collector.record_event("x", 1)

    def work():
        collector.record_event("x", 2)
        assert seen == [1, 2]

    assert status(child(work)) == 0
    assert seen == [1]


def test_hooks_of_a_collection_run():
    collector, seen = TelemetryCollector(), []
    collector.add_hook("collection", seen.append)
    collector.add_hook("collection_run", lambda event: seen.append(event.value))
    collector.collect()
    run, figures = seen

    assert set(run) == {"timestamp", "metrics_count", "events_count"}
    assert figures["metrics_count"] == 4
    assert set(figures) == {"duration", "metrics_count", "events_count"}
    assert figures["duration"] >= 0
