import pytest
from msgspec import structs

from heliograph.alert.model import Reason
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


def test_fields_that_cannot_be_made_are_left_out_and_the_text_is_ours():
    given = {"text": "see the fields", "fields": [{"title": "Pod", "value": "{{ .Nope }}"}]}
    came, requests = sent(message(alert()), **given)
    first = requests[0].document["attachments"][0]
    assert "fields" not in first
    assert "*Severity*: warning" in first["text"]
    assert "template fields.value: the value has no Nope" in first["text"]
    assert (came.outcome, "fields.value" in came.answer) == ("sent", True)


def test_a_channel_that_cannot_be_made_is_why_it_is_refused():
    lost = Reply(200, {"ok": False, "error": "channel_not_found"})
    came, _ = sent(message(alert()), lost, app_token="x", channel="{{ .Nope }}")
    assert (came.outcome, came.answer) == (
        "refused", "channel_not_found; template channel: the value has no Nope",
    )  # fmt: skip


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
        message(alert(ends_s=1), message_id=first.message_id, reason=Reason.ALL_RESOLVED),
        posted,
        app_token="xoxb-1",
        channel="#gpu",
    )
    assert (requests[0].path, requests[0].document["channel"]) == ("/api/chat.update", "C1")
    assert (requests[0].document["ts"], later.message_id) == ("1700.1", "C1:1700.1")
    _, requests = sent(
        message(alert(), message_id="C1:1.2", reason=Reason.REPEAT),
        posted,
        app_token="x",
        channel="c",
        update_message=False,
    )
    assert requests[0].path == "/api/chat.postMessage"


OVER = alert(ends_s=1)
AGAIN = structs.replace(alert(), episode=2, created_ns=NEW_YEAR_NS)
OTHER = alert("Other")
LATER = structs.replace(OTHER, created_ns=NEW_YEAR_NS + 1)
POST, UPDATE = "/api/chat.postMessage", "/api/chat.update"


@pytest.mark.parametrize(
    ("alerts", "reason", "paths"),
    [
        # Its end and its return within one interval; the first is told to be over.
        ([OVER, AGAIN], Reason.NEW_ALERTS, [POST, UPDATE]),
        ([OVER, AGAIN, OTHER], Reason.NEW_ALERTS, [POST, UPDATE]),
        ([OVER, AGAIN, LATER], Reason.NEW_ALERTS, [POST, UPDATE]),
        # Ends are not told.
        ([AGAIN, OTHER], Reason.NEW_ALERTS, [POST]),
        ([AGAIN], Reason.FIRST, [POST]),
        # Nothing begins again.
        ([alert(), OTHER], Reason.NEW_ALERTS, [UPDATE]),
        ([AGAIN, LATER], Reason.NEW_ALERTS, [UPDATE]),
        ([OVER, AGAIN], Reason.REPEAT, [UPDATE]),
        ([OVER, OTHER], Reason.SOME_RESOLVED, [UPDATE]),
        ([OVER], Reason.ALL_RESOLVED, [UPDATE]),
    ],
)
def test_what_fires_again_calls_people_again(alerts, reason, paths):
    told = message(*alerts, message_id="C1:1.2", reason=reason)
    posted = Reply(200, {"ok": True, "channel": "C1", "ts": "9.9"})
    came, requests = sent(told, posted, app_token="x", channel="c")
    assert [one.path for one in requests] == paths
    assert (came.outcome, came.message_id) == ("sent", "C1:9.9")
    if len(paths) == 2:
        told, ended = [one.document for one in requests]
        assert ended["ts"] == "1.2"
        assert ended["attachments"][0]["color"] == "good"
        assert ended["attachments"][0]["title"].startswith("[RESOLVED]")
        assert told["attachments"][0]["color"] == "danger"


def test_that_the_old_message_cannot_be_changed_is_no_failure():
    told = message(OVER, AGAIN, message_id="C1:1.2", reason=Reason.NEW_ALERTS)
    posted = Reply(200, {"ok": True, "channel": "C1", "ts": "9.9"})
    came, requests = sent(told, posted, Reply(500, "oh"), app_token="x", channel="c")
    assert [one.path for one in requests] == [POST, UPDATE]
    assert (came.outcome, came.message_id) == ("sent", "C1:9.9")


def test_a_message_that_is_gone_is_told_anew():
    gone = Reply(200, {"ok": False, "error": "message_not_found"})
    posted = Reply(200, {"ok": True, "channel": "C1", "ts": "9.9"})
    came, requests = sent(
        message(alert(), message_id="C1:1.2", reason=Reason.REPEAT),
        gone,
        posted,
        app_token="x",
        channel="c",
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
