"""The whole shipper in this process: on time, bounded, silent, and told to end."""

import gc
import logging
import os
import shutil
import subprocess
import sys
import threading

import pytest

import heliograph.ship
from heliograph.core.clock import ManualClock, SystemClock
from heliograph.core.errors import ConfigError
from heliograph.instruments.collector import TelemetryCollector
from heliograph.ship import sender as sending
from heliograph.ship import shipper as shipping
from heliograph.ship.counts import Counts
from heliograph.ship.family import Family, Point
from heliograph.ship.post import Outcome
from heliograph.ship.sender import Sender
from heliograph.ship.spool import BYTES_MAX, Spool
from tests.peers import free_port
from tests.service.live import CLOCK, until
from tests.ship.receiver import Receiver


class Source:
    """A counter that grows by one a reading; may be told to raise, or to take its time."""

    def __init__(self):
        self.readings = 0
        self.fails = None
        self.threads = set()

    def __call__(self):
        self.readings += 1
        self.threads.add(threading.current_thread().name)
        if self.fails:
            raise self.fails
        return [Family("readings", "counter", "", "", [Point("_total", (), self.readings)])]


@pytest.fixture
def receiver():
    with Receiver() as opened:
        yield opened


@pytest.fixture
def source():
    return Source()


@pytest.fixture
def begin(tmp_path, monkeypatch):
    # With 60 seconds nothing is read that the test did not ask for.
    monkeypatch.setattr(shipping, "FIRST_S_MAX", 60.0)
    begun = []

    def to(url, source, **more):
        more = {"spool_dir": tmp_path / "spool", "every_s": 0.05, "exit_s": 1, **more}
        begun.append(heliograph.ship.to(url, source=source, **more))
        return begun[-1]

    yield to
    for shipper in begun:
        shipper.close(0)


def nowhere():
    return f"http://127.0.0.1:{free_port()}"


def test_it_ships_without_being_asked(receiver, source, begin):
    begin(receiver.url, source, labels={"job": "llm", "instance": "here"})
    until(lambda: len(receiver.values("readings_total")) >= 3, "three readings")

    found = receiver.samples()["readings_total"]
    assert [value for _, _, value in found][:3] == [1.0, 2.0, 3.0]
    assert found[0][0] == {"job": "llm", "instance": "here"}
    assert source.threads == {"heliograph-ship-read"}
    now_ms = SystemClock().now_ns() // 10**6
    assert all(now_ms - 60_000 < ms <= now_ms for _, ms, _ in found)


def test_instance_is_the_host_unless_it_is_given(receiver, source, begin):
    begin(receiver.url, source, every_s=60).flush(5)
    begin(receiver.url, source, every_s=60, labels={"instance": "", "job": "b"}).flush(5)

    labels = [labels for labels, _, _ in receiver.samples()["readings_total"]]
    assert labels == [{"instance": os.uname().nodename}, {"job": "b"}]


def test_flush_reads_and_delivers_now(receiver, source, begin):
    shipper = begin(receiver.url, source, every_s=60)

    assert shipper.flush(5)
    assert receiver.values("readings_total") == [1.0]
    assert shipper.flush(5)
    assert receiver.values("readings_total") == [1.0, 2.0]


def test_its_own_metrics_come_along(receiver, source, begin):
    shipper = begin(receiver.url, source, every_s=60)
    shipper.flush(5)
    shipper.flush(5)
    own = receiver.samples(own=True)
    names = {family.name for family in shipper.families()}

    assert set(own) == names | {"readings_total"}
    outcomes = {labels["outcome"]: v for labels, _, v in own["heliograph_ship_samples_total"]}
    assert outcomes["delivered"] > 0
    assert outcomes["dropped"] == 0
    assert shipper.counts.attempts == {"sent": 2, "later": 0, "refused": 0}
    assert shipper.counts.collected == shipper.counts.delivered == len(receiver.series())


def test_a_receiver_that_is_down_is_retried_until_it_is_up(source, begin):
    url = nowhere()
    shipper = begin(url, source, every_s=60)
    assert not shipper.flush(0.2)
    assert not shipper.flush(0.2)

    with Receiver(int(url.rpartition(":")[2])) as receiver:
        assert shipper.flush(5)
        assert receiver.values("readings_total") == [1.0, 2.0, 3.0]
    assert shipper.counts.attempts["later"] >= 2
    assert shipper.counts.dropped == 0


def test_busy_answers_are_waited_for_as_long_as_they_say(receiver, source, begin):
    receiver.script = [(429, {"Retry-After": "1"}), (503, {})]
    shipper = begin(receiver.url, source, every_s=60)
    began = CLOCK.monotonic_s()

    assert not shipper.flush(0.3)
    assert receiver.asked == 1
    assert shipper.flush(10)
    assert CLOCK.monotonic_s() - began >= 1
    assert receiver.values("readings_total") == [1.0, 2.0]
    assert shipper.counts.attempts == {"sent": 2, "later": 2, "refused": 0}


def test_what_is_refused_is_dropped_and_counted(receiver, source, begin, caplog):
    receiver.script = [(400, {}), (400, {})]
    shipper = begin(receiver.url, source, every_s=60)
    with caplog.at_level(logging.WARNING):
        assert shipper.flush(5)
        assert shipper.flush(5)
        assert shipper.flush(5)

    assert receiver.values("readings_total") == [3.0]
    assert shipper.counts.refused == shipper.counts.collected - shipper.counts.delivered > 0
    assert [line.message for line in caplog.records] == [
        f"{receiver.url}: samples are refused and dropped: 400 words"
    ]


def test_a_silent_receiver_does_not_delay_readings(receiver, source, begin):
    receiver.hold.clear()
    shipper = begin(receiver.url, source, every_s=0.05)
    until(lambda: source.readings >= 10, "ten readings")

    assert receiver.asked == 1
    receiver.hold.set()
    assert shipper.flush(5)
    values = receiver.values("readings_total")
    assert values == [float(n + 1) for n in range(len(values))]


def test_a_source_that_raises_is_counted_and_told_once(receiver, source, begin, caplog):
    source.fails = RuntimeError("no such device")
    shipper = begin(receiver.url, source, every_s=0.05)
    with caplog.at_level(logging.WARNING):
        until(lambda: shipper.counts.collect_errors >= 3, "three failures")
    source.fails = None
    until(lambda: receiver.values("readings_total"), "a reading")

    assert [line.message for line in caplog.records] == ["reading the metrics failed"]


def test_a_log_that_raises_ends_nothing(receiver, source, begin):
    class Broken(logging.Handler):
        def emit(self, record):
            raise OSError("the log's disk is full")

    log, broken = logging.getLogger("heliograph.ship"), Broken()
    log.addHandler(broken)
    try:
        receiver.script = [(400, {})]
        source.fails = RuntimeError("no such device")
        shipper = begin(receiver.url, source, every_s=0.05)
        until(lambda: shipper.counts.collect_errors, "a failure")
        source.fails = None
        until(lambda: receiver.values("readings_total"), "a reading")
    finally:
        log.removeHandler(broken)
    assert shipper.counts.attempts["refused"] == 1


def test_the_spool_is_bounded(source, begin, tmp_path):
    shipper = begin(nowhere(), source, every_s=0.05, spool_bytes_max=5 * 4096)
    until(lambda: shipper.counts.dropped, "the oldest dropped")

    assert len(list((tmp_path / "spool").rglob("*.frame"))) <= 5
    assert shipper._spool.bytes_waiting <= 5 * 4096


def test_a_receiver_that_is_down_for_an_hour(begin):
    """endpoint-down-1h: the queue is bounded, drops are counted, calls go on."""
    collector = TelemetryCollector()
    counter, gauge = (
        collector.register_counter("events_total"),
        collector.register_gauge("loss"),
    )
    shipper = heliograph.ship.to(
        nowhere(), collector=collector, spool_dir="", every_s=0.05, exit_s=0.1
    )
    shipper._spool._bytes_max = 20 * 4096
    # An hour's readings are 240; these are as many as make the bound bite.
    while not shipper.counts.dropped:
        for _ in range(1000):
            counter.increment()
            gauge.set(1.0)
    shipper.close(0)

    assert shipper._spool.bytes_waiting <= 20 * 4096
    assert BYTES_MAX == 32 << 20


def test_a_spool_that_was_cleaned_away_is_made_again(source, begin, tmp_path, monkeypatch):
    monkeypatch.setattr(shipping, "ADOPT_S", 0.1)
    begin(nowhere(), source, every_s=0.05)
    until(lambda: list((tmp_path / "spool").rglob("*.frame")), "a frame")
    shutil.rmtree(tmp_path / "spool")
    until(lambda: list((tmp_path / "spool").rglob("*.frame")), "a frame again")


def test_memory_alone_leaves_nothing_on_disk(receiver, source, begin, tmp_path):
    shipper = begin(receiver.url, source, spool_dir="", every_s=60)

    assert shipper.flush(5)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_cannot_be_used_is_told_and_done_without(
    receiver, source, begin, tmp_path, caplog
):
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING):
        shipper = begin(receiver.url, source, spool_dir=tmp_path / "file" / "x", every_s=60)
        assert shipper.flush(5)

    assert shipper.counts.spool_errors == 1
    assert "no spool on disk" in caplog.text


def test_two_of_the_same_labels_are_told_apart(receiver, source, begin):
    first = begin(receiver.url, source, every_s=60)
    first.flush(5)
    second = begin(receiver.url, source, every_s=60)
    second.flush(5)

    workers = [labels.get("worker") for labels, _, _ in receiver.samples()["readings_total"]]
    assert workers == [None, "1"]
    assert second.labels["worker"] == "1"


def test_closing_reads_once_more_and_ends_both_threads(receiver, source, begin, tmp_path):
    shipper = begin(receiver.url, source, every_s=60)

    assert shipper.close(5)
    assert not shipper.close(5)
    assert not shipper.flush(5)
    assert receiver.values("readings_total") == [1.0]
    assert [thread.name for thread in shipper._threads if thread.is_alive()] == []
    assert [path.name for path in (tmp_path / "spool").rglob("*") if path.is_file()] == ["door"]


def test_closing_is_bounded_where_nobody_answers(receiver, source, begin, tmp_path):
    receiver.hold.clear()
    shipper = begin(receiver.url, source, every_s=60)
    began = CLOCK.monotonic_s()

    assert not shipper.close(0.3)
    assert CLOCK.monotonic_s() - began < 1
    receiver.hold.set()
    # What was not delivered is the next one's.
    assert begin(receiver.url, source, every_s=60).flush(5)
    assert set(receiver.values("readings_total")) == {1.0, 2.0}


def test_closing_does_not_wait_for_who_is_down_when_the_disk_has_it(source, begin):
    shipper = begin(nowhere(), source, every_s=60)
    began = CLOCK.monotonic_s()

    assert not shipper.close(10)
    assert CLOCK.monotonic_s() - began < 2


def test_closing_tries_to_the_end_when_only_memory_has_it(source, begin):
    url = nowhere()
    shipper = begin(url, source, every_s=60, spool_dir="")
    closed = []
    thread = threading.Thread(target=lambda: closed.append(shipper.close(10)))
    thread.start()
    until(lambda: shipper.counts.attempts["later"], "a failure")
    with Receiver(int(url.rpartition(":")[2])) as receiver:
        thread.join()
        assert receiver.values("readings_total") == [1.0]
    assert closed == [True]


def test_a_forked_child_is_dormant_and_the_parent_goes_on(receiver, source, begin, tmp_path):
    shipper = begin(receiver.url, source, every_s=60)
    assert shipper.flush(5)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            told = [
                shipper.dormant,
                shipper.flush(1),
                shipper.close(1),
                threading.active_count(),
            ]
            told.append(shipper._spool._own)
            told.append(len(shipper.families()) > 5)
            os.write(writing, repr(told).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        assert told.read() == "[True, False, False, 1, None, True]"
    os.waitpid(child, 0)

    assert shipper.flush(5)
    assert receiver.values("readings_total") == [1.0, 2.0]


def test_forks_at_any_moment_end_and_lose_nothing(receiver, source, begin):
    """As DataLoader workers, forked anew every epoch, while both threads are at work."""
    shipper = begin(receiver.url, source, every_s=0.05)
    until(lambda: receiver.asked, "a request")
    children = []
    for n in range(40):
        if (child := os.fork()) == 0:
            try:
                shipper.flush(1)
                shipper.families()
                shipper.close(1)
            finally:
                os._exit(0)
        children.append(child)
        CLOCK.sleep(0.002 * (n % 5))
    ends_s = CLOCK.monotonic_s() + 10
    while children and CLOCK.monotonic_s() < ends_s:
        children = [child for child in children if os.waitpid(child, os.WNOHANG)[0] == 0]
        CLOCK.sleep(0.01)
    for child in children:
        os.kill(child, 9)
        os.waitpid(child, 0)

    assert children == []
    assert shipper.flush(5)
    values = receiver.values("readings_total")
    assert values == [float(n + 1) for n in range(len(values))]


def test_a_child_may_begin_its_own_and_is_told_apart(receiver, source, begin, tmp_path):
    shipper = begin(receiver.url, source, every_s=60)
    assert shipper.flush(5)
    child = os.fork()
    if child == 0:
        try:
            heliograph.ship.to(
                receiver.url, source=Source(), spool_dir=tmp_path / "spool", every_s=60
            ).close(5)
        finally:
            os._exit(0)
    os.waitpid(child, 0)

    workers = [labels.get("worker") for labels, _, _ in receiver.samples()["readings_total"]]
    assert workers == [None, "1"]


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"every_s": 0}, "every 0 s"),
        ({"every_s": float("nan")}, "every nan s"),
        ({"spool_bytes_max": 0}, "0 bytes"),
    ],
)
def test_numbers_that_cannot_be_meant_are_told_at_once(more, text):
    with pytest.raises(ConfigError, match=text):
        heliograph.ship.to("http://127.0.0.1:1", source=list, spool_dir="", **more)


def test_there_must_be_something_to_ship():
    with pytest.raises(ConfigError, match="nothing to ship"):
        heliograph.ship.to("http://127.0.0.1:1")
    with pytest.raises(ConfigError, match="either"):
        heliograph.ship.to("http://127.0.0.1:1", source=list, collector=object())


class Silent:
    """A poster that has an outcome in store."""

    def __init__(self, outcome):
        self.outcome = outcome


def test_waits_double_with_jitter_up_to_a_bound():
    clock = ManualClock()
    made = Sender(
        Spool(Counts(), bytes_max=1),
        Silent(None),
        Counts(),
        clock=clock,
        compress=bytes,
        warn=str,
    )
    waits = []
    for _ in range(12):
        made._failures += 1
        made._put_off(Outcome("later"))
        waits.append(made._not_before_s)
    nominal = [min(sending.WAIT_S_MAX, 0.5 * 2**n) for n in range(12)]

    assert all(n / 2 <= wait <= n for n, wait in zip(nominal, waits, strict=True))
    assert len(set(waits)) == 12
    made._put_off(Outcome("later", "", 20.0))
    assert 20.0 <= made._not_before_s <= 22.0


def test_importing_it_reads_no_third_party():
    program = (
        "import sys, heliograph.ship\n"
        "print(sorted({'numpy', 'cramjam', 'msgspec', 'asyncio', 'httpx2'} & set(sys.modules)))"
    )

    out = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert out.stdout == "[]\n"


def test_a_shipper_that_nobody_holds_goes_on(receiver, source, begin, tmp_path):
    heliograph.ship.to(receiver.url, source=source, every_s=0.05, spool_dir=tmp_path)
    gc.collect()
    until(lambda: len(receiver.values("readings_total")) >= 3, "three readings")
    from heliograph.ship.shipper import _close_all

    _close_all()
