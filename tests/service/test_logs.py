"""The service's own log: one JSON object a line, and no flood."""

import io
import json
import logging

import pytest

from heliograph.service import logs


@pytest.fixture
def written(monkeypatch):
    """What is written to standard error, after `configure`; the root logger is put back."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    logs.configure("info")
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers[:], root.level = before[0], before[1]


def record(event, created_s, **extra):
    made = logging.makeLogRecord(
        {"name": "heliograph.x", "levelno": logging.WARNING, "msg": event}
    )
    made.created = created_s
    vars(made).update(extra)
    return made


def test_a_line_break_in_a_field_cannot_forge_another_line(written):
    logging.getLogger("heliograph.x").warning("refused", extra={"why": 'a\n{"level": "info"}'})

    (line,) = written()
    assert (line["event"], line["level"], line["why"]) == (
        "refused",
        "warning",
        'a\n{"level": "info"}',
    )


def test_a_line_has_its_milliseconds():
    for formatter in (logs._Json(), logs._Text()):
        assert ":40.007" in formatter.format(record("a", 100.0, msecs=7.5))


def test_a_traceback_stays_in_its_line(written):
    logging.getLogger("heliograph.x").warning("bug", exc_info=ValueError("x"))

    (line,) = written()
    assert line["traceback"].endswith("ValueError: x")


def test_a_repeated_event_is_told_once_in_a_while_and_how_often_it_was_not():
    throttle = logs.Throttle()
    passed = []
    for second in range(25):
        one = record("store does not take it", 100.0 + second, why=str(second))
        if throttle.filter(one):
            passed.append((second, getattr(one, "left_out", 0)))

    assert passed == [(0, 0), (10, 9), (20, 9)]


def test_other_events_and_a_clock_set_back_are_not_throttled():
    throttle = logs.Throttle()

    assert throttle.filter(record("a", 100.0))
    assert throttle.filter(record("b", 100.0))
    assert throttle.filter(record("a", 50.0))
