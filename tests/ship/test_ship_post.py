"""One attempt: what answers mean, how long to wait, and that secrets stay out of words."""

import base64
import email.utils
import shutil
import socket
import subprocess
import threading

import pytest

from heliograph.core.errors import ConfigError
from heliograph.ship import post
from heliograph.ship.post import Outcome, Poster, target
from tests.peers import free_port
from tests.ship.receiver import Receiver

BODY = b"\x00"


@pytest.fixture
def receiver():
    with Receiver() as opened:
        yield opened


@pytest.fixture
def poster(receiver, clock):
    opened = Poster(target(receiver.url + "/write?x=1"), clock, timeout_s=2)
    yield opened
    opened.close()


def later(seconds):
    return Outcome("later", "503 words", seconds)


ANSWERS = [
    (200, {}, Outcome("sent")),
    (204, {}, Outcome("sent")),
    (202, {}, Outcome("sent")),
    (400, {}, Outcome("refused", "400 words")),
    (401, {}, Outcome("refused", "401 words")),
    (404, {"Retry-After": "5"}, Outcome("refused", "404 words")),
    (413, {}, Outcome("refused", "413 words")),
    (307, {"Location": "http://elsewhere"}, Outcome("refused", "307 words")),
    (408, {}, Outcome("later", "408 words")),
    (429, {"Retry-After": "7"}, Outcome("later", "429 words", 7.0)),
    (500, {}, Outcome("later", "500 words")),
    (503, {"Retry-After": " 2 "}, later(2.0)),
    (503, {"Retry-After": "999999"}, later(300.0)),
    (503, {"Retry-After": "-1"}, later(0.0)),
    (503, {"Retry-After": "soon"}, later(0.0)),
    (503, {"Retry-After": "Thu, 01 Jan 2026 00:00:09 GMT"}, later(9.0)),
    (503, {"Retry-After": "Thu, 01 Jan 2025 00:00:09 GMT"}, later(0.0)),
]


@pytest.mark.parametrize(("status", "headers", "outcome"), ANSWERS)
def test_answer(receiver, poster, status, headers, outcome):
    receiver.script = [(status, headers)]

    assert poster.samples(BODY) == outcome
    assert poster.samples(BODY) == Outcome("sent")


def test_a_date_is_read_by_the_clock_that_is_handed_in(clock):
    poster = Poster(target("http://a"), clock)
    at = email.utils.formatdate(clock.now_ns() / 1e9 + 30, usegmt=True)

    assert poster._seconds(at) == 30.0


def test_what_is_asked(receiver, clock):
    poster = Poster(target(receiver.url, "secret"), clock, headers={"X-Scope-OrgID": "team"})
    assert poster.samples(BODY) == Outcome("sent")
    poster.close()

    [samples] = receiver.headers
    assert receiver.paths == ["/v1/prometheus"]
    assert samples["Authorization"] == "Bearer secret"
    assert samples["X-Scope-OrgID"] == "team"
    assert (samples["Content-Type"], samples["Content-Encoding"]) == (
        "application/x-protobuf",
        "snappy",
    )
    assert samples["X-Prometheus-Remote-Write-Version"] == "0.1.0"


def test_a_connection_that_the_receiver_let_go_of_is_no_failure(receiver, poster):
    assert poster.samples(BODY) == Outcome("sent")
    receiver.cut()

    assert poster.samples(BODY) == Outcome("sent")


def test_no_answer_is_later(clock):
    poster = Poster(target(f"http://127.0.0.1:{free_port()}"), clock)

    outcome = poster.samples(BODY)
    assert (outcome.kind, outcome.retry_after_s) == ("later", 0.0)
    assert outcome.detail.startswith("no answer: ConnectionRefusedError")


def test_silence_is_later(clock):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        poster = Poster(
            target(f"http://127.0.0.1:{listener.getsockname()[1]}"), clock, timeout_s=0.1
        )
        assert poster.samples(BODY).detail.startswith("no answer: TimeoutError")


def test_what_is_no_http_is_later(clock):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer():
            connection, _ = listener.accept()
            with connection:
                connection.recv(10_000)
                connection.sendall(b"SSH-2.0-what\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        poster = Poster(
            target(f"http://127.0.0.1:{listener.getsockname()[1]}"), clock, timeout_s=2
        )
        assert poster.samples(BODY).kind == "later"
        thread.join()
        poster.close()


def test_another_thread_can_wake_it(receiver, poster):
    receiver.hold.clear()
    found = []
    thread = threading.Thread(target=lambda: found.append(poster.samples(BODY)))
    thread.start()
    while not receiver.asked:
        pass
    poster.interrupt()
    thread.join(1)

    assert [outcome.kind for outcome in found] == ["later"]


URLS = [
    ("http://h:8989", "/v1/prometheus", "http://h:8989"),
    ("http://h:8989/", "/v1/prometheus", "http://h:8989"),
    ("https://h/v1/prometheus", "/v1/prometheus", "https://h/v1/prometheus"),
    ("http://u:p@h/api/v1/write?a=b", "/api/v1/write?a=b", "http://h/api/v1/write"),
    ("http://[::1]:80/w", "/w", "http://[::1]:80/w"),
]


@pytest.mark.parametrize(("url", "path", "shown"), URLS)
def test_url(url, path, shown):
    found = target(url)

    assert (found.path, found.shown) == (path, shown)


def test_credentials_in_the_url_are_basic_and_a_token_wins():
    found = target("http://us%20er:p%40ss@h/write")
    expected = "Basic " + base64.b64encode(b"us er:p@ss").decode()

    assert found.authorization == expected
    assert target("http://user:pass@h", "token").authorization == "Bearer token"


@pytest.mark.parametrize(
    "url", ["", "h:8989", "ftp://h", "http://", "http://h:port", "http://[x"]
)
def test_what_is_no_url_is_told_at_once(url):
    with pytest.raises(ConfigError, match="not the URL of a receiver"):
        target(url)


@pytest.fixture
def certificate(tmp_path):
    """(certificate, key) of 127.0.0.1, signed by itself."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl here")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def test_tls_is_spoken_and_certificates_are_checked(certificate, clock, monkeypatch):
    with Receiver(tls=certificate) as receiver:
        poster = Poster(target(receiver.url), clock, timeout_s=5)
        assert "CERTIFICATE_VERIFY_FAILED" in poster.samples(BODY).detail
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        assert poster.samples(BODY) == Outcome("sent")
        assert poster.samples(BODY) == Outcome("sent")
        poster.close()


def test_no_words_carry_the_credentials(clock, monkeypatch):
    poster = Poster(target(f"http://user:hunter2@127.0.0.1:{free_port()}"), clock)

    assert "hunter2" not in poster.samples(BODY).detail
    assert post.RETRY_AFTER_S_MAX == 300.0
