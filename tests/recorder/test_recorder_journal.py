"""The journal: its lines, its levels, its files, and what happens when it cannot be written."""

import json

import pytest

from heliograph.recorder.journal import BridgeLogger


def entries(folder):
    found = []
    for path in sorted(folder.glob("j.jsonl*"), key=lambda p: p.name, reverse=True):
        found += [json.loads(line) for line in path.read_text().splitlines()]
    return found


@pytest.fixture
def logger(tmp_path, clock):
    return lambda **config: BridgeLogger(
        {"log_path": tmp_path / "j.jsonl", "enable_console": False, **config}, clock
    )


def test_an_entry_has_an_id_the_time_and_what_was_told(logger, tmp_path):
    written = logger().log({"source": "s", "status": "OK", "payload": {"a": 1}, "message": "m"})

    assert entries(tmp_path) == [
        {
            "eventId": written,
            "timestamp": "2026-01-01T00:00:00Z",
            "source": "s",
            "status": "OK",
            "payload": {"a": 1},
            "logLevel": "INFO",
            "message": "m",
        }
    ]


def test_rotation_loses_nothing_that_it_has_room_for(logger, tmp_path):
    journal = logger(max_log_size=400, log_rotation_count=5)
    for n in range(6):
        journal.log({"message": str(n), "payload": "x" * 150})

    assert len(list(tmp_path.glob("j.jsonl*"))) == 6
    assert [entry["message"] for entry in entries(tmp_path)] == list("012345")
    assert journal.lost == 0


def test_beyond_the_last_file_the_oldest_goes(logger, tmp_path):
    journal = logger(max_log_size=1, log_rotation_count=2)
    for n in range(5):
        journal.log({"message": str(n)})

    assert [entry["message"] for entry in entries(tmp_path)] == ["2", "3", "4"]


def test_levels_below_the_least_are_left_out(logger, tmp_path):
    journal = logger(min_log_level="ERROR")
    journal.log({"message": "no"}, log_level="WARNING")
    journal.log({"message": "yes"}, log_level="FATAL")

    assert [entry["message"] for entry in entries(tmp_path)] == ["yes"]


def test_a_large_payload_is_told_of_only(logger, tmp_path):
    logger().log({"payload": {"a": "x" * (1 << 20)}})

    payload = entries(tmp_path)[0]["payload"]
    assert payload["truncated"] is True
    assert payload["original_size"] > 1 << 20


def test_a_payload_that_is_no_json_is_told_as_text(logger, tmp_path):
    logger().log({"payload": {"a": object, 5: {1}}})

    assert entries(tmp_path)[0]["payload"]["5"] == [1]


def test_what_cannot_be_written_is_counted(logger, tmp_path):
    (tmp_path / "file").write_text("")
    journal = logger(log_path=tmp_path / "file" / "j.jsonl")
    journal.log({"message": "m"})

    assert journal.lost == 1


def test_three_errors_of_one_code_within_ten_minutes(logger, tmp_path, clock):
    journal = logger()
    for _ in range(5):
        journal.log({"errorDetails": {"errorCode": "E"}}, log_level="ERROR")
        clock.advance(250)
    for _ in range(3):
        clock.advance(301)
        journal.log({"errorDetails": {"errorCode": "F"}}, log_level="ERROR")

    levels = [entry["logLevel"] for entry in entries(tmp_path)]
    assert levels == ["ERROR"] * 3 + ["FATAL"] + ["ERROR"] * 5


def test_the_console_gets_a_line(logger, capsys):
    logger(enable_console=True).log({"source": "s", "message": "m"}, log_level="WARNING")

    assert capsys.readouterr().err == "[WARNING] s: m\n"


def test_who_writes_while_it_is_written_to_is_stopped(logger, tmp_path):
    journal = logger(max_recursion_depth=3)

    class Talking:
        def __str__(self):
            journal.log({"message": "again", "payload": {"x": Talking()}})
            return "x"

    journal.log({"message": "first", "payload": {"x": Talking()}})

    codes = [entry.get("errorDetails", {}).get("errorCode") for entry in entries(tmp_path)]
    assert "STACK_EXHAUSTION" in codes
    assert journal.lost == 0
