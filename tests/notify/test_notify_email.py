import email
import gc
import re
import warnings
from email.policy import default
from html.parser import HTMLParser
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from msgspec import structs

from heliograph.alert.model import Context
from heliograph.core.clock import SystemClock
from heliograph.core.errors import Refused
from heliograph.notify import facts
from heliograph.notify.channels import check
from heliograph.notify.email import one_line, recipients
from heliograph.notify.guard import Guard
from heliograph.notify.mail_body import MailBody
from heliograph.notify.protocol import Limits
from tests.notify import recorded
from tests.notify.fakes import alert, channels, integration, message
from tests.peers import free_port

# The test's server leaves its ends of connections to the collector, which warns of them; ours are
# closed (`python -X dev` against a server in another process is silent).
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*AUTH:UserWarning",
    "ignore::DeprecationWarning:aiosmtpd",
    "ignore:.*_SelectorTransport.__del__:pytest.PytestUnraisableExceptionWarning",
)


class Box:
    """Keeps mails; answers *refusals* of recipients, and *data* to the mail itself."""

    def __init__(self, refusals=None, data=None):
        self.mails = []
        self.refusals = refusals or {}
        self.data = data

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802
        if self.refusals.get(address):
            return self.refusals[address].pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        if self.data:
            return self.data
        self.mails.append(
            (
                envelope.mail_from,
                list(envelope.rcpt_tos),
                envelope.content,
                session.ssl is not None,
            )
        )
        return "250 kept"


@pytest.fixture
def smtp():
    """smtp(box, **Controller's settings) → port of a real SMTP server."""
    running = []

    def start(box, **settings):
        controller = Controller(box, hostname="127.0.0.1", port=free_port(), **settings)
        controller.start()
        running.append(controller)
        return controller.port

    yield start
    # The server leaves connections to the collector, which warns of them.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        for controller in running:
            controller.stop()
        gc.collect()


def target(port, **settings):
    wanted = {
        "smarthost": f"127.0.0.1:{port}",
        "from": "am@example.org",
        "to": "ops@example.org",
        "require_tls": False,
    }
    return integration("email", **(wanted | settings))


def mails(box):
    return [email.message_from_bytes(content, policy=default) for _, _, content, _ in box.mails]


class Words(HTMLParser):
    def __init__(self):
        super().__init__()
        self.words = []
        self.tags = []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        if self.tags[-1:] != [("style", {})]:
            self.words += data.split()


def read(html_text):
    words = Words()
    words.feed(html_text)
    return words


def test_subjects_and_content_are_alertmanagers(shared_data, smtp):
    """The seven recorded mails: the same subjects, and every label, annotation and count of them."""
    box = Box()
    port = smtp(box)
    bodies = recorded.notifications(shared_data, "webhook_v4")
    for body in bodies:
        came = channels()["email"].deliver(recorded.message(body), target(port))
        assert came.outcome == "sent"
    ours = {mail["Subject"]: mail for mail in mails(box)}
    theirs = {}
    for path in sorted((shared_data / "recorded/notify_out").glob("*.eml")):
        mail = email.message_from_bytes(path.read_bytes(), policy=default)
        theirs[" ".join(mail["Subject"].split())] = mail
    assert set(ours) == set(theirs)
    for subject, mail in ours.items():
        assert (mail["From"], mail["To"]) == ("am@example.org", "ops@example.org")
        assert [part.get_content_type() for part in mail.iter_parts()] == [
            "text/plain",
            "text/html",
        ]
        wanted = read(theirs[subject].get_body(("html",)).get_content()).words
        told = read(mail.get_body(("html",)).get_content()).words
        text = " ".join(mail.get_body(("plain",)).get_content().split())
        for word in wanted:
            if word not in {
                "Alertmanager",
                "alert",
                "alerts",
                "View",
                "in",
                "Sent",
                "by",
                "for",
            }:
                assert word in told, (subject, word)
        for name, value in re.findall(r"(\w+) = (\S+)", " ".join(wanted)):
            assert value in text, (name, value)


def test_both_parts_of_a_mail(smtp):
    box = Box()
    one = structs.replace(
        alert(
            "OOM", severity="critical", annotations={"summary": '它坏了 <b>&"q"</b>\nsecond'}
        ),
        context=Context(workload_name="llm", node_name="n1"),
        generator_url="http://vm/graph?a=1&b=<2>",
    )
    came = channels()["email"].deliver(
        message(one, alert("OOM", ends_s=3)), target(smtp(box), to="a@x.org, Ann <b@x.org>")
    )
    assert (came.outcome, came.status) == ("sent", 250)
    (sender, to, content, _), (mail,) = box.mails[0], mails(box)
    assert (sender, to) == ("am@example.org", ["a@x.org", "b@x.org"])
    assert content.isascii()
    html_text = mail.get_body(("html",)).get_content()
    assert "<b>&" not in html_text
    assert "它坏了 &lt;b&gt;&amp;&#34;q&#34;&lt;/b&gt;" in html_text
    assert 'href="http://vm/graph?a=1&amp;b=&lt;2&gt;"' in html_text
    assert "[1] Firing" in html_text
    assert "[1] Resolved" in html_text
    text = mail.get_body(("plain",)).get_content()
    assert '它坏了 <b>&"q"</b> second' in text
    assert "Workload: llm" in text
    assert mail["Message-Id"] == mail["message-id"]


EVIL = [
    "x\r\nBcc: victim@x.org", "x\nSubject: other", "x\r\n\r\nbody", "x\x00\x0b\x0c\x85\u2028y",
    "=?utf-8?q?=0D=0ABcc:_v@x.org?=", "\ud800", "a" * 5000, "\r\n.\r\nMAIL FROM:<v@x.org>", "\u202e\u200b",
    "=?utf-8?b?DQpCY2M6IHZAeC5vcmc=?=", '"<script>alert(1)</script>',
]  # fmt: skip


@pytest.mark.parametrize("evil", EVIL, ids=range(len(EVIL)))
def test_no_label_makes_a_header_or_a_command(evil, smtp):
    box = Box()
    one = alert(evil, severity=evil, pod=evil)
    came = channels()["email"].deliver(
        message(one),
        target(smtp(box), headers={"X-Team": "{{ .CommonLabels.pod }}", "Reply-To": "r@x.org"}),
    )
    assert came.outcome == "sent", came
    (_, to, content, _), (mail,) = box.mails[0], mails(box)
    assert to == ["ops@example.org"]
    raw_headers = content.partition(b"\r\n\r\n")[0]
    names = [
        line.partition(b":")[0].lower()
        for line in raw_headers.split(b"\r\n")
        if line[:1].strip()
    ]
    assert sorted(names) == sorted(set(names))
    assert b"bcc" not in names
    assert set(mail.keys()) <= {
        "Subject", "To", "From", "Message-Id", "Date", "Auto-Submitted", "X-Team", "Reply-To",
        "MIME-Version", "Content-Type",
    }  # fmt: skip
    assert all(len(line) <= 998 for line in content.split(b"\r\n"))
    tags = {tag for tag, _ in read(mail.get_body(("html",)).get_content()).tags}
    assert "script" not in tags


def test_every_attempt_is_the_same_mail(smtp):
    box = Box()
    port = smtp(box)
    for key in ("k1", "k1", "k2"):
        channels()["email"].deliver(
            message(alert(), key=key), target(port, threading={"enabled": True})
        )
    ids = [mail["Message-Id"] for mail in mails(box)]
    assert ids[0] == ids[1] != ids[2]
    assert len({mail["References"] for mail in mails(box)}) == 1


def test_templates_of_the_operators_own(smtp):
    box = Box()
    came = channels()["email"].deliver(
        message(alert(annotations={"summary": "<i>"})),
        target(
            smtp(box),
            to="{{ .CommonLabels.alertname }}@x.org",
            headers={"Subject": "S {{ .Status }}"},
            html="<h1>{{ .CommonAnnotations.summary }}</h1>",
            text="T {{ .CommonAnnotations.summary }}",
        ),
    )
    assert came.outcome == "sent"
    (mail,) = mails(box)
    assert (mail["Subject"], mail["To"]) == ("S firing", "GPUHot@x.org")
    assert mail.get_body(("html",)).get_content().strip() == "<h1>&lt;i&gt;</h1>"
    assert mail.get_body(("plain",)).get_content().strip() == "T <i>"


@pytest.mark.parametrize(
    ("settings", "kinds"),
    [
        ({"html": "", "text": "T {{ .Status }}"}, ["text/plain"]),
        ({"html": ""}, ["text/plain"]),
        ({"text": "T {{ .Status }}"}, ["multipart/alternative", "text/plain", "text/html"]),
        ({}, ["multipart/alternative", "text/plain", "text/html"]),
    ],
)
def test_an_html_of_nothing_is_no_part(smtp, settings, kinds):
    box = Box()
    channels()["email"].deliver(message(alert()), target(smtp(box), **settings))
    (mail,) = mails(box)
    assert [part.get_content_type() for part in mail.walk()] == kinds
    assert (
        mail.get_body(("plain",))
        .get_content()
        .startswith("T firing" if "text" in settings else "[FIRING:1]")
    )


def test_a_template_that_fails_is_told_in_the_mail(smtp):
    box = Box()
    came = channels()["email"].deliver(
        message(alert()),
        target(smtp(box), html="{{ .Nope }}", headers={"Subject": "{{ .Nope }}"}),
    )
    (mail,) = mails(box)
    assert mail["Subject"] == "[FIRING:1] GPUHot (warning)"
    assert (
        "template headers.Subject: the value has no Nope"
        in mail.get_body(("html",)).get_content()
    )
    assert "no Nope" in mail.get_body(("plain",)).get_content()
    assert "no Nope" in came.answer


@pytest.mark.parametrize("key", ["to", "from"])
def test_an_address_that_cannot_be_made_is_refused_with_the_fault(key):
    came = channels()["email"].deliver(message(alert()), target(25, **{key: "{{ .Nope }}"}))
    assert (came.outcome, came.answer) == (
        "refused", f"template {key}: the value has no Nope",
    )  # fmt: skip


def authenticator(server, session, envelope, mechanism, data):
    good = (data.login, data.password) == (b"me", b"multi\nline")
    return AuthResult(success=good, handled=False)


def test_starttls_and_credentials(smtp, certificate):
    box = Box()
    context, path = certificate
    port = smtp(
        box,
        tls_context=context,
        require_starttls=True,
        auth_required=True,
        authenticator=authenticator,
    )
    good = target(
        port,
        require_tls=True,
        auth_username="me",
        auth_password="multi\nline",
        tls_config={"ca_file": path},
    )
    came = channels()["email"].deliver(message(alert()), good)
    assert (came.outcome, box.mails[0][3]) == ("sent", True), came
    wrong = structs.replace(good, settings={**good.settings, "auth_password": "very-wrong"})
    came = channels()["email"].deliver(message(alert()), wrong)
    assert (came.outcome, came.status) == ("refused", 535)
    assert "very-wrong" not in came.answer
    unknown = structs.replace(good, settings={**good.settings, "tls_config": {}})
    came = channels()["email"].deliver(message(alert()), unknown)
    assert (came.outcome, "certificate" in came.answer.lower()) == ("later", True)
    assert len(box.mails) == 1


def test_tls_from_the_first_byte(smtp, certificate):
    box = Box()
    context, path = certificate
    port = smtp(box, ssl_context=context)
    came = channels()["email"].deliver(
        message(alert()), target(port, force_implicit_tls=True, tls_config={"ca_file": path})
    )
    assert (came.outcome, len(box.mails)) == ("sent", 1), came


def test_a_certificate_that_is_replaced_is_read_again(
    smtp, certificate, another_certificate, tmp_path
):
    box, ca_file, opened = Box(), tmp_path / "ca.pem", channels()
    for context, path in (certificate, another_certificate):
        port = smtp(box, ssl_context=context)
        mail = target(port, force_implicit_tls=True, tls_config={"ca_file": str(ca_file)})
        ca_file.write_text(Path(path).read_text())
        assert opened["email"].deliver(message(alert()), mail).outcome == "sent"
        # Half of it: what was read before serves.
        ca_file.write_text("-----BEGIN CERTIFICATE-----\n")
        assert opened["email"].deliver(message(alert()), mail).outcome == "sent"
    assert len(box.mails) == 4


def test_where_tls_is_required_there_is_no_mail_without(smtp):
    box = Box()
    came = channels()["email"].deliver(message(alert()), target(smtp(box), require_tls=True))
    assert (came.outcome, box.mails) == ("later", [])


@pytest.mark.parametrize(
    ("answer", "outcome", "status"),
    [("451 try later", "later", 451), ("554 no", "refused", 554), ("452 full", "later", 452)],
)
def test_what_the_server_answers(answer, outcome, status, smtp):
    came = channels()["email"].deliver(message(alert()), target(smtp(Box(data=answer))))
    assert (came.outcome, came.status) == (outcome, status)
    assert answer[4:] in came.answer


def test_only_those_who_have_not_taken_it_get_it_again(smtp):
    box = Box(refusals={"late@x.org": ["450 busy"]})
    opened, to = channels(), target(smtp(box), to="ops@x.org, late@x.org")
    first = opened["email"].deliver(message(alert()), to)
    second = opened["email"].deliver(message(alert()), to)
    assert (first.outcome, first.status, second.outcome) == ("later", 450, "sent")
    assert [mail[1] for mail in box.mails] == [["ops@x.org"], ["late@x.org"]]


def test_a_recipient_that_never_will_be_does_not_hold_up_the_others(smtp):
    box = Box(refusals={"gone@x.org": ["550 no such user"]})
    came = channels()["email"].deliver(
        message(alert()), target(smtp(box), to="gone@x.org,ops@x.org")
    )
    assert came.outcome == "sent"
    assert "gone@x.org: 550" in came.answer
    none = Box(refusals={"ops@example.org": ["550 no", "450 later"]})
    port = smtp(none)
    assert channels()["email"].deliver(message(alert()), target(port)).outcome == "refused"
    assert channels()["email"].deliver(message(alert()), target(port)).outcome == "later"


def test_the_operators_own_mail_server_is_lent_to_the_api_and_no_other(smtp):
    box = Box()
    port = smtp(box)
    api = structs.replace(target(port), guarded=True)
    guard = Guard(mail_hosts=[f"127.0.0.1:{port}"])
    check("email", api.settings, guard)
    assert channels(guard=guard)["email"].deliver(message(alert()), api).outcome == "sent"
    guard.mail_hosts = frozenset()
    assert channels(guard=guard)["email"].deliver(message(alert()), api).outcome == "refused"
    with pytest.raises(Refused):
        check("email", api.settings, guard)
    other = integration("webhook", guarded=True, url=f"http://127.0.0.1:{port}/")
    lent = Guard(mail_hosts=[f"127.0.0.1:{port}"])
    assert channels(guard=lent)["webhook"].deliver(message(alert()), other).outcome == "refused"
    assert len(box.mails) == 1


def test_a_server_that_says_nothing_is_left_in_time():
    import socket

    clock = SystemClock()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        began_s = clock.monotonic_s()
        came = channels(clock, limits=Limits(mail_deadline_s=0.5))["email"].deliver(
            message(alert()), target(listener.getsockname()[1])
        )
    assert came.outcome == "later"
    assert clock.monotonic_s() - began_s < 3
    nobody = channels()["email"].deliver(message(alert()), target(free_port()))
    assert (nobody.outcome, "ConnectionRefusedError" in nobody.answer) == ("later", True)


@pytest.mark.parametrize(
    "to",
    [
        "",
        "nobody",
        "a@b@c",
        "a@x.org\nb@x.org",
        "<a@x.org",
        "a b@x.org",
        "a@x.org, ,",
        "@x.org",
        "a@",
        "a@x org",
    ],
)
def test_addresses_that_are_none(to, smtp):
    came = channels()["email"].deliver(message(alert()), target(25, to=to))
    assert (came.outcome, came.answer.partition(":")[0]) in {
        ("refused", "to"),
        ("later", "ConnectionRefusedError"),
    }
    if to not in {"a@x.org, ,", "<a@x.org"}:
        assert came.outcome == "refused"


def test_addresses():
    assert [str(one) for one in recipients("Ann <a@x.org>, b@x.org", "to")] == [
        "Ann <a@x.org>",
        "b@x.org",
    ]
    assert one_line("a\r\n\tb\x00c") == "a b c"


def test_a_thousand_alerts_are_a_mail_of_bounded_size():
    alerts = [alert("X", n=str(n), annotations={"summary": "s" * 500}) for n in range(1000)]
    known = facts.of(message(*alerts))
    body = MailBody()
    html_text = body.html(known)
    assert len(html_text) < 400_000
    assert html_text.count("<strong>Labels</strong>") == 100
    assert "[1000] Firing" in html_text
    assert (
        html_text.count("\n- [warning]")
        + html_text.count(">- [warning]")
        + int((re.search(r"… and (\d+) more", html_text) or [0, 0])[1])
        == 900
    )
    assert len(body.text(known)) < 200_000
