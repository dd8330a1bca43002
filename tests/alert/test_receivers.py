"""Settings of channels: what each kind needs, what `global:` lends, and what may not be together."""

import pytest

from heliograph.alert.config import receivers
from heliograph.core.errors import ConfigError

MAIL = {"smtp_smarthost": "mail:25", "smtp_from": "us@x", "smtp_hello": "h"}
URL = "https://h.example/token-in-here"
APP = receivers.SLACK_APP_URL


def decoded(kind, document, defaults=None):
    return receivers.decode(kind, document, defaults or {}, "here")


CASES = [
    # kind, document, global                                       settings that must be there
    ("webhook", {"url": URL}, {}, {"url": URL, "max_alerts": 0, "format": "alertmanager"}),
    ("webhook", {"url_file": "/u"}, {}, {"url_file": "/u"}),
    ("webhook", {"url": URL, "format": "heliograph", "headers": {"x-a": 1}}, {},
     {"format": "heliograph", "headers": {"x-a": "1"}}),
    ("webhook", {"url": URL, "timeout": "10s"}, {}, {"timeout": "10s"}),
    ("webhook", {"url": URL}, {"http_config": {"proxy_url": "p"}},
     {"http_config": {"proxy_url": "p"}}),
    ("webhook", {"url": URL, "http_config": {}}, {"http_config": {"proxy_url": "p"}},
     {"http_config": {}}),
    ("email", {"to": "a@x, b@x"}, MAIL,
     {"to": "a@x, b@x", "smarthost": "mail:25", "from": "us@x", "hello": "h"}),
    ("email", {"to": "a@x", "from": "me@x", "smarthost": "[::1]:587"}, MAIL,
     {"from": "me@x", "smarthost": "[::1]:587"}),
    ("email", {"to": "a@x"}, {**MAIL, "smtp_auth_password": "p"}, {"auth_password": "p"}),
    ("email", {"to": "a@x"}, {**MAIL, "smtp_auth_password_file": "/p"},
     {"auth_password_file": "/p"}),
    ("email", {"to": "a@x", "require_tls": False}, {**MAIL, "smtp_require_tls": True},
     {"require_tls": False}),
    ("email", {"to": "a@x", "smarthost": "", "from": "", "html": "", "text": "t"}, MAIL,
     {"smarthost": "mail:25", "from": "us@x", "html": "", "text": "t"}),
    ("slack", {"api_url": URL, "channel": "#a"}, {}, {"api_url": URL, "channel": "#a"}),
    ("slack", {}, {"slack_api_url": URL}, {"api_url": URL}),
    ("slack", {}, {"slack_api_url_file": "/u"}, {"api_url_file": "/u"}),
    ("slack", {}, {"slack_app_token": "t"}, {"app_token": "t", "app_url": APP}),
    ("slack", {"update_message": True}, {"slack_app_token": "t", "slack_app_url": URL},
     {"app_token": "t", "app_url": URL, "update_message": True}),
    ("slack", {"app_token_file": "/t"}, {"slack_api_url": APP}, {"app_token_file": "/t"}),
    ("slack", {"http_config": {"authorization": {"credentials": "c"}}},
     {"slack_app_token": "t", "slack_api_url": APP}, {"api_url": APP}),
    ("slack", {"api_url": URL, "fields": [{"title": "t", "value": 5}], "mrkdwn_in": ["text"]}, {},
     {"fields": [{"title": "t", "value": 5}], "mrkdwn_in": ["text"]}),
    ("slack", {"api_url": URL, "actions": [{"type": "button", "text": "t", "name": "n"}]}, {},
     {"actions": [{"type": "button", "text": "t", "name": "n"}]}),
    ("webhook", {"url": URL, "http_config": {"bearer_token": "t", "tls_config": {"min_version": "TLS12"}}},
     {}, {"http_config": {"bearer_token": "t", "tls_config": {"min_version": "TLS12"}}}),
    ("dingtalk", {"webhook_url": URL, "secret": "s"}, {}, {"webhook_url": URL, "secret": "s"}),
    ("dingtalk", {"webhook_url_file": "/u", "secret_file": "/s"}, {}, {"secret_file": "/s"}),
    ("wecom", {"webhook_url": URL}, {}, {"webhook_url": URL}),
    ("alertmanager", {"url": "http://a:9093, http://b:9093"}, {},
     {"url": "http://a:9093,http://b:9093"}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "document", "defaults", "expected"), CASES)
def test_settings(kind, document, defaults, expected):
    settings, _ = decoded(kind, document, defaults)
    assert {key: settings.get(key) for key in expected} == expected


LEFT_OUT = [
    ("email", {"to": "a@x", "auth_password": "mine"},
     {**MAIL, "smtp_auth_password_file": "/p"}, "auth_password_file"),
    ("slack", {"api_url": URL}, {"slack_app_token": "t"}, "app_token"),
    ("slack", {"app_token": "t"}, {"slack_api_url": APP}, "api_url"),
    ("email", {"to": "a@x", "auth_username": ""}, MAIL, "auth_username"),
    ("webhook", {"url": URL, "timeout": None}, {}, "timeout"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "document", "defaults", "absent"), LEFT_OUT)
def test_what_is_not_given_is_absent(kind, document, defaults, absent):
    assert absent not in decoded(kind, document, defaults)[0]


@pytest.mark.parametrize(
    ("kind", "document", "told"),
    [
        ("webhook", {"url": URL}, True),
        ("webhook", {"url": URL, "send_resolved": False}, False),
        ("email", {"to": "a@x"}, False),
        ("email", {"to": "a@x", "send_resolved": "yes"}, True),
        ("slack", {"api_url": URL}, False),
        ("dingtalk", {"webhook_url": URL}, True),
        ("wecom", {"webhook_url": URL}, True),
        ("alertmanager", {"url": URL}, True),
    ],
)
def test_whether_resolved_is_told(kind, document, told):
    assert decoded(kind, document, MAIL)[1] is told


WRONG = [
    # kind, document, global                                               named
    ("webhook", {}, {}, "url or url_file is required"),
    ("webhook", {"url": URL, "url_file": "/u"}, {}, "at most one of url and url_file"),
    ("webhook", {"url": "h.example/x"}, {}, "here.url: expected a URL"),
    ("webhook", {"url": "file:///etc/passwd"}, {}, "here.url: expected a URL"),
    ("webhook", {"url": "http://"}, {}, "here.url: expected a URL"),
    ("webhook", {"url": "http://h:99999/"}, {}, "here.url: expected a URL"),
    ("webhook", {"url": "http://[::1/"}, {}, "here.url: expected a URL"),
    ("webhook", {"uri": URL}, {}, "unknown key uri"),
    ("webhook", {"url": URL, "max_alerts": -1}, {}, "here.max_alerts"),
    ("webhook", {"url": URL, "max_alerts": True}, {}, "here.max_alerts"),
    ("webhook", {"url": URL, "format": "xml"}, {}, "here.format"),
    ("webhook", {"url": URL, "timeout": "soon"}, {}, "here.timeout"),
    ("webhook", {"url": URL, "send_resolved": "perhaps"}, {}, "here.send_resolved"),
    ("webhook", {"url": URL, "http_config": {"basic_auth": {"user": "x"}}}, {},
     "here.http_config.basic_auth: unknown key user"),
    ("webhook", {"url": URL, "http_config": {"basic_auth": {"username": "u"}, "bearer_token": "t"}}, {},
     "here.http_config: at most one of basic_auth and bearer_token"),
    ("webhook", {"url": URL, "http_config": {"authorization": {"credentials": "c"}, "oauth2": {"a": 1}}}, {},
     "here.http_config: at most one of oauth2 and authorization"),
    ("webhook", {"url": URL, "http_config": {"basic_auth": {"password": "p", "password_file": "/p"}}}, {},
     "here.http_config.basic_auth: at most one of password and password_file"),
    ("webhook", {"url": URL, "http_config": {"authorization": {"credentials": "c", "credentials_file": "/c"}}},
     {}, "here.http_config.authorization: at most one of"),
    ("webhook", {"url": URL, "http_config": {"authorization": {"type": "Basic", "credentials": "c"}}}, {},
     "here.http_config.authorization.type: write basic_auth"),
    ("webhook", {"url": URL, "http_config": {"tls_config": {"min_version": "TLS99"}}}, {},
     "here.http_config.tls_config.min_version"),
    ("webhook", ["x"], {}, "here: expected a mapping"),
    ("email", {}, MAIL, "here.to: required"),
    ("email", {"to": "a@x"}, {}, "here.smarthost: required, here or as global.smtp_smarthost"),
    ("email", {"to": "a@x"}, {"smtp_smarthost": "m:25"}, "here.from: required"),
    ("email", {"to": "a@x", "smarthost": "mail"}, MAIL, "here.smarthost: 'mail' is not"),
    ("email", {"to": "a@x", "auth_password": "p", "auth_password_file": "/p"}, MAIL,
     "at most one of auth_password and auth_password_file"),
    ("email", {"to": "a@x", "auth_secret": "p", "auth_secret_file": "/p"}, MAIL,
     "at most one of auth_secret and auth_secret_file"),
    ("email", {"to": "a@x", "headers": {"subject": "a", "Subject": "b"}}, MAIL,
     "here.headers.Subject: header Subject occurs twice"),
    ("slack", {"channel": "#a"}, {}, "api_url or app_token is required"),
    ("slack", {"api_url": URL, "api_url_file": "/u"}, {}, "at most one of"),
    ("slack", {"api_url": URL, "app_token": "t"}, {}, "at most one of"),
    ("slack", {"app_token": "t", "app_token_file": "/t"}, {}, "at most one of"),
    ("slack", {"update_message": True}, {"slack_api_url": URL}, "here.update_message"),
    ("slack", {"api_url": URL, "fields": [{"title": "t"}]}, {}, "here.fields[0].value: required"),
    ("slack", {"api_url": URL, "fields": ["t"]}, {}, "here.fields[0]: expected a mapping"),
    ("slack", {"api_url": URL, "actions": [{"type": "b", "url": "u"}]}, {}, "here.actions[0].text"),
    ("slack", {"api_url": URL, "actions": [{"text": "t", "url": "u"}]}, {}, "here.actions[0].type"),
    ("slack", {"api_url": URL, "actions": [{"type": "b", "text": "t"}]}, {}, "url or name is"),
    ("dingtalk", {"secret": "s"}, {}, "webhook_url or webhook_url_file is required"),
    ("dingtalk", {"webhook_url": URL, "secret": "s", "secret_file": "/s"}, {}, "at most one"),
    ("wecom", {}, {}, "webhook_url or webhook_url_file is required"),
    ("alertmanager", {}, {}, "url is required"),
    ("alertmanager", {"url": "http://a,x"}, {}, "here.url"),
    ("alertmanager", {"url": []}, {}, "here.url"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "document", "defaults", "named"), WRONG)
def test_what_is_refused_is_named_without_its_secrets(kind, document, defaults, named):
    with pytest.raises(ConfigError) as caught:
        decoded(kind, document, defaults)
    assert named in str(caught.value)
    assert "token-in-here" not in str(caught.value)


def test_nothing_given_is_changed():
    http = {"proxy_url": "p"}
    document = {"url": URL, "http_config": http}
    decoded("webhook", document)
    assert (document, http) == ({"url": URL, "http_config": http}, {"proxy_url": "p"})
