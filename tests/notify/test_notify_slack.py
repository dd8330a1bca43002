import pytest

from heliograph.core.clock import ManualClock
from tests.notify import recorded
from tests.notify.fakes import (
    NEW_YEAR_NS,
    Provider,
    Reply,
    alert,
    channels,
    in_turn,
    integration,
    message,
)

OK = Reply(200, "ok")


def sent(one, *replies, **settings):
    with Provider(in_turn(*(replies or [OK]))) as provider:
        where = (
            {"api_url": f"{provider.url}/services/T0/B0/tokentoken"}
            if "app_token" not in settings
            else {"app_url": f"{provider.url}/api/chat.postMessage"}
        )
        came = channels()["slack"].deliver(one, integration("slack", **where, **settings))
    return came, provider.requests


def test_the_title_link_colour_and_fallback_are_alertmanagers(shared_data):
    bodies = recorded.notifications(shared_data, "webhook_v4")
    wanted = {
        (one["attachments"][0]["title"], one["attachments"][0]["color"]): one
        for one in recorded.notifications(shared_data, "slack")
    }
    assert len(bodies) == len(recorded.notifications(shared_data, "slack"))
    seen = set()
    for body in bodies:
        came, requests = sent(recorded.message(body), channel="#gpu", username="Alertmanager")
        assert came.outcome == "sent"
        document = requests[0].document
        (attachment,) = document["attachments"]
        key = (attachment["title"], attachment["color"])
        seen.add(key)
        attachment["text"] = ""
        assert document == wanted[key]
    assert seen == set(wanted)


def test_values_are_escaped():
    _, requests = sent(
        message(alert(pod="<!channel> & <@U1>", annotations={"summary": "<https://x|y>"}))
    )
    raw = requests[0].body.decode()
    assert not any(markup in raw for markup in ("<!", "<@", "<https"))
    assert "&lt;!channel&gt; &amp; &lt;@U1&gt;" in raw


def test_templates_fields_and_actions():
    _, requests = sent(
        message(alert(pod="a<b")),
        title="{{ .Status }} {{ .CommonLabels.pod }}",
        text="{{ range .Alerts }}*{{ .Labels.alertname }}* <https://run/{{ .Labels.pod }}|book>{{ end }}",
        fields=[{"title": "Pod", "value": "{{ .CommonLabels.pod }}", "short": True}],
        actions=[{"type": "button", "text": "Go", "url": "{{ .ExternalURL }}"}],
        color="{{ if eq .Status `firing` }}#ff0000{{ end }}",
        icon_emoji=":fire:",
    )
    document = requests[0].document
    first = document["attachments"][0]
    assert first["title"] == "firing a&lt;b"
    assert first["text"] == "*GPUHot* <https://run/a&lt;b|book>"
    assert first["fields"] == [{"title": "Pod", "value": "a&lt;b", "short": True}]
    assert first["actions"] == [
        {"type": "button", "text": "Go", "url": "http://heliograph.example:8989"}
    ]
    assert (first["color"], document["icon_emoji"]) == ("#ff0000", ":fire:")


def test_a_template_that_fails_is_told_with_the_default_text():
    came, requests = sent(message(alert()), title="{{ .Nope }}", text="{{ .Status.x }}")
    first = requests[0].document["attachments"][0]
    assert first["title"] == "[FIRING:1] GPUHot (warning)"
    assert "*Severity*: warning" in first["text"]
    assert "template title: the value has no Nope" in first["text"]
    assert (came.outcome, "template title" in came.answer) == ("sent", True)


def test_five_hundred_alerts_fit_one_message():
    alerts = [
        alert(
            "X",
            severity="critical" if n == 499 else "info",
            n=str(n),
            annotations={"summary": "说" * 200},
        )
        for n in range(500)
    ]
    came, requests = sent(message(*alerts))
    attachments = requests[0].document["attachments"]
    assert came.outcome == "sent"
    assert len(attachments) <= 4
    assert all(len(one["text"]) <= 3000 for one in attachments)
    assert attachments[0]["text"].startswith("- [critical]")
    lines = sum(one["text"].count("- [") for one in attachments)
    counted = int(attachments[-1]["text"].rpartition("… and ")[2].split()[0])
    assert lines + counted == 500


def test_with_a_token_a_message_is_changed_in_place():
    posted = Reply(200, {"ok": True, "channel": "C1", "ts": "1700.1"})
    first, requests = sent(message(alert()), posted, app_token="xoxb-1", channel="#gpu")
    assert (first.outcome, first.message_id) == ("sent", "C1:1700.1")
    assert requests[0].headers["Authorization"] == "Bearer xoxb-1"
    assert (requests[0].path, requests[0].document["channel"]) == (
        "/api/chat.postMessage",
        "#gpu",
    )
    later, requests = sent(
        message(alert(ends_s=1), message_id=first.message_id),
        posted,
        app_token="xoxb-1",
        channel="#gpu",
    )
    assert (requests[0].path, requests[0].document["channel"]) == ("/api/chat.update", "C1")
    assert (requests[0].document["ts"], later.message_id) == ("1700.1", "C1:1700.1")
    _, requests = sent(
        message(alert(), message_id="C1:1.2"),
        posted,
        app_token="x",
        channel="c",
        update_message=False,
    )
    assert requests[0].path == "/api/chat.postMessage"


def test_a_message_that_is_gone_is_told_anew():
    gone = Reply(200, {"ok": False, "error": "message_not_found"})
    posted = Reply(200, {"ok": True, "channel": "C1", "ts": "9.9"})
    came, requests = sent(
        message(alert(), message_id="C1:1.2"), gone, posted, app_token="x", channel="c"
    )
    assert [one.path for one in requests] == ["/api/chat.update", "/api/chat.postMessage"]
    assert (came.outcome, came.message_id) == ("sent", "C1:9.9")


def test_a_form_that_is_refused_is_told_in_plain_text():
    came, requests = sent(message(alert()), Reply(400, "invalid_attachments"), OK)
    assert came.outcome == "sent"
    assert requests[1].document["attachments"] == []
    assert requests[1].document["text"].startswith("*[FIRING:1] GPUHot")


@pytest.mark.parametrize(
    "reply",
    [
        Reply(429, "rate_limited", (("Retry-After", "30"),)),
        Reply(200, {"ok": False, "error": "ratelimited"}, (("Retry-After", "30"),)),
    ],
)
def test_what_slack_asks_to_wait_is_waited(reply):
    came, _ = sent(message(alert()), reply)
    assert (came.outcome, came.retry_after_s) == ("later", 30)


def test_a_channel_takes_one_message_a_second():
    clock = ManualClock(NEW_YEAR_NS)
    with Provider(lambda _: OK) as provider:
        channel = channels(clock)["slack"]
        one = integration("slack", api_url=f"{provider.url}/a", channel="#one")
        two = integration("slack", api_url=f"{provider.url}/a", channel="#two")
        assert channel.deliver(message(alert()), one).outcome == "sent"
        held = channel.deliver(message(alert()), one)
        assert (held.outcome, held.messages, held.retry_after_s) == ("later", 0, 1.0)
        assert channel.deliver(message(alert()), two).outcome == "sent"
        clock.advance(1)
        assert (
            channel.deliver_together([message(alert(), key=k) for k in "ab"], one)[1].outcome
            == "sent"
        )
    assert len(provider.requests) == 3
