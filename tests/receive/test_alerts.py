import json

import pytest

from heliograph.core import instant, labels
from heliograph.core.errors import Refused
from heliograph.receive import alert_bodies, alert_labels, alert_webhook, alerts
from heliograph.receive.alerts import Times

NOW = instant.parse("2026-11-22T00:55:55Z")
MINUTES = 60 * 10**9
TIMES = Times(NOW, 5 * MINUTES)


def v2(document):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return alerts.decode(body, TIMES)


def webhook(document):
    return alert_webhook.decode(json.dumps(document).encode(), TIMES)


def body(source, document):
    return alert_bodies.decode(json.dumps(document).encode(), source, TIMES)


def test_a_v2_alert_is_read_whole():
    alert = {
        "labels": {"b": "2", "alertname": "A", "gone": "", "severity": "high", "null": None},
        "annotations": {"z": "1", "a": ""},
        "startsAt": "2026-11-22T08:43:18.518764605+08:00",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus/graph?g0.expr=1",
        "status": "nonsense",
    }

    posted = v2([alert])

    (post,) = posted.posts
    assert post.labels == (("alertname", "A"), ("b", "2"), ("severity", "high"))
    assert post.fingerprint == labels.fingerprint(post.labels)
    assert post.annotations == (("a", ""), ("z", "1"))
    assert post.starts_ns == instant.parse("2026-11-22T00:43:18.518764605Z")
    assert post.at_ns == post.starts_ns
    assert (post.ends_ns, post.status, post.severity) == (None, "", "high")
    assert post.resolve_after_ns == 5 * MINUTES
    assert json.loads(post.raw) == alert
    assert posted.unfit == []
    assert posted.places == [0]


@pytest.mark.parametrize(
    ("alert", "field", "status"),
    [
        pytest.param({}, "[0].labels", 422, id="labels absent"),
        pytest.param({"labels": None}, "[0].labels", 422, id="labels null"),
        pytest.param({"labels": {}}, "[0].labels", 400, id="labels empty"),
        pytest.param({"labels": {"a": ""}}, "[0].labels", 400, id="all values empty"),
        pytest.param({"labels": {"a-b": "x"}}, "[0].labels", 400, id="a name with a dash"),
        pytest.param({"labels": {"z": "b", "a": 1}}, "[0].labels.a", 400, id="a number for a value"),
        pytest.param({"labels": {"a": [[]]}}, "[0].labels.a", 400, id="a list for a value"),
        pytest.param({"labels": {"a": "b"}, "annotations": {"x": "", "y": 1}}, "[0].annotations.y", 400, id="a number for a note"),
        pytest.param({"labels": {"a": "b"}, "annotations": 1}, "[0].annotations", 400, id="a number for notes"),
        pytest.param({"labels": []}, "[0].labels", 400, id="labels a list"),
        pytest.param({"labels": {"a": "b"}, "startsAt": "yesterday"}, "[0].startsAt", 400, id="a start in words"),
        pytest.param({"labels": {"a": "b"}, "endsAt": "9" * 100}, "[0].endsAt", 400, id="an endless end"),
        pytest.param({"labels": {"a": "b"}, "startsAt": 5}, "[0].startsAt", 400, id="a start in seconds"),
        pytest.param(
            {"labels": {"a": "b"}, "startsAt": "2026-01-02T00:00:00Z", "endsAt": "2026-01-01T00:00:00Z"},
            "[0].endsAt", 400, id="the end before the start",
        ),
        pytest.param({"labels": {"a": "b"}, "generatorURL": "not a url %%"}, "[0].generatorURL", 422, id="no url"),
        pytest.param({"labels": {"a": "x" * 70_000}}, "[0].labels", 400, id="labels too large"),
        pytest.param({"labels": {f"l{i}": "x" for i in range(200)}}, "[0].labels", 400, id="too many labels"),
        pytest.param({"labels": {"a": "b"}, "annotations": {"x": "y" * 70_000}}, "[0].annotations", 400, id="annotations too large"),
        pytest.param(7, "[0]", 400, id="a number for an alert"),
    ],
)  # fmt: skip
def test_an_unfit_alert_is_named_and_does_not_cost_the_next(alert, field, status):
    posted = v2([alert, {"labels": {"alertname": "good"}}])

    assert [(one.index, one.field, one.status) for one in posted.unfit] == [(0, field, status)]
    assert [post.labels for post in posted.posts] == [(("alertname", "good"),)]
    assert posted.places == [1]
    assert posted.received == 2


@pytest.mark.parametrize("text", [b"{}", b"[{", b"nul", b"[" * 5000, b'"x"', b"\xff\xfe["])
def test_a_body_that_is_no_array_is_refused(text):
    with pytest.raises(Refused) as caught:
        v2(text)
    assert caught.value.status == 400


def test_nothing_is_no_body_and_null_an_empty_one():
    with pytest.raises(Refused) as caught:
        v2(b" ")
    assert (caught.value.status, str(caught.value)) == (422, "alerts in body is required")
    assert v2(b" null\n") == v2(b"[]")


def test_an_end_after_all_that_can_be_counted_is_the_last_one():
    labels = {"alertname": "x"}
    (post,) = v2([{"labels": labels, "endsAt": "9999-12-31T23:59:59Z"}]).posts
    assert post.ends_ns == alerts.ENDS_NS_MAX == instant.AT_NS_MAX - 1
    for bad in ({"startsAt": "9999-12-31T23:59:59Z"}, {"endsAt": "9999-13-31T23:59:59Z"}):
        (unfit,) = v2([{"labels": labels, **bad}]).unfit
        assert (unfit.field, unfit.status) == (f"[0].{next(iter(bad))}", 400)


@pytest.mark.parametrize(
    ("times", "taken"),
    [
        # Without an end it fires for the time-out, and may not begin after that.
        ({"startsAt": "2026-11-22T01:00:55Z"}, True),
        ({"startsAt": "2026-11-22T01:00:55.000000001Z"}, False),
        ({"startsAt": "2026-11-23T00:55:55Z", "endsAt": "0001-01-01T00:00:00Z"}, False),
        ({"startsAt": "2026-11-23T00:55:55Z", "endsAt": "2026-11-23T00:55:55Z"}, True),
        ({"startsAt": "2026-11-23T00:55:55Z", "endsAt": "2026-11-23T00:55:54Z"}, False),
    ],
)
def test_a_start_may_be_ahead_but_not_of_the_end(times, taken):
    posted = v2([{"labels": {"a": "b"}, **times}, {"labels": {"alertname": "good"}}])

    assert [post.starts_ns is not None for post in posted.posts] == [True] * taken + [False]
    refused = [(one.status, one.detail) for one in posted.unfit]
    assert refused == [] if taken else [(400, "start time must be before end time")]
    if taken:
        assert posted.posts[0].starts_ns == instant.parse(times["startsAt"])
        assert posted.posts[0].at_ns == NOW


@pytest.mark.parametrize(
    ("cut", "label"),
    [
        (b"\xff", "\ufffd"),
        (b"\\ud800", "\ufffd"),
        (b"x\\udc00\\ud800", "x\ufffd\ufffd"),
        (b"\\ud83d\\ude00", "\U0001f600"),
    ],
)
@pytest.mark.parametrize("read", [v2, alert_webhook.decode], ids=["v2", "webhook"])
def test_text_that_was_cut_costs_no_alert(read, cut, label):
    body = b'[{"labels":{"a":"b","more":"%s"},"more":"%s"},{"labels":{"a":"c"}}]' % (cut, cut)
    posted = read(body) if read is v2 else read(body, TIMES)

    assert [dict(post.labels).get("more") for post in posted.posts] == [label, None]
    assert json.loads(posted.posts[0].raw)["more"] == label


def test_text_that_was_cut_costs_no_single_alert():
    for cut in (b"\xff", b"\\ud800"):
        raw = b'{"rule_name":"a","labels":{"n":"%s"},"message":"%s"}' % (cut, cut)
        post = alert_bodies.decode(raw, "log", TIMES)
        assert dict(post.labels)["n"] == dict(post.annotations)["message"] == "\ufffd"
        assert json.loads(post.raw)["message"] == "\ufffd"


def test_too_many_alerts_are_refused_before_any_is_read():
    with pytest.raises(Refused) as caught:
        v2(b"[" + b"0," * alerts.ALERTS_MAX + b"0]")
    assert caught.value.status == 413


def test_of_a_key_that_comes_twice_the_last_counts():
    (post,) = v2(b'[{"labels":{"alertname":"dk1","alertname":"dk2"}}]').posts
    assert post.labels == (("alertname", "dk2"),)


def test_what_real_senders_posted_is_read(shared_data):
    recorded = json.loads(
        (shared_data / "recorded/alerts_in/vmalert1795_timeline.json").read_text()
    )
    bodies = [one["raw_body"].encode() for one in recorded["timeline"]]
    bodies += [
        path.read_bytes()
        for path in (shared_data / "recorded/alerts_in").glob("prometheus*.json")
    ]
    assert len(bodies) >= 70
    for one in bodies:
        posted = v2(one)
        assert posted.posts
        assert not posted.unfit
        assert all(post.starts_ns and post.ends_ns and not post.status for post in posted.posts)


def test_the_answers_of_a_real_alertmanager_are_ours(shared_data):
    probes = json.loads(
        (shared_data / "recorded/alertmanager_0.25_api_v2_probes.json").read_text()
    )
    seen = 0
    for case in probes["cases"]:
        if (case["method"], case["path"]) != ("POST", "/api/v2/alerts") or case[
            "status"
        ] == 415:
            continue
        seen += 1
        given = case["request"]
        raw = given.encode() if isinstance(given, str) else json.dumps(given).encode()
        try:
            posted = v2(raw)
            status = posted.unfit[0].status if posted.unfit else 200
        except Refused as refused:
            status = refused.status
        assert status == case["status"], case["name"]
    assert seen >= 20


WEBHOOK = {
    "version": "4",
    "status": "resolved",
    "truncatedAlerts": 3,
    "commonLabels": {"cluster": "c1", "gpu": "9"},
    "commonAnnotations": {"runbook": "http://r"},
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "A", "gpu": "0"},
            "annotations": {"summary": "s"},
            "startsAt": "2026-11-22T00:50:00Z",
            "endsAt": "2026-11-22T00:59:00Z",
            "fingerprint": "f",
            "values": {"B": 1.5},
        },
        {
            "status": "resolved",
            "labels": {"alertname": "A"},
            "startsAt": "2026-11-22T00:50:00Z",
        },
        {"status": "resolved", "labels": {"alertname": "B"}, "endsAt": "2026-11-22T00:51:00Z"},
    ],
}


def test_what_is_unfit_of_a_bare_list_is_named_as_it_was_written():
    some = [{"labels": {"a": "b"}}, {"labels": {}}, 5]
    assert [one.field for one in webhook(some).unfit] == ["[1].labels", "[2]"]
    named = webhook({"alerts": some}).unfit
    assert [one.field for one in named] == ["alerts[1].labels", "alerts[2]"]


@pytest.mark.parametrize(
    ("given", "wanted_ns"),
    [
        (1763772955.123, 1763772955_123000000),
        (1763772955, 1763772955_000000000),
        ("2025-11-22T00:55:55.123Z", 1763772955_123000000),
        (1e300, None),
        (True, None),
        ("yesterday", None),
        ([], None),
    ],
)
def test_a_webhook_may_tell_epoch_seconds(given, wanted_ns):
    posted = webhook([{"labels": {"alertname": "A"}, "startsAt": given}])
    assert [one.starts_ns for one in posted.posts] == [wanted_ns]


@pytest.mark.parametrize("status", [None, "firing", "resolved"])
@pytest.mark.parametrize(
    "starts", ["2026-11-22T00:55:55.000000001Z", 4e9, "2027-01-01T00:00:00Z"]
)
def test_no_start_is_later_than_when_it_came(starts, status):
    ends = {"endsAt": "2027-02-01T00:00:00Z"} if status is None else {}
    told = {"labels": {"alertname": "A"}, "status": status, "startsAt": starts, **ends}
    (post,) = webhook([told]).posts
    assert (post.starts_ns, post.at_ns) == (NOW, NOW)
    single = {"rule_name": "a", "alert_name": "a", "status": status, "starts_at": starts}
    for source in ("log", "trace", "webhook"):
        post = body(source, single)
        assert (post.starts_ns, post.at_ns) == (NOW, NOW)


@pytest.mark.parametrize("status", [None, "firing", "resolved"])
@pytest.mark.parametrize("ends", ["garbage", True, [], {}, 1e300, "2026-02-30T00:00:00Z"])
def test_an_end_that_is_no_time_is_refused_by_its_field(ends, status):
    bad = {"labels": {"alertname": "A"}, "status": status, "endsAt": ends}
    posted = webhook({"alerts": [{"labels": {"a": "b"}}, bad, {"labels": {"a": "c"}}]})
    assert [(one.index, one.field) for one in posted.unfit] == [(1, "alerts[1].endsAt")]
    assert len(posted.posts) == 2
    single = {"rule_name": "a", "alert_name": "a", "status": status, "ends_at": ends}
    for source in ("log", "trace", "webhook"):
        with pytest.raises(Refused) as caught:
            body(source, single)
        assert (caught.value.field, caught.value.status) == ("ends_at", 400)


@pytest.mark.parametrize(
    "ends", [None, "", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", 4e9]
)
def test_an_end_may_be_open(ends):
    (post,) = webhook([{"labels": {"a": "b"}, "status": "firing", "endsAt": ends}]).posts
    assert post.ends_ns is None
    assert body("webhook", {"ends_at": ends}).ends_ns is None
    assert body("webhook", {"ends_at": ends, "status": "resolved"}).ends_ns == NOW


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ('{"labels":{"alertname":"x","v":1e999}}', "labels.v"),
        ('{"labels":{"a":"b"},"annotations":{"w":[-1e999]}}', "annotations.w[0]"),
        ('{"labels":{"a":"b"},"values":{"B":%s}}' % ("9" * 5000), "values.B"),
        ('{"labels":{"a":"b"},"endsAt":"soon"}', "endsAt"),
    ],
)
def test_an_alert_that_cannot_be_read_does_not_cost_the_body(bad, field):
    good = '{"labels":{"a":"b"}}'
    for text, where in (
        (f'{{"alerts":[{good},{bad},{good}]}}', "alerts"),
        (f"[{good},{bad},{good}]", ""),
    ):
        posted = alert_webhook.decode(text.encode(), TIMES)
        assert [(one.index, one.field) for one in posted.unfit] == [(1, f"{where}[1].{field}")]
        assert posted.places == [0, 2]


def test_a_webhook_mixes_firing_and_resolved():
    posted = webhook(WEBHOOK)

    one, two, three = posted.posts
    assert posted.truncated == 3
    assert one.labels == (("alertname", "A"), ("cluster", "c1"), ("gpu", "0"))
    assert one.annotations == (("runbook", "http://r"), ("summary", "s"))
    # A webhook tells of the end itself: an end ahead does not count while it says firing.
    assert (one.status, one.ends_ns, one.resolve_after_ns) == ("firing", None, 0)
    assert json.loads(one.raw)["values"] == {"B": 1.5}
    assert (two.ends_ns, two.starts_ns) == (NOW, instant.parse("2026-11-22T00:50:00Z"))
    assert three.ends_ns == instant.parse("2026-11-22T00:51:00Z")


def test_a_bare_array_on_the_webhook_is_of_the_v2_api():
    (post,) = webhook([{"labels": {"alertname": "A"}, "endsAt": "2026-11-22T00:59:00Z"}]).posts
    assert (post.status, post.ends_ns) == ("", instant.parse("2026-11-22T00:59:00Z"))
    assert post.resolve_after_ns == 5 * MINUTES


@pytest.mark.parametrize(
    ("alert", "field"),
    [
        ({"status": "odd", "labels": {"a": "b"}}, "alerts[0].status"),
        ({"status": "firing"}, "alerts[0].labels"),
        ({"status": "firing", "labels": "x"}, "alerts[0].labels"),
        ({"status": "firing", "labels": {"a": "b"}, "annotations": 5}, "alerts[0].annotations"),
        ([], "alerts[0]"),
    ],
)
def test_an_unfit_webhook_alert_is_named(alert, field):
    posted = webhook({"alerts": [alert, {"labels": {"a": "b"}}]})
    assert [one.field for one in posted.unfit] == [field]
    assert len(posted.posts) == 1


def test_the_recorded_webhooks_of_a_real_alertmanager_are_read(shared_data):
    path = shared_data / "recorded/notify_out/alertmanager025_end_to_end.json"
    text = path.read_text()
    found = [one for one in _objects(json.loads(text)) if one.get("version") == "4"]
    assert found
    for one in found:
        assert not webhook(one).unfit


def _objects(value):
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _objects(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _objects(inner)
    elif isinstance(value, str) and value.startswith("{"):
        try:
            yield from _objects(json.loads(value))
        except ValueError:
            return


LOG = {
    "rule_name": "OOMDetected",
    "severity": "critical",
    "message": "CUDA out of memory",
    "pattern": "OutOfMemoryError|CUDA out of memory",
    "workload_id": "training-job-123",
    "pod_name": "worker-0",
    "pod_id": "uuid-456",
    "log_time": "2025-11-03T10:05:00Z",
    "labels": {"error_type": "oom"},
}


def test_a_log_alert_is_identified_by_what_it_names():
    post = body("log", LOG)

    assert dict(post.labels) == {
        "alertname": "OOMDetected",
        "source": "log",
        "error_type": "oom",
        "pattern": LOG["pattern"],
        "workload_id": "training-job-123",
        "pod_name": "worker-0",
        "pod_id": "uuid-456",
    }
    assert dict(post.annotations) == {"message": "CUDA out of memory"}
    assert (post.severity, post.status, post.ends_ns) == ("critical", "firing", None)
    assert post.starts_ns == post.at_ns == instant.parse("2025-11-03T10:05:00Z")
    assert (post.hints.workload_id, post.hints.pod_id) == ("training-job-123", "uuid-456")


@pytest.mark.parametrize(
    ("said", "label", "severity"),
    [
        ({"severity": "critical", "labels": {"severity": "info"}}, "critical", "critical"),
        ({"severity": "critical", "labels": {"severity": "critical"}}, "critical", "critical"),
        ({"labels": {"severity": "info"}}, "info", "info"),
        ({"severity": "critical"}, None, "critical"),
        ({"severity": "critical", "labels": {"severity": ""}}, None, "critical"),
    ],
)
@pytest.mark.parametrize("source", ["log", "trace", "webhook"])
def test_an_alert_is_routed_by_the_severity_that_it_is_listed_with(
    source, said, label, severity
):
    post = body(source, {"rule_name": "A", "alert_name": "A", **said})
    assert (dict(post.labels).get("severity"), post.severity) == (label, severity)


def test_parts_of_an_identity_do_not_run_together():
    one = body("log", {"rule_name": "ab", "workload_id": "c"})
    other = body("log", {"rule_name": "a", "workload_id": "bc"})
    assert one.fingerprint != other.fingerprint


def test_each_slow_trace_is_the_same_alert():
    trace = {
        "rule_name": "Slow",
        "service_name": "loader",
        "operation": "load",
        "duration": 5000.5,
    }
    one, other = (
        body("trace", {**trace, "trace_id": "1"}),
        body("trace", {**trace, "trace_id": "2"}),
    )
    assert one.fingerprint == other.fingerprint
    assert dict(other.annotations) == {"duration": "5000.50ms", "trace_id": "2"}


def test_a_webhook_of_any_kind_has_a_name_a_severity_and_text_for_values():
    post = body("webhook", {"foo": 1})
    assert dict(post.labels) == {"alertname": "generic_webhook_alert", "source": "webhook"}
    assert (post.severity, post.status) == ("info", "firing")

    post = body(
        "webhook", {"alert_name": "X", "status": "resolved", "labels": {"n": 1, "b": True}}
    )
    assert dict(post.labels) == {"alertname": "X", "source": "webhook", "n": "1", "b": "true"}
    assert post.ends_ns == NOW


@pytest.mark.parametrize(
    ("document", "wanted"),
    [
        ({}, ("generic_webhook_alert", "webhook")),
        ({"labels": {"alertname": "DiskFull"}}, ("DiskFull", "webhook")),
        ({"labels": {"alertname": ""}}, ("generic_webhook_alert", "webhook")),
        ({"labels": {"alertname": "DiskFull"}, "alert_name": "X"}, ("X", "webhook")),
        ({"labels": {"alertname": "DiskFull"}, "alert_name": ""}, ("DiskFull", "webhook")),
        ({"labels": {"source": "nagios"}, "alert_name": "X"}, ("X", "nagios")),
        ({"labels": {"source": ""}, "alert_name": "X"}, ("X", "webhook")),
    ],
)
def test_a_given_label_stands_where_the_body_says_nothing_beside_it(document, wanted):
    post = body("webhook", document)
    said = dict(post.labels)
    assert (said["alertname"], said["source"]) == wanted
    assert post.source == "webhook"


def test_what_differs_in_a_given_label_is_another_alert():
    for name, values in (
        ("alertname", ("DiskFull", "NetDown")),
        ("source", ("nagios", "zabbix")),
    ):
        one, other = (body("webhook", {"labels": {name: value, "h": "1"}}) for value in values)
        assert one.fingerprint != other.fingerprint


@pytest.mark.parametrize("number", ["1e999", "9" * 5000])
def test_a_number_that_cannot_be_read_is_named(number):
    for key, field in (('"duration"', "duration"), ('"labels":{"n"', "labels.n")):
        text = f'{{"rule_name":"a",{key}:{number}{"}" * (key.count("{") + 1)}'
        with pytest.raises(Refused) as caught:
            alert_bodies.decode(text.encode(), "trace", TIMES)
        assert caught.value.field == field


@pytest.mark.parametrize(
    ("source", "document", "field"),
    [
        ("log", {}, "rule_name"),
        ("log", {"rule_name": ""}, "rule_name"),
        ("log", {"rule_name": ["x"]}, "rule_name"),
        ("log", {"rule_name": "a", "labels": []}, "labels"),
        ("log", {"rule_name": "a", "log_time": "soon"}, "log_time"),
        ("log", {"rule_name": "a", "log_time": True}, "log_time"),
        ("log", {"rule_name": "a", "status": "odd"}, "status"),
        ("trace", {"rule_name": "a", "duration": "5s"}, "duration"),
        ("webhook", {"labels": {"": "x"}}, "labels"),
        ("webhook", {"alert_name": "x" * 70_000}, "alert_name"),
    ],
)
def test_an_unfit_body_names_the_field(source, document, field):
    with pytest.raises(Refused) as caught:
        body(source, document)
    assert caught.value.field == field


def test_a_name_of_the_newer_grammar_is_taken_where_old_alertmanagers_do_not_speak():
    assert alert_labels.identity({"a.b-c": "x"}, "", classic=False).labels == (("a.b-c", "x"),)
