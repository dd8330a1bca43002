"""Monitors on metrics and events, subscriptions, the error rate: who looks at what is recorded."""

import json

import pytest

from heliograph.recorder import monitors
from heliograph.recorder.watching import MONITORS_MAX


@pytest.fixture
def watched(made):
    """A recorder in memory, and what its monitors said: (monitor, state, value)."""
    told = []

    def watch(name, **options):
        recorder.add_monitor(
            name,
            callback=lambda a: told.append((a.monitor, a.state, round(a.value, 3))),
            **options,
        )

    recorder = made("memory")
    recorder.watch = watch
    recorder.told = told
    return recorder


def test_a_threshold_begins_and_ends_by_series(watched):
    watched.watch("slow", metric="ms", op=">", value=500)
    for value, kind in (
        (100, "a"),
        (600, "a"),
        (700, "a"),
        (900, "b"),
        (20, "a"),
        ("text", "a"),
    ):
        watched.record_metric("ms", value, {"kind": kind})

    assert watched.told == [
        ("slow", "firing", 600),
        ("slow", "firing", 900),
        ("slow", "resolved", 20),
    ]


def test_an_aggregate_of_the_window_that_must_hold_for_a_while(watched):
    watched.watch(
        "slow", metric="ms", aggregate="mean", op=">", value=10, window="1m", for_="30s"
    )
    for second in range(0, 120, 10):
        watched.record_metric("ms", 20 if second < 80 else 0, timestamp=1_767_225_600 + second)

    assert watched.told == [("slow", "firing", 20), ("slow", "resolved", 10.0)]


def test_so_many_events_in_a_window(watched):
    watched.watch(
        "flood",
        kind="rate",
        event_type="COMMAND",
        op=">",
        value=3,
        window="10s",
        match={"user": "ann"},
    )
    for second in range(8):
        for user in ("ann", "bob"):
            watched.record_event(
                {
                    "event_type": "COMMAND",
                    "source": "s",
                    "data": {"user": user},
                    "timestamp": 100 + second,
                }
            )
        watched.record_event({"event_type": "OTHER", "source": "s", "data": {"user": "ann"}})

    assert watched.told == [("flood", "firing", 4)]


def test_a_counters_growth_a_second(watched):
    watched.watch("errors", kind="rate", metric="errors_total", op=">", value=1, window="1m")
    for second, total in ((0, 0), (10, 5), (20, 45), (30, 3)):
        watched.record_metric("errors_total", total, timestamp=1000 + second)

    assert watched.told == [("errors", "firing", 2.25)]


def test_absence_is_noticed_and_ends(watched, clock):
    watched.watch("beat", kind="absence", event_type="HEARTBEAT", window="5m")
    watched.watch("gauge", kind="absence", metric="m", window="5m")
    clock.advance(200)
    watched.record_event({"event_type": "HEARTBEAT", "source": "s"})
    clock.advance(250)
    watched._watching.look()
    clock.advance(100)
    watched._watching.look()
    watched.record_event({"event_type": "HEARTBEAT", "source": "s"})

    assert watched.told[0][:2] == ("gauge", "firing")
    assert [told[:2] for told in watched.told[1:]] == [("beat", "firing"), ("beat", "resolved")]


def test_the_share_of_errors(watched):
    watched.watch("bad", kind="error_share", source="s", op=">", value=10)
    for n in range(40):
        status = "ERROR" if n >= 30 else "SUCCESS"
        watched.record_event({"event_type": "A", "source": "s", "data": {"status": status}})

    assert watched.told == [("bad", "firing", 11.765)]


def test_what_is_heard_of_no_more_is_over_with_its_window(watched, clock):
    event = {"event_type": "A", "source": "s", "data": {"status": "ERROR"}}
    watched.watch("flood", kind="rate", event_type="A", op=">", value=2, window="10s")
    watched.watch("bad", kind="error_share", op=">", value=5, least=3, window="20s")
    watched.watch("mean", metric="ms", aggregate="mean", op=">", value=1, window="30s")
    watched.watch("last", metric="ms", op=">", value=1, window="1s")
    watched.watch("grows", kind="change", metric="ms", op=">", value=1, window="40s")
    for second in (1, 5, 8):
        watched.record_event({**event, "timestamp": 100 + second})
        watched.record_metric("ms", 9 * second, timestamp=100 + second)
    began, watched.told[:] = {name for name, *_ in watched.told}, []
    for _ in range(6):
        clock.advance(8)
        watched._watching.look()

    assert began == {"flood", "bad", "mean", "last", "grows"}
    assert watched.told == [
        ("flood", "resolved", 1),
        ("bad", "resolved", 0),
        ("mean", "resolved", 0),
        ("grows", "resolved", 0),
    ]


def test_an_anomaly_is_far_from_its_own_past(watched):
    watched.watch("spike", kind="anomaly", metric="loss", value=6, direction="up")
    for n in range(60):
        value = 50.0 if n == 40 else 1.0 + 0.01 * (n % 7)
        watched.record_metric("loss", value, timestamp=1000 + n)

    assert [told[:2] for told in watched.told] == [("spike", "firing"), ("spike", "resolved")]


def test_how_fast_a_metric_changes(watched):
    watched.watch("growing", kind="change", metric="queue", op=">", value=5, window="1m")
    for second, size in ((0, 10), (10, 20), (20, 150), (200, 150)):
        watched.record_metric("queue", size, timestamp=1000 + second)

    assert [told[:2] for told in watched.told] == [("growing", "firing")]


def test_a_callback_that_raises_or_records_costs_nobody_else(made, tmp_path):
    recorder = made("memory")

    def again(alert):
        recorder.record_metric("m", alert.value + 1)
        raise RuntimeError("mine")

    recorder.add_monitor("loop", metric="m", op="!=", value=0, aggregate="last", callback=again)
    assert recorder.record_metric("m", 1)["status"] == "success"

    assert recorder.health_check()["stats"]["callbacks_raised"] == 1
    assert "RuntimeError: mine" in (tmp_path / "journal.jsonl").read_text()


def test_monitors_and_their_series_are_bounded(made):
    recorder = made("memory")
    for n in range(MONITORS_MAX):
        recorder.add_monitor(f"m{n}", metric="m", value=1, callback=print)
    with pytest.raises(ValueError, match="monitors"):
        recorder.add_monitor("one more", metric="m", value=1, callback=print)
    assert recorder.remove_monitor("m0") is True
    assert recorder.remove_monitor("m0") is False

    made_one = monitors.Monitor(
        monitors.define("x", "threshold", {"metric": "m", "value": 1e9}), print, 0
    )
    for n in range(monitors.KEYS_MAX + 5):
        recorder_point = monitors.Point("m", 1.0, {"n": str(n)}, n, "", "")
        made_one.take_point(recorder_point, n)
    assert made_one.evicted == 5


@pytest.mark.parametrize(
    "options",
    [
        {"kind": "guess", "metric": "m"},
        {"kind": "threshold"},
        {"kind": "threshold", "metric": "m", "op": "~"},
        {"kind": "threshold", "metric": "m", "aggregate": "most"},
        {"kind": "threshold", "metric": "m", "window": "soon"},
        {"kind": "threshold", "metric": "m", "unknown": 1},
        {"kind": "rate", "metric": "m", "event_type": "A"},
        {"kind": "error_share", "metric": "m"},
        {"kind": "anomaly", "metric": "m", "of": "mood"},
    ],
)
def test_a_monitor_that_makes_no_sense_is_refused(made, options):
    with pytest.raises(ValueError):
        made("memory").add_monitor("m", callback=print, **options)


def test_a_subscription_sees_what_it_asked_for_in_order(made):
    recorder = made("memory")
    with (
        recorder.subscribe(metrics=["m"], events=()) as metrics,
        recorder.subscribe() as everything,
    ):
        recorder.record_metric("m", 1)
        recorder.record_metric("n", 2)
        recorder.record_event({"event_type": "A", "source": "b", "data": {"x": 1}})
        recorder.record_metric("", 3)
    recorder.record_metric("m", 4)

    assert [point.value for point in metrics] == [1]
    assert [type(item).__name__ for item in everything] == ["Point", "Point", "Event"]


def test_who_reads_too_slowly_loses_the_oldest(made):
    recorder = made("memory")
    stream = recorder.subscribe(items_max=3)
    for n in range(5):
        recorder.record_metric("m", n)

    assert [stream.get(0).value for _ in range(3)] == [2, 3, 4]
    assert stream.get(0) is None
    assert stream.dropped == 2


def test_too_many_errors_are_a_warning_once(made, tmp_path):
    recorder = made("memory", error_threshold_percentage=20)
    for n in range(30):
        recorder.record_event({"event_type": "ERROR" if n % 2 else "A", "source": "s"})
    lines = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]

    assert [(line["logLevel"], line["errorDetails"]["errorCode"]) for line in lines] == [
        ("WARNING", "HIGH_ERROR_RATE")
    ]
