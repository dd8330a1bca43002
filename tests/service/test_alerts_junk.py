"""Bodies that no client of ours sends, on every endpoint of alerts: refused by name, never a bug, and
nothing is kept by halves."""

import copy
import gzip
import json
import socket
import zlib

import pytest

from tests.service.alert_site import GPU_MEMORY, OOM, RULE, SILENCE, SLOW, at, body, listed
from tests.service.running import (
    CANARY,
    assert_problem,
    resident_bytes,
    running,
)

JSON = {"Content-Type": "application/json"}
DEEP = 2000
LONG = 200_000
GROWTH_BYTES_MAX = 96 * 1024 * 1024
# A webhook's answer names each of up to a thousand alerts that it did not take.
ANSWER_BYTES_MAX = 256 * 1024
SECRET = "s3cret-canary"

V2_SILENCE = {
    "matchers": [{"name": "alertname", "value": "x", "isRegex": False, "isEqual": True}],
    "startsAt": at(0), "endsAt": at(3600), "createdBy": "me", "comment": "c",
}  # fmt: skip
METRIC_RULE = {
    "name": "M", "source": "metric", "rule_type": "threshold", "severity": "info",
    "rule_config": {"metric": "m", "match": ['a="b"'], "agg": "last", "window": "5m", "op": ">", "value": 3, "for": "1m"},
}  # fmt: skip
EVENT_RULE = {
    "name": "E", "source": "event", "rule_type": "match", "severity": "info",
    "rule_config": {"event_type": ["oom"], "severity": "critical", "attributes": {"n": {"op": ">", "value": 1}},
                    "threshold": {"count": 2, "window": "1m", "by": ["pod_name"]}},
}  # fmt: skip
ABSENCE_RULE = {
    "name": "A", "source": "log", "rule_type": "absence", "severity": "info",
    "rule_config": {"match": {"pattern": "p"}, "window": "5m", "by": ["pod_name"]},
}  # fmt: skip
ROUTE = {
    "matchers": [{"name": "severity", "value": "critical", "is_regex": False, "is_equal": True}],
    "channels": [
        {"type": "webhook", "config": {"url": f"https://hooks.example.com/{SECRET}", "headers": {"X": SECRET}, "format": "heliograph"}},
        {"type": "email", "config": {"to": ["a@example.com"], "from": "b@example.com", "smtp_host": "mail.example.com",
                                     "smtp_port": 587, "username": "u", "password": SECRET, "tls": True}},
        {"type": "dingtalk", "config": {"webhook_url": f"https://oapi.dingtalk.com/robot/send?access_token={SECRET}", "secret": SECRET, "at": {}}},
        {"type": "wechat", "config": {"webhook_url": f"https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key={SECRET}"}},
        {"type": "slack", "config": {"webhook_url": f"https://hooks.slack.com/services/{SECRET}"}},
        {"type": "alertmanager", "config": {"url": "https://am.example.com"}},
    ],
    "group_by": ["alertname"], "group_wait": "30s", "group_interval": "5m", "repeat_interval": "4h", "continue": False,
}  # fmt: skip
ALERT = {**GPU_MEMORY, "endsAt": at(3600), "generatorURL": "http://p/graph"}
WEBHOOK = {
    "version": "4", "groupKey": "k", "truncatedAlerts": 0, "status": "firing", "receiver": "r", "groupLabels": {"a": "b"},
    "commonLabels": {"c": "d"}, "commonAnnotations": {"e": "f"}, "externalURL": "http://x", "alerts": [ALERT],
}  # fmt: skip
CUSTOM = {"alert_name": "Custom", "severity": "high", "status": "firing", "labels": {"n": 1}, "annotations": {"a": "b"},
          "starts_at": at(-10), "ends_at": at(-1), "workload_id": "w", "node_name": "n"}  # fmt: skip
TRIAL = {"rule": RULE, "lines": ["NCCL error", {"message": "x", "date": at(0), "pod_name": "p"}],
         "records": [{"event_type": "oom", "timestamp": 1, "attributes": {}, "resource": {}}],
         "traces": [{"service_name": "s", "operation": "o", "duration": 5}], "step": "30s", "now": at(0)}  # fmt: skip
SERIES = {
    "rule": METRIC_RULE,
    "series": [{"labels": {"a": "b"}, "points": [[1, 1.5]]}],
    "step": "30s",
}
SCHEDULED = {**SILENCE, "schedule": {"cron": "0 1 * * *", "duration": "1h", "timezone": "UTC"}}

# Each endpoint with a document that it takes.
TAKES = {
    "v2": ("/api/v2/alerts", [ALERT]),
    "metric": ("/v1/alerts/metric", WEBHOOK),
    "log": ("/v1/alerts/log", {**OOM, "annotations": {"a": "b"}, "status": "firing"}),
    "trace": ("/v1/alerts/trace", SLOW),
    "webhook": ("/v1/alerts/webhook", CUSTOM),
    "silence": ("/v1/silences", SILENCE),
    "scheduled": ("/v1/silences", SCHEDULED),
    "v2 silence": ("/api/v2/silences", V2_SILENCE),
    "log rule": ("/v1/alert-rules", RULE),
    "metric rule": ("/v1/alert-rules", METRIC_RULE),
    "event rule": ("/v1/alert-rules", EVENT_RULE),
    "absence rule": ("/v1/alert-rules", ABSENCE_RULE),
    "route": ("/v1/alert-routes", ROUTE),
    "trial": ("/v1/alert-rules/test", TRIAL),
    "series": ("/v1/alert-rules/test", SERIES),
    "path": ("/v1/alert-routes/test", {"labels": {"a": "b"}}),
}
ODD = (
    None, True, 0, -1, 1.5, 1e300, 10**30, "", "x", "\0", "\ud800", "\x1b[2J", "(", "{{", "9" * 40, "-5m",
    "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999+14:00", [], {}, [[]], [None], {"": ""}, {"a": {"b": []}},
    "http://169.254.169.254/latest", "<secret>",
)  # fmt: skip


def places(value, path=()):
    """The path of every part of *value*."""
    yield path
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, one in inner:
        yield from places(one, (*path, key))


def changed(document, path, value):
    if not path:
        return value
    found = copy.deepcopy(document)
    *way, last = path
    at_ = found
    for key in way:
        at_ = at_[key]
    at_[last] = value
    return found


@pytest.fixture(scope="module", autouse=True)
def _nameless():
    """Names lead nowhere, at once: a resolver may take its time."""
    known = socket.getaddrinfo

    def lookup(host, *args, **more):
        if (
            str(host).strip("[]").replace(".", "").replace(":", "").isalnum()
            and not str(host)[-1:].isdigit()
        ):
            raise socket.gaierror(socket.EAI_NONAME, "no names in these tests")
        return known(host, *args, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", lookup)
        yield


def opened(tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("junk") / "data"
    with running(data_dir, limits={"body_mb": 2, "decoded_mb": 8}) as site:
        before_bytes = resident_bytes()
        yield site
        site.assert_sound()
        assert resident_bytes() - before_bytes < GROWTH_BYTES_MAX


@pytest.fixture(scope="module")
def junked(tmp_path_factory):
    yield from opened(tmp_path_factory)


@pytest.fixture(scope="module")
def routed(tmp_path_factory):
    """One without alerts, so that no route has somebody to tell."""
    yield from opened(tmp_path_factory)


@pytest.fixture
def site_of(junked, routed):
    """The service that takes the document of that name."""
    return lambda name: routed if name == "route" else junked


def sound(answer, what):
    """A refusal is one that a client can read; nothing of it is secret."""
    assert answer.status < 500, (what, answer.status, answer.body[:300])
    assert SECRET.encode() not in answer.body, (what, answer.body)
    assert len(answer.body) < ANSWER_BYTES_MAX
    if answer.status >= 400:
        document = answer.json()
        if isinstance(document, dict):
            assert document["detail"], what
            named = [error["field"] for error in document["errors"]]
            # A key without a name cannot be named.
            assert named or answer.status in {404, 409, 415} or what[-1] == {"": ""}, (
                what,
                document,
            )
    return answer


@pytest.mark.parametrize("name", TAKES)
def test_the_documents_are_taken_as_they_are(site_of, name):
    site = site_of(name)
    path, document = TAKES[name]
    answer = site.post(path, document)
    assert answer.status in {200, 201}, answer.body
    forget(site, path, answer)


def forget(site, path, answer):
    """Remove what was made, so that bounds and names stay free."""
    if answer.status == 201 and "rule_id" in answer.json():
        site.ask("DELETE", f"{path}/{answer.json()['rule_id']}")
    if answer.status == 201 and "route_id" in answer.json():
        site.ask("DELETE", f"{path}/{answer.json()['route_id']}")


@pytest.mark.parametrize("name", TAKES)
def test_odd_values_at_every_place(site_of, name):
    site = site_of(name)
    path, document = TAKES[name]
    total = 0
    found = list(places(document))
    # Of many places each has some of the values, others in turn.
    step = 1 + len(found) // 20
    for number, place in enumerate(found):
        for value in ODD[number % step :: step]:
            given = changed(document, place, value)
            answer = sound(site.ask("POST", path, body(given), JSON), (name, place, value))
            forget(site, path, answer)
            total += 1
    assert total > 50


RAW = {
    "nothing": b"",
    "blank": b"  \n ",
    "cut": b'{"labels": {"alertname": ',
    "nul": b"\0" * 100,
    "utf-16": json.dumps(OOM).encode("utf-16"),
    "bad utf-8": b'{"rule_name": "\xff\xfe", "labels": {"a": "\xc3("}}',
    "bad utf-8 list": b'[{"labels": {"alertname": "\xff\xfe"}}]',
    "surrogate": b'[{"labels": {"alertname": "\\ud800"}}]',
    "deep lists": b"[" * DEEP + b"]" * DEEP,
    "deep maps": b'{"labels":' * DEEP + b"1" + b"}" * DEEP,
    "deep in labels": b'{"rule_name": "a", "labels": {"a": ' + b"[" * DEEP + b"]" * DEEP + b"}}",
    "deep in alerts": b'{"alerts": [{"labels": {"a": ' + b"[" * DEEP + b"]" * DEEP + b"}}]}",
    "deep in v2": b'[{"labels": {"a": ' + b"[" * DEEP + b"]" * DEEP + b"}}]",
    "text": b'"text"',
    "number": b"1e400",
    "nan": b'{"rule_name": NaN}',
    "long text": json.dumps({"rule_name": "x" * LONG, "alert_name": "x" * LONG, "name": "x" * LONG}).encode(),
    "many labels": json.dumps([{"labels": {f"l{n}": "v" for n in range(5000)}}]).encode(),
    "many alerts": json.dumps([{"labels": {}}] * 20_000).encode(),
    "many keys": json.dumps({f"k{n}": n for n in range(50_000)}).encode(),
    "large": b'"' + b"x" * (3 * 1024 * 1024) + b'"',
    "gzip": gzip.compress(json.dumps(OOM).encode()),
}  # fmt: skip


@pytest.mark.parametrize("name", TAKES)
def test_bodies_that_are_no_documents(site_of, name):
    site = site_of(name)
    path, _ = TAKES[name]
    for kind, raw in RAW.items():
        answer = sound(site.ask("POST", path, raw, JSON), (name, kind))
        forget(site, path, answer)
        if kind in {
            "nothing",
            "blank",
            "cut",
            "nul",
            "utf-16",
            "number",
            "deep lists",
            "large",
        }:
            assert 400 <= answer.status < 500, (name, kind)


@pytest.mark.parametrize("name", TAKES)
def test_odd_headers(site_of, name):
    site = site_of(name)
    path, document = TAKES[name]
    sent = body(document)
    bomb = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = bomb.compress(b"[" * (64 * 1024 * 1024)) + bomb.flush()
    for raw, headers in (
        (sent, {"Content-Type": "text/plain"}),
        (sent, {"Content-Type": "application/json; charset=utf-16"}),
        (sent, {"Content-Type": "\xff"}),
        (sent, {}),
        (sent, {**JSON, "Content-Encoding": "br"}),
        (sent, {**JSON, "Content-Encoding": "gzip"}),
        (bomb, {**JSON, "Content-Encoding": "gzip"}),
        (gzip.compress(sent)[:-9], {**JSON, "Content-Encoding": "gzip"}),
    ):
        answer = sound(site.ask("POST", path, raw, headers), (name, headers))
        forget(site, path, answer)


def test_what_is_refused_is_not_kept(site):
    rules = site.get("/v1/alert-rules").json()["total"]
    for name, (path, document) in TAKES.items():
        for field in ("labels", "matchers", "channels", "rule_config"):
            if isinstance(document, dict) and field in document:
                answer = site.post(path, {**document, field: f"{CANARY} {field}"})
                assert answer.status in {400, 422}, (name, field, answer.body)
    bad = {**ALERT, "labels": {"alertname": CANARY}, "startsAt": "soon"}
    assert site.post("/api/v2/alerts", [bad]).status == 400
    for path in (
        "/v1/alerts",
        "/v1/silences",
        "/v1/alert-routes",
        "/api/v2/alerts",
        "/api/v2/silences",
    ):
        answer = site.get(path).json()
        assert (answer if isinstance(answer, list) else answer["items"]) == [], path
    assert site.get("/v1/silences", state="all").json()["total"] == 0
    assert site.get("/v1/alert-rules").json()["total"] == rules
    assert site.get("/v1/alerts/statistics").json()["items"] == []
    assert site.records(source_kind="trace") == []
    site.assert_sound()


def test_what_is_taken_comes_back_as_it_was(site):
    odd = {
        "quote": '"\\',
        "lines": "a\nb",
        "nul": "a\0b",
        "face": "\U0001f600",
        "rtl": "\u202egpj",
        "html": "<script>",
    }
    answer = site.post(
        "/v1/alerts/webhook", {"alert_name": "Odd \u4e16", "labels": odd, "severity": "s\0"}
    )
    assert answer.status == 201, answer.body
    (alert,) = listed(site)
    assert {key: alert["labels"][key] for key in odd} == odd
    assert alert["severity"] == "s\0"
    assert listed(site, alert_name="Odd \u4e16", severity="s\0") == [alert]
    site.assert_sound()


def test_what_nobody_looks_at_is_shown_as_far_as_it_can_be(site):
    deep = b"[" * 900 + b"]" * 900
    for name, more in (("Bytes", b'"\xff"'), ("Deep", deep)):
        sent = b'[{"labels":{"alertname":"%s"},"more":%s}]' % (name.encode(), more)
        assert site.ask("POST", "/api/v2/alerts", sent, JSON).status == 200
    shown = {one["alert_name"]: one["raw_data"] for one in listed(site)}
    assert shown.keys() == {"Bytes", "Deep"}
    assert shown["Bytes"] == {"labels": {"alertname": "Bytes"}, "more": "\ufffd"}
    site.assert_sound()


def test_secrets_of_channels_are_written_and_never_read(site):
    made = site.post("/v1/alert-routes", ROUTE)
    assert made.status == 201, made.body
    path = f"/v1/alert-routes/{made.json()['route_id']}"
    for answer in (made, site.get(path), site.get("/v1/alert-routes"), site.get("/api/v2/status"),
                   site.get("/api/v2/receivers"), site.post("/v1/alert-routes/test", {"severity": "critical"}),
                   site.get("/v1/notifications"), site.get("/")):  # fmt: skip
        assert answer.status < 300
        assert SECRET.encode() not in answer.body
    broken = copy.deepcopy(ROUTE)
    broken["channels"][1]["config"]["smtp_port"] = SECRET
    answer = site.ask("PUT", path, body(broken), JSON)
    assert answer.status == 400
    assert SECRET.encode() not in answer.body


PRIVATE = (
    "http://127.0.0.1:9/x", "http://localhost/x", "http://[::1]/x", "http://10.0.0.8/x", "http://192.168.1.1/x",
    "http://169.254.169.254/latest/meta-data", "http://0.0.0.0/", "http://2130706433/", "http://0x7f.1/",
    "http://[::ffff:127.0.0.1]/", "http://[fd00::1]/", "http://127.0.0.1.:80/",
)  # fmt: skip


@pytest.mark.parametrize("url", PRIVATE)
def test_private_addresses_are_refused_when_a_route_is_made(junked, url):
    keys = {
        "webhook": "url",
        "dingtalk": "webhook_url",
        "wechat": "webhook_url",
        "slack": "webhook_url",
        "alertmanager": "url",
    }
    for kind, key in keys.items():
        answer = junked.post(
            "/v1/alert-routes",
            {"matchers": [], "channels": [{"type": kind, "config": {key: url}}]},
        )
        assert answer.status == 400, (kind, answer.body)
        assert b"notify.allow_private" in answer.body, (kind, answer.body)
    mail = {
        "to": "a@example.com",
        "from": "b@example.com",
        "smtp_host": "127.0.0.1",
        "smtp_port": 25,
    }
    answer = junked.post(
        "/v1/alert-routes", {"matchers": [], "channels": [{"type": "email", "config": mail}]}
    )
    assert answer.status == 400
    assert b"notify.allow_private" in answer.body


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "//example.com",
        "http://",
        "http://user:pw@/",
        "x",
        "http://a b/",
        "http://exa\nmple.com/",
    ],
)
def test_what_is_no_url_is_refused(junked, url):
    channel = {"type": "webhook", "config": {"url": url}}
    answer = junked.post("/v1/alert-routes", {"matchers": [], "channels": [channel]})
    assert answer.status == 400, answer.body
    assert answer.json()["errors"][0]["field"].startswith("channels[0]")


ODD_IDS = ("none", "%00", "%ff", "..%2f..%2fetc", "'%20or%201=1--", "u" * 5000, "%F0%9F%98%80")


@pytest.mark.parametrize("name", ODD_IDS)
def test_odd_ids(junked, name):
    for method, path in (
        ("GET", "/v1/alerts/{}"), ("GET", "/v1/alerts/{}/correlations"), ("GET", "/v1/silences/{}"),
        ("DELETE", "/v1/silences/{}"), ("GET", "/v1/alert-rules/{}"), ("DELETE", "/v1/alert-rules/{}"),
        ("GET", "/v1/alert-routes/{}"), ("DELETE", "/v1/alert-routes/{}"),
        ("GET", "/api/v2/silence/{}"), ("DELETE", "/api/v2/silence/{}"),
    ):  # fmt: skip
        answer = junked.ask(method, path.format(name))
        assert answer.status in {400, 404, 422}, (method, path, answer.body[:200])
    for path, document in (
        ("/v1/silences/{}", SILENCE),
        ("/v1/alert-rules/{}", RULE),
        ("/v1/alert-routes/{}", ROUTE),
    ):
        answer = junked.ask("PUT", path.format(name), body(document), JSON)
        assert answer.status == 404, (path, answer.body[:200])


@pytest.mark.parametrize(
    "query",
    [
        "filter=%00",
        "filter=a%3D~(",
        "filter=" + "a" * 9000,
        "receiver=(",
        "active=maybe",
        "filter={",
        "filter=a=b&" * 100 + "filter=a",
    ],
)
def test_odd_filters_of_the_read_interface(junked, query):
    for path in ("/api/v2/alerts", "/api/v2/alerts/groups", "/api/v2/silences"):
        answer = junked.ask("GET", f"{path}?{query}")
        assert answer.status in {200, 400, 422}, answer.body[:300]
        if answer.status != 200:
            assert isinstance(answer.json(), str)


@pytest.mark.parametrize(
    "value", ["%00", "%ff", "x" * 9000, "%F0%9F%98%80", "'", "-1", "NaN", "1e999"]
)
def test_odd_values_of_queries(junked, value):
    for path, names in (
        ("/v1/alerts", ("source", "alert_name", "severity", "status", "workload_id", "starts_after", "offset", "limit")),
        ("/v1/alerts/statistics", ("date_from", "date_to", "group_by", "alert_name")),
        ("/v1/notifications", ("alert_id", "channel", "kind", "start", "end")),
        ("/v1/silences", ("state",)),
        ("/v1/alert-rules", ("source", "enabled")),
    ):  # fmt: skip
        for name in names:
            answer = junked.ask("GET", f"{path}?{name}={value}")
            assert answer.status in {200, 400}, (path, name, answer.body[:200])
            if answer.status == 400:
                assert_problem(answer, 400, field=name)


@pytest.mark.parametrize("name", ["<secret>", "a>b", "1>2", ">", "workload:x", "3>workload:x>"])
def test_odd_names_are_correlated_as_any_other(junked, name):
    ids = [
        junked.post(f"/v1/alerts/{kind}", {"rule_name": rule, "workload_id": name, "pod_name": name}).json()["alert_id"]
        for kind, rule in (("log", "OOMDetected"), ("trace", "Slow"))
    ]  # fmt: skip
    for alert_id in ids:
        items = junked.get(f"/v1/alerts/{alert_id}/correlations").json()["items"]
        assert any(set(ids) <= {one["id"] for one in group["alerts"]} for group in items), items
