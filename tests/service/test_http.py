"""What wraps every endpoint: framing, limits, admission, what is counted, and what a bug costs."""

import json
import socket
import threading
from contextlib import suppress

import pytest

from heliograph.service.admission import Admission
from heliograph.wire import remote_write
from tests.service.running import (
    NOW_MS,
    assert_problem,
    write_body,
)

MIB = 1024 * 1024
SMALL = {"limits": {"body_mb": 1, "decoded_mb": 2}}
BULK = ("/v1/prometheus", "/v1/logs")
CONTROL = ("/v1/placements", "/v1/container-events", "/v1/container-events/batch")
POSTS = (*BULK, *CONTROL, "/v1/parse")


def chunked(count):
    """*count* blocks of 64 KiB, without a length."""
    return (b" " * 65536 for _ in range(count))


@pytest.mark.parametrize("site", [SMALL], indirect=True)
def test_a_body_over_the_limit_is_refused_however_it_comes(site):
    for path in POSTS:
        assert_problem(
            site.ask("POST", path, b" " * (MIB + 1)), 413, code="too_large", field="body"
        )
        assert_problem(site.ask("POST", path, chunked(17)), 413, code="too_large", field="body")
        if path != "/v1/placements":  # which takes less of what may be YAML
            assert_problem(site.ask("POST", path, b" " * MIB), 400)
            assert_problem(site.ask("POST", path, chunked(16)), 400)
    assert site.measured("heliograph_in_flight_bytes") == {"": 0}
    site.assert_sound()


@pytest.mark.parametrize("site", [SMALL], indirect=True)
def test_a_length_that_is_a_lie_is_refused_before_the_body_comes(site):
    for length in (b"1048577", b"99999999999999999999999"):
        head = (
            b"POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
            + length
            + b"\r\n\r\n"
        )
        got = site.raw(head, wait_s=2)
        assert got.split()[1] in {b"413", b"400"}, got
    assert site.get("/readyz").status == 200


# case, what is sent, statuses that may come; () where the connection is closed without a word
FRAMES = [
    ("two lengths", b"POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nContent-Length: 5\r\n\r\n[]", {400}),
    ("a length and chunks", b"POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {400}),
    ("a negative length", b"POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", {400}),
    ("a length of letters", b"POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Length: ten\r\n\r\n", {400}),
    ("a length beyond ASCII", b"POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Length: \xb2\r\n\r\n", {400}),
    ("a chunk of letters", b"POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", {400}),
    ("a chunk of 2^64", b"POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", {400}),
    ("an unknown transfer encoding", b"POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: canary\r\n\r\n", {400, 501}),
    ("no request", b"canary\r\n\r\n", {400}),
    ("NULs", bytes(1000), {400}),
    ("a TLS greeting", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), {400}),
    ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 505}),
    ("HTTP/0.9", b"GET /healthz\r\n\r\n", {200, 400}),
    ("an unknown method", b"CANARY /v1/logs HTTP/1.1\r\nHost: localhost\r\n\r\n", {400, 405}),
    ("a path of 100 KiB", b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", {400, 414}),
    ("a header without a colon", b"GET /healthz HTTP/1.1\r\nHost x\r\n\r\n", {400}),
    ("a header with a NUL", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n", {400}),
    ("an asterisk", b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", {400, 404}),
    ("a proxy's path", b"GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", {200, 400, 404}),
    ("a web socket", b"GET /v1/logs HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA==\r\nSec-WebSocket-Version: 13\r\n\r\n", {400, 403, 404, 405, 426}),
    ("no host", b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n", {200, 400}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("sent", "statuses"), [pytest.param(*row, id=case) for case, *row in FRAMES]
)
def test_odd_frames(shared_site, sent, statuses):
    got = shared_site.raw(sent, wait_s=1)

    status = int(got.split()[1]) if got else None
    assert status in statuses or status is None, got[:300]
    assert b"Traceback" not in got


def test_a_request_within_a_body_is_not_another_request(shared_site):
    inner = b"POST /v1/placements HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"
    sent = (
        b"POST /v1/parse HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        % len(inner)
    )

    got = shared_site.raw(sent + inner)

    assert got.count(b"HTTP/1.1") == 1
    assert got.startswith(b"HTTP/1.1 400")


def test_a_body_that_ends_early_is_refused_and_forgotten(shared_site):
    with socket.create_connection(("127.0.0.1", shared_site.port)) as connection:
        connection.sendall(
            b'POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900\r\n\r\n[{"log": "canary"}]'
        )
    for _ in range(100):
        if shared_site.measured("heliograph_in_flight_bytes") == {"": 0}:
            break
        shared_site.get("/healthz")

    assert shared_site.measured("heliograph_in_flight_bytes") == {"": 0}
    assert shared_site.canaries() == []


@pytest.mark.parametrize(
    "site", [{"limits": {"in_flight_mb": 4, "reserved_mb": 2, "body_mb": 1}}], indirect=True
)
def test_bulk_is_pushed_out_and_control_is_not(site):
    """Half of the room is taken by requests whose bodies are slow to come."""
    held = []
    try:
        for _ in range(2):
            connection = socket.create_connection(("127.0.0.1", site.port))
            connection.sendall(
                b"POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048576\r\n\r\n["
            )
            held.append(connection)
        while site.measured("heliograph_in_flight_bytes")[""] < 2 * MIB:
            site.get("/healthz")

        logs = site.log("good")
        write = site.ask(
            "POST",
            "/v1/prometheus",
            write_body([({"__name__": "up"}, [(NOW_MS, 1.0)])]),
            remote_write.HEADERS,
        )

        assert_problem(logs, 503, code="overloaded")
        assert_problem(write, 429, code="overloaded")
        assert int(logs.headers["Retry-After"]) >= 1
        assert int(write.headers["Retry-After"]) >= 1
        assert site.place().status == 200
        assert (
            site.post(
                "/v1/container-events",
                {"type": "oom", "source": "k8s", "node": "n", "container_id": "c", "data": {}},
            ).status
            == 200
        )
        for path in ("/healthz", "/readyz", "/metrics", "/v1/workloads", "/"):
            assert site.get(path).status == 200
        assert site.label_sets() == []
        assert site.measured("heliograph_unavailable_total") == {'{reason="overloaded"}': 2}
    finally:
        for connection in held:
            connection.close()
    while site.measured("heliograph_in_flight_bytes")[""] > 0:
        site.get("/healthz")
    assert site.log("good").status == 200
    site.assert_sound()


def test_admission_gives_back_what_it_took_whatever_happens():
    admission = Admission(100, 30)
    with admission.admit(70, control=False), admission.admit(30, control=True):
        assert admission.in_flight_bytes == 100
    with pytest.raises(KeyError), admission.admit(50, control=False):
        raise KeyError
    assert admission.in_flight_bytes == 0


def test_admission_under_many_threads_loses_nothing():
    admission = Admission(10**9, 1)

    def take():
        for _ in range(1000):
            with admission.admit(1, control=False):
                pass

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert admission.in_flight_bytes == 0


@pytest.mark.parametrize(
    "site", [{"limits": {"series": 3, "labels": 2, "label_value_bytes": 5}}], indirect=True
)
def test_limits_of_series_and_labels_are_told_and_counted(site):
    def sent(*labels):
        return [({"__name__": "m", **one}, [(NOW_MS, 1.0)]) for one in labels]

    assert site.write(sent({"n": "1"}, {"n": "2"}, {"n": "3"})).status == 204
    answer = site.write(sent({"n": "1"}, {"n": "4"}, {"n": "123456"}, {"a": "1", "b": "1"}))

    assert_problem(answer, 400, code="partly_refused")
    told = answer.json()
    reasons = {"series_limit": 1, "label_value_bytes": 1, "too_many_labels": 1}
    assert (told["stored_samples"], told["refused_by_reason"]) == (1, reasons)
    assert site.measured("heliograph_rejected_total") == {
        f'{{protocol="remote_write",reason="{reason}"}}': 1 for reason in sorted(reasons)
    }
    assert [one["n"] for one in site.label_sets()] == ["1", "2", "3"]
    # Those that are known go on.
    assert site.write(sent({"n": "3"})).status == 204
    site.assert_sound()


@pytest.mark.parametrize("site", [{"metrics": {"drop_negative": ["delta"]}}], indirect=True)
def test_what_is_dropped_on_request_is_counted(site):
    samples = [(NOW_MS, -1.0), (NOW_MS + 1, 1.0)]
    assert (
        site.write([({"__name__": "delta"}, samples), ({"__name__": "temp"}, samples)]).status
        == 204
    )

    assert site.points("delta") == {(("__name__", "delta"),): [[NOW_MS + 1, 1.0]]}
    assert len(site.points("temp")[(("__name__", "temp"),)]) == 2
    assert (
        site.measured("heliograph_dropped_total")['{kind="samples",reason="drop_negative"}']
        == 1
    )


def test_a_bug_is_answered_counted_and_survived(site, monkeypatch, caplog):
    def broken(*_, **__):
        raise ZeroDivisionError("hgcanary")

    with monkeypatch.context() as patch:
        patch.setattr(site.site.core.owners, "directory", broken)
        answer = site.get("/v1/pods/cache")

    assert_problem(answer, 500, code="internal")
    assert b"hgcanary" not in answer.body
    assert "hgcanary" in caplog.text
    assert site.measured("heliograph_bugs_total") == {'{where="request"}': 1}
    assert (
        site.measured("http_requests_total")[
            '{method="GET",path="/v1/pods/cache",status="500"}'
        ]
        == 1
    )
    assert site.get("/v1/pods/cache").status == 200


@pytest.mark.parametrize(
    ("sent", "status"),
    [(b"what is this\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nX: " + b"x" * MIB, 431)],
)
def test_what_the_connection_refuses_is_counted(site, sent, status):
    with socket.create_connection(("127.0.0.1", site.port), timeout=10) as connection:
        # What it does not read any more may cost the answer.
        with suppress(OSError):
            connection.sendall(sent)
        with suppress(OSError):
            connection.recv(100)

    counted = f'{{method="other",path="other",status="{status}"}}'
    assert site.measured("http_requests_total")[counted] == 1
    assert site.measured("http_request_errors_total")[counted] == 1


def test_a_path_that_nobody_serves_is_counted(site):
    assert site.get("/none").status == 404

    counted = '{method="other",path="other",status="404"}'
    assert site.measured("http_requests_total")[counted] == 1
    assert site.measured("http_request_errors_total")[counted] == 1


def test_every_answer_has_the_headers_of_a_careful_server(shared_site):
    for method, path in (
        ("GET", "/"),
        ("GET", "/none"),
        ("POST", "/v1/logs"),
        ("PUT", "/v1/logs"),
        ("GET", "/metrics"),
    ):
        answer = shared_site.ask(method, path)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert "Server" not in answer.headers


def test_own_metrics_do_not_grow_with_what_is_asked(shared_site):
    for i in range(50):
        shared_site.get(f"/none/{i}")
        shared_site.get(f"/v1/workloads/none-{i}")
        shared_site.ask("PROPFIND", f"/v1/workloads/none-{i}")

    labels = shared_site.measured("http_requests_total")
    assert not [text for text in labels if "none" in text]
    assert labels['{method="GET",path="/v1/workloads/{uid}",status="404"}'] == 50
    assert labels['{method="other",path="/v1/workloads/{uid}",status="405"}'] == 50


def test_connections_are_kept_open(shared_site):
    body = json.dumps([{"log": "good"}]).encode()
    one = b"POST /v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (
        len(body),
        body,
    )
    last = one.replace(b"Host: x", b"Host: localhost\r\nConnection: close")

    assert shared_site.raw(one * 9 + last).count(b"HTTP/1.1 200") == 10
