"""Queries, alike on every store: ranges, buckets, groups, percentiles, text, NaN, what users add."""

import datetime as dt
import math
import random

import pytest

START = "2026-01-01T00:00:00"
RANGE = (START, "2026-01-01T01:00:00")


def at(seconds):
    return f"{dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}"


def value(recorder, name, aggregation, **more):
    return recorder.get_metrics([name], RANGE, aggregation, **more)["metrics"][name]["value"]


def test_every_call_counts_also_at_one_instant(recorder):
    for n in range(50):
        recorder.record_metric("m", n, timestamp=at(5))
        recorder.record_metric("m", n)

    assert value(recorder, "m", "COUNT") == 100
    assert value(recorder, "m", "SUM") == 2 * sum(range(50))
    assert recorder.get_metrics(["m"], (at(5), at(5)), "COUNT")["metrics"]["m"]["value"] == 50


def test_two_at_an_instant_that_others_have_taken(recorder):
    for seconds in (5, 7, 5, 6, 5, 7, 5):
        recorder.record_metric("m", 1, timestamp=at(seconds))
    recorder.record_metrics([("m", 1, None, at(seconds)) for seconds in (5, 5, 8, 5)])

    counts = [bucket["value"] for bucket in buckets(recorder, "COUNT", every="1s")]
    assert counts == [7, 1, 2, 1]


def buckets(recorder, aggregation, **more):
    return recorder.get_metrics(["m"], RANGE, aggregation, **more)["metrics"]["m"]["buckets"]


def test_the_range_holds_both_its_ends_in_any_spelling(recorder):
    for seconds in (0, 1, 2, 3):
        recorder.record_metric("m", seconds, timestamp=at(seconds))
    ends = (
        dt.datetime(2026, 1, 1, 0, 0, 1),  # noqa: DTZ001  # without a zone is UTC
        dt.datetime(2026, 1, 1, 2, 0, 2, tzinfo=dt.timezone(dt.timedelta(hours=2))),
    )

    for spelled in (
        ends,
        (at(1), at(2)),
        (at(1) + "Z", at(2) + "Z"),
        (1_767_225_601, 1_767_225_602.0),
    ):
        assert recorder.get_metrics(["m"], spelled, "SUM")["metrics"]["m"]["value"] == 3
    assert recorder.get_metrics(["m"], ends)["metrics"]["m"]["time_range"] == {
        "start": "2026-01-01T00:00:01",
        "end": "2026-01-01T02:00:02+02:00",
    }


def test_buckets_begin_at_the_epochs_own_and_only_where_there_is_something(recorder):
    for seconds in (0, 59, 60, 200):
        recorder.record_metric("m", seconds, timestamp=at(seconds))
    recorder.record_metric("m", "text", timestamp=at(400))

    found = recorder.get_metrics(["m"], RANGE, "MAX", every="1m")["metrics"]["m"]
    assert found["buckets"] == [
        {"start": "2026-01-01T00:00:00Z", "value": 59, "sample_count": 2},
        {"start": "2026-01-01T00:01:00Z", "value": 60, "sample_count": 1},
        {"start": "2026-01-01T00:03:00Z", "value": 200, "sample_count": 1},
        {"start": "2026-01-01T00:06:00Z", "value": None, "sample_count": 1, "skipped": 1},
    ]
    assert (found["value"], found["sample_count"], found["skipped"]) == (200, 5, 1)


def test_groups_are_of_the_contexts_values(recorder):
    for n in range(6):
        recorder.record_metric("m", n, {"kind": "ab"[n % 2], "n": n}, timestamp=at(n))
    recorder.record_metric("m", "word", {"kind": "a"}, timestamp=at(7))
    recorder.record_metric("m", 100, timestamp=at(8))

    found = recorder.get_metrics(["m"], RANGE, "SUM", by=["kind"])["metrics"]["m"]
    assert found["value"] == 115
    assert found["groups"] == [
        {"by": {"kind": ""}, "value": 100, "sample_count": 1},
        {"by": {"kind": "a"}, "value": 6, "sample_count": 4, "skipped": 1},
        {"by": {"kind": "b"}, "value": 9, "sample_count": 3},
    ]


def test_percentiles_lie_between_the_nearest_ranks(recorder):
    values = [random.Random(7).random() for _ in range(101)]
    recorder.record_metrics([("m", v, None, at(n)) for n, v in enumerate(values)])
    recorder.record_metric("m", math.nan, timestamp=at(500))

    ordered = sorted(values)
    assert value(recorder, "m", "P50") == ordered[50]
    assert value(recorder, "m", "P95") == ordered[95]
    assert value(recorder, "m", "P99.5") == pytest.approx((ordered[99] + ordered[100]) / 2)
    assert recorder.get_metrics(["m"], RANGE, "p50")["error"]["code"] == "INVALID_AGGREGATION"


def test_text_spoils_nothing(recorder):
    recorder.record_metrics(
        [("m", 1, None, at(1)), ("m", "x", None, at(2)), ("m", 4, None, at(3))]
    )
    recorder.record_metric("only", "text", timestamp=at(1))
    recorder.record_metric("other", 7, timestamp=at(1))

    found = recorder.get_metrics(None, RANGE, "MEAN")["metrics"]
    assert {name: (one["value"], one.get("skipped", 0)) for name, one in found.items()} == {
        "m": (2.5, 1),
        "only": (None, 1),
        "other": (7, 0),
    }
    assert value(recorder, "m", "COUNT") == 3
    assert "skipped" not in recorder.get_metrics(["m"], RANGE, "COUNT")["metrics"]["m"]


def test_percentiles_beside_infinity_are_numbers_where_they_can_be(recorder):
    values = [-math.inf, 1.0, 2.0, 3.0, math.inf]
    recorder.record_metrics([("m", each, None, at(n)) for n, each in enumerate(values)])

    found = [value(recorder, "m", name) for name in ("P10", "P50", "P75", "P90")]
    assert found == [-math.inf, 2.0, 3.0, math.inf]


def test_names_may_be_any_collection(recorder):
    recorder.record_metrics([("a", 1.0, None, at(0)), ("b", 2.0, None, at(0))])

    for names in ({"a"}, ("a",), {"a": 0}, "a", ["a", "a"]):
        assert list(recorder.get_metrics(names)["metrics"]) == ["a"]


def test_nan_and_infinity_survive(recorder):
    recorder.record_metrics([("n", math.nan, None, at(1)), ("n", 2.0, None, at(2))])
    recorder.record_metrics([("i", math.inf, None, at(1)), ("i", -math.inf, None, at(2))])
    recorder.record_metric("up", math.inf, timestamp=at(1))

    assert math.isnan(value(recorder, "n", "MEAN"))
    assert (value(recorder, "n", "MIN"), value(recorder, "n", "MAX")) == (2, 2)
    assert value(recorder, "n", "COUNT") == 2
    assert math.isnan(value(recorder, "i", "SUM"))
    assert (value(recorder, "i", "MIN"), value(recorder, "i", "MAX")) == (-math.inf, math.inf)
    assert value(recorder, "up", "MEAN") == math.inf


def test_a_users_aggregation_gets_the_numbers_in_order(recorder):
    recorder.add_aggregation("LAST_LESS_FIRST", lambda values: values[-1] - values[0])
    recorder.add_aggregation("BROKEN", lambda values: values[1000])
    for seconds in (3, 1, 2):
        recorder.record_metric("m", seconds * 10, timestamp=at(seconds))
    recorder.record_metric("m", "text", timestamp=at(2))

    assert value(recorder, "m", "LAST_LESS_FIRST") == 20
    assert recorder.get_metrics(["m"], RANGE, "BROKEN")["error"]["code"] == "INDEX_OUT_OF_RANGE"


def test_metrics_that_move_together(recorder):
    for n in range(20):
        recorder.record_metric("a", n, timestamp=at(60 * n))
        recorder.record_metric("b", 7 - 2 * n, timestamp=at(60 * n + 5))
        recorder.record_metric("c", n**3, timestamp=at(60 * n + 9))
        recorder.record_metric("still", 1, timestamp=at(60 * n))

    def together(*names, **more):
        return recorder.correlate(*names, RANGE, **more)["correlation"]

    assert together("a", "b")["value"] == pytest.approx(-1)
    assert together("a", "b")["buckets"] == 20
    assert together("a", "c")["value"] < 0.95
    assert together("a", "c", ranked=True)["value"] == pytest.approx(1)
    assert together("a", "still")["value"] is None
    assert together("a", "absent") == {
        "value": None,
        "buckets": 0,
        "metrics": ["a", "absent"],
        "method": "pearson",
        "time_range": {"start": START, "end": RANGE[1]},
    }


def test_a_batch_tells_what_is_wrong_with_each(recorder):
    answer = recorder.record_metrics(
        [
            ("m", 1),
            ("", 1),
            {"metric_name": "m", "metric_value": 2, "context": {"a": "b"}, "timestamp": at(1)},
            ("m", None),
            ("m", 3, None, "soon"),
            5,
        ]
    )

    assert (answer["status"], answer["recorded"]) == ("success", 2)
    assert [(one["index"], one["code"]) for one in answer["errors"]] == [
        (1, "INVALID_METRIC_NAME"),
        (3, "INVALID_METRIC_VALUE"),
        (4, "INVALID_VALUE"),
        (5, "INVALID_METRIC_NAME"),
    ]
    assert value(recorder, "m", "SUM") == 3


def test_every_that_is_no_width_is_told(recorder):
    recorder.record_metric("m", 1)

    assert recorder.get_metrics(["m"], RANGE, every="soon")["error"]["code"] == "INVALID_VALUE"
    assert recorder.get_metrics(["m"], RANGE, every=-1)["error"]["code"] == "INVALID_VALUE"
    assert recorder.get_metrics(["m"], RANGE, every=[])["error"]["code"] == "TYPE_ERROR"


def test_retention_by_age_with_a_dry_run(made):
    recorder = made(
        "memory",
        retention_policy={"metrics": {"duration_days": 1}, "events": {"duration_days": 0.5}},
    )
    recorder.record_metric("old", 1, timestamp="1999-01-01T00:00:00")
    recorder.record_metric("new", 1)
    recorder.record_event(
        {"event_type": "A", "source": "b", "timestamp": "2025-12-31T11:00:00"}
    )
    gone = {"events": 1, "metrics": 1, "size_bytes": 0}

    assert recorder.retain(dry_run=True) == {
        "status": "success",
        "dry_run": True,
        "removed": gone,
    }
    assert list(recorder.get_metrics()["metrics"]) == ["new", "old"]
    assert recorder.retain()["removed"] == gone
    assert list(recorder.get_metrics()["metrics"]) == ["new"]
    assert recorder.retain()["removed"] == {"events": 0, "metrics": 0, "size_bytes": 0}


def test_no_names_are_no_metrics_and_none_are_all(recorder):
    recorder.record_metric("m", 1)

    assert recorder.get_metrics([])["metrics"] == {}
    assert recorder.get_metrics([""])["metrics"] == {}
    assert [*recorder.get_metrics(None)["metrics"]] == ["m"]


@pytest.mark.parametrize(
    ("ends", "code"),
    [
        ((None, "2026-01-01"), "TYPE_ERROR"),
        (("2026-01-01", None), "TYPE_ERROR"),
        (("soon", "2026-01-01"), "INVALID_VALUE"),
        (("2026-01-01", float("nan")), "INVALID_VALUE"),
        (("2026-01-01", True), "TYPE_ERROR"),
        (("2026-01-01",), "INDEX_OUT_OF_RANGE"),
    ],
)
def test_a_range_whose_end_is_no_instant_is_refused_in_words(recorder, ends, code):
    recorder.record_metric("m", 1)

    error = recorder.get_metrics(["m"], ends)["error"]

    assert (error["code"], error["details"]["context"]["time_range"]) == (code, ends)


def test_a_range_that_ends_before_it_begins_holds_nothing(recorder):
    recorder.record_metric("m", 1)

    found = recorder.get_metrics(["m"], ("2100-01-01", "1970-01-01"))
    assert found == {"status": "success", "metrics": {}}


@pytest.mark.parametrize(
    ("every", "code"),
    [(True, "TYPE_ERROR"), (math.inf, "INVALID_VALUE"), (math.nan, "INVALID_VALUE")],
)
def test_what_is_no_width_is_refused(recorder, every, code):
    assert recorder.get_metrics(every=every)["error"]["code"] == code


def test_a_key_of_a_context_that_is_no_text_groups_by_its_text(recorder):
    recorder.record_metric("m", 1, {1: "a"})

    groups = recorder.get_metrics(["m"], by=[1])["metrics"]["m"]["groups"]
    assert groups == [{"by": {"1": "a"}, "value": 1.0, "sample_count": 1}]
