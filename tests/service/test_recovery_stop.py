"""A stop that was asked for loses nothing and keeps nobody waiting; one folder has one service."""

import json
import signal
import socket
import subprocess
import sys

import pytest

from heliograph.wire import remote_write
from tests.service.crowd import Crowd
from tests.service.live import until
from tests.service.lives import CLOCK, Life
from tests.service.running import write_body

STOPS = 3
STOP_S_MAX = 10


@pytest.fixture
def life(tmp_path):
    """A service that answers."""
    life = Life(tmp_path / "data", samples={"seal": "1s"})
    yield life.start()
    life.end()


@pytest.mark.timeout(90)
def test_stops_under_load_lose_nothing(life):
    crowd = Crowd(life).place().come()
    for _ in range(STOPS):
        CLOCK.sleep(1)
        assert life.stop(STOP_S_MAX) == 0, life.words()
        life.start(ready=False)
    CLOCK.sleep(0.5)
    crowd.leave()
    life.settled()
    crowd.check()
    assert life.stop(STOP_S_MAX) == 0
    assert "Traceback" not in life.words()


def test_a_request_in_flight_is_answered(life):
    body = write_body([({"__name__": "late"}, [(CLOCK.now_ns() // 10**6, 1.0)])])
    headers = {**remote_write.HEADERS, "Host": "127.0.0.1", "Content-Length": str(len(body))}
    head = "POST /v1/prometheus HTTP/1.1\r\n" + "".join(
        f"{k}: {v}\r\n" for k, v in headers.items()
    )
    idle = socket.create_connection(("127.0.0.1", life.port))
    with socket.create_connection(("127.0.0.1", life.port)) as sender, idle:
        sender.sendall(head.encode() + b"\r\n" + body[:10])
        CLOCK.sleep(0.3)
        life.process.terminate()
        CLOCK.sleep(0.5)
        sender.sendall(body[10:])
        assert sender.recv(65536).startswith(b"HTTP/1.1 204")
    assert life.process.wait(STOP_S_MAX) == 0
    life.start()
    assert life.points("late")


def test_who_never_ends_a_request_does_not_hold_the_stop(life):
    with socket.create_connection(("127.0.0.1", life.port)) as sender:
        sender.sendall(
            b"POST /v1/logs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n["
        )
        CLOCK.sleep(0.3)
        assert life.stop(STOP_S_MAX) == 0, life.words()


def test_a_hangup_ends_nothing_and_is_told(life):
    life.process.send_signal(signal.SIGHUP)

    until(lambda: "SIGHUP: the configuration is read at the start only" in life.words(), "word")
    assert life.ask("GET", "/readyz").status == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_says_why_and_how_long_it_took(life, number):
    life.process.send_signal(number)
    assert life.process.wait(STOP_S_MAX) == 0

    said = [json.loads(line) for line in life.words().splitlines()]
    stopping, stopped = (one for one in said if one["event"] in {"stopping", "stopped"})
    assert stopping["why"] == number.name
    assert 0 <= stopped["took_s"] < STOP_S_MAX


def test_who_lets_everybody_in_is_told(tmp_path):
    life = Life(tmp_path / "data", prelude="import sys\nsys.argv.append('--insecure')\n")
    life.config.write_text(life.config.read_text().replace("127.0.0.1", "0.0.0.0"))
    try:
        life.start()
        assert '"open to other machines without a token"' in life.words()
    finally:
        life.end()


def test_a_second_service_on_the_folder_is_refused_in_words(life):
    command = [sys.executable, "-m", "heliograph.cli", "serve", "--config", str(life.config)]
    second = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode == 2
    assert f"in use by another heliograph (process {life.process.pid})" in second.stderr
    assert "Traceback" not in second.stderr
    assert life.ask("GET", "/readyz").status == 200
