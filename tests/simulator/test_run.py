import json
import struct
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from heliograph.core.clock import ManualClock
from heliograph.receive import logs as received_logs
from heliograph.simulator.run import (
    ALERTS,
    CONTAINER_EVENTS,
    DETECTION,
    HISTORY_S,
    LOGS,
    METRICS,
    PLACEMENTS,
    STEPS,
    TICK_S,
    USAGE,
    Simulation,
    run,
)
from heliograph.simulator.sender import Sender, Stopped
from heliograph.wire import snappy

S = 10**9
START = 1_767_225_600 * S


class Sink:
    """A service that keeps what it is sent; *answers* come first, one a request."""

    def __init__(self, answers=()):
        self.requests = []
        self.answers = list(answers)
        sink = self

        class Taker(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                sink.requests.append((self.path, dict(self.headers), body))
                status, headers = sink.answers.pop(0) if sink.answers else (204, {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Taker)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def paths(self):
        return [path for path, _, _ in self.requests]

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def sink():
    made = Sink()
    yield made
    made.close()


def fields(raw):
    """(number, value) of a protobuf message; enough for a write request."""
    at = 0

    def varint():
        nonlocal at
        result = shift = 0
        while True:
            byte = raw[at]
            at += 1
            result |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return result

    while at < len(raw):
        key = varint()
        if key & 7 == 2:
            size = varint()
            yield key >> 3, raw[at : at + size]
            at += size
        elif key & 7 == 1:
            yield key >> 3, raw[at : at + 8]
            at += 8
        else:
            yield key >> 3, varint()


def written(body):
    """Remote write body → [(labels, [(ms, value)])]."""
    out = []
    for number, series in fields(snappy.decompress(body, decoded_bytes_max=10**7)):
        assert number == 1
        labels, samples = [], []
        for kind, raw in fields(series):
            parts = dict(fields(raw))
            if kind == 1:
                labels.append((parts[1].decode(), parts[2].decode()))
            else:
                samples.append((parts[2], struct.unpack("<d", parts[1])[0]))
        out.append((tuple(labels), samples))
    return out


def go(url, clock, **more):
    told = []
    settings = {"seconds": 20, "seed": 1, "speed": 1.0, "token": None} | more
    run(url, clock=clock, report=told.append, **settings)
    return told


def test_history_and_then_live(sink):
    told = go(sink.url, ManualClock(START))
    counted = Counter(sink.paths())
    assert set(counted) == {
        *(PLACEMENTS, CONTAINER_EVENTS, LOGS, METRICS, ALERTS, DETECTION, STEPS, USAGE)
    }
    assert counted[METRICS] == (HISTORY_S + 20) // TICK_S
    assert told == [
        "sending 10 minutes of history",
        "live",
        f"stopped: {len(sink.requests)} requests delivered, 0 refused",
    ]


def test_what_is_sent_can_be_read(sink):
    go(sink.url, ManualClock(START))
    accepted = 0
    for path, headers, body in sink.requests:
        assert headers["User-Agent"] == "heliograph-simulator/1"
        if path == METRICS:
            assert headers["Content-Encoding"] == "snappy"
            assert headers["Content-Type"] == "application/x-protobuf"
            assert headers["X-Prometheus-Remote-Write-Version"] == "0.1.0"
            for labels, samples in written(body):
                assert list(labels) == sorted(labels)
                assert len(samples) == 1
            continue
        assert headers["Content-Type"] == "application/json"
        assert json.loads(body)
        if path == LOGS:
            batch = received_logs.decode(
                body,
                content_encoding=None,
                arrival_ns=START + 60 * S,
                sender="x",
                limits=received_logs.LogLimits(),
            )
            assert batch.rejected == ()
            assert batch.counts == received_logs.LogCounts()
            assert not any(line.partial for line in batch.lines)
            accepted += batch.accepted
    assert accepted > 1000


def requests_of(seed, speed=1.0):
    simulation = Simulation(seed=seed, start_ns=START, speed=speed)
    return [
        post for second in range(0, 600, 60) for post in simulation.tick(START + second * S)
    ]


def test_the_same_seed_sends_the_same_and_another_does_not():
    assert requests_of(1) == requests_of(1)
    assert requests_of(1) != requests_of(2)


def test_metrics_of_an_instant_carry_it():
    *_, post = Simulation(seed=1, start_ns=START, speed=1).tick(START)
    assert post.path == METRICS
    assert {at for _, samples in written(post.body) for at, _ in samples} == {START // 10**6}


def test_a_busy_service_is_waited_for_as_long_as_it_asks(sink):
    sink.answers = [(503, {"Retry-After": "7"}), (429, {}), (204, {})]
    clock = ManualClock(START)
    told = []
    sender = Sender(sink.url, clock=clock, token="t", report=told.append, over=lambda: False)
    assert sender.post("/v1/x", b"{}", {})
    sender.close()
    assert told == ["/v1/x: 503; again in 7 s", "/v1/x: 429; again in 2 s"]
    assert clock.monotonic_s() == 9
    assert [headers["Authorization"] for _, headers, _ in sink.requests] == ["Bearer t"] * 3


@pytest.mark.parametrize(
    ("asked", "waited_s"),
    [
        ("0", 0),
        ("30", 30),
        ("31", 30),
        ("-1", 1),
        ("nan", 1),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 1),
        ("9" * 400, 30),
    ],
)
def test_retry_after_is_bounded(sink, asked, waited_s):
    sink.answers = [(503, {"Retry-After": asked})]
    clock = ManualClock(START)
    sender = Sender(
        sink.url, clock=clock, token=None, report=lambda _: None, over=lambda: False
    )
    assert sender.post("/", b"", {})
    sender.close()
    assert clock.monotonic_s() == waited_s


def test_what_can_never_be_accepted_is_reported_and_left(sink):
    sink.answers = [(400, {})]
    told = []
    sender = Sender(
        sink.url, clock=ManualClock(), token=None, report=told.append, over=lambda: False
    )
    assert not sender.post("/v1/x", b"{}", {})
    sender.close()
    assert (told, sender.refused) == (["/v1/x: 400 "], {"/v1/x": 1})


def test_an_absent_service_is_waited_for_and_nothing_is_lost(sink):
    sink.close()
    clock = ManualClock(START)
    told = go(sink.url, clock, seconds=100)
    waits = [line.rpartition("again in ")[2] for line in told[1:-1]]
    assert waits == ["1 s", "2 s", "4 s", "8 s", "16 s", "30 s", "30 s", "30 s"]
    assert told[-1] == "stopped: 0 requests delivered, 0 refused"
    sink.__init__()


def test_it_stops_when_asked_in_the_middle_of_a_wait(sink):
    clock = ManualClock(START)
    sender = Sender(
        sink.url, clock=clock, token=None, report=print, over=lambda: clock.monotonic_s() >= 3
    )
    with pytest.raises(Stopped):
        sender.wait(60)
    assert clock.monotonic_s() == 3


def test_an_interrupt_ends_it_quietly(sink):
    class Interrupted(ManualClock):
        def sleep(self, seconds):
            raise KeyboardInterrupt

    told = go(sink.url, Interrupted(START), seconds=None)
    assert told[-1].startswith("stopped: ")


def test_stopped_ends_it(sink):
    told = go(
        sink.url, ManualClock(START), seconds=None, stopped=lambda: len(sink.requests) > 9
    )
    assert told[-1] == "stopped: 10 requests delivered, 0 refused"


@pytest.mark.parametrize(
    ("url", "speed"),
    [("ftp://x", 1), ("x:80", 1), ("http://", 1), ("http://x", 0), ("http://x", -1)],
)
def test_settings_that_cannot_be(url, speed):
    with pytest.raises(ValueError):
        go(url, ManualClock(), speed=speed)
