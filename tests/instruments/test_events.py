"""What is kept of an event: harmless copies, in order, and never ours instead of the user's."""

import gc
import json
import math
import threading

import pytest

from heliograph.core.clock import ManualClock
from heliograph.instruments import json_text
from heliograph.instruments.collector import TelemetryCollector
from heliograph.instruments.events import (
    EVENT_CHARS_MAX,
    EVENT_ITEMS_MAX,
    EVENTS_MAX,
    TelemetryEvent,
)


class Hostile:
    def __repr__(self):
        raise RuntimeError("no")


class Plain:
    def __repr__(self):
        return "<plain>"


class Text(str):
    __slots__ = ()

    def __str__(self):
        raise RuntimeError("no")


def kept(value, **more):
    collector = TelemetryCollector()
    collector.record_event("x", value, **more)
    return collector.get_events()[-1].value


CYCLE = {}
CYCLE["self"] = CYCLE
CLEANED = [
    ("plain types stay", {"a": [1, 2.5, None, True, "x"]}, {"a": [1, 2.5, None, True, "x"]}),
    ("a tuple stays one", (1, 2), (1, 2)),
    ("a set is a list", {7}, [7]),
    ("bytes by repr", b"\xff", "b'\\xff'"),
    ("an object by repr", {"o": Plain()}, {"o": "<plain>"}),
    ("an object without one", Hostile(), "<Hostile>"),
    ("a cycle ends", CYCLE, {"self": "[cycle]"}),
    ("a key that is no text", {1: "a", Plain(): "b"}, {"1": "a", "<plain>": "b"}),
    ("a subclass is made plain", Text("abc"), "abc"),
    ("a secret", {"api_key": "hgcanarysecret"}, {"api_key": "[redacted]"}),
    ("a secret inside", [{"db": {"Password": "x"}}], [{"db": {"Password": "[redacted]"}}]),
    ("a token", {"authToken": "x", "token": b"y"}, {"authToken": "[redacted]", "token": "[redacted]"}),
    ("a count of tokens", {"tokens": "12", "loss_per_token": 2.5}, {"tokens": "12", "loss_per_token": 2.5}),
    ("a secret that is not there", {"password": None, "has_secret": True}, {"password": None, "has_secret": True}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "expected"), [pytest.param(*row, id=case) for case, *row in CLEANED]
)
def test_a_value_is_made_harmless(value, expected):
    assert kept(value) == expected


def test_nan_is_data():
    assert math.isnan(kept({"loss": math.nan})["loss"])


def test_labels_and_metadata_are_cleaned_too():
    collector = TelemetryCollector()
    collector.record_event("x", 1, {"source": "web"}, {"secret": "s", "o": Hostile()})
    event = collector.get_events()[-1]

    assert (event.labels, event.metadata) == (
        {"source": "web"},
        {"secret": "[redacted]", "o": "<Hostile>"},
    )


def test_what_the_user_changes_later_does_not_change_the_event():
    collector, value = TelemetryCollector(), {"a": [1]}
    collector.record_event("x", value)
    value["a"].append(2)

    assert collector.get_events()[-1].value == {"a": [1]}


def test_a_long_text_is_cut_with_a_mark_and_counted():
    collector = TelemetryCollector()
    collector.record_event("x", "A" * 10_485_760)
    value = collector.get_events()[-1].value

    assert len(value) < EVENT_CHARS_MAX + 100
    assert value.endswith("… [cut, 10485760 characters]")
    assert collector.faults.counts() == {"event_cut": 1}


def test_many_items_are_cut_with_a_mark():
    value = kept(list(range(10**6)))

    assert len(value) == EVENT_ITEMS_MAX + 1
    assert value[-1] == "[cut]"


def test_depth_ends():
    deep = []
    for _ in range(10_000):
        deep = [deep]
    text = json.dumps(kept(deep))

    assert "[cycle]" in text
    assert len(text) < 1000


def test_a_mapping_that_raises_is_counted_and_logged(caplog):
    class Broken(dict):
        def items(self):
            raise RuntimeError("broken")

    collector = TelemetryCollector()
    collector.record_event("x", Broken(a=1))

    assert collector.get_events()[-1].value == "[unreadable]"
    assert collector.faults.counts() == {"event_unreadable": 1}
    assert "broken" in caplog.text


def test_names_that_are_no_text_do_not_raise():
    collector = TelemetryCollector()
    for name in (None, b"x", 3, ["x"], Hostile()):
        collector.record_event(name, 1)

    assert [event.name for event in collector.get_events()] == [
        "None", "b'x'", "3", "['x']", "<Hostile>",
    ]  # fmt: skip


def test_our_events_do_not_push_out_the_users():
    collector = TelemetryCollector()
    for index in range(900):
        collector.record_event("mine", index)
    for _ in range(1200):
        collector.collect()
    names = [event.name for event in collector.get_events()]

    assert names.count("mine") == 900
    assert names.count("collection_run") == EVENTS_MAX - 900
    assert collector.get_snapshot()["events_count"] == EVENTS_MAX


def test_events_are_in_the_order_of_recording_whatever_the_clock_does():
    clock = ManualClock(10**18)
    collector = TelemetryCollector(clock=clock)
    collector.record_event("first", 1)
    clock.set_wall(10**18 - 3_600 * 10**9)
    collector.record_event("second", 2)
    collector.collect()
    events = collector.get_events()

    assert [event.name for event in events] == ["first", "second", "collection_run"]
    assert events[0].timestamp - events[1].timestamp == 3600
    assert (
        collector.get_metric("telemetry_collection_duration_seconds").get_value()[-2].value == 0
    )


def test_get_events_takes_the_last():
    collector = TelemetryCollector()
    for index in range(5):
        collector.record_event("e", index)

    assert [event.value for event in collector.get_events(2)] == [3, 4]
    assert len(collector.get_events(0)) == 5


def test_many_threads_record_exactly():
    collector = TelemetryCollector()

    def record():
        for index in range(2000):
            collector.record_event("e", {"index": index})

    threads = [threading.Thread(target=record) for _ in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(50):
        sequences = [event.sequence for event in collector.get_events()]
        assert sequences == sorted(sequences)
    for thread in threads:
        thread.join()

    assert collector.get_metric("telemetry_events_total").get_value().value == 16_000
    assert len(collector.get_events()) == EVENTS_MAX


def test_finalizers_may_record():
    collector = TelemetryCollector()

    class Dying:
        def __init__(self):
            self.me = self

        def __del__(self):
            collector.record_event("died", {"a": 1})

    for _ in range(500):
        Dying()
        collector.record_event("lived", {"b": [1, 2]})
    gc.collect()

    assert collector.get_metric("telemetry_events_total").get_value().value == 1000


def test_an_event_is_a_value():
    event = TelemetryEvent("x", 1, timestamp=2.0, labels={"a": "b"})

    assert event == TelemetryEvent("x", 1, 2.0, {"a": "b"}, {})
    assert event != TelemetryEvent("x", 2, 2.0, {"a": "b"}, {})
    assert event != "x"
    assert "labels={'a': 'b'}" in repr(event)
    assert TelemetryEvent("x", 1).timestamp > 0


def test_json_is_strict():
    document = {"a": [math.nan, math.inf, -math.inf, 1.5], "b": {"c": math.nan}, "d": (1,)}

    assert json.loads(json_text.text(document, pretty=False)) == {
        "a": ["NaN", "+Inf", "-Inf", 1.5],
        "b": {"c": "NaN"},
        "d": [1],
    }
