"""PromQL over HTTP against servers that answer badly: words, and never a bug."""

import http.server
import json
import threading
from urllib.parse import parse_qs, urlsplit

import pytest

from heliograph.core.clock import SystemClock
from heliograph.core.errors import ConfigError, Refused, Unavailable
from heliograph.core.matcher import Matcher
from heliograph.store.prometheus import remote
from heliograph.store.prometheus.dialect import Dialect
from heliograph.store.prometheus.queries import PrometheusQueries, expression, selector
from heliograph.store.prometheus.sender import Sender
from heliograph.store.protocol import RangeQuery

SECOND_NS = 10**9
PLAIN = Dialect(closed_left=False, nan_is_stale=False, guesses_newest=False)
RAW = RangeQuery("up", (), 0, 10 * SECOND_NS, None, "mean", 100)
STEPPED = RAW._replace(step_ns=SECOND_NS)


class Server:
    """Answers a query with what it was given; what it was asked is in *asked*."""

    def __init__(self):
        server = self
        self.asked = []
        self.answer = (200, matrix())
        self.drip = False
        self.closing = threading.Event()

        class Answer(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                path = urlsplit(self.path)
                query = {key: value[0] for key, value in parse_qs(path.query).items()}
                status, body = server.answer
                if query.get("query", "").startswith(("count_over_time(vector", "union(")):
                    status, body = 200, vector("1")
                    if query["query"].startswith("union"):
                        status, body = 400, b'{"error": "unknown function"}'
                else:
                    server.asked.append((path.path, query))
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Location", "/elsewhere")
                self.end_headers()
                for byte in body if server.drip else ():
                    self.wfile.write(bytes([byte]))
                    if server.closing.wait(0.05):
                        return
                if not server.drip:
                    self.wfile.write(body)

            def log_message(self, *_):
                pass

        class Threaded(http.server.ThreadingHTTPServer):
            def handle_error(self, *_):
                pass

        self._server = Threaded(("127.0.0.1", 0), Answer)
        self.url = f"http://user:hunter2@127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self):
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def matrix(*series, **more):
    result = [{"metric": labels, "values": values} for labels, values in series]
    return json.dumps({"status": "success", "data": {"result": result}, **more}).encode()


def vector(value):
    return json.dumps({"data": {"result": [{"metric": {}, "value": [0, value]}]}}).encode()


@pytest.fixture
def server():
    opened = Server()
    yield opened
    opened.close()


@pytest.fixture
def queries(server):
    opened = PrometheusQueries(server.url, SystemClock())
    yield opened
    opened.close()


UNAVAILABLE = [
    (500, b"", "answered 500"),
    (503, b'{"error": "query timed out"}', "answered 503 query timed out"),
    (429, b"slow down", "answered 429 slow down"),
    (401, b"", "answered 401"),
    (404, b"<html>", "answered 404 <html>"),
    (302, b"", "answered 302"),
    (200, b"<html>", "no answer to PromQL"),
    (200, b"[]", "no answer to PromQL"),
    (200, b"\xff\xfe", "no answer to PromQL"),
    (200, b'{"data": null}', "no answer to PromQL"),
    (200, b'{"data": {"result": [{"metric": {}, "value": [0, "1"]}]}}', "no answer to PromQL"),
    (200, b'{"data": {"result": [{"metric": {"a": 1}, "values": []}]}}', "no answer to PromQL"),
]


@pytest.mark.parametrize(("status", "body", "words"), UNAVAILABLE)
@pytest.mark.parametrize("query", [RAW, STEPPED], ids=["raw", "stepped"])
def test_no_sense_is_unavailable_in_words(server, queries, query, status, body, words):
    server.answer = (status, body)
    with pytest.raises(Unavailable) as raised:
        queries.range(query)

    assert words in raised.value.detail
    assert raised.value.code == "sample_store"
    assert "hunter2" not in raised.value.detail


def test_values_that_are_no_numbers_are_unavailable(server, queries):
    server.answer = (200, matrix(({"a": "b"}, [[0, "many"]])))
    with pytest.raises(Unavailable):
        queries.range(RAW)


@pytest.mark.parametrize("status", [400, 422])
def test_a_refusal_is_handed_on_with_its_words(server, queries, status):
    server.answer = (status, b'{"error": "too many samples"}')
    with pytest.raises(Refused, match="the sample store refused: too many samples"):
        queries.range(RAW)


def test_a_server_that_drips_is_given_up(server, queries, monkeypatch):
    queries.range(RAW)
    monkeypatch.setattr(remote, "TIMEOUT_S", 0.3)
    server.drip = True
    with pytest.raises(Unavailable, match="takes too long"):
        queries.range(RAW)


def test_nobody_there_is_unavailable():
    queries = PrometheusQueries("http://user:hunter2@127.0.0.1:9", SystemClock())
    for ask in (
        lambda: queries.range(RAW),
        lambda: queries.metrics([], 10),
        lambda: queries.label_sets([], 10),
    ):
        with pytest.raises(Unavailable) as raised:
            ask()
        assert raised.value.detail == (
            "the sample store at 127.0.0.1 did not answer: ConnectError"
        )
    queries.close()


def test_lists_of_names_are_of_all_time_and_bounded(server, queries, monkeypatch):
    server.answer = (200, b'{"data": ["c", "a", "b"]}')
    assert queries.metrics([Matcher("job", "=", "x")], 2) == ["a", "b"]
    assert server.asked[-1] == (
        "/api/v1/label/__name__/values",
        {"start": "0", "limit": "2", "match[]": '{__name__!="",job="x"}'},
    )
    server.answer = (200, b'{"data": null}')
    assert queries.metrics([], 2) == queries.label_sets([], 2) == []

    server.answer = (200, b'{"data": [{"__name__": "b"}, {"a": "1", "__name__": "b"}]}')
    assert queries.label_sets([], 5) == [
        (("__name__", "b"),),
        (("__name__", "b"), ("a", "1")),
    ]
    monkeypatch.setattr(remote, "ANSWER_BYTES_MAX", 10)
    with pytest.raises(Refused, match="narrow"):
        queries.label_sets([], 5)


def test_warnings_and_missing_parts_are_told(server, queries):
    server.answer = (200, matrix(warnings=["a shard is slow"], isPartial=True))
    assert queries.range(RAW).warnings == [
        "a shard is slow",
        "a part of the sample store did not answer",
    ]


def test_more_points_than_allowed_are_cut_at_one_time_for_all(server, queries):
    values = [[at_s, str(at_s)] for at_s in range(10)]
    server.answer = (200, matrix(({"a": "1"}, values), ({"a": "0"}, values[5:])))
    found = queries.range(RAW._replace(points_max=8))

    # Seven before 6 s; both have one at 6 s, which would be nine.
    assert [(dict(one.labels)["a"], list(one.at_ms)) for one in found.series] == [
        ("0", [5000]),
        ("1", [0, 1000, 2000, 3000, 4000, 5000]),
    ]
    assert (found.truncated, found.next_ns) == (True, 6 * SECOND_NS)


def test_more_series_than_points_are_refused(server, queries):
    server.answer = (200, matrix(*(({"a": str(n)}, [[1, "1"]]) for n in range(9))))
    with pytest.raises(Refused) as raised:
        queries.range(RAW._replace(points_max=8))
    assert raised.value.code == "too_large"


def test_a_step_of_parts_of_milliseconds_is_refused(queries):
    with pytest.raises(Refused, match="whole milliseconds"):
        queries.range(STEPPED._replace(step_ns=1_500_000))


@pytest.mark.parametrize(
    ("dialect", "expected"),
    [
        (PLAIN, 'avg_over_time({a="b"}[1000ms])'),
        (PLAIN._replace(closed_left=True), 'avg_over_time({a="b"}[999ms])'),
        (
            PLAIN._replace(guesses_newest=True),
            'avg_over_time({a="b"}[1000ms] offset -86400000ms)',
        ),
    ],
)
def test_a_window_is_asked_for_exactly(dialect, expected):
    assert expression("mean", selector([Matcher("a", "=", "b")]), 1000, dialect) == expected


@pytest.mark.parametrize(
    "url", ["", "vm:8428", "ftp://vm/x", "http://", "http://u:hun/ter2@vm:1", "http://vm:99999"]
)
@pytest.mark.parametrize("kind", [Sender, PrometheusQueries])
def test_what_is_no_url_is_refused_at_the_start_and_not_repeated(kind, url):
    with pytest.raises(ConfigError) as raised:
        kind(url, SystemClock())
    assert "hun" not in str(raised.value)
