"""The table of calls and answers that callers of the Bridge know, and the document's own programs."""

import datetime as dt
import json
import math
import re

import pytest

from heliograph.core.clock import SystemClock
from heliograph.recorder import BridgeTelemetry

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
UTC_TEXT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?")
PLACEHOLDERS = {
    "<uuid4>": UUID4.fullmatch,
    "<utc iso8601 without Z>": UTC_TEXT.fullmatch,
    "<int>": lambda value: type(value) is int,
    "<context>": lambda value: isinstance(value, dict),
}
# On purpose, (case, call): instants are compared, not texts; one text value spoils nothing.
OURS = {
    ("range-inclusive", 6): ("value", 4),
    ("mixed-text-mean-fails", 5): ("value", 2.5),
    ("mixed-text-mean-fails", 6): ("value", 4),
    ("mixed-text-mean-fails", 7): ("value", 10),
}
# What a data folder tells of itself is true, not a share of a number of events.
MEMORY_ONLY = {"health-after", "health-usage"}


def plain(value):
    if isinstance(value, dict):
        if set(value) == {"$float"}:
            return float(value["$float"])
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list) else value


def same(told, got):
    if isinstance(told, str) and told in PLACEHOLDERS:
        return bool(PLACEHOLDERS[told](got))
    if isinstance(told, float) and math.isnan(told):
        return isinstance(got, float) and math.isnan(got)
    if isinstance(told, dict):
        return (
            isinstance(got, dict)
            and told.keys() == got.keys()
            and all(same(told[key], got[key]) for key in told)
        )
    if isinstance(told, list):
        return len(told) == len(got) and all(map(same, told, got))
    return told == got


def now_of_the_machine():
    return dt.datetime.fromtimestamp(SystemClock().now_ns() / 1e9, dt.UTC)


def played(calls, telemetry):
    for name, arguments, *named in calls:
        yield getattr(telemetry, name)(*arguments, **(named[0] if named else {}))


@pytest.mark.parametrize("where", ["memory", "folder"])
def test_the_table(shared_data, tmp_path, where):
    table = json.loads((shared_data / "library_vectors" / "dreamos_bridge.json").read_text())
    differing = set()
    for case in plain(table["cases"]):
        config = case["input"]["config"]
        config["logger_config"] = {"enable_console": False, "log_path": tmp_path / "log"}
        if where == "folder":
            config.setdefault("storage_config", {}).update(
                backend="timeseries_db", connection_string=str(tmp_path / case["id"])
            )
        with BridgeTelemetry(config) as telemetry:
            answers = list(played(case["input"]["calls"], telemetry))
        for number, (told, got) in enumerate(zip(case["expect"], answers, strict=True)):
            if same(told, got):
                continue
            differing.add((case["id"], number))
            if (case["id"], number) in OURS:
                key, value = OURS[case["id"], number]
                assert got["metrics"]["m"][key] == value
            else:
                assert (where, case["id"] in MEMORY_ONLY) == ("folder", True), (case["id"], got)

    assert differing >= set(OURS)


def test_a_metric_just_recorded_is_in_the_last_five_minutes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with BridgeTelemetry(config={"logger_config": {"enable_console": False}}) as telemetry:
        recorded = telemetry.record_metric("test_metric", 42)
        now = now_of_the_machine().replace(tzinfo=None)
        before = now - dt.timedelta(minutes=5)
        asked = telemetry.get_metrics(
            metric_names=["test_metric"],
            time_range=(before.isoformat(), now.isoformat()),
            aggregation="MEAN",
        )

    assert recorded.keys() == {"status", "event_id", "timestamp"}
    assert asked["metrics"]["test_metric"]["value"] == 42
    assert list(tmp_path.iterdir()) == []


def test_a_program_with_a_data_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    telemetry = BridgeTelemetry(
        config={
            "logger_config": {
                "log_path": "runtime/logs/telemetry_logs.jsonl",
                "enable_console": True,
            },
            "storage_config": {
                "backend": "timeseries_db",
                "connection_string": "runtime/data/telemetry_store",
            },
            "retention_policy": {
                "events": {"duration_days": 7},
                "metrics": {"duration_days": 30},
            },
        }
    )
    command = {
        "event_type": "COMMAND",
        "source": "bridge_core",
        "data": {
            "command_type": "EXECUTE_TASK",
            "command_id": "12345",
            "result_status": "SUCCESS",
        },
    }
    event = telemetry.record_event(command)
    metric = telemetry.record_metric(
        "command_processing_time_ms", 127, context={"command_type": "EXECUTE_TASK"}
    )
    now = now_of_the_machine()
    metrics = telemetry.get_metrics(
        metric_names=["command_processing_time_ms", "successful_commands"],
        time_range=(now - dt.timedelta(hours=1), now),
        aggregation="MEAN",
    )
    telemetry.close()

    assert (event["status"], metric["status"]) == ("success", "success")
    assert event["event_id"] == command["event_id"]
    assert list(metrics["metrics"]) == ["command_processing_time_ms"]
    assert metrics["metrics"]["command_processing_time_ms"]["value"] == 127
    assert (tmp_path / "runtime/data/telemetry_store/log").is_dir()
