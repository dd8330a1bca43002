"""Routes made over the API: the documented example as written, and their secrets."""

import pytest

from heliograph.alert.config import configuration, routing_rules, setup
from heliograph.alert.model import Integration, Receiver
from heliograph.alert.routes import Route
from heliograph.core.duration import HOUR_NS, MINUTE_NS, SECOND_NS
from heliograph.core.errors import Refused
from heliograph.core.matcher import Matcher

SPEC = {
    "matchers": [
        {"name": "severity", "value": "critical"},
        {"name": "workload_id", "value": "prod-*", "is_regex": True},
    ],
    "channels": [
        {"type": "webhook", "config": {"url": "http://alert-handler/critical"}},
        {
            "type": "dingtalk",
            "config": {"webhook_url": "https://oapi.dingtalk.com/robot/send?access_token=xxx"},
        },
    ],
    "group_by": ["alertname", "workload_id"],
    "group_wait": "30s",
    "repeat_interval": "4h",
}
FILE = configuration.parse(
    {
        "global": {"smtp_smarthost": "mail:25", "smtp_from": "us@example.com"},
        "time_intervals": [{"name": "nights", "time_intervals": [{}]}],
    }
)


def read(document, made=FILE):
    return routing_rules.from_document("7", document, made)


def with_channel(kind, config):
    return {"channels": [{"type": kind, "config": config}]}


def test_the_documented_route_works_as_written():
    route, receiver, warnings = read(SPEC, setup.empty())
    assert route == Route(
        id="api/7",
        receiver="api/7",
        matchers=(
            Matcher("severity", "=", "critical"),
            Matcher("workload_id", "=~", "prod-.*"),
        ),
        group_by=("alertname", "workload_id"),
        group_wait_ns=30 * SECOND_NS,
        group_interval_ns=5 * MINUTE_NS,
        repeat_interval_ns=4 * HOUR_NS,
    )
    assert receiver == Receiver(
        "api/7",
        (
            Integration(
                id="api/7/webhook[0]",
                receiver="api/7",
                kind="webhook",
                settings={
                    "url": "http://alert-handler/critical",
                    "format": "heliograph",
                    "max_alerts": 0,
                },
                guarded=True,
            ),
            Integration(
                id="api/7/dingtalk[0]",
                receiver="api/7",
                kind="dingtalk",
                settings={
                    "webhook_url": "https://oapi.dingtalk.com/robot/send?access_token=xxx"
                },
                guarded=True,
            ),
        ),
    )
    assert len(warnings) == 1
    assert "glob" in warnings[0]
    whole = setup.with_api_routes(FILE, [route], [receiver])
    critical = {"severity": "critical", "workload_id": "prod-llama-7"}
    assert whole.tree.match(critical) == (route,)
    assert whole.tree.match({**critical, "workload_id": "test-7"}) == ()


def test_everything_else_it_may_say():
    route, receiver, _ = read(
        {
            "name": "nightly",
            "matchers": [],
            "channels": [
                {"type": "wechat", "config": {"webhook_url": "https://w/"}},
                {"type": "wecom", "config": {"url": "https://v/", "send_resolved": False}},
            ],
            "group_by": ["..."],
            "group_wait": "0s",
            "group_interval": "1m",
            "continue": True,
            "mute_time_intervals": ["nights"],
            "active_time_intervals": ["nights"],
        }
    )
    assert route == Route(
        id="api/7",
        receiver="api/7",
        group_by=None,
        group_wait_ns=0,
        group_interval_ns=MINUTE_NS,
        continue_=True,
        mute_time_intervals=("nights",),
        active_time_intervals=("nights",),
    )
    assert [(one.id, one.send_resolved) for one in receiver.integrations] == [
        ("api/7/wecom[0]", True),
        ("api/7/wecom[1]", False),
    ]


MAIL = {"to": ["a@x", "b@x"], "from": "us@x", "smtp_host": "mail.example.com", "smtp_port": 25,
        "username": "us", "password": "p", "tls": False}  # fmt: skip
CHANNELS = [
    # type, config                                                   settings that must be there
    ("email", MAIL, {"to": "a@x, b@x", "from": "us@x", "smarthost": "mail.example.com:25",
                     "auth_username": "us", "auth_password": "p", "require_tls": False}),
    ("email", {"to": "a@x"}, {"smarthost": "mail:25", "from": "us@example.com",
                              "require_tls": True}),
    ("email", {"to": "a@x", "smtp_host": "m", "tls": True},
     {"smarthost": "m:587", "require_tls": True}),
    ("email", {"to": "a@x", "smtp_host": "::1"}, {"smarthost": "[::1]:587"}),
    ("slack", {"webhook_url": "https://s/"}, {"api_url": "https://s/"}),
    ("slack", {"token": "t", "channel": "#a", "update_message": True},
     {"app_token": "t", "channel": "#a", "update_message": True}),
    ("webhook", {"url": "https://h/", "headers": {"X-A": "b"}, "format": "alertmanager"},
     {"headers": {"X-A": "b"}, "format": "alertmanager"}),
    ("dingtalk", {"webhook_url": "https://d/", "secret": "s", "at": {"mobiles": ["1"]}},
     {"secret": "s", "at": {"mobiles": ["1"]}}),
    ("dingtalk", {"webhook_url": "https://d/", "at": {"atMobiles": [139], "isAtAll": True}},
     {"at": {"atMobiles": ["139"], "isAtAll": True}}),
    ("dingtalk", {"webhook_url": "https://d/", "at": ["139"]}, {"at": ["139"]}),
    ("dingtalk", {"webhook_url": "https://d/", "at": "all"}, {"at": "all"}),
    ("webhook", {"url": "https://h/", "http_config": {"http_headers": {
        "X-A": {"values": ["b", 1], "secrets": None}, "X-B": "c"}}},
     {"http_config": {"http_headers": {"X-A": {"values": ["b", "1"], "secrets": []}, "X-B": "c"}}}),
    ("alertmanager", {"url": "http://am:9093"}, {"url": "http://am:9093"}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "config", "expected"), CHANNELS)
def test_channels(kind, config, expected):
    _, receiver, _ = read(with_channel(kind, config))
    (one,) = receiver.integrations
    assert {key: one.settings.get(key) for key in expected} == expected
    assert (one.kind, one.guarded, one.send_resolved) == (kind, True, True)


WRONG = [
    # document                                                       field
    ([], "body"),
    ({"matcher": []}, "matcher"),
    ({**SPEC, "matchers": 0}, "matchers"),
    ({**SPEC, "matchers": {}}, "matchers"),
    ({**SPEC, "matchers": [{"name": "a"}]}, "matchers[0].value"),
    ({**SPEC, "matchers": [{"name": "a", "value": "(", "is_regex": True}]}, "matchers[0].value"),
    ({**SPEC, "channels": []}, "channels"),
    ({**SPEC, "channels": None}, "channels"),
    ({**SPEC, "channels": [5]}, "channels[0]"),
    ({**SPEC, "channels": [{"type": "sms"}]}, "channels[0].type"),
    ({**SPEC, "channels": [{"type": "webhook", "to": "x"}]}, "channels[0].to"),
    ({**SPEC, "channels": [{"type": "webhook"}]}, "channels[0].config.url"),
    ({**SPEC, "channels": [*SPEC["channels"]] * 17}, "channels"),
    ({**SPEC, "group_by": ["a", "a"]}, "group_by"),
    ({**SPEC, "group_wait": "soon"}, "group_wait"),
    ({**SPEC, "group_interval": "0s"}, "group_interval"),
    ({**SPEC, "repeat_interval": "0s"}, "repeat_interval"),
    ({**SPEC, "continue": "perhaps"}, "continue"),
    ({**SPEC, "continue": 0}, "continue"),
    ({**SPEC, "continue": []}, "continue"),
    ({**SPEC, "mute_time_intervals": ["days"]}, "mute_time_intervals"),
    ({**SPEC, "mute_time_intervals": "nights"}, "mute_time_intervals"),
    ({**SPEC, "active_time_intervals": ["days"]}, "active_time_intervals"),
    (with_channel("webhook", {"url": "nowhere"}), "channels[0].config.url"),
    (with_channel("slack", {"token": "t"}), "channels[0].config.channel"),
    (with_channel("webhook", {"url_file": "/etc/passwd"}), "channels[0].config.url_file"),
    (with_channel("webhook", {"url": "http://h/", "http_config": {"bearer_token_file": "/x"}}),
     "channels[0].config.http_config.bearer_token_file"),
    (with_channel("webhook", {"url": "http://h/", "http_config": {"proxy_url": "http://10.0.0.1"}}),
     "channels[0].config.http_config.proxy_url"),
    (with_channel("webhook", {"url": "http://h/", "http_config": {"oauth2": {}}}),
     "channels[0].config.http_config.oauth2"),
    (with_channel("slack", {"webhook_url": "http://h/", "actions": [{"a_file": "/x"}]}),
     "channels[0].config.actions[0].a_file"),
    (with_channel("email", {"to": "a@x", "tls_config": {"key_file": "/x"}}),
     "channels[0].config.tls_config.key_file"),
    (with_channel("email", {"to": "a@x", "smtp_port": 25}), "channels[0].config.smtp_host"),
    (with_channel("email", {"to": "a@x", "smtp_host": 5}), "channels[0].config.smtp_host"),
    (with_channel("email", {"to": "a@x", "smtp_host": "m", "smtp_port": "x"}),
     "channels[0].config.smtp_port"),
    (with_channel("email", {"to": "a@x", "tls": "some"}), "channels[0].config.tls"),
    (with_channel("slack", {"token": "t", "app_token": "u"}), "channels[0].config.token"),
    (with_channel("email", {"to": "a@x", "smtp_host": "a\0b"}), "channels[0].config.smtp_host"),
    (with_channel("email", {"to": "a@x", "smtp_host": "x" * 300}), "channels[0].config.smtp_host"),
    (with_channel("email", {"to": "a@x", "smtp_host": "m", "smtp_port": 0}),
     "channels[0].config.smtp_port"),
    (with_channel("email", {"to": "a@x", "smtp_host": "m", "smtp_port": 70000}),
     "channels[0].config.smtp_port"),
    (with_channel("email", {"to": "a@x", "username": []}), "channels[0].config.username"),
    (with_channel("email", {"to": "a@x", "password": 1.5}), "channels[0].config.password"),
    (with_channel("email", {"to": "a@x", "auth_username": []}),
     "channels[0].config.auth_username"),
    (with_channel("slack", {"channel": "#a"}), "channels[0].config.webhook_url"),
    (with_channel("slack", {"webhook_url": "nowhere"}), "channels[0].config.webhook_url"),
    (with_channel("slack", {"api_url": "nowhere"}), "channels[0].config.api_url"),
    (with_channel("slack", {"token": []}), "channels[0].config.token"),
    (with_channel("dingtalk", {"secret": "s"}), "channels[0].config.webhook_url"),
    (with_channel("dingtalk", {"url": 5}), "channels[0].config.url"),
    (with_channel("wechat", {"uri": "https://w/"}), "channels[0].config.uri"),
    (with_channel("dingtalk", {"webhook_url": "https://d/", "at": 5}), "channels[0].config.at"),
    (with_channel("dingtalk", {"webhook_url": "https://d/", "at": {"mobile": ["1"]}}),
     "channels[0].config.at.mobile"),
    (with_channel("dingtalk", {"webhook_url": "https://d/", "at": {"mobiles": "1"}}),
     "channels[0].config.at.mobiles"),
    (with_channel("dingtalk", {"webhook_url": "https://d/", "at": {"all": "perhaps"}}),
     "channels[0].config.at.all"),
    (with_channel("webhook", {"url": "https://h/", "headers": {"A: b": "c"}}),
     "channels[0].config.headers.A: b"),
    (with_channel("webhook", {"url": "https://h/", "headers": {"A": "b\r\nC: d"}}),
     "channels[0].config.headers.A"),
    (with_channel("webhook", {"url": "https://h/", "http_config": {"http_headers": {"A": {"values": 5}}}}),
     "channels[0].config.http_config.http_headers.A.values"),
    (with_channel("webhook", {"url": "https://h/", "http_config": {"http_headers": {"A": "b\0"}}}),
     "channels[0].config.http_config.http_headers.A"),
]  # fmt: skip


@pytest.mark.parametrize(("document", "field"), WRONG)
def test_what_is_refused_names_the_field(document, field):
    with pytest.raises(Refused) as caught:
        read(document)
    assert (caught.value.field, caught.value.status) == (field, 400)


SPELT = [
    # type, config, setting                                        as its sender wrote it
    ("slack", {"webhook_url": "https://s/"}, "api_url", "webhook_url"),
    ("slack", {"api_url": "https://s/"}, "api_url", "api_url"),
    ("wechat", {"url": "https://w/"}, "webhook_url", "url"),
    ("email", {"to": "a@x", "smtp_host": "m"}, "smarthost", "smtp_host"),
    ("email", {"to": "a@x", "smarthost": "m:25"}, "smarthost", "smarthost"),
    ("webhook", {"url": "https://h/"}, "url", "url"),
]


@pytest.mark.parametrize(("kind", "config", "setting", "key"), SPELT)
def test_a_setting_is_named_as_its_sender_wrote_it(kind, config, setting, key):
    place = routing_rules.place_of(with_channel(kind, config), 0, setting)
    assert place == f"channels[0].config.{key}"


OPERATORS = configuration.parse(
    {
        "global": {
            "smtp_smarthost": "mail:25",
            "smtp_from": "us@example.com",
            "smtp_auth_username": "operator",
            "smtp_auth_password": "operators",
            "slack_app_token": "operators",
            "http_config": {"bearer_token": "operators", "proxy_url": "http://proxy:3128"},
        }
    }
)
LENT = [
    # type, config                                            the operator's credentials go with it
    ("email", {"to": "a@x"}, True),
    ("email", {"to": "a@x", "smtp_host": "evil.example"}, False),
    ("slack", {"channel": "#a"}, True),
    ("slack", {"channel": "#a", "app_url": "https://evil.example/", "token": "t"}, False),
    ("webhook", {"url": "https://evil.example/"}, False),
    ("alertmanager", {"url": "https://evil.example/"}, False),
]


@pytest.mark.parametrize(("kind", "config", "lent"), LENT)
def test_the_operators_credentials_stay_with_the_operators_servers(kind, config, lent):
    _, receiver, _ = read(with_channel(kind, config), OPERATORS)
    (one,) = receiver.integrations
    assert ("operators" in one.settings.values()) is lent
    assert "http_config" not in one.settings


def test_a_server_of_ones_own_is_not_handed_the_operators_token():
    with pytest.raises(Refused) as caught:
        read(with_channel("slack", {"app_url": "https://evil.example/"}), OPERATORS)
    assert caught.value.field == "channels[0].config.webhook_url"


SECRETS = {
    "channels": [
        {
            "type": "webhook",
            "config": {"url": "http://h/", "headers": {"X-A": "b"}, "format": "x"},
        },
        {"type": "email", "config": MAIL},
        {
            "type": "dingtalk",
            "config": {"webhook_url": "u", "secret": "s", "at": {"all": True}},
        },
        {"type": "slack", "config": {"token": "t", "channel": "#a"}},
    ],
    "group_wait": "30s",
}


def test_secrets_are_written_only():
    shown = routing_rules.masked(SECRETS)
    assert shown == {
        "channels": [
            {
                "type": "webhook",
                "config": {"url": "<secret>", "headers": {"X-A": "<secret>"}, "format": "x"},
            },
            {"type": "email", "config": {**MAIL, "password": "<secret>"}},
            {
                "type": "dingtalk",
                "config": {
                    "webhook_url": "<secret>",
                    "secret": "<secret>",
                    "at": {"all": True},
                },
            },
            {"type": "slack", "config": {"token": "<secret>", "channel": "#a"}},
        ],
        "group_wait": "30s",
    }
    assert routing_rules.unmasked(shown, SECRETS) == SECRETS


def test_a_masked_secret_comes_back_only_where_it_was():
    shown = routing_rules.masked(SECRETS)
    moved = {"channels": shown["channels"][::-1]}
    assert routing_rules.unmasked(moved, SECRETS) == moved
    fewer = {"channels": shown["channels"][:1]}
    assert routing_rules.unmasked(fewer, SECRETS) == {"channels": SECRETS["channels"][:1]}
    # What is no secret of anybody is refused as what it is.
    with pytest.raises(Refused) as caught:
        read(routing_rules.unmasked(fewer, {}))
    assert caught.value.field == "channels[0].config.url"


MOVED = [
    # type, config before                      change                             secret to be given
    ("webhook", {"url": "https://a/", "headers": {"A": "s"}}, {"url": "https://evil/"}, "headers.A"),
    ("webhook", {"url": "https://a/", "http_config": {"bearer_token": "s"}}, {"url": "https://evil/"},
     "http_config.bearer_token"),
    ("webhook", {"url": "https://a/s"},
     {"http_config": {"tls_config": {"insecure_skip_verify": True}}}, "url"),
    ("slack", {"token": "s", "channel": "#a"}, {"app_url": "https://evil/"}, "token"),
    ("dingtalk", {"webhook_url": "https://a/", "secret": "s"}, {"webhook_url": "https://evil/"},
     "secret"),
    ("email", MAIL, {"smtp_host": "evil.example"}, "password"),
    ("email", MAIL, {"smtp_port": 2525}, "password"),
    ("email", {**MAIL, "tls": True}, {"tls": False}, "password"),
    ("email", {**MAIL, "smtp_host": None}, {"smarthost": "evil.example:25"}, "password"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "config", "change", "field"), MOVED)
def test_a_kept_secret_goes_where_it_went_alone(kind, config, change, field):
    before = with_channel(kind, config)
    shown = routing_rules.masked(before)["channels"][0]["config"]
    with pytest.raises(Refused) as caught:
        routing_rules.unmasked(with_channel(kind, {**shown, **change}), before)
    assert caught.value.field == f"channels[0].config.{field}"
    # With its secrets given again it may go anywhere.
    moved = with_channel(kind, {**config, **change})
    assert routing_rules.unmasked(moved, before) == moved


def test_what_is_no_address_may_change_and_an_address_without_secrets():
    before = with_channel("webhook", {"url": "https://a/", "headers": {"A": "s"}})
    shown = routing_rules.masked(before)["channels"][0]["config"]
    more = with_channel("webhook", {**shown, "max_alerts": 5})
    whole = with_channel("webhook", {**before["channels"][0]["config"], "max_alerts": 5})
    assert routing_rules.unmasked(more, before) == whole
    bare = with_channel("webhook", {"url": "https://b/"})
    assert routing_rules.unmasked(bare, before) == bare


def test_a_mask_that_stands_for_nothing_is_no_secret():
    with pytest.raises(Refused) as caught:
        read(with_channel("slack", {"token": "<secret>", "channel": "#a"}))
    assert caught.value.field == "channels[0].config.token"


def test_a_private_key_is_a_secret():
    tls = {"key": "PRIVATE", "server_name": "a"}
    shown = routing_rules.masked(with_channel("webhook", {"http_config": {"tls_config": tls}}))
    config = shown["channels"][0]["config"]
    assert config == {"http_config": {"tls_config": {"key": "<secret>", "server_name": "a"}}}


@pytest.mark.parametrize("document", [None, [], {}, {"channels": 5}, {"channels": [5]}])
def test_what_is_no_route_is_shown_as_it_is(document):
    assert routing_rules.masked(document) == document
    assert routing_rules.unmasked(document, SECRETS) == document
