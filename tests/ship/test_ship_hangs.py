"""Metrics that hang or exit, threads that meet what nobody expects: the process and the rest go on."""

import signal
import threading

import pytest

import heliograph.ship
from heliograph.core.errors import ConfigError
from heliograph.ship import frame as framing
from heliograph.ship import shipper as shipping
from heliograph.ship import termination
from heliograph.ship.counts import Counts
from heliograph.ship.family import Family, Point
from heliograph.ship.frame import Frame
from heliograph.ship.readings import Readings
from heliograph.ship.spool import Spool
from heliograph.ship.termination import Termination
from tests.peers import free_port
from tests.service.live import CLOCK, until
from tests.ship.receiver import Receiver


class Driver:
    """Readings of a device that may not answer: it is `asked`, and answers while it is `well`."""

    def __init__(self):
        self.well, self.asked, self.readings = threading.Event(), threading.Event(), 0
        self.raises = None
        self.well.set()

    def __call__(self):
        self.asked.set()
        self.well.wait()
        self.readings += 1
        if self.raises:
            raise self.raises
        return [Family("readings", "counter", "", "", [Point("_total", (), self.readings)])]


@pytest.fixture
def driver():
    made = Driver()
    yield made
    made.well.set()


@pytest.fixture
def begin(monkeypatch, driver):
    # With 60 seconds nothing is read that the test did not ask for.
    monkeypatch.setattr(shipping, "FIRST_S_MAX", 60.0)
    begun = []

    def to(url, **more):
        more = {"spool_dir": "", "every_s": 60, "exit_s": 1, **more}
        begun.append(heliograph.ship.to(url, source=driver, **more))
        return begun[-1]

    yield to
    driver.well.set()
    for shipper in begun:
        shipper.close(0)


@pytest.fixture
def receiver():
    with Receiver() as opened:
        yield opened


def took_s(call):
    began_s = CLOCK.monotonic_s()
    found = call()
    return found, CLOCK.monotonic_s() - began_s


ENDS = [
    ("flush", lambda shipper: shipper.flush(0.3), False),
    ("flush, for nothing", lambda shipper: shipper.flush(0), False),
    ("close", lambda shipper: shipper.close(0.3), False),
    ("the end of the process", lambda shipper: shipping._close_all(), None),
    ("SIGTERM", lambda shipper: shipping._flush_all(), None),
    ("records", lambda shipper: shipper.records([b"{}"]), None),
]


@pytest.mark.parametrize("reads_already", [True, False], ids=["in a reading", "at rest"])
@pytest.mark.parametrize(("what", "end", "answer"), ENDS, ids=[one[0] for one in ENDS])
def test_metrics_that_hang_hold_nobody_up(
    receiver, driver, begin, what, end, answer, reads_already
):
    shipper = begin(receiver.url, exit_s=0.3)
    assert shipper.flush(5)
    driver.well.clear()
    driver.asked.clear()
    if reads_already:
        shipper.begin_flush()
        assert driver.asked.wait(5)

    assert took_s(lambda: end(shipper)) == (answer, pytest.approx(0, abs=3))
    assert driver.readings == 1


def test_what_waits_is_delivered_while_metrics_hang(driver, begin):
    url = f"http://127.0.0.1:{free_port()}"
    shipper = begin(url)
    assert not shipper.flush(0.3)
    driver.well.clear()
    with Receiver(int(url.rpartition(":")[2])) as receiver:
        shipper.close(5)
        assert receiver.values("readings_total") == [1.0]


def test_a_reading_that_ends_after_all_is_kept_by_nobody(receiver, driver, begin, tmp_path):
    shipper = begin(receiver.url, spool_dir=tmp_path)
    driver.well.clear()
    assert not shipper.close(0.1)
    driver.well.set()
    shipper._threads[0].join(10)

    assert (driver.readings, shipper.counts.collected) == (1, 0)
    assert list(tmp_path.rglob("*.frame")) == []


def test_a_flush_in_the_middle_of_a_reading_gets_one_of_its_own(receiver, driver, begin):
    shipper = begin(receiver.url)
    driver.well.clear()
    shipper.begin_flush()
    assert driver.asked.wait(5)
    answers = []
    thread = threading.Thread(target=lambda: answers.append(shipper.flush(10)))
    thread.start()
    until(lambda: shipper._readings._asked == 2, "the second is asked for")
    driver.well.set()
    thread.join(10)

    assert (answers, driver.readings) == ([True], 2)


def test_readings_are_numbered_and_end_with_the_last():
    readings = Readings()
    assert (readings.ask(), readings.next(0)) == (1, 1)
    assert readings.ask() == 2
    readings.done(1)
    assert (readings.wait(1, 0), readings.wait(2, 0)) == (True, False)
    assert readings.next(60) == 2
    readings.done(2)
    assert readings.next(0) == 2
    readings.done(2)
    assert readings.ask(last=True) == 3
    assert readings.next(60) == 3
    readings.done(3)
    assert readings.wait(2, 0)
    assert readings.next(60) is None


@pytest.mark.parametrize("error", [RuntimeError("no"), SystemExit(3), KeyboardInterrupt()])
def test_whatever_a_metric_raises_the_next_reading_comes(receiver, driver, begin, error):
    shipper = begin(receiver.url)
    driver.raises = error
    shipper.flush(5)
    driver.raises = None

    assert shipper.flush(5)
    assert receiver.values("readings_total") == [2.0]
    assert shipper.counts.collect_errors == 1


def test_what_nobody_expects_of_a_delivery_puts_it_off(receiver, driver, begin):
    shipper = begin(receiver.url)
    compress, errors = shipper._sender._compress, [MemoryError(), TypeError("odd")]

    def failing(raw):
        if errors:
            raise errors.pop()
        return compress(raw)

    shipper._sender._compress = failing
    until(lambda: shipper.flush(5) or None, "all delivered")

    assert receiver.values("readings_total")[0] == 1.0
    assert shipper.counts.attempts["later"] == 2
    assert shipper.counts.collected == shipper.counts.delivered


def test_a_frame_there_is_no_memory_to_read_waits(monkeypatch):
    spool = Spool(Counts(), bytes_max=1 << 20)
    spool.append(Frame(framing.SAMPLES, 1, b"x"))
    decode = framing.decode

    def failing(file):
        raise MemoryError

    monkeypatch.setattr(framing, "decode", failing)
    with pytest.raises(MemoryError):
        spool.take()
    monkeypatch.setattr(framing, "decode", decode)
    assert spool.frames == 1
    assert spool.take()[1].raw == b"x"


@pytest.mark.parametrize("folder", ["a\0b", "\udfff"])
def test_a_spool_that_no_path_can_be_is_done_without(receiver, driver, begin, folder):
    shipper = begin(receiver.url, spool_dir=folder)

    assert shipper.flush(5)
    assert shipper.counts.spool_errors == 1


def test_a_spool_that_raises_what_nobody_expects_ends_no_reading(
    receiver, driver, begin, tmp_path, monkeypatch
):
    monkeypatch.setattr(shipping, "ADOPT_S", 0.0)
    shipper = begin(receiver.url, spool_dir=tmp_path)
    assert shipper.flush(5)

    def failing():
        raise ValueError("odd")

    shipper._lanes.take_over = failing
    assert shipper.flush(5)
    assert shipper.flush(5)
    assert shipper.counts.spool_errors >= 1


def test_records_there_is_no_memory_for_are_dropped_and_counted(receiver, begin, monkeypatch):
    shipper = begin(receiver.url)

    def failing(frame):
        raise MemoryError

    monkeypatch.setattr(shipper._spool, "append", failing)
    shipper.records([b"{}", b"{}"])
    assert shipper.counts.records["dropped"] == 2


def test_all_shippers_end_in_the_time_of_one(receiver, driver, begin):
    receiver.hold.clear()
    for _ in range(4):
        begin(receiver.url, exit_s=1)

    assert took_s(shipping._close_all)[1] < 3
    receiver.hold.set()


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"every_s": float("inf")}, "every inf s"),
        ({"exit_s": -1}, "exit_s -1"),
        ({"exit_s": float("nan")}, "exit_s nan"),
        ({"timeout_s": 0}, "timeout_s 0"),
        ({"timeout_s": float("inf")}, "timeout_s inf"),
        ({"token": "a-secret\n"}, "the token has a line end"),
        ({"token": "a-secret-€"}, "the token has a line end"),
        ({"headers": {"X-Tenant": "a\r\nX: y"}}, "header 'X-Tenant'"),
    ],
)
def test_what_cannot_be_meant_is_told_at_once(more, text):
    with pytest.raises(ConfigError, match=text) as told:
        heliograph.ship.to("http://127.0.0.1:1", source=list, **{"spool_dir": "", **more})
    assert "secret" not in str(told.value)


@pytest.fixture
def terminated(monkeypatch):
    """Makes a Termination whose signal is caught; `killed` are the signals it sent."""
    killed = []
    monkeypatch.setattr(termination.os, "kill", lambda _, number: killed.append(number))
    before = signal.getsignal(signal.SIGTERM)

    def made(last):
        one = Termination(last)
        signal.signal(signal.SIGTERM, one._told)
        return one, killed

    yield made
    signal.signal(signal.SIGTERM, before)


def test_a_second_signal_does_not_wait_for_the_first_below_it(terminated):
    told = []

    def last():
        told.append("last")
        one._told(signal.SIGTERM, None)

    one, killed = terminated(last)
    assert took_s(lambda: one._told(signal.SIGTERM, None))[1] < 30
    assert (told, killed) == (["last"], [signal.SIGTERM])


def test_who_is_told_to_end_ends_whatever_the_last_reading_raises(terminated):
    def last():
        raise MemoryError

    one, killed = terminated(last)
    with pytest.raises(MemoryError):
        one._told(signal.SIGTERM, None)
    assert killed == [signal.SIGTERM]
