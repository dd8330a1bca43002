"""`GET /metrics` over HTTP, ASGI and WSGI; a live Prometheus scrapes it."""

import asyncio
import gzip
import http.client
import json
import os
import socket
import threading
import urllib.error
import urllib.request
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import httpx2
import pytest

from heliograph.core.clock import SystemClock
from heliograph.core.errors import ConfigError
from heliograph.instruments import TelemetryCollector
from heliograph.instruments import serve as serve_module
from heliograph.instruments.negotiation import takes_gzip, wants_openmetrics
from heliograph.instruments.serve import CONNECTIONS_MAX, asgi_app, serve, wsgi_app
from tests.instruments.forked import child, status
from tests.peers import answers, free_port

CLOCK = SystemClock()
TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.fixture
def collector():
    made = TelemetryCollector(labels={"rank": "3"})
    steps = made.register_counter("steps_total", "Steps done")
    steps.increment(41, exemplar={"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"})
    made.register_gauge("loss", "Loss").labels(split='a\nb"c\\d').set(float("nan"))
    made.register_histogram("step_seconds", "Step").observe(0.3)
    return made


@pytest.fixture
def server(collector):
    with serve(collector, port=0) as running:
        yield running


def asked(server, method="GET", path="/metrics", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request(
        method, path, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, dict(response.getheaders()), body


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", False),
        (PROMETHEUS, True),
        (PROMETHEUS_3, True),
        ("application/openmetrics-text", True),
        ('Application/OpenMetrics-Text; Version="1.0.0"', True),
        ("application/openmetrics-text;version=2.0.0", False),
        ("application/openmetrics-text;q=0.1,text/plain;q=0.9", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=hot,text/plain", False),
        ("application/openmetrics-text;q=2", False),
        (",;,=;;q", False),
        ("a," * 100_000 + "application/openmetrics-text", False),
    ],
)
def test_who_gets_openmetrics(accept, expected):
    assert wants_openmetrics(accept) is expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", False),
        ("gzip", True),
        ("deflate, GZIP;q=0.5", True),
        ("gzip;q=0", False),
        ("*", True),
        ("gzip;q=0, *", False),
        ("br", False),
    ],
)
def test_who_gets_gzip(header, expected):
    assert takes_gzip(header) is expected


def test_text_and_openmetrics(server, collector):
    status, headers, body = asked(server)
    assert (status, headers["Content-Type"]) == (200, TEXT)
    assert body == collector.render()
    assert b'steps_total{rank="3"} 41' in body
    assert b"# EOF" not in body
    assert headers["Content-Length"] == str(len(body))
    assert headers["Vary"] == "Accept, Accept-Encoding"

    status, headers, body = asked(server, Accept=PROMETHEUS)
    assert (status, headers["Content-Type"]) == (200, OPENMETRICS)
    assert body.endswith(b"# EOF\n")
    assert b' # {trace_id="4bf92f3577b34da6a3ce929d0e0e4736"} 41' in body


def test_gzip_and_head(server, collector):
    _, headers, packed = asked(server, Accept_Encoding="gzip")
    assert headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed) == collector.render()
    status, head, body = asked(server, "HEAD", Accept_Encoding="gzip")
    assert (status, body, head["Content-Length"]) == (200, b"", str(len(packed)))


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/metrics/", 200),
        ("GET", "/metrics?x=1", 200),
        ("GET", "/", 404),
        ("GET", "/metricsx", 404),
        ("HEAD", "/x", 404),
        ("POST", "/metrics", 405),
        ("DELETE", "/metrics", 405),
        ("OPTIONS", "/metrics", 204),
        ("BREW", "/metrics", 501),
    ],
)
def test_other_requests(server, method, path, expected):
    status, headers, _ = asked(server, method, path)

    assert status == expected
    if status in {204, 405}:
        assert headers["Allow"] == "GET, HEAD, OPTIONS"


def test_a_token(collector):
    with serve(collector, host="0.0.0.0", port=0, token="s3cret") as running:
        assert asked(running)[0] == 401
        assert asked(running, Authorization="Bearer other")[0] == 401
        assert asked(running, Authorization="Bearer s3cret")[0] == 200


def test_who_it_serves_must_be_said(collector):
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.invalid"):
        with pytest.raises(ConfigError, match=r"insecure=True"):
            serve(collector, host=host, port=0)
    serve(collector, host="0.0.0.0", port=0, insecure=True).close()
    serve(collector, host="localhost", port=0).close()


def test_closing_frees_the_port(collector):
    first = serve(collector, port=0)
    with pytest.raises(OSError, match=r"in use"):
        serve(collector, port=first.port)
    first.close()
    first.close()
    serve(collector, port=first.port).close()


def test_sixth_version(collector):
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        running = serve(collector, host="::1", port=0)
    except OSError:
        pytest.skip("no ::1 here")
    with running:
        assert running.url == f"http://[::1]:{running.port}/metrics"
        with urllib.request.urlopen(running.url, timeout=5) as response:
            assert response.status == 200


def test_who_dawdles_is_cut_off_when_all_connections_are_taken(server, collector, monkeypatch):
    monkeypatch.setattr(serve_module, "DAWDLE_S", 0.1)
    slow = [
        socket.create_connection(("127.0.0.1", server.port), timeout=5)
        for _ in range(CONNECTIONS_MAX)
    ]
    for connection in slow:
        connection.sendall(b"GET /metrics HTTP/1.1\r\n")
    CLOCK.sleep(0.3)
    before = threading.active_count()

    assert asked(server)[0] == 200
    assert threading.active_count() <= before + 1
    assert collector.faults.counts()["scrape_cut_off"] >= 1
    for connection in slow:
        connection.close()


def test_a_crowd_is_served_or_refused_but_never_more_at_once(server):
    most, results = [0], []

    def scrape():
        try:
            results.append(asked(server)[0])
        except OSError:
            results.append("refused")
        most[0] = max(most[0], len(server._server._open))

    threads = [threading.Thread(target=scrape) for _ in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(results) == 60
    assert results.count(200) >= CONNECTIONS_MAX
    assert most[0] <= CONNECTIONS_MAX
    assert asked(server)[0] == 200


def test_a_source_that_raises_costs_only_itself(server, collector):
    collector.add_source(lambda: 1 / 0)
    status, _, body = asked(server)

    assert status == 200
    assert b'sdk_errors_total{rank="3",reason="source_failed"} 1' in body


def test_a_render_that_raises_is_500(server, collector, caplog):
    collector.render = lambda openmetrics: 1 / 0

    assert asked(server)[0] == 500
    assert "error answering a scrape" in caplog.text


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_does_not_hold_the_port(collector):
    running = serve(collector, port=0)
    ready, ready_there = os.pipe()
    over_there, over = os.pipe()

    def work():
        os.close(over)
        os.write(ready_there, b"x")
        os.read(over_there, 1)

    pid = child(work)
    os.read(ready, 1)
    running.close()
    serve(collector, port=running.port).close()
    os.close(over)
    assert status(pid) == 0
    for handle in (ready, ready_there, over_there):
        os.close(handle)


def test_wsgi(collector):
    environ = {
        "HTTP_ACCEPT": PROMETHEUS,
        "PATH_INFO": "/any",
        "QUERY_STRING": "",
        "SCRIPT_NAME": "",
    }
    setup_testing_defaults(environ)
    started = []

    def start_response(status, headers, exc_info=None):
        started.append((status, dict(headers)))
        return lambda data: None

    result = validator(wsgi_app(collector))(environ, start_response)
    body = b"".join(result)
    result.close()

    assert started[0][0] == "200 OK"
    assert started[0][1]["Content-Type"] == OPENMETRICS
    assert body == collector.render(openmetrics=True)


def test_asgi(collector):
    async def go():
        transport = httpx2.ASGITransport(asgi_app(collector))
        async with httpx2.AsyncClient(transport=transport, base_url="http://x") as client:
            return [
                await client.get("/", headers={"accept": PROMETHEUS}),
                await client.get("/", headers={"accept-encoding": "gzip"}),
                await client.head("/"),
                await client.post("/"),
            ]

    openmetrics, text, head, post = asyncio.run(go())

    assert (openmetrics.status_code, openmetrics.headers["content-type"]) == (200, OPENMETRICS)
    assert openmetrics.content == collector.render(openmetrics=True)
    assert text.content == collector.render()
    assert (head.status_code, head.content) == (200, b"")
    assert post.status_code == 405


def test_asgi_lifespan_and_websocket(collector):
    async def go(scope, *messages):
        waiting, sent = list(messages), []

        async def receive():
            return waiting.pop(0)

        async def send(message):
            sent.append(message["type"])

        await asgi_app(collector)(scope, receive, send)
        return sent

    starting, ending = {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}
    assert asyncio.run(go({"type": "lifespan"}, starting, ending)) == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    assert asyncio.run(go({"type": "websocket"})) == ["websocket.close"]


def test_a_live_prometheus_scrapes_it(start, server, tmp_path):
    port = free_port()
    (tmp_path / "prometheus.yml").write_text(
        "scrape_configs:\n"
        "- job_name: sdk\n"
        "  scrape_interval: 1s\n"
        f"  static_configs: [{{targets: ['127.0.0.1:{server.port}']}}]\n"
    )
    prometheus = start(
        "prometheus",
        "--config.file=prometheus.yml",
        f"--web.listen-address=127.0.0.1:{port}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        "--enable-feature=exemplar-storage",
    )
    api = f"http://127.0.0.1:{port}/api/v1"
    prometheus.wait_for(answers(f"http://127.0.0.1:{port}/-/ready"))

    def answer(path):
        try:
            with urllib.request.urlopen(f"{api}/{path}", timeout=5) as response:
                return json.load(response)["data"]
        except urllib.error.URLError:
            return None

    def value(query):
        found = answer(f"query?query={query}")
        return found["result"][0]["value"][1] if found and found["result"] else None

    prometheus.wait_for(lambda: value("steps_total") == "41")

    assert value("up") == "1"
    assert value("loss") == "NaN"
    assert value("step_seconds_count") == "1"
    (found,) = answer("query?query=loss")["result"]
    assert found["metric"]["split"] == 'a\nb"c\\d'
    assert found["metric"]["rank"] == "3"
    exemplars = answer("query_exemplars?query=steps_total&start=0&end=99999999999")
    assert exemplars[0]["exemplars"][0]["labels"] == {
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"
    }
    (target,) = answer("targets")["activeTargets"]
    assert target["lastError"] == ""
