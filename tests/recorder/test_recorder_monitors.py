"""Monitors on metrics and events, subscriptions, the error rate: who looks at what is recorded."""

import json

import pytest

from heliograph.recorder.monitoring import KEYS_MAX
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


def test_what_must_hold_for_a_while_may_do_so_in_silence(watched, clock):
    watched.watch("burst", kind="rate", event_type="A", value=2, window="10s", for_="2s")
    watched.watch("mean", metric="m", aggregate="mean", value=1, window="5s", for_="2s")
    watched.watch("last", metric="m", value=1, for_="3s")
    watched.watch("brief", metric="m", aggregate="mean", value=1, window="1s", for_="2s")
    for _ in range(3):
        watched.record_event({"event_type": "A", "source": "s"})
    watched.record_metric("m", 5)
    told_after = {}
    for second in range(1, 13):
        clock.advance(1)
        watched._watching.look()
        told_after[second] = [told[:2] for told in watched.told]
        watched.told.clear()

    assert {second: told for second, told in told_after.items() if told} == {
        2: [("burst", "firing"), ("mean", "firing")],
        3: [("last", "firing")],
        5: [("mean", "resolved")],
        10: [("burst", "resolved")],
    }


TOO_FEW = [
    ("rate", {"event_type": "A", "op": "<", "value": 3}),
    ("threshold", {"metric": "m", "aggregate": "count", "op": "<", "value": 3}),
    ("threshold", {"metric": "m", "aggregate": "sum", "op": "<=", "value": 2}),
]


@pytest.mark.parametrize(("kind", "options"), TOO_FEW)
def test_too_few_are_noticed_in_silence_and_not_before_a_window_has_passed(
    watched, clock, kind, options
):
    watched.watch("few", kind=kind, window="10s", **options)
    said = []
    for second in range(60):
        if second < 20 or second >= 40:
            watched.record_metric("m", 1)
            watched.record_event({"event_type": "A", "source": "s"})
        clock.advance(1)
        watched._watching.look()
        said += [(second, *told[1:]) for told in watched.told]
        watched.told.clear()

    # At the end of second 26 those of 18 and 19 are left.
    assert said == [(26, "firing", 2), (42, "resolved", 3)]


def test_what_never_comes_is_too_few(watched, clock):
    watched.watch("few", kind="rate", event_type="A", op="<", value=3, window="10s")
    clock.advance(9)
    watched._watching.look()
    assert watched.told == []
    clock.advance(1)
    watched._watching.look()
    assert watched.told == [("few", "firing", 0)]


@pytest.mark.parametrize("ahead_s", [59, 61, 3600, 73 * 365 * 86400])
def test_a_timestamp_of_the_future_blinds_nobody(watched, clock, ahead_s):
    watched.watch("flood", kind="rate", event_type="A", value=10, window="1m")
    watched.watch("mean", metric="m", aggregate="mean", value=5, window="1m")
    watched.watch("spike", kind="anomaly", metric="m", value=6, least=20)
    ahead = clock.now_ns() / 1e9 + ahead_s
    watched.record_event({"event_type": "A", "source": "s", "timestamp": ahead})
    watched.record_metric("m", 1, timestamp=ahead)
    for n in range(60):
        clock.advance(1)
        watched.record_event({"event_type": "A", "source": "s"})
        watched.record_metric("m", 1 + n % 3 if n != 50 else 5_000)

    assert [told[:2] for told in watched.told] == [
        ("flood", "firing"), ("mean", "firing"), ("spike", "firing"), ("spike", "resolved"),
    ]  # fmt: skip


@pytest.mark.parametrize("by_s", [-3600, -5, 3600])
def test_a_clock_that_is_set_blinds_nobody(watched, clock, by_s):
    watched.watch("dead", kind="absence", event_type="B", window="20s")
    watched.watch("flood", kind="rate", event_type="A", value=10, window="1m")
    watched.watch("mean", metric="m", aggregate="mean", value=5, window="1m")
    watched.watch("spike", kind="anomaly", metric="m", value=6, least=20)
    for n in range(60):
        if n == 25:
            clock.set_wall(clock.now_ns() + by_s * 10**9)
        clock.advance(1)
        watched._watching.look()
        watched.record_event({"event_type": "B", "source": "s"})
        watched.record_metric("m", 1 + n % 3)
    assert watched.told == []
    for _ in range(21):
        clock.advance(1)
        watched._watching.look()
        watched.record_event({"event_type": "A", "source": "s"})
    watched.record_metric("m", 50_000)

    assert [told[:2] for told in watched.told] == [
        ("flood", "firing"), ("dead", "firing"), ("mean", "firing"), ("spike", "firing"),
    ]  # fmt: skip


def test_more_than_a_window_holds_can_be_waited_for(watched):
    watched.watch("flood", kind="rate", event_type="A", value=15_000, window="1h")
    watched.watch("sum", metric="m", aggregate="sum", value=16_000, window="1h")
    watched.record_metrics([("m", 1.25, None, 1_000 + n * 0.2) for n in range(13_000)])
    for _ in range(15_001):
        watched.record_event({"event_type": "A", "source": "s"})

    assert watched.told == [("sum", "firing", 16_001.25), ("flood", "firing", 15_001)]


def test_what_left_no_room_is_counted(made):
    recorder = made("memory")
    recorder.add_monitor("p", metric="m", aggregate="p95", value=9, window="1h", callback=print)
    recorder.record_metrics([("m", 1, None, 1_000 + n * 0.1) for n in range(10_005)])
    assert recorder.health_check()["stats"]["monitor_points_left_out"] == 5
    recorder.remove_monitor("p")
    assert recorder.health_check()["stats"]["monitor_points_left_out"] == 5


@pytest.mark.parametrize("how", ["replaced", "removed"])
@pytest.mark.parametrize("kind", ["threshold", "absence"])
def test_what_a_monitor_said_is_over_with_it(made, clock, how, kind):
    recorder, told, other = made("memory"), [], []
    recorder.add_monitor("x", metric="m", kind=kind, value=5, window="1m", callback=told.append)
    if kind == "threshold":
        recorder.record_metric("m", 10)
    clock.advance(100)
    recorder._watching.look()
    if how == "replaced":
        recorder.add_monitor("x", metric="m", value=50, callback=other.append)
    else:
        assert recorder.remove_monitor("x")
    recorder.record_metric("m", 1)

    assert [one.state for one in told] == ["firing", "resolved"]
    assert "monitor" in told[1].message
    assert other == []


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

    recorder = made("memory")
    told = []
    recorder.add_monitor("x", metric="n", value=1, callback=told.append)
    for n in range(KEYS_MAX + 5):
        recorder.record_metric("n", 2 if n == 3 else 0, {"n": n})

    assert recorder.health_check()["stats"]["monitor_series_evicted"] == 5
    assert [(one.state, one.labels["n"]) for one in told] == [
        ("firing", "3"),
        ("resolved", "3"),
    ]
    assert told[1].message == "n: given up for newer series"


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
        {"kind": "anomaly", "metric": "m", "value": -1},
        {"kind": "anomaly", "metric": "m", "least": "x"},
        {"kind": "anomaly", "metric": "m", "least": -5},
        {"kind": "anomaly", "metric": "m", "least": 2_000},
        {"kind": "error_share", "value": 5, "least": 0},
        {"kind": "error_share", "value": 5, "least": True},
        {"metric": "m", "value": "500"},
        {"metric": "m", "value": None},
        {"metric": "m", "value": float("nan")},
        {"metric": "m", "value": True},
        {"metric": "m", "value": 10**400},
        {"metric": "m", "window": 0},
        {"metric": "m", "window": None},
        {"metric": "m", "window_ns": "1m"},
        {"metric": "m", "for_": 5},
        {"metric": "m", "match": "x"},
        {"metric": "m", "match": {1: 2}},
        {"metric": "m", "op": []},
        {"metric": 5},
        {"metric": "m", "callback": 5},
    ],
)
def test_a_monitor_that_makes_no_sense_is_refused(made, options):
    recorder = made("memory")
    with pytest.raises(ValueError):
        recorder.add_monitor("m", **{"callback": print, **options})
    assert recorder._watching.names() == []
    assert recorder.record_metric("m", 1)["status"] == "success"


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


def test_a_subscription_to_one_name_and_to_what_is_none(made):
    recorder = made("memory")
    with recorder.subscribe(metrics="loss", events=()) as stream:
        recorder.record_metric("l", 1)
        recorder.record_metric("loss", 2)
    assert [point.value for point in stream] == [2]
    for wrong in ({"metrics": 5}, {"events": 5}, {"items_max": "x"}, {"items_max": None}):
        with pytest.raises(ValueError):
            recorder.subscribe(**wrong)
    assert recorder.record_metric("m", 1)["status"] == "success"


def test_too_many_errors_are_a_warning_once(made, tmp_path):
    recorder = made("memory", error_threshold_percentage=20)
    for n in range(30):
        recorder.record_event({"event_type": "ERROR" if n % 2 else "A", "source": "s"})
    lines = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]

    assert [(line["logLevel"], line["errorDetails"]["errorCode"]) for line in lines] == [
        ("WARNING", "HIGH_ERROR_RATE")
    ]


@pytest.mark.parametrize("replaced", [False, True])
def test_who_is_removed_by_another_while_they_are_told_says_nothing_any_more(made, replaced):
    recorder, told = made("memory"), []

    def first(alert):
        told.append((alert.monitor, alert.state))
        if alert.state == "firing":
            if replaced:
                recorder.add_monitor("b", kind="rate", event_type="B", value=9, callback=second)
            else:
                recorder.remove_monitor("b")

    def second(alert):
        told.append((alert.monitor, alert.state))

    recorder.add_monitor("a", kind="rate", event_type="A", op=">=", value=1, callback=first)
    recorder.add_monitor("b", kind="rate", event_type="A", op=">=", value=1, callback=second)
    recorder.add_monitor("c", kind="rate", event_type="A", op=">=", value=1, callback=second)
    recorder.record_event({"event_type": "A", "source": "s"})

    assert told == [("a", "firing"), ("c", "firing")]
