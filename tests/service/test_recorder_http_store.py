"""The HTTP store: against a whole service, against services that fail, and monitors as its rules."""

import json
import math
import os
import socket
import threading
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from heliograph.alert.rules.decode import decode
from heliograph.core.clock import SystemClock
from heliograph.core.errors import ConfigError, Refused, Unavailable
from heliograph.recorder import BridgeTelemetry, monitors, rule_documents
from heliograph.recorder.points import Event, Point
from heliograph.recorder.remote import RemoteStore
from heliograph.recorder.together import Together
from tests.service.live import until
from tests.service.running import NOW_NS, running

AT = "2026-11-22T01:30:00"
HOUR = ("2026-11-22T01:00:00", "2026-11-22T02:00:00")
FAST = {"alerting": {"evaluate_every": "200ms"}}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with running(tmp_path_factory.mktemp("remote") / "data", **FAST) as asked:
        yield asked
        asked.assert_sound()


def bridge(url, tmp_path, **storage):
    return BridgeTelemetry(
        {
            "logger_config": {"log_path": str(tmp_path / "log.jsonl"), "enable_console": False},
            "storage_config": {
                "backend": "timeseries_db", "connection_string": url, "timeout_s": 5, **storage,
            },
        }
    )  # fmt: skip


@pytest.fixture(params=["durable", "buffered"])
def telemetry(request, site, tmp_path):
    url = f"http://127.0.0.1:{site.port}/"
    with bridge(url, tmp_path, durability=request.param) as made:
        yield made


def test_a_metric_recorded_in_one_process_answers_on_another(site, telemetry, request):
    name = f"took_{request.node.callspec.id}"
    for value in (1, 2.5, "hot", True):
        done = telemetry.record_metric(name, value, {"kind": "x"}, AT)
        assert (done["status"], done["timestamp"]) == ("success", AT)
    assert telemetry.flush() == {"status": "success"}

    (points,) = site.points(name).values()
    assert [value for _, value in points] == [1, 2.5, 1]
    answer = telemetry.get_metrics([name], HOUR, every="1m", by=["kind"])
    assert answer["metrics"][name] == {
        "value": 1.5, "aggregation": "MEAN", "sample_count": 4, "skipped": 1,
        "time_range": {"start": HOUR[0], "end": HOUR[1]},
        "buckets": [{"start": f"{AT}Z", "value": 1.5, "sample_count": 4, "skipped": 1}],
        "groups": [
            {
                "by": {"kind": "x"}, "value": 1.5, "sample_count": 4, "skipped": 1,
                "buckets": [{"start": f"{AT}Z", "value": 1.5, "sample_count": 4, "skipped": 1}],
            }
        ],
    }  # fmt: skip


def test_events_are_records_of_the_recorders_session(site, telemetry):
    done = telemetry.record_event(
        {
            "event_type": "STARTED",
            "source": "core",
            "data": {"n": 1},
            "timestamp": AT,
            "more": [1],
        }
    )
    telemetry.flush()

    kept = {one["correlation"]["event_id"]: one for one in site.records(event_type="STARTED")}
    record = kept[done["event_id"]]
    assert (record["attributes"], record["timestamp"]) == ({"n": 1}, f"{AT}Z")
    assert record["correlation"]["extra"] == {"more": [1]}
    assert record["session_id"] != "http"


def test_what_json_lacks_is_told_as_text_and_a_later_change_is_not_told(
    site, telemetry, request
):
    data = {"at": date(2026, 1, 1), 5: {1}, "of": {"n": 1}}
    data["me"] = data
    name = f"ODD_{request.node.callspec.id}"
    event = {"event_type": name, "source": "core", "data": data}
    assert telemetry.record_event(event)["status"] == "success"
    data["of"]["n"] = 2
    telemetry.record_metric("of_odd", 1, {"at": date(2026, 1, 1), "on": True}, AT)
    telemetry.flush()

    (record,) = site.records(event_type=name)
    told = record["attributes"]
    assert {key: told[key] for key in ("at", "5", "of")} == {
        "at": "2026-01-01", "5": [1], "of": {"n": 1},
    }  # fmt: skip
    (labels,) = site.points("of_odd")
    assert dict(labels)["on"] == "true"


def test_numbers_that_json_lacks_survive(telemetry, request):
    name = f"odd_{request.node.callspec.id}"
    for value in (math.inf, math.nan):
        telemetry.record_metric(name, value, timestamp=AT)
    telemetry.flush()

    found = [telemetry.get_metrics([name], HOUR, how)["metrics"][name]["value"]
             for how in ("MEAN", "MAX")]  # fmt: skip
    assert [repr(one) for one in found] == ["nan", "inf"]


def test_all_metrics_many_names_and_none(site, tmp_path):
    with bridge(f"http://127.0.0.1:{site.port}", tmp_path) as telemetry:
        names = [f"a metric, of a long name {n} {'x' * 500}" for n in range(30)]
        batch = [(name, 1, None, AT) for name in names]
        assert telemetry.record_metrics([*batch, ("", 1)])["recorded"] == 30
        assert list(telemetry.get_metrics(names, HOUR)["metrics"]) == names
        assert set(names) <= set(telemetry.get_metrics(None, HOUR)["metrics"])
        assert telemetry.get_metrics([], HOUR)["metrics"] == {}
        telemetry.add_aggregation("OWN", sum)
        answer = telemetry.get_metrics(names, HOUR, "OWN")
        assert answer["error"]["code"] == "RETRIEVAL_FAILURE"


@pytest.fixture
def store():
    made = []

    def opened(url, **given):
        made.append(RemoteStore(url, {"timeout_s": 2, **given}, SystemClock(), "s-1"))
        return made[-1]

    yield opened
    for one in made:
        one.close()


def point(value=1.0, name="m", at_ns=NOW_NS, event_id="e-1"):
    return Point(name, value, None, at_ns, event_id, "")


class Script(BaseHTTPRequestHandler):
    """Answers by the script of its server: (status, headers, body) a request; the last for ever."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((self.path, dict(self.headers), body))
        script = self.server.script
        status, headers, text = script.pop(0) if len(script) > 1 else script[0]
        if status == 0:
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(text))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


OK = (
    200,
    {},
    b'{"status": "success", "received": 1, "accepted": 1, "rejected": 0, "results": []}',
)


@pytest.fixture
def scripted():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Script)
    server.daemon_threads = True
    server.seen, server.script = [], [OK]
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield server
    server.shutdown()
    server.server_close()


TOO_MANY = (
    b'{"rejected": 1, "results": [{"status": "error", "index": 0, '
    b'"error": {"code": "STORAGE_FAILURE", "message": "too many series"}}]}'
)


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        ((503, {"Retry-After": "7"}, b'{"detail": "the log is full", "code": "log_full"}'),
         Unavailable, "503 the log is full"),
        ((429, {}, b"slow down"), Unavailable, "429 slow down"),
        ((403, {}, b'{"detail": "not yours", "code": "denied"}'), Refused, "403 not yours"),
        ((400, {}, b'{"error": {"message": "Metric name must be text"}, "code": "X"}'), Refused,
         "400 Metric name must be text"),
        ((200, {}, b"<html>"), Unavailable, "the answer is no JSON"),
        ((200, {}, b"{}"), Unavailable, "is it a Heliograph?"),
        ((200, {}, TOO_MANY),
         Refused, "1 of 1 refused: too many series"),
        ((0, {}, b""), Unavailable, "no answer: RemoteDisconnected"),
    ],
)  # fmt: skip
def test_an_answer_that_is_none_is_told(scripted, answer, kind, words, store):
    scripted.script = [answer]
    with pytest.raises(kind) as raised:
        store(scripted.url).add_point(point())
    assert words in raised.value.detail
    if "503" in words:
        assert raised.value.retry_after_s == 7


def test_a_connection_that_the_service_let_go_of_is_no_failure(scripted, store):
    made = store(scripted.url, token="t-1")
    made.add_point(point())
    scripted.script = [(0, {}, b""), OK]
    made.add_point(point())

    assert len(scripted.seen) == 3
    assert {seen[1]["Authorization"] for seen in scripted.seen} == {"Bearer t-1"}
    made.close()


def test_nobody_there(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    telemetry = bridge(url, tmp_path)

    assert telemetry.record_metric("m", 1)["error"]["code"] == "STORAGE_FAILURE"
    event = {"event_type": "A", "source": "b"}
    assert telemetry.record_event(event)["error"]["code"] == "STORAGE_FAILURE"
    assert telemetry.get_metrics(["m"])["error"]["code"] == "RETRIEVAL_FAILURE"
    telemetry.close()


def test_what_waits_is_sent_again_once_and_in_order(scripted, store):
    scripted.script = [(503, {"Retry-After": "0"}, b""), OK]
    made = store(scripted.url, durability="buffered", timeout_s=10)
    made.add_event(Event("e-0", "A", "b", NOW_NS, {}, "", {}))
    made.add_points([point(event_id=f"e-{n}") for n in range(1, 4)])
    made.flush()

    paths = [path for path, _, _ in scripted.seen]
    assert paths == ["/v1/events", "/v1/events", "/v1/metrics"]
    assert made.usage().counts == {"sent": 4}
    made.close()
    with pytest.raises(Unavailable):
        made.add_point(point())


def test_a_body_that_is_too_large_is_sent_in_halves(scripted, store):
    scripted.script = [(413, {}, b'{"detail": "too large"}'), OK]
    store(scripted.url).add_points([point(event_id=f"e-{n}") for n in range(3)])

    sent = [[one["event_id"] for one in json.loads(body)] for _, _, body in scripted.seen]
    assert sent == [["e-0", "e-1", "e-2"], ["e-0"], ["e-1", "e-2"]]


def test_what_is_too_large_by_itself_costs_no_other(scripted, store):
    scripted.script = [(413, {}, b'{"detail": "too large"}')] * 2 + [OK]
    with pytest.raises(Refused, match="1 of 2 refused"):
        store(scripted.url).add_points([point(event_id="big"), point(event_id="small")])
    assert len(scripted.seen) == 3


class Gate:
    """Posts that wait until they are let through; *bad* items are refused."""

    def __init__(self, error=None):
        self.open, self.posted, self.error = threading.Event(), [], error

    def __call__(self, path, items):
        self.posted.append((path, [one["n"] for one in items]))
        self.open.wait(10)
        if self.error and len(self.posted) > 1:
            raise self.error
        status = ["error" if one.get("bad") else "success" for one in items]
        return [{"status": one} for one in status]


def sent_by_threads(gate, *calls):
    """What each call of (path, items) came to, the first sent before the others wait."""
    together, found = Together(gate, items_max=4), {}

    def send(place, path, items):
        try:
            found[place] = [one["status"] for one in together.send(path, items)]
        except Unavailable as error:
            found[place] = error

    threads = []
    for place, (path, items) in enumerate(calls):
        threads.append(threading.Thread(target=send, args=(place, path, items)))
        threads[-1].start()
        until(lambda: gate.posted and len(together._waiting) >= len(threads) - 1, "its turn")
    gate.open.set()
    for thread in threads:
        thread.join(10)
    return [found[place] for place in range(len(calls))]


def test_threads_that_wait_share_a_request_and_each_hears_of_its_own():
    gate = Gate()
    items = [[{"n": n}] for n in range(4)]
    items[2] = [{"n": 2, "bad": True}, {"n": 20}]
    calls = [("/m", items[0]), ("/m", items[1]), ("/m", items[2]), ("/e", items[3])]

    assert sent_by_threads(gate, *calls) == [
        ["success"], ["success"], ["error", "success"], ["success"],
    ]  # fmt: skip
    assert gate.posted == [("/m", [0]), ("/m", [1, 2, 20]), ("/e", [3])]


def test_a_shared_request_has_a_bound_and_its_failure_is_everyones():
    failed = Unavailable("not now", retry_after_s=7)
    gate = Gate(failed)
    three = [{"n": 1}, {"n": 2}, {"n": 3}]
    first, *others = sent_by_threads(gate, ("/m", [{"n": 0}]), *[("/m", three)] * 2)

    assert first == ["success"]
    assert gate.posted == [("/m", [0]), ("/m", [1, 2, 3]), ("/m", [1, 2, 3])]
    assert [(one.detail, one.retry_after_s) for one in others] == [("not now", 7)] * 2
    assert others[0] is not others[1]


def test_a_full_buffer_says_so_and_what_is_refused_is_counted(scripted, store):
    scripted.script = [(400, {}, b'{"detail": "no"}')]
    made = store(scripted.url, durability="buffered", max_buffered=3)
    with pytest.raises(Unavailable, match="limit 3"):
        made.add_points([point()] * 4)
    made.add_points([point()] * 3)
    made.flush()

    assert (made.usage().counts, made.usage().percentage) == ({"refused": 3}, 0)
    assert "400 no" in made.usage().failing
    made.close()


def test_what_cannot_be_sent_before_the_end_is_counted_as_lost(scripted, store):
    scripted.script = [(503, {}, b"")]
    made = store(scripted.url, durability="buffered", timeout_s=0.05)
    made.add_points([point()] * 3)
    made.close()
    assert made.usage().counts["lost"] == 3


def test_a_child_sends_its_own_and_leaves_the_parents_to_the_parent(scripted, store):
    made = store(scripted.url, durability="buffered")
    durable = store(scripted.url)
    durable.add_point(point(event_id="before"))
    made.add_point(point(event_id="parents"))
    # Whoever forks may hold the lock of a thread that is not in the child.
    with made._outbox._changed:
        child = os.fork()
        if child == 0:
            try:
                durable.add_point(point(event_id="childs"))
                made.add_point(point(event_id="childs own"))
                made.flush()
                os._exit(0)
            finally:
                os._exit(1)
    made.flush()

    assert os.waitpid(child, 0)[1] == 0
    sent = [one["event_id"] for _, _, body in scripted.seen for one in json.loads(body)]
    assert sorted(sent) == ["before", "childs", "childs own", "parents"]


@pytest.mark.parametrize(
    ("url", "given"),
    [
        ("ftp://x", {}), ("http://", {}), ("http://x:99999", {}), ("http://x", {"timeout_s": 0}),
        ("http://x", {"timeout_s": "fast"}), ("http://x", {"durability": "often"}),
        ("http://x", {"max_buffered": 0}),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense(url, given, store):
    with pytest.raises(ConfigError):
        store(url, **given)


def test_a_token_of_the_environment_and_of_the_url(scripted, monkeypatch, store):
    monkeypatch.setenv("HELIOGRAPH_TOKEN", "of-env")
    store(scripted.url).add_point(point())
    monkeypatch.delenv("HELIOGRAPH_TOKEN")
    store(scripted.url.replace("//", "//user:p%40ss@")).add_point(point())

    assert [seen[1]["Authorization"] for seen in scripted.seen] == [
        "Bearer of-env", "Basic dXNlcjpwQHNz",
    ]  # fmt: skip


def test_a_token_to_record_and_one_to_ask(tmp_path):
    with running(tmp_path / "data", with_tokens=True) as guarded:
        url, tokens = f"http://127.0.0.1:{guarded.port}", guarded.tokens
        with bridge(url, tmp_path, token=tokens["ingest"]) as telemetry:
            assert telemetry.record_metric("m", 1, timestamp=AT)["status"] == "success"
            refused = telemetry.get_metrics(["m"], HOUR)["error"]
            assert (refused["code"], "403" in refused["message"]) == ("RETRIEVAL_FAILURE", True)
        given = {"token": tokens["ingest"], "edit_token": tokens["editor"]}
        with bridge(url, tmp_path, **given) as telemetry:
            telemetry.record_metric("m", 3, timestamp=AT)
            assert telemetry.get_metrics(["m"], HOUR)["metrics"]["m"]["value"] == 2
            telemetry.add_monitor("Hot", metric="m", value=9, callback=print)


@pytest.mark.parametrize(
    ("kind", "options", "rule_type", "config"),
    [
        ("threshold", {"metric": "m", "aggregate": "p95", "value": 5, "match": {"k": "a*"}},
         "threshold", {"agg": "p95", "op": ">", "value": 5, "window": "5m", "for": "0"}),
        ("rate", {"metric": "m", "value": 5, "for_": "1m"}, "threshold",
         {"agg": "rate", "op": ">", "value": 5, "window": "5m", "for": "1m"}),
        ("change", {"metric": "m", "op": "<", "value": -5}, "threshold",
         {"agg": "slope", "op": "<", "value": -5, "window": "5m", "for": "0"}),
        ("absence", {"metric": "m", "window": "1m"}, "absence", {"window": "1m"}),
        ("anomaly", {"metric": "m", "value": 6, "least": 9}, "anomaly",
         {"z": 6, "least": 9, "direction": "both", "window": "1h", "for": "0"}),
        ("absence", {"event_type": "BEAT", "window": "1m"}, "absence", {"window": "1m"}),
        ("rate", {"event_type": "A", "value": 4.5, "window": "1m"}, "match",
         {"threshold": {"count": 5, "window": "1m", "by": []}}),
        ("error_share", {"source": "core", "value": 5}, "share",
         {"op": ">", "value": 0.05, "window": "5m", "part": {"severity": ["critical", "error"]}}),
    ],
)  # fmt: skip
def test_every_kind_of_monitor_is_a_rule(kind, options, rule_type, config):
    document = rule_documents.of(monitors.define("mon", kind, options))
    rule = decode(document, rule_id="r")

    assert (rule.name, rule.rule_type, rule.source) == (
        "mon", rule_type, "metric" if "metric" in options else "event",
    )  # fmt: skip
    told = document["rule_config"]
    assert {key: told[key] for key in config} == config
    assert rule_documents.is_of_monitor(document)
    matchers = [str(one) for one in getattr(rule.body, "match", ())]
    if "match" in options:
        assert matchers == ['k="a*"']


@pytest.mark.parametrize(
    "options",
    [
        {"op": "<", "value": 5},
        {"value": 10**6},
        {"op": ">=", "value": 0},
        {"for_": "1m", "value": 1},
    ],
)
def test_what_no_rule_can_say_is_refused(options):
    with pytest.raises(Refused):
        rule_documents.of(monitors.define("mon", "rate", {"event_type": "A", **options}))


def test_monitors_of_a_recorder_over_http_raise_alerts_of_the_service(site, tmp_path):
    heard = []
    with bridge(f"http://127.0.0.1:{site.port}", tmp_path) as telemetry:
        telemetry.add_monitor("TooSlow", metric="slow_ms", value=9000, callback=heard.append)
        telemetry.add_monitor("TooSlow", metric="slow_ms", value=500, callback=heard.append)
        telemetry.add_monitor(
            "Failing",
            kind="error_share",
            source="core",
            value=40,
            least=4,
            callback=heard.append,
        )
        telemetry.record_metric("slow_ms", 501, {"queue": "q1"}, NOW_NS / 1e9)
        for status in ("SUCCESS", "ERROR", "ERROR", "TIMEOUT"):
            telemetry.record_event(
                {"event_type": "RUN", "source": "core", "data": {"result_status": status}}
            )
        names = ("TooSlow", "Failing")
        until(
            lambda: all(
                site.get("/v1/alerts", alert_name=one).json()["items"] for one in names
            ),
            "alerts of both monitors",
            timeout_s=15,
        )
        alerts = [site.get("/v1/alerts", alert_name=one).json()["items"] for one in names]
        shown = [
            (one["source"], one["status"], one["labels"].get("queue")) for (one,) in alerts
        ]
        assert shown == [("metric", "firing", "q1"), ("event", "firing", None)]
        assert {alert.monitor for alert in heard} == set(names)
        # Two of one name are one rule; what is removed is gone.
        rules = site.get("/v1/alert-rules", limit=1000).json()["items"]
        assert [one["name"] for one in rules].count("TooSlow") == 1
        assert telemetry.remove_monitor("TooSlow")
        rules = site.get("/v1/alert-rules", limit=1000).json()["items"]
        assert "TooSlow" not in [one["name"] for one in rules]
        # The rule of somebody else is not taken.
        taken = {"name": "Theirs", "source": "log", "rule_config": {"pattern": "x"}}
        assert site.post("/v1/alert-rules", taken).status == 201
        with pytest.raises(ValueError, match="409"):
            telemetry.add_monitor("Theirs", metric="m", value=1, callback=heard.append)
        assert "Theirs" not in telemetry._watching.names()
