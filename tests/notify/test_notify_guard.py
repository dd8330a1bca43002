import socket

import pytest

from heliograph.core.errors import ConfigError, Refused, Unavailable
from heliograph.notify import guard as guards
from heliograph.notify.guard import Guard
from tests.notify.fakes import Provider, Reply, alert, channels, integration, message

CLOSED = """http://127.0.0.1/
http://127.1/
http://127.0.1/
http://2130706433/
http://0x7f000001/
http://0x7f.1/
http://017700000001/
http://0177.0.0.1/
http://0/
http://0.0.0.0/
http://[::1]/
http://[::]/
http://[0:0:0:0:0:0:0:1]/
http://[::ffff:127.0.0.1]/
http://[::ffff:7f00:1]/
http://[::127.0.0.1]/
http://[::ffff:169.254.169.254]/
http://[64:ff9b::a9fe:a9fe]/
http://[::ffff:0:127.0.0.1]/
http://[::ffff:0:a9fe:a9fe]/
http://[2002:7f00:1::]/
http://[fd00::1]/
http://[fd00:ec2::254]/
http://[fe80::1]/
http://[ff02::1]/
http://10.0.0.1/
http://172.16.3.4/
http://192.168.1.1/
http://100.64.0.1/
http://100.100.100.200/
http://169.254.169.254/latest/meta-data/
http://168.63.129.16/
http://192.0.2.1/
http://198.18.0.1/
http://224.0.0.1/
http://240.0.0.1/
http://255.255.255.255/
http://localhost/
http://LOCALHOST:80/
http://localhost./
http://a.localhost/
http://metadata.google.internal/
http://user:pass@127.0.0.1/
http://127.0.0.1:80@127.0.0.1/
http://[fe80::1%25eth0]/
http://①②⑦.⓪.⓪.①/
https://127.0.0.1/""".splitlines()
MALFORMED = [
    "", "ftp://example.org/", "file:///etc/passwd", "gopher://x/", "//example.org/", "http://",
    "http:///x", "http://exa mple.org/", "http://example.org\\@127.0.0.1/", "http://a\tb/",
    "http://example.org/\r\nX: y", "javascript:alert(1)", "http://example.org:0/",
    "http://example.org:99999/", "http://" + "a" * 3000,
]  # fmt: skip


@pytest.mark.parametrize("url", CLOSED)
def test_no_spelling_of_a_closed_address_passes(url):
    with pytest.raises(Refused) as caught:
        Guard(resolve=lambda *_: pytest.fail("a literal is not looked up")).check(
            url, field="config.url"
        )
    assert caught.value.field == "config.url"


@pytest.mark.parametrize("url", MALFORMED)
def test_what_is_no_url_of_a_server_is_refused(url):
    with pytest.raises(Refused) as caught:
        Guard().check(url)
    assert "secret" not in caught.value.detail


def test_the_refusal_names_the_setting_that_would_allow_it():
    with pytest.raises(Refused, match="notify.allow_private") as caught:
        Guard().check("http://10.1.2.3/hook")
    assert caught.value.code == "address_not_allowed"


def test_what_the_operator_lists_is_allowed_and_no_more():
    guard = Guard(["10.1.0.0/16", "fd00:1::/32"])
    guard.check("http://10.1.2.3/hook")
    guard.check("http://[fd00:1::5]/hook")
    guard.check("http://[::ffff:10.1.2.3]/hook")
    with pytest.raises(Refused):
        guard.check("http://10.2.0.1/hook")
    with pytest.raises(Refused):
        guard.check("http://localhost/")
    with pytest.raises(ConfigError, match="allow_private"):
        Guard(["ten"])


def test_every_address_of_a_name_must_be_allowed():
    mixed = Guard(resolve=lambda *_: ["93.184.216.34", "127.0.0.1"])
    with pytest.raises(Refused):
        mixed.check("https://hooks.example.org/")
    Guard(resolve=lambda *_: ["93.184.216.34", "2606:2800:220::1"]).check(
        "https://hooks.example.org/"
    )


def test_a_name_that_nobody_knows_yet_passes_until_it_is_sent_to():
    def nobody(*_):
        raise socket.gaierror("no such name")

    guard = Guard(resolve=nobody)
    guard.check("http://alert-handler/critical")
    with pytest.raises(Unavailable):
        guard.addresses("alert-handler", 80)


def test_a_rebound_name_is_not_connected_to():
    """The name is public when the channel is made and when it is checked, and then it is ours."""
    answers = iter([["93.184.216.34"], ["127.0.0.1"]])
    with Provider(lambda _: Reply()) as provider:
        port = provider.url.rpartition(":")[2]
        guard = Guard(resolve=lambda *_: next(answers))
        guard.check(f"http://rebind.example.org:{port}/")
        with_guard = channels(guard=guard)
        came = with_guard["webhook"].deliver(
            message(alert()),
            integration("webhook", guarded=True, url=f"http://rebind.example.org:{port}/"),
        )
    assert came.outcome == "refused"
    assert provider.requests == []


def test_the_connection_goes_to_the_address_that_was_checked():
    asked = []

    def resolve(host, port):
        asked.append(host)
        return ["127.0.0.1"]

    with Provider(lambda _: Reply()) as provider:
        port = provider.url.rpartition(":")[2]
        guard = Guard(["127.0.0.0/8"], resolve=resolve)
        came = channels(guard=guard)["webhook"].deliver(
            message(alert()),
            integration("webhook", guarded=True, url=f"http://pinned.example.org:{port}/x"),
        )
    assert came.outcome == "sent"
    assert asked == ["pinned.example.org"]
    assert provider.requests[0].headers["Host"] == f"pinned.example.org:{port}"


def test_only_what_came_over_the_api_is_guarded():
    with Provider(lambda _: Reply()) as provider:
        own = channels()["webhook"].deliver(
            message(alert()), integration("webhook", url=provider.url)
        )
        api = channels()["webhook"].deliver(
            message(alert()), integration("webhook", url=provider.url, guarded=True)
        )
    assert (own.outcome, api.outcome) == ("sent", "refused")
    assert "notify.allow_private" in api.answer
    assert len(provider.requests) == 1


def test_a_redirect_to_a_closed_address_is_not_followed():
    with (
        Provider(lambda _: Reply()) as inner,
        Provider(lambda _: Reply(302, b"", (("Location", f"{inner.url}/latest"),))) as outer,
    ):
        came = channels()["webhook"].deliver(
            message(alert()), integration("webhook", url=outer.url)
        )
    assert (came.outcome, came.status) == ("refused", 302)
    assert inner.requests == []


def test_a_mail_server_is_guarded_too():
    came = channels()["email"].deliver(
        message(alert()),
        integration(
            "email", guarded=True, smarthost="127.0.0.1:25", to="a@x.org", **{"from": "b@x.org"}
        ),
    )
    assert (came.outcome, "allow_private" in came.answer) == ("refused", True)


def test_the_ranges_are_networks():
    assert all(network.prefixlen > 0 for network in guards._CLOSED)
