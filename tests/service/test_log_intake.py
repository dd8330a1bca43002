"""Bodies of logs into the log: in groups, on one thread; what each sender hears of what fails."""

import asyncio
import threading
from types import SimpleNamespace

import pytest

from heliograph.core.clock import ManualClock
from heliograph.core.errors import Refused, Unavailable
from heliograph.receive.lines import decode_block
from heliograph.receive.logs import LogLimits
from heliograph.service import ingest as ingesting
from heliograph.service import line_intake
from heliograph.service.executors import Executors
from heliograph.service.ingest import Ingest
from heliograph.service.line_intake import LineIntake
from heliograph.service.line_parses import LineParses
from heliograph.service.log_patterns import InForce
from heliograph.service.meters import Meters
from heliograph.service.supervisor import Supervisor
from heliograph.training.parse import parse_line
from tests.looped import run

GOOD = b'[{"log": "a\\nb"}]'


class Log:
    """A log that notes counts of lines, "|" for a commit; what it is told to refuse, it refuses."""

    def __init__(self):
        self.seen = []
        self.full = self.broken = False

    def append_lines(self, payload, count):
        if self.full:
            raise Unavailable("too much waits", code="log_busy")
        self.seen.append(count)
        return len(self.seen)

    def commit(self):
        if self.broken:
            raise Unavailable("no disk", code="disk_full")
        self.seen.append("|")


class Site:
    def __init__(self):
        self.log, self.meters, self.clock = Log(), Meters(), ManualClock(5)
        self.supervisor = Supervisor(self.meters.registry)
        self.executors = Executors()
        self.left = {}
        self.ingest = Ingest(self.log, self.supervisor, self.clock)
        patterns = SimpleNamespace(in_force=lambda: InForce(0, parse_line, own=False))
        self.intake = LineIntake(
            self.ingest,
            self.log,
            self.executors,
            self.supervisor,
            self.meters,
            self.clock,
            limits=LogLimits(),
            parses=LineParses(patterns, self.meters),
            handover=SimpleNamespace(put=self.put),
        )
        self._go = threading.Event()

    def put(self, seq, read, payload):
        assert [*decode_block(payload)] == [*read.block]
        self.left[seq] = read

    def hold(self):
        """Keep the thread for lines busy until `release`, so that what comes next waits."""
        begun = threading.Event()

        def work():
            begun.set()
            assert self._go.wait(10)

        self.executors.begin_lines(work)
        assert begun.wait(10)

    def read(self):
        """Until all bodies that were submitted are read, and what comes of them is on its way."""

        def begun():
            # Who goes on with what waits has not begun for a moment, but with the lock.
            with self.intake._lock:
                return self.intake._begun

        while begun():
            threading.Event().wait(0.002)

    def release(self):
        self._go.set()

    def taken(self, *bodies):
        """What comes of *bodies*, sent together: lines, or what was raised."""

        async def all_of():
            self.hold()
            asked = [self.intake.submit(body, None, "10.0.0.9") for body in bodies]
            self.release()
            return await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 10)

        return run(all_of())


@pytest.fixture
def site():
    made = Site()
    yield made
    made.release()
    made.executors.close()
    made.ingest.close()


def counts(taken):
    return [len(one.batch.lines) for one in taken]


def test_bodies_that_came_together_share_one_commit(site):
    assert counts(site.taken(GOOD, b'[{"log": "c"}]', GOOD)) == [2, 1, 2]
    assert site.log.seen == [2, 1, 2, "|"]
    assert {seq: len(read.block) for seq, read in site.left.items()} == {1: 2, 2: 1, 3: 2}


def test_a_body_that_is_told_at_once_waits_for_no_large_one(site, monkeypatch):
    monkeypatch.setattr(line_intake, "GROUP_BYTES_MAX", 3 * len(GOOD))
    read = []
    decode = line_intake.logs.decode
    monkeypatch.setattr(
        line_intake.logs,
        "decode",
        lambda body, **more: read.append(body) or decode(body, **more),
    )
    sends = site.intake._answers.send
    site.intake._answers.send = lambda: (read.append("sent"), sends())
    blank, large = b'[{"log": " "}]', GOOD + b" " * len(GOOD) * 3

    site.taken(blank, large)

    assert read == [blank, "sent", large, "sent"]


def test_a_group_ends_before_what_is_large(site, monkeypatch):
    monkeypatch.setattr(line_intake, "GROUP_BYTES_MAX", 3 * len(GOOD))
    large = GOOD + b" " * len(GOOD) * 2
    site.taken(GOOD, large, large, GOOD, GOOD, GOOD)
    assert site.log.seen == [2, "|", 2, "|", 2, "|", 2, 2, 2, "|"]


def test_a_group_ends_by_number_and_by_time(site, monkeypatch):
    monkeypatch.setattr(line_intake, "GROUP_REQUESTS_MAX", 2)
    site.taken(GOOD, GOOD, GOOD)
    assert site.log.seen == [2, 2, "|", 2, "|"]

    site.log.seen.clear()
    monkeypatch.setattr(line_intake, "READING_S_MAX", -1)
    site.taken(GOOD, GOOD)
    assert site.log.seen == [2, "|", 2, "|"]


def test_a_body_without_lines_is_not_appended(site):
    (taken,) = site.taken(b'[{"log": " \\n"}]')
    assert (taken.batch.counts.blank, site.log.seen) == (1, [])


def test_a_bad_body_costs_its_neighbours_nothing(site):
    first, bad, last = site.taken(GOOD, b"nothing", GOOD)

    assert isinstance(bad, Refused)
    assert bad.field == "body"
    assert counts([first, last]) == [2, 2]
    assert site.log.seen == [2, 2, "|"]


def test_a_body_that_the_log_has_no_room_for_is_told(site):
    site.log.full = True
    (busy,) = site.taken(GOOD)
    assert busy.code == "log_busy"


def test_all_are_told_when_the_disk_refuses(site):
    site.log.broken = True
    errors = site.taken(GOOD, b"nothing", GOOD)

    assert [getattr(error, "code", "") for error in errors] == [
        "disk_full",
        "json",
        "disk_full",
    ]
    # Who asked counts it, by its code.
    assert not site.meters.refused_for_now.items()
    site.log.broken = False
    assert counts(site.taken(GOOD)) == [2]


def test_who_is_gone_is_not_read(site):
    async def given_up():
        site.hold()
        gone = site.intake.submit(b"nothing", None, "")
        stays = site.intake.submit(GOOD, None, "")
        gone.cancel()
        site.release()
        return await asyncio.wait_for(stays, 10)

    assert counts([run(given_up())]) == [2]
    assert site.log.seen == [2, "|"]


def test_too_many_that_wait_are_told(site, monkeypatch):
    monkeypatch.setattr(line_intake, "QUEUE_REQUESTS_MAX", 1)

    async def two():
        site.hold()
        first = site.intake.submit(GOOD, None, "")
        with pytest.raises(Unavailable, match="wait") as busy:
            site.intake.submit(GOOD, None, "")
        site.release()
        return busy.value.code, counts([await asyncio.wait_for(first, 10)])

    assert run(two()) == ("overloaded", [2])


def test_a_service_that_stops_takes_none(site):
    async def late():
        with pytest.raises(Unavailable) as stopping:
            site.intake.submit(GOOD, None, "")
        return stopping.value.code

    site.executors.close()
    assert [run(late()) for _ in range(2)] == ["stopping"] * 2


@pytest.fixture
def busy(site):
    """A function that keeps ingest busy, with an event that ends it."""
    begun, go = threading.Event(), threading.Event()

    def work():
        begun.set()
        assert go.wait(10)
        site.log.seen.append("held")

    def begin():
        site.ingest.submit(work)
        assert begun.wait(10)
        return go

    yield begin
    go.set()


def test_beside_a_busy_ingest_reading_goes_on(site, busy):
    async def beside():
        go = busy()
        asked = [site.intake.submit(GOOD, None, "") for _ in range(3)]
        await asyncio.to_thread(site.read)
        # The thread for lines waits for nobody.
        free = asyncio.Event()
        tell = asyncio.get_running_loop().call_soon_threadsafe
        site.executors.begin_lines(lambda: tell(free.set))
        await asyncio.wait_for(free.wait(), 10)
        assert not any(one.done() for one in asked)
        go.set()
        return await asyncio.wait_for(asyncio.gather(*asked), 10)

    assert counts(run(beside())) == [2, 2, 2]
    assert site.log.seen == ["held", 2, 2, 2, "|"]


def two_beside(site, busy):
    """What comes of two bodies that were read while ingest was *busy*."""

    async def beside():
        go = busy()
        asked = [site.intake.submit(GOOD, None, "") for _ in range(2)]
        await asyncio.to_thread(site.read)
        go.set()
        return await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 10)

    return run(beside())


def test_each_is_told_when_the_disk_refuses_a_busy_ingest(site, busy):
    site.log.broken = True
    assert [error.code for error in two_beside(site, busy)] == ["disk_full"] * 2
    # Who asked counts it, by its code.
    assert not site.meters.refused_for_now.items()


def test_who_cannot_join_a_full_queue_is_told(site, busy, monkeypatch):
    monkeypatch.setattr(ingesting, "QUEUE_REQUESTS_MAX", 1)
    first, second = two_beside(site, busy)
    assert counts([first]) == [2]
    assert second.code == "overloaded"


def test_a_bug_is_told_to_all_of_its_group_and_costs_no_other(site, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(site.ingest, "run_now", lambda _: 1 // 0)
        errors = site.taken(GOOD, GOOD)
    assert [type(error) for error in errors] == [ZeroDivisionError] * 2
    assert counts(site.taken(GOOD)) == [2]
