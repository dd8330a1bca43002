"""A body of logs from the thread for lines straight to ingest: what the sender hears of what fails."""

from concurrent.futures import Future
from types import SimpleNamespace

import pytest

from heliograph.core.clock import ManualClock
from heliograph.core.errors import Refused, Unavailable
from heliograph.receive.logs import LogLimits
from heliograph.service.endpoints import telemetry
from heliograph.service.executors import Executors
from heliograph.service.line_parses import LineParses
from heliograph.service.log_patterns import InForce
from heliograph.service.meters import Meters
from heliograph.training.parse import parse_line


class Ingest:
    """Runs what is submitted at once, or is full."""

    def __init__(self, *, full=False):
        self.full = full
        self.given = []

    def submit(self, work, *, into):
        if self.full:
            raise Unavailable("the ingest queue is full", code="overloaded")
        self.given.append(into)
        assert into.set_running_or_notify_cancel()
        into.set_result(work())
        return into


@pytest.fixture
def intake():
    executors = Executors()
    patterns = SimpleNamespace(in_force=lambda: InForce(0, parse_line, own=False))
    meters, appended = Meters(), []
    yield SimpleNamespace(
        executors=executors,
        ingest=Ingest(),
        clock=ManualClock(5),
        log_limits=LogLimits(),
        parses=LineParses(patterns, meters),
        meters=meters,
        appended=appended,
        log=SimpleNamespace(append_lines=lambda payload, count: appended.append(count) or 7),
        handover=SimpleNamespace(put=lambda seq, read: appended.append((seq, len(read.block)))),
    )
    executors.close()


def taken(body, intake, encoding=None):
    return telemetry._taken(body, encoding, "10.0.0.9", intake).result(10)


def test_lines_go_from_reading_to_the_log(intake):
    read = taken(b'[{"log": "a\\nb"}]', intake)
    assert (read.batch.accepted, intake.appended) == (1, [2, (7, 2)])


def test_a_body_without_lines_is_not_appended(intake):
    assert taken(b'[{"log": " \\n"}]', intake).batch.counts.blank == 1
    assert (intake.appended, intake.ingest.given) == ([], [])


def test_a_bad_body_is_refused_and_nothing_of_it_is_kept(intake):
    with pytest.raises(Refused) as refused:
        taken(b"nothing", intake)
    assert (refused.value.field, intake.appended) == ("body", [])


def test_a_full_queue_is_told(intake):
    intake.ingest = Ingest(full=True)
    with pytest.raises(Unavailable) as busy:
        taken(b'[{"log": "a"}]', intake)
    assert (busy.value.code, intake.appended) == ("overloaded", [])


@pytest.mark.parametrize("body", [b'[{"log": " "}]', b"nothing"])
def test_who_is_gone_is_not_answered(intake, body, monkeypatch):
    """The answer was given up while the body was read."""
    begun = []

    def later(work):
        begun.append((Future(), work))
        return begun[0][0]

    monkeypatch.setattr(intake.executors, "begin_lines", later)
    answer = telemetry._taken(body, None, "", intake)
    assert answer.cancel()
    reading, work = begun[0]
    try:
        reading.set_result(work())
    except Refused as error:
        reading.set_exception(error)
    assert answer.cancelled()
    assert intake.appended == []
