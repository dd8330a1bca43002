import json
import shutil
import socket
import threading
from pathlib import Path

import pytest
from msgspec import structs

from heliograph.alert.config import receivers
from heliograph.alert.model import Context
from heliograph.core.clock import SystemClock
from heliograph.core.errors import ConfigError, Refused
from heliograph.notify import tls
from heliograph.notify.channels import check
from heliograph.notify.guard import Guard
from heliograph.notify.protocol import Limits
from heliograph.notify.tls import CONTEXTS_MAX, Contexts
from tests.notify import recorded
from tests.notify.fakes import (
    SECOND_NS,
    Provider,
    Reply,
    alert,
    channels,
    in_turn,
    integration,
    message,
)
from tests.peers import free_port


def sent(*messages, replies=None, **settings):
    with Provider(in_turn(*(replies or [Reply()]))) as provider:
        url = settings.pop("url", provider.url + "/hook")
        came = [
            channels()["webhook"].deliver(one, integration("webhook", url=url, **settings))
            for one in messages
        ]
    return came, provider.requests


def test_version_4_is_what_alertmanager_sends(shared_data):
    """Every recorded webhook, to the letter; `notification_reason` came with later versions."""
    bodies = recorded.notifications(shared_data, "webhook_v4")
    came, requests = sent(*(recorded.message(body) for body in bodies))
    assert [one.outcome for one in came] == ["sent"] * len(bodies)
    for body, request in zip(bodies, requests, strict=True):
        document = request.document
        assert document.pop("notification_reason") == "first notification"
        by_print = {one["fingerprint"]: one for one in document.pop("alerts")}
        assert by_print == {one["fingerprint"]: one for one in body.pop("alerts")}
        assert document == body


def test_version_4_has_the_workload_among_the_labels():
    whose = Context(workload_id="w-1", workload_name="llm", pod_name="llm-0")
    one = structs.replace(alert("OOM", severity="critical"), context=whose)
    _, requests = sent(message(one), format="alertmanager")
    wanted = {"alertname": "OOM", "severity": "critical", "workload_id": "w-1"}
    assert requests[0].document["alerts"][0]["labels"] == wanted
    assert requests[0].document["commonLabels"] == wanted


def test_a_severity_that_no_label_says_is_told_too():
    """As `POST /v1/alerts/log` has it beside its labels."""
    bare = alert("Hot", severity="")
    one, other = (
        structs.replace(bare, severity=severity, id=severity)
        for severity in ("info", "critical")
    )
    _, (single, both) = sent(message(one), message(one, other), format="alertmanager")
    said = {"alertname": "Hot", "severity": "info"}
    assert single.document["alerts"][0]["labels"] == said
    # The worst first.
    told = [shown["labels"]["severity"] for shown in both.document["alerts"]]
    assert told == ["critical", "info"]
    shared = [document["commonLabels"] for document in (single.document, both.document)]
    assert shared == [said, {"alertname": "Hot"}]
    # Our own format has a field for it, and the labels of `GET /v1/alerts`.
    _, (own,) = sent(message(one), format="heliograph")
    (shown,) = own.document["alerts"]
    assert (shown["labels"], shown["severity"]) == ({"alertname": "Hot"}, "info")


def test_our_own_format_has_whole_alerts():
    whose = Context(
        workload_id="w-1", workload_name="llm", workload_uid="w-1", pod_name="llm-0"
    )
    one = structs.replace(alert("OOM", ends_s=10), context=whose, raw=b'{"a": 1}')
    _, requests = sent(message(one), format="heliograph")
    document = requests[0].document
    assert {key: document[key] for key in ("status", "receiver", "group_labels", "key")} == {
        "status": "resolved",
        "receiver": "team",
        "group_labels": {"alertname": "OOM"},
        "key": "key-1",
    }
    told = document["alerts"][0]
    assert told["ends_at"] == "2025-12-31T23:59:50Z"
    assert told["starts_at"] == "2025-12-31T23:55:00Z"
    assert (told["id"], told["fingerprint"], told["alert_name"]) == (
        one.id,
        one.fingerprint,
        "OOM",
    )
    assert (told["workload_id"], told["pod_name"], told["node_name"]) == ("w-1", "llm-0", "")
    assert (told["raw_data"], told["enriched_data"]) == ({"a": 1}, None)
    assert told["status"] == "resolved"


@pytest.mark.parametrize(
    ("form", "starts"), [("alertmanager", "startsAt"), ("heliograph", "starts_at")]
)
def test_the_past_of_an_alert_that_fires_again_stands_before_its_present(form, starts):
    ended = [alert("B", ends_s=s) for s in (200, 100)]
    first, second = (structs.replace(one, starts_ns=one.starts_ns + n * SECOND_NS, id=str(n))
                     for n, one in enumerate(ended))  # fmt: skip
    again = structs.replace(
        first, id="9", ends_ns=None, starts_ns=first.starts_ns + 9 * SECOND_NS
    )
    given = message(alert("A", ends_s=50), second, first, again, alert("C"))
    _, requests = sent(given, format=form)
    told = [
        (one["labels"]["alertname"], one["status"], one[starts][17:19])
        for one in requests[0].document["alerts"]
    ]
    assert told == [
        ("B", "resolved", "00"),
        ("B", "resolved", "01"),
        ("B", "firing", "09"),
        ("C", "firing", "00"),
        ("A", "resolved", "00"),
    ]


@pytest.mark.parametrize(
    ("form", "counted"), [("alertmanager", "truncatedAlerts"), ("heliograph", "truncated")]
)
def test_what_max_alerts_leaves_out_is_counted_and_the_worst_stay(form, counted):
    alerts = [alert("Low", severity="info", n=str(n)) for n in range(9)]
    alerts.append(alert("High", severity="critical"))
    _, requests = sent(message(*alerts, truncated=3), format=form, max_alerts=2)
    document = requests[0].document
    assert (len(document["alerts"]), document[counted]) == (2, 11)
    assert document["alerts"][0]["labels"]["alertname"] == "High"


@pytest.mark.parametrize("form", ["alertmanager", "heliograph"])
def test_what_fires_goes_before_its_past_where_there_is_no_room_for_both(form):
    past, now = alert("A", ends_s=9), structs.replace(alert("A"), id="again")
    _, requests = sent(message(past, now, alert("B")), format=form, max_alerts=2)
    shown = requests[0].document["alerts"]
    assert [one["status"] for one in shown] == ["firing", "firing"]


def test_version_4_has_the_receiver_as_a_pattern_and_the_key_as_alertmanager_has_it():
    told = message(alert())
    _, requests = sent(
        structs.replace(told, receiver="ml.eu (b)+", foreign_key='{}/{a="b"}:{}'),
        structs.replace(told, receiver="team-a"),
        format="alertmanager",
    )
    assert [(r.document["receiver"], r.document["groupKey"]) for r in requests] == [
        (r"ml\.eu \(b\)\+", '{}/{a="b"}:{}'),
        ("team-a", 'file/0:{alertname="x"}'),
    ]
    # Templates see the same.
    texts = {name: f"{{{{ .{name} }}}}" for name in ("Receiver", "GroupKey")}
    texts["Fingerprint"] = "{{ range .Alerts }}{{ .Fingerprint }}{{ end }}"
    dotted = structs.replace(told, receiver="a.b", foreign_key="{}:{}")
    plain, rendered = (sent(dotted, **more)[1][0].document for more in ({}, {"payload": texts}))
    assert rendered == {
        "Receiver": r"a\.b",
        "GroupKey": "{}:{}",
        "Fingerprint": plain["alerts"][0]["fingerprint"],
    }


def test_every_attempt_of_a_message_has_the_same_key_and_the_headers_of_the_settings():
    came, requests = sent(
        *[message(alert(), key="the-key")] * 2,
        replies=[Reply(500), Reply(204)],
        headers={"X-Team": "ml", "Content-Type": "text/evil", "Idempotency-Key": "mine"},
        http_config={"basic_auth": {"username": "me", "password": "pä"}},
    )
    assert [one.outcome for one in came] == ["later", "sent"]
    for request in requests:
        assert request.headers["Idempotency-Key"] == "the-key"
        assert request.headers["Content-Type"] == "application/json"
        assert request.headers["X-Team"] == "ml"
        assert request.headers["Authorization"] == "Basic bWU6cMOk"
        assert request.headers["User-Agent"].startswith("heliograph/")


@pytest.mark.parametrize(
    "headers",
    [{"X": "a\r\nY: b"}, {"X\r\nY": "a"}, {"X Y": "a"}, {"": "a"}, {"X": "a\x00"}],
)
def test_headers_that_are_none_are_refused(headers):
    came, requests = sent(message(alert()), headers=headers)
    assert (came[0].outcome, requests) == ("refused", [])


def test_headers_are_sent_once_and_those_of_the_connection_are_ours():
    odd = {
        "content-type": "x",
        "IDEMPOTENCY-KEY": "y",
        "Content-Length": "5",
        "Expect": "100-continue",
    }
    came, requests = sent(message(alert()), headers={**odd, "Transfer-Encoding": "chunked"})
    assert came[0].outcome == "sent"
    names = [name.lower() for name in requests[0].headers]
    assert names.count("content-type") == names.count("idempotency-key") == 1
    assert not {"expect", "transfer-encoding"} & set(names)
    assert requests[0].document["version"] == "4"


def test_secrets_in_files_are_read_at_each_attempt(tmp_path):
    secret = tmp_path / "token"
    with Provider(lambda _: Reply()) as provider:
        url = tmp_path / "url"
        url.write_text(f"{provider.url}/from-file\n")
        opened = channels()
        target = integration(
            "webhook",
            url_file=str(url),
            http_config={"authorization": {"credentials_file": str(secret)}},
        )
        first = opened["webhook"].deliver(message(alert()), target)
        for text in ("one", "two"):
            secret.write_text(text + "\n")
            opened["webhook"].deliver(message(alert()), target)
    assert (first.outcome, first.answer) == ("refused", "credentials_file: FileNotFoundError")
    assert [one.headers["Authorization"] for one in provider.requests] == [
        "Bearer one",
        "Bearer two",
    ]
    assert provider.requests[0].path == "/from-file"


def test_values_that_are_hostile_arrive_as_they_are():
    evil = "\"}],'; DROP TABLE\r\nX: y \ud800 </script> {{ 7*7 }} ${jndi} \u202e"
    one = alert(annotations={"summary": evil}, pod=evil)
    _, requests = sent(message(one))
    told = json.loads(requests[0].body)["alerts"][0]
    assert told["annotations"]["summary"] == evil.replace("\ud800", "?")
    assert told["labels"]["pod"] == evil.replace("\ud800", "?")
    assert "X" not in requests[0].headers


def test_a_payload_of_the_operators_own():
    payload = {"text": "{{ .Status }} {{ len .Alerts }}", "n": 1, "list": ["{{ .Receiver }}"]}
    _, requests = sent(message(alert()), payload=payload)
    assert requests[0].document == {"text": "firing 1", "n": 1, "list": ["team"]}


@pytest.mark.parametrize(
    "payload",
    [
        {"text": "{{ .Nope }}"},
        {"deep": [{"text": "{{ .Nope }}"}], "n": 1},
        [{"text": "{{ .Nope }}"}],
        ["{{ .Nope }}", "{{ .Status }}"],
        [["{{ .Nope }}"]],
        "{{ .Nope }}",
    ],
)
def test_a_payload_that_cannot_be_made_is_told_with_the_default_document(payload):
    (came,), (request,) = sent(message(alert()), payload=payload)
    assert request.document["alerts"][0]["labels"]["alertname"] == "GPUHot"
    assert (came.outcome, "has no Nope" in came.answer) == ("sent", True)


def test_an_address_that_cannot_be_made_is_refused_with_the_fault():
    (came,), requests = sent(message(alert()), url="http://127.0.0.1/{{ .Nope }}")
    assert (came.outcome, came.answer) == (
        "refused", "template url: the value has no Nope",
    )  # fmt: skip
    assert requests == []


def scripted(script):
    """A TCP server that reads a request and then does what *script(connection)* does; its URL."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                try:
                    connection.recv(65536)
                    script(connection)
                except OSError:
                    pass

    threading.Thread(target=serve, daemon=True).start()
    return listener, f"http://127.0.0.1:{listener.getsockname()[1]}/"


def drip(connection):
    for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"a" * 1000:
        connection.sendall(bytes([byte]))
        SystemClock().sleep(0.05)


def drip_body(connection):
    connection.sendall(b"HTTP/1.1 500 No\r\nContent-Length: 100000\r\n\r\n")
    for _ in range(1000):
        connection.sendall(b"x")
        SystemClock().sleep(0.05)


def huge(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
    for _ in range(1000):
        connection.sendall(b"x" * 100_000)


HOSTILE = {
    "nothing": lambda c: None,
    "garbage": lambda c: c.sendall(b"\x00\xff garbage\r\n\r\n"),
    "smtp": lambda c: c.sendall(b"220 mail.example ESMTP\r\n"),
    "half a status": lambda c: c.sendall(b"HTTP/1.1 2"),
    "cut headers": lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nX: "),
    "bad chunk": lambda c: c.sendall(
        b"HTTP/1.1 503 x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    ),
    "endless header": lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 1_000_000),
    "bad cookie": lambda c: c.sendall(
        b"HTTP/1.1 500 x\r\nSet-Cookie: \xff=\x00;;=\r\nContent-Length: 0\r\n\r\n"
    ),
    "odd status": lambda c: c.sendall(b"HTTP/1.1 777 x\r\nContent-Length: 0\r\n\r\n"),
    "bad gzip": lambda c: c.sendall(
        b"HTTP/1.1 502 x\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"
    ),
    "drip": drip,
    "drip body": drip_body,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_answer_is_put_off_and_in_time(name):
    listener, url = scripted(HOSTILE[name])
    clock = SystemClock()
    began_s = clock.monotonic_s()
    with listener:
        opened = channels(clock, limits=Limits(deadline_s=0.7))
        came = opened["webhook"].deliver(message(alert()), integration("webhook", url=url))
        robot = opened["dingtalk"].deliver(
            message(alert()), integration("dingtalk", webhook_url=url)
        )
    assert (came.outcome, robot.outcome) == ("later", "later")
    assert clock.monotonic_s() - began_s < 4
    assert url not in came.answer


def test_only_the_beginning_of_an_answer_is_read():
    listener, url = scripted(huge)
    with listener:
        came = channels(SystemClock())["webhook"].deliver(
            message(alert()), integration("webhook", url=url)
        )
    assert (came.outcome, len(came.answer)) == ("sent", 300)


def test_nobody_there():
    url = f"http://127.0.0.1:{free_port()}/"
    came = channels()["webhook"].deliver(message(alert()), integration("webhook", url=url))
    assert (came.outcome, came.answer.startswith("ConnectError")) == ("later", True)


def test_a_time_out_of_the_settings_is_kept():
    listener, url = scripted(lambda c: SystemClock().sleep(3))
    clock = SystemClock()
    with listener:
        began_s = clock.monotonic_s()
        came = channels(clock)["webhook"].deliver(
            message(alert()), integration("webhook", url=url, timeout="300ms")
        )
    assert came.outcome == "later"
    assert clock.monotonic_s() - began_s < 2


def test_tls_is_checked_by_the_name_and_not_by_the_address(certificate):
    """The name of the URL, though the connection is made to a checked address."""
    context, path = certificate
    with Provider(lambda _: Reply(), tls=context) as provider:
        port = provider.url.rpartition(":")[2]
        guard = Guard(["127.0.0.0/8"], resolve=lambda *_: ["127.0.0.1"])
        webhook = channels(guard=guard)["webhook"]

        def told(url, tls, *, guarded=False):
            target = integration(
                "webhook", guarded=guarded, url=url, http_config={"tls_config": tls}
            )
            return webhook.deliver(message(alert()), target)

        text = Path(path).read_text()
        good, other = f"https://mail.test:{port}/", f"https://other.test:{port}/"
        assert told(good, {"ca": text}, guarded=True).outcome == "sent"
        assert "ConnectError" in told(other, {"ca": text}, guarded=True).answer
        assert (
            told(other, {"ca": text, "server_name": "mail.test"}, guarded=True).outcome
            == "sent"
        )
        assert told(provider.url, {"ca_file": path}).outcome == "sent"
        assert told(provider.url, {}).outcome == "later"
        assert told(provider.url, {"insecure_skip_verify": True}).outcome == "sent"
        assert told(provider.url, {"ca_file": "/nowhere"}).outcome == "refused"
    assert len(provider.requests) == 4


def test_a_certificate_that_is_replaced_is_read_again(
    certificate, another_certificate, tmp_path
):
    ca_file = tmp_path / "ca.pem"
    (old, old_path), (new, new_path) = certificate, another_certificate
    opened = channels()

    def told(url):
        config = {"tls_config": {"ca_file": str(ca_file)}}
        target = integration("webhook", url=url, http_config=config)
        return opened["webhook"].deliver(message(alert()), target)

    with (
        Provider(lambda _: Reply(), tls=old) as first,
        Provider(lambda _: Reply(), tls=new) as second,
    ):
        assert told(first.url).outcome == "refused"
        shutil.copy(old_path, ca_file)
        assert [told(one.url).outcome for one in (first, second)] == ["sent", "later"]
        # While it is replaced it is gone, or not whole.
        ca_file.unlink()
        assert told(first.url).outcome == "sent"
        ca_file.write_text(Path(new_path).read_text()[:500])
        assert told(first.url).outcome == "sent"
        shutil.copy(new_path, ca_file)
        assert [told(one.url).outcome for one in (first, second)] == ["later", "sent"]


def test_contexts_are_kept_until_a_file_of_theirs_changes(certificate, tmp_path, monkeypatch):
    path = tmp_path / "cert.pem"
    shutil.copy(certificate[1], path)
    contexts, config = Contexts(), {"ca_file": str(path), "cert_file": str(path)}
    config["key_file"] = str(Path(certificate[1]).with_name("key.pem"))
    first = contexts.of(config)
    assert contexts.of(dict(config)) is first
    shutil.copy(certificate[1], path)
    assert contexts.of(config) is not first
    # Whom the machine trusts, where no file is named.
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    plain = contexts.of({})
    assert contexts.of({}) is plain
    path.touch()
    assert contexts.of({}) is not plain
    for number in range(2 * CONTEXTS_MAX):
        contexts.of({"ca_file": str(path), "server_name": f"h{number}"})
    assert len(contexts._kept) == CONTEXTS_MAX


def test_a_moment_of_trouble_pins_no_old_certificate(certificate, tmp_path, monkeypatch):
    path = tmp_path / "cert.pem"
    shutil.copy(certificate[1], path)
    contexts, config = Contexts(), {"ca_file": str(path)}
    first = contexts.of(config)
    shutil.copy(certificate[1], path)

    def trouble(_):
        raise ConfigError("too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(tls, "_context", trouble)
        assert contexts.of(config) is first
    assert contexts.of(config) is not first


def test_the_operators_proxy_is_used_and_the_environments_is_not(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with Provider(lambda _: Reply()) as proxy, Provider(lambda _: Reply()) as direct:
        channels()["webhook"].deliver(message(alert()), integration("webhook", url=direct.url))
        came = channels()["webhook"].deliver(
            message(alert()),
            integration(
                "webhook", url="http://far.test/hook", http_config={"proxy_url": proxy.url}
            ),
        )
    assert (came.outcome, len(direct.requests)) == ("sent", 1)
    assert proxy.requests[0].path == "http://far.test/hook"


def test_an_attempt_of_which_nobody_knows_says_so():
    def outcome(script):
        listener, url = scripted(script)
        with listener:
            opened = channels(SystemClock(), limits=Limits(deadline_s=0.3))
            return opened["webhook"].deliver(message(alert()), integration("webhook", url=url))

    assert outcome(lambda c: None).unsure
    assert outcome(lambda c: SystemClock().sleep(1)).unsure
    assert outcome(lambda c: c.sendall(b"HTTP/1.1 504 x\r\nContent-Length: 0\r\n\r\n")).unsure
    assert not outcome(
        lambda c: c.sendall(b"HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n")
    ).unsure
    nobody = integration("webhook", url=f"http://127.0.0.1:{free_port()}/")
    assert not channels()["webhook"].deliver(message(alert()), nobody).unsure


MAIL = {"smarthost": "mail.example.org:25", "to": "a@x.org", "from": "b@x.org"}


@pytest.mark.parametrize(
    ("kind", "settings", "field"),
    [
        ("webhook", {"url": "http://10.0.0.1/"}, "url"),
        ("webhook", {"url": "http://[::1]/"}, "url"),
        ("webhook", {"url": "ftp://example.org"}, "url"),
        ("webhook", {"url_file": "/etc/passwd"}, "url_file"),
        ("webhook", {"url": "http://x/", "format": "xml"}, "format"),
        ("webhook", {"url": "http://x/", "http_config": {"proxy_url": "http://127.0.0.1:3128"}}, "http_config.proxy_url"),
        ("webhook", {"url": "http://x/", "http_config": {"basic_auth": {"password_file": "/etc/shadow"}}}, "http_config.basic_auth.password_file"),
        ("webhook", {"url": "http://x/", "http_config": {"tls_config": {"ca_file": "/etc/x"}}}, "http_config.tls_config.ca_file"),
        ("webhook", {"url": "http://x/", "http_config": {"http_headers": {"A": {"files": ["/etc/x"]}}}}, "http_config.http_headers.A.files"),
        ("webhook", {"url": "http://x/", "http_config": {"oauth2": {"client_id": "x"}}}, "http_config.oauth2"),
        ("slack", {"api_url": "http://127.0.0.1/x"}, "api_url"),
        ("slack", {"app_token": "x", "app_url": "http://127.0.0.1/x"}, "app_url"),
        ("dingtalk", {"webhook_url": "http://192.168.0.1/x"}, "webhook_url"),
        ("wecom", {"webhook_url": "http://169.254.169.254/x"}, "webhook_url"),
        ("alertmanager", {"url": "http://93.184.216.34:9093,http://127.0.0.1:9093"}, "url"),
        ("email", {**MAIL, "smarthost": "127.0.0.1:25"}, "smarthost"),
        ("email", {**MAIL, "smarthost": "mail"}, "smarthost"),
        ("email", {**MAIL, "to": "nobody"}, "to"),
        ("email", {**MAIL, "to": "a@x.org\r\nBcc: b@x.org"}, "to"),
        # A template elsewhere hides nothing of where it goes.
        ("webhook", {"url": "http://127.0.0.1/{{ .Status }}"}, "url"),
        ("webhook", {"url": "http://[::1]:9/a?b={{ .Status }}"}, "url"),
        ("dingtalk", {"webhook_url": "http://127.0.0.1/{{ .Status }}"}, "webhook_url"),
        ("slack", {"api_url": "http://{{ .Status }}/"}, "api_url"),
        ("pigeon", {}, "type"),
    ],
)  # fmt: skip
def test_settings_of_the_api_that_are_refused_at_creation(kind, settings, field):
    def nobody(*_):
        raise OSError

    with pytest.raises(Refused) as caught:
        check(kind, settings, Guard(resolve=nobody))
    assert caught.value.field == field


def test_settings_of_the_api_that_pass():
    guard = Guard(resolve=lambda *_: ["93.184.216.34"])
    check("webhook", {"url": "http://alert-handler/critical"}, guard)
    check(
        "dingtalk",
        {"webhook_url": "https://oapi.dingtalk.com/robot/send?access_token=xxx"},
        guard,
    )
    check("email", MAIL, guard)
    check("alertmanager", {"url": "http://a:9093,http://b:9093"}, guard)
    check(
        "webhook", {"url": "https://hooks.example.org/{{ .Status }}?a={{ .Receiver }}"}, guard
    )
    check("webhook", {"url": "https://{{ .CommonLabels.host }}/"}, guard)
    check("webhook", {"url": "http://127.0.0.1/", "http_config": {"proxy_url": "http://p:1"}})


DECODED = [
    ("webhook", {"url": "http://h/x", "headers": {"A": "b"}, "max_alerts": 5, "timeout": "5s"}),
    ("email", {"to": "a@x.org", "from": "b@x.org", "smarthost": "m:25", "require_tls": False}),
    ("slack", {"app_token": "x", "channel": "#c", "update_message": True}),
    ("slack", {"api_url": "http://h/services/x", "title": "{{ .Status }}"}),
    (
        "dingtalk",
        {"webhook_url": "http://h/robot?access_token=x", "secret": "S", "at": {"all": True}},
    ),
    ("wecom", {"webhook_url": "http://h/send?key=x", "text": "{{ .Status }}"}),
    ("alertmanager", {"url": "http://a:9093, http://b:9093"}),
]


@pytest.mark.parametrize(("kind", "document"), DECODED)
def test_settings_as_the_configuration_decodes_them_are_ours(kind, document):
    settings, _ = receivers.decode(kind, document, {}, f"{kind}_configs[0]")
    check(kind, settings)


def test_what_a_guarded_channel_may_not_name_is_not_read_at_delivery_either(tmp_path):
    (tmp_path / "secret").write_text("top secret")
    config = {"authorization": {"credentials_file": str(tmp_path / "secret")}}
    with Provider(lambda _: Reply()) as provider:
        came = channels(guard=Guard(["127.0.0.0/8"]))["webhook"].deliver(
            message(alert()),
            integration("webhook", guarded=True, url=provider.url, http_config=config),
        )
    assert (came.outcome, provider.requests) == ("refused", [])
