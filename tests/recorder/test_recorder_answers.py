"""What is answered to what: codes of exceptions, instants in every spelling, loops, bad settings."""

import datetime as dt
import json
import os
import re
import subprocess
import sys
import textwrap

import pytest

from heliograph.core.errors import ConfigError
from heliograph.recorder import BridgeTelemetry, ids, moments, plain
from heliograph.recorder.error_answers import CODES, code_of
from heliograph.recorder.points import labels_of
from tests.conftest import NEW_YEAR_NS

NOON_NS = 1_747_828_800_000_000_000  # 2025-05-21T12:00:00Z


@pytest.mark.parametrize(
    "told",
    [
        "2025-05-21T12:00:00",
        "2025-05-21T12:00:00Z",
        "2025-05-21T14:00:00+02:00",
        "2025-05-21 12:00",
        dt.datetime(2025, 5, 21, 12),  # noqa: DTZ001  # without a zone is UTC
        dt.datetime(2025, 5, 21, 12, tzinfo=dt.UTC),
        dt.datetime(2025, 5, 21, 14, tzinfo=dt.timezone(dt.timedelta(hours=2))),
        1_747_828_800,
        1_747_828_800.0,
    ],
)
def test_one_instant_in_many_spellings(told):
    assert moments.at_ns_of(told) == NOON_NS


@pytest.mark.parametrize(
    "told", ["", "yesterday", "2025-13-01", dt.datetime(9999, 1, 1, tzinfo=dt.UTC), 1e30]
)
def test_what_is_no_instant(told):
    with pytest.raises(ValueError):
        moments.at_ns_of(told)


def test_the_text_of_an_instant():
    assert moments.text_of(NOON_NS + 5_000) == "2025-05-21T12:00:00.000005"
    assert moments.Stamps().text(NOON_NS + 5_000) == "2025-05-21T12:00:00.000005"


def test_codes_go_by_the_name_of_the_class():
    assert [code_of(error()) for error in (ValueError, KeyError, OSError)] == [
        "INVALID_VALUE",
        "MISSING_KEY",
        "OPERATING_SYSTEM_ERROR",
    ]
    assert {code_of(ConnectionRefusedError()), code_of(UnicodeError())} == {"UNEXPECTED_ERROR"}
    assert len(CODES) == 20


def test_ids_are_uuids_and_differ():
    made = [ids.event_id() for _ in range(1000)]

    assert len(set(made)) == 1000
    assert re.fullmatch(
        r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", made[0]
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_child_draws_ids_of_its_own():
    program = (
        "import os; from heliograph.recorder import ids; r, w = os.pipe()\n"
        "if os.fork(): os.wait(); print(os.read(r, 99).decode()[:23] != ids.event_id()[:23])\n"
        "else: os.write(w, ids.event_id().encode())"
    )
    out = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert out.stdout == "True\n"


def test_the_same_event_again_and_again_is_a_loop(recorder):
    event = {"event_type": "COMMAND", "source": "core"}
    codes = [recorder.record_event(event) for _ in range(7)]

    assert [answer["status"] for answer in codes] == ["success"] * 5 + ["error"] * 2
    assert codes[6]["error"]["code"] == "LOOP_DETECTED"


def test_a_loop_is_one_among_the_last_hundred(recorder):
    event = {"event_type": "COMMAND", "source": "core", "event_id": "x", "timestamp": 1}
    for n in range(5):
        recorder.record_event(dict(event))
        for m in range(25):
            recorder.record_event({**event, "event_id": f"{n}-{m}"})

    assert recorder.record_event(dict(event))["status"] == "success"


def test_what_has_no_instant_is_of_the_instant_it_is_recorded_at(recorder):
    events = recorder.subscribe()
    event = {"event_type": "A", "source": "b", "event_id": "x", "timestamp": "soon"}
    answers = [recorder.record_event(dict(event)) for _ in range(6)]
    metric = recorder.record_metric("m", 1, timestamp="soon")

    told = {"status": "success", "event_id": "x", "timestamp": "soon"}
    assert answers[:5] == [told] * 5
    assert answers[5]["error"]["code"] == "LOOP_DETECTED"
    assert (metric["status"], metric["timestamp"]) == ("success", "soon")
    kept = events.get(0)
    assert (kept.at_ns, kept.extra) == (NEW_YEAR_NS, {"timestamp_told": "soon"})
    now = "2026-01-01T00:00:00"
    counted = recorder.get_metrics(["m"], (now, now), "COUNT")["metrics"]["m"]["value"]
    assert (counted, recorder.health_check()["stats"]["timestamps_unread"]) == (1, 6)


def test_a_timestamp_is_answered_as_it_was_told(recorder):
    told = [1767225600, 0, 0.5, "2026-01-01", "2026-01-01T01:00:00+01:00"]

    assert [
        recorder.record_metric("m", 1, timestamp=when)["timestamp"] for when in told
    ] == told


def test_an_integer_beyond_a_float_is_refused_alone(recorder):
    most = int(sys.float_info.max)
    answer = recorder.record_metric("m", -most - 1)
    batch = recorder.record_metrics([("m", most), ("m", 10**400), ("m", 10**400, {"k": 1})])

    assert answer["error"] == {
        "code": "INVALID_METRIC_VALUE",
        "message": "Metric value is too large a number",
        "details": {},
    }
    assert (batch["recorded"], [one["index"] for one in batch["errors"]]) == (1, [1, 2])
    assert recorder.get_metrics(["m"])["metrics"]["m"]["value"] == sys.float_info.max


def test_values_that_json_lacks_are_kept_as_text(recorder):
    circle = {}
    circle["self"] = circle
    event = {"event_type": "A", "source": "b", "data": {1: {2, 3}, "o": object, "c": circle}}

    assert recorder.record_event(event)["status"] == "success"
    assert (
        recorder.record_metric("m", 1, context={"x": {1: [2]}, "": None})["status"] == "success"
    )


def test_plain_text_of_anything_is_one():
    assert plain.canonical({"b": 1, "a": {1: 2}}) == plain.canonical({"a": {"1": 2}, "b": 1})
    assert plain.of({"d": dt.date(2025, 5, 21), "s": {2, 1}, "t": (1,)}) == {
        "d": "2025-05-21",
        "s": [1, 2],
        "t": [1],
    }


def test_a_context_becomes_labels():
    assert labels_of(
        "m", {"a": "x", "n": 1, "t": True, "none": None, "e": "", "__name__": "y"}
    ) == (
        ("__name__", "m"),
        ("a", "x"),
        ("context.__name__", "y"),
        ("n", "1"),
        ("none", "null"),
        ("t", "true"),
    )


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"storage_config": {"backend": "mongo"}}, "is none of"),
        ({"storage_config": {"storage_type": "file"}}, "timeseries_db"),
        ({"storage_config": {"backend": "timeseries_db"}}, "connection_string"),
        ({"storage_config": {"max_events": 0}}, "max_events"),
        ({"storage_config": {"backend": "memory", "connection_string": "x"}}, "memory"),
        ({"storage_config": {"backend": "timeseries_db", "connection_string": "x", "durability": "?"}}, "durability"),
        ({"retention_policy": {"metrics": {"duration_days": "7"}}}, "duration_days"),
        ({"logger_config": 5}, "logger_config"),
    ],
)  # fmt: skip
def test_a_configuration_that_cannot_be_used_says_so(config, words):
    with pytest.raises(ConfigError, match=words):
        BridgeTelemetry(config)


def test_memory_keeps_the_newer_half_at_its_bounds(made):
    recorder = made(
        "memory", storage_config={"max_events": 4, "max_metrics_per_name": 4, "max_metrics": 2}
    )
    for n in range(5):
        recorder.record_event({"event_type": "A", "source": "b", "data": {"n": n}})
        recorder.record_metric("m", n, timestamp=n + 1)

    assert recorder.get_metrics(["m"], aggregation="SUM")["metrics"]["m"]["value"] == 2 + 3 + 4
    assert recorder.health_check()["stats"]["storage_usage_percentage"] == 75.0
    assert recorder.record_metric("n", 1)["status"] == "success"
    assert recorder.record_metric("o", 1)["error"]["code"] == "STORAGE_FAILURE"
    stats = recorder.health_check()["stats"]
    assert (stats["events_dropped"], stats["metrics_dropped"], stats["metrics_refused"]) == (
        2,
        2,
        1,
    )


def test_the_journal_says_why(made, tmp_path):
    recorder = made("memory")
    for _ in range(3):
        recorder.record_event({})
    lines = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]

    assert [line["logLevel"] for line in lines] == ["ERROR", "ERROR", "ERROR", "FATAL"]
    assert lines[0]["source"] == "Bridge_Telemetry"
    assert lines[0]["errorDetails"]["errorCode"] == "INVALID_EVENT"
    assert lines[3]["errorDetails"]["errorCode"] == "AUTO_REBOOT_TRIGGERED"


def test_the_recorder_needs_nothing_but_the_standard_library():
    program = (
        "import sys; before = set(sys.modules)\n"
        "from heliograph.recorder import BridgeTelemetry\n"
        "t = BridgeTelemetry({'logger_config': {'enable_console': False}}); t.record_metric('m', 1)\n"
        "t.add_monitor('x', metric='m', kind='anomaly', value=6, callback=print)\n"
        "for n in range(30): t.record_metric('m', n)\n"
        "t.get_metrics(['m'], None, 'P95', every='1m')\n"
        "print(*sys.modules.keys() - before)"
    )
    out = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True
    )

    assert {name.partition(".")[0] for name in out.stdout.split()} <= {
        "heliograph",
        "cython_runtime",
        *sys.stdlib_module_names,
    }


def test_none_for_an_id_or_a_time_is_none_given(recorder):
    event = {"event_type": "A", "source": "s", "event_id": None, "timestamp": None}
    answers = [
        recorder.record_event(event),
        recorder.record_metric("m", 1, timestamp=None),
        recorder.record_metric("m", 1, timestamp=""),
    ]
    many = recorder.record_metrics(
        [("m", 1, None, None), {"metric_name": "m", "metric_value": 1}]
    )

    assert [answer["timestamp"] for answer in answers] == ["2026-01-01T00:00:00.000000"] * 3
    assert all(len(answer["event_id"]) == 36 for answer in answers)
    assert many == {"status": "success", "recorded": 2}
    assert "timestamps_unread" not in recorder.health_check()["stats"]


def test_half_a_surrogate_pair_costs_nothing_and_nobody(recorder):
    half = "a\ud800"
    assert recorder.record_metric(half, 1.0, {half: half})["status"] == "success"
    assert recorder.record_metric("m", half)["status"] == "success"
    event = {"event_type": half, "source": half, "data": {half: [half]}}
    assert recorder.record_event(event)["status"] == "success"
    assert recorder.record_metric("m", 2.0)["status"] == "success"
    assert recorder.flush() == {"status": "success"}

    found = recorder.get_metrics(aggregation="COUNT")["metrics"]
    assert sum(one["value"] for one in found.values()) == 3
    recorder.close()


def test_an_event_that_holds_itself_is_recorded_as_far_as_it_goes(recorder):
    data = {"n": 1}
    data["self"] = data

    assert (
        recorder.record_event({"event_type": "A", "source": "s", "data": data})["status"]
        == "success"
    )
    assert recorder.flush() == {"status": "success"}


@pytest.mark.parametrize(
    "config",
    [
        5,
        {"logger_config": {"max_log_size": "much"}},
        {"logger_config": {"log_path": 5}},
        {"error_threshold_percentage": "few"},
        {"retention_policy": {"max_mb": -1}},
        {"retention_policy": {"max_mb": "10"}},
        {"retention_policy": {"max_mb": float("nan")}},
        {
            "storage_config": {
                "backend": "timeseries_db",
                "connection_string": "postgresql://there/db",
            }
        },
    ],
    ids=str,
)
def test_a_configuration_that_cannot_be_used_is_refused(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError):
        BridgeTelemetry(config)
    assert [*tmp_path.iterdir()] == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_fork_while_others_record_holds_nobody_up():
    program = """
        import os, signal, threading
        from heliograph.recorder import BridgeTelemetry
        t = BridgeTelemetry({"logger_config": {"enable_console": False, "log_path": os.devnull}})
        t.add_monitor("x", kind="absence", event_type="A", window="1h", callback=print)
        parts = [t, t.storage, t.logger, t._watching, t._watching._error_rate]
        locks = [getattr(one, "_lock", None) or one._counting for one in parts]
        held = threading.Event()
        go = threading.Event()
        def hold():
            for lock in locks:
                lock.acquire()
            held.set()
            go.wait()
        threading.Thread(target=hold, daemon=True).start()
        held.wait()
        if not os.fork():
            signal.alarm(20)
            told = [t.record_metric("m", 1.0), t.record_event({"event_type": "A", "source": "s"}),
                    t.record_event({}), t.get_metrics(), t.health_check()]
            t.close()
            os._exit([one["status"] for one in told].count("error"))
        print(os.waitstatus_to_exitcode(os.wait()[1]))
        os._exit(0)
    """
    out = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert out.stdout == "1\n"
