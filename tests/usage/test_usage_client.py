"""The client: what it sends, what it logs, and that it never raises."""

import http.server
import itertools
import json
import logging
import threading

import pytest

from heliograph.core.clock import ManualClock
from heliograph.usage import client
from heliograph.usage import payload as payloads


class Server(http.server.ThreadingHTTPServer):
    """Keeps what is posted; answers *status*."""

    daemon_threads = True

    def __init__(self):
        self.status = 201
        self.posted = []
        super().__init__(("127.0.0.1", 0), Answer)


class Answer(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posted.append((self.path, dict(self.headers), json.loads(body)))
        self.send_response(self.server.status)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch, caplog):
    for name in ("TELEMETRY_OPT_OUT", "TAO_CLIENT_TYPE", "TAO_AUTOML_TRIGGERED"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("HELIOGRAPH_TOKEN", raising=False)
    caplog.set_level(logging.INFO)
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("TAO_TELEMETRY_SERVER", f"http://127.0.0.1:{running.server_port}/")
        yield running
        running.shutdown()
        thread.join()


GPUS = [{"name": "NVIDIA-A100", "memory": 80}, {"name": "NVIDIA-H100"}]


def test_a_report(server, caplog):
    assert client.send_telemetry_data("resnet50", "train", GPUS) is None

    ((path, headers, body),) = server.posted
    assert (path, headers["Content-Type"]) == ("/api/v1/metrics", "application/json")
    assert "Authorization" not in headers
    assert body == {
        "version": "5.3.0", "action": "train", "network": "resnet50", "gpu": ["NVIDIA-A100"],
        "success": False, "user_error": False, "client_type": "container",
        "automl_triggered": False,
    }  # fmt: skip
    assert payloads.decode(body) == body
    assert [
        record.getMessage() for record in caplog.records if record.name == client.__name__
    ] == [
        "================> Start Reporting Telemetry <================",
        f"Sending {body}",
        "Telemetry sent successfully.",
        "================> End Reporting Telemetry <================",
    ]


def test_all_that_can_be_told(server, monkeypatch):
    monkeypatch.setenv("TAO_TOOLKIT_VERSION", "6.0.0")
    monkeypatch.setenv("TAO_CLIENT_TYPE", "api")
    monkeypatch.setenv("TAO_AUTOML_TRIGGERED", "True")
    monkeypatch.setenv("HELIOGRAPH_TOKEN", "t0ken")
    client.send_telemetry_data("n", "a", GPUS, None, 3600, pass_status=True, user_error=True)
    client.send_telemetry_data("n", "a", [], client_type="cli", automl_triggered=False)

    (_, headers, first), (_, _, second) = server.posted
    assert headers["Authorization"] == "Bearer t0ken"
    assert first == {
        "version": "6.0.0", "action": "a", "network": "n", "gpu": ["NVIDIA-A100", "NVIDIA-H100"],
        "success": True, "user_error": True, "client_type": "api", "automl_triggered": True,
        "time_lapsed": 3600,
    }  # fmt: skip
    assert (second["gpu"], second["client_type"], second["automl_triggered"]) == (
        [], "cli", False,
    )  # fmt: skip


@pytest.mark.parametrize("value", ["yes", "TRUE", "1", "please"])
def test_opted_out(server, monkeypatch, caplog, value):
    monkeypatch.setenv("TELEMETRY_OPT_OUT", value)
    client.send_telemetry_data("n", "a", GPUS)

    assert server.posted == []
    assert caplog.messages == ["Opted out of telemetry reporting. Skipped."]


@pytest.mark.parametrize("value", ["no", "False", "0"])
def test_not_opted_out(server, monkeypatch, value):
    monkeypatch.setenv("TELEMETRY_OPT_OUT", value)
    client.send_telemetry_data("n", "a", GPUS)

    assert len(server.posted) == 1


@pytest.mark.parametrize("status", [302, 400, 401, 503])
def test_what_is_refused_is_logged(server, caplog, status):
    server.status = status
    client.send_telemetry_data("n", "a", GPUS)

    assert f"Failed with reponse: error {status}" in caplog.messages
    assert len(server.posted) == 1


def test_credentials_of_the_url_are_sent_and_never_logged(server, monkeypatch, caplog):
    url = f"http://ann:s%40cret@127.0.0.1:{server.server_port}"
    monkeypatch.setenv("TAO_TELEMETRY_SERVER", url)
    client.send_telemetry_data("n", "a", GPUS)
    server.status = 500
    client.send_telemetry_data("n", "a", GPUS)

    assert [headers["Authorization"] for _, headers, _ in server.posted] == [
        "Basic YW5uOnNAY3JldA=="
    ] * 2
    assert "cret" not in caplog.text


class Hostile:
    def __getitem__(self, key):
        raise RuntimeError("hostile")


@pytest.mark.parametrize(
    ("url", "gpus"),
    [
        ("http://127.0.0.1:1", GPUS),
        ("ftp://127.0.0.1", GPUS),
        ("http://127.0.0.1:none", GPUS),
        ("http://[", GPUS),
        ("http://127.0.0.1:1", [Hostile()]),
        ("http://127.0.0.1:1", None),
        ("http://127.0.0.1:1", [{"nam": "x"}]),
    ],
)
def test_it_never_raises(monkeypatch, caplog, url, gpus):
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("TELEMETRY_OPT_OUT", "no")
    monkeypatch.setenv("TAO_TELEMETRY_SERVER", url)
    client.send_telemetry_data("n", "a", gpus)

    assert any(message.startswith("Failed with reponse: ") for message in caplog.messages)


def test_where_reports_go_by_default():
    assert client.DEFAULT_SERVER == "http://127.0.0.1:8989"


@pytest.mark.parametrize(
    ("value", "timeout_s"),
    [("5", 5.0), ("soon", 30.0), ("-1", 30.0), ("nan", 30.0), ("1e9", 600.0)],
)
def test_the_time_out(monkeypatch, value, timeout_s):
    monkeypatch.setenv("TELEMETRY_TIMEOUT", value)

    assert client._timeout_s() == timeout_s


class Dripping:
    """A socket on which *chunks* come, one every *every_s*."""

    def __init__(self, clock, chunks, every_s):
        self._clock, self._chunks, self._every_s = clock, iter(chunks), every_s
        self._left_s = None

    def settimeout(self, seconds):
        self._left_s = seconds

    def recv(self, _):
        self._clock.advance(min(self._every_s, self._left_s))
        if self._left_s < self._every_s:
            raise TimeoutError
        return next(self._chunks, b"")


@pytest.mark.parametrize(
    ("chunks", "every_s", "expected"),
    [
        ([b"HTTP/1.1 201 Created\r\n"], 0.1, 201),
        ([b"HTTP/1.", b"1 404", b" \r", b"\n\r\n"], 0.1, 404),
        ([b"HTTP/1.1 201 Created\r\n"], 2.0, TimeoutError),
        (itertools.repeat(b"H"), 0.4, TimeoutError),
        (itertools.repeat(b"H" * 4096), 0.0, ValueError),
        ([b"HTTP/1.1 20"], 0.1, ConnectionResetError),
        ([b"SSH-2.0-OpenSSH\r\n"], 0.1, ValueError),
        ([b"HTTP/1.1 \r\n"], 0.1, ValueError),
    ],
)
def test_an_answer_is_there_in_time_or_there_is_none(chunks, every_s, expected):
    clock = ManualClock()
    sock = Dripping(clock, chunks, every_s)
    if isinstance(expected, int):
        assert client._status(sock, 1.0, clock) == expected
        return
    with pytest.raises(expected):
        client._status(sock, 1.0, clock)
    assert clock.monotonic_s() <= 1.0
