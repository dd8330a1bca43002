"""A notification goes out whatever its texts hold: halves of characters too, which no UTF-8 carries."""

import json

import pytest

from heliograph.notify.channels import CHANNELS, check
from tests.notify.fakes import Provider, Reply, alert, channels, integration, message

HALVES = "\ud83d\udd25"
LONE = "a\ud83db"
OKS = {
    "dingtalk": {"errcode": 0}, "wecom": {"errcode": 0}, "slack": "ok", "webhook": "",
    "alertmanager": "",
}  # fmt: skip
URL = {"webhook": "url", "alertmanager": "url", "slack": "api_url"}
TEXTS = {
    "title": HALVES,
    "text": "{{ .CommonLabels.alertname }} " + LONE,
    "payload": {LONE: ["{{ .Status }}" + LONE], "n": 1},
    "at": {"mobiles": [LONE]},
    "secret": LONE,
    "channel": LONE,
    "icon_emoji": HALVES,
    "fields": [{"title": LONE, "value": "{{ .Status }}", LONE: LONE}],
}


@pytest.mark.parametrize("kind", OKS)
@pytest.mark.parametrize("name", [None, *TEXTS])
def test_it_goes_out(kind, name):
    settings = {} if name is None else {name: TEXTS[name]}
    told = message(alert(LONE, pod=HALVES, annotations={LONE: LONE}))
    with Provider(lambda _: Reply(200, OKS[kind])) as provider:
        url = {URL.get(kind, "webhook_url"): f"{provider.url}/x"}
        came = channels()[kind].deliver(told, integration(kind, **url, **settings))
    assert (came.outcome, len(provider.requests)) == ("sent", 1)
    assert "a?b" in json.dumps(json.loads(provider.requests[0].body.decode("utf-8")))


@pytest.mark.parametrize("literal", [r"\ud83d", r"\ud83d\udd25", r"x\udd25"])
def test_a_template_that_spells_half_a_character_is_none(literal):
    template = '{{ "' + literal + '" }} {{ .Status }}'
    told = f"{literal!r} has half a character".replace("'", '"').replace('"', "")
    (warning,) = check("wecom", {"webhook_url": "http://h/x", "text": template})
    assert warning.replace('"', "").replace("'", "") == f"text: {told}"
    with Provider(lambda _: Reply(200, OKS["wecom"])) as provider:
        robot = integration("wecom", webhook_url=f"{provider.url}/x", text=template)
        came = channels()["wecom"].deliver(message(alert()), robot)
    assert (came.outcome, "half a character" in came.answer) == ("sent", True)
    assert "**Severity**: warning" in provider.requests[0].document["markdown"]["content"]


BROKEN = "{{ if }}"
TEMPLATED = {
    "webhook": [
        ("url", "http://h/x{{ if }}", "url"),
        ("payload", {"a": [{"b": BROKEN}]}, "payload.a[0].b"),
    ],
    "email": [
        *((name, BROKEN, name) for name in ("to", "from", "html", "text")),
        ("headers", {"Subject": BROKEN}, "headers.Subject"),
    ],
    "dingtalk": [("title", BROKEN, "title"), ("text", BROKEN, "text")],
    "wecom": [("text", BROKEN, "text")],
    "slack": [
        *((name, BROKEN, name) for name in ("title", "text", "color", "channel", "icon_url")),
        ("fields", [{"title": "a", "value": BROKEN}], "fields[0].value"),
        ("actions", [{"text": "a", "url": BROKEN}], "actions[0].url"),
    ],
}
COMPLETE = {
    "webhook": {"url": "http://h/x"},
    "email": {"smarthost": "h:25", "to": "a@b.c", "from": "a@b.c"},
    "dingtalk": {"webhook_url": "http://h/x"},
    "wecom": {"webhook_url": "http://h/x"},
    "slack": {"api_url": "http://h/x"},
    "alertmanager": {"url": "http://h/x"},
}


@pytest.mark.parametrize(
    ("kind", "key", "given", "place"),
    [(kind, *one) for kind, some in TEMPLATED.items() for one in some],
)
def test_a_template_that_cannot_be_read_is_warned_of(kind, key, given, place):
    (warning,) = check(kind, {**COMPLETE[kind], key: given})
    assert warning.startswith(f"{place}: line 1: ")


@pytest.mark.parametrize("kind", CHANNELS)
def test_what_is_no_template_is_not_read_as_one(kind):
    plain = {"webhook_url_file": BROKEN, "hello": BROKEN, "text": "{{ .Status }}"}
    assert check(kind, {**COMPLETE[kind], **plain}) == []
