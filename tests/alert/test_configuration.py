"""`alerting:`: what an alertmanager.yml may say, what it becomes, and what is refused by name."""

import pytest

from heliograph.alert.config import configuration, setup
from heliograph.alert.model import Integration, Receiver
from heliograph.alert.routes import Route
from heliograph.core import document
from heliograph.core.duration import DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS
from heliograph.core.errors import ConfigError
from heliograph.core.matcher import Matcher


def of(text, **more):
    return configuration.parse(document.parse(text, source="test"), **more)


# Alertmanager's own files: taken, or refused because of these words.
UPSTREAM = {
    "config/testdata/conf.empty-fields.yml": None,
    "config/testdata/conf.good.yml": "receivers[1].pagerduty_configs",
    "config/testdata/conf.group-by-all.yml": None,
    "config/testdata/conf.http-config.good.yml": None,
    "config/testdata/conf.mattermost-both-webhook-url-and-file.yml": "mattermost",
    "config/testdata/conf.mattermost-default-webhook-url-file.yml": "mattermost",
    "config/testdata/conf.mattermost-default-webhook-url.yml": "mattermost",
    "config/testdata/conf.mattermost-no-webhook-url.yml": "mattermost",
    "config/testdata/conf.mattermost-valid-receiver-both-webhook-url-and-file.yml": "mattermost",
    "config/testdata/conf.nil-match_re-route.yml": "route.routes[0].match_re.invalid_label",
    "config/testdata/conf.nil-source_match_re-inhibition.yml": "source_match_re.invalid_source",
    "config/testdata/conf.nil-target_match_re-inhibition.yml": "target_match_re.invalid_target",
    "config/testdata/conf.opsgenie-both-file-and-apikey.yml": "opsgenie",
    "config/testdata/conf.opsgenie-default-apikey-file.yml": "opsgenie",
    "config/testdata/conf.opsgenie-default-apikey-old-team.yml": "opsgenie",
    "config/testdata/conf.opsgenie-default-apikey.yml": "opsgenie",
    "config/testdata/conf.opsgenie-no-apikey.yml": "opsgenie",
    "config/testdata/conf.rocketchat-both-token-and-tokenfile.yml": "rocketchat",
    "config/testdata/conf.rocketchat-both-tokenid-and-tokenidfile.yml": "rocketchat",
    "config/testdata/conf.rocketchat-default-token-file.yml": "rocketchat",
    "config/testdata/conf.rocketchat-default-token.yml": "rocketchat",
    "config/testdata/conf.rocketchat-no-token.yml": "rocketchat",
    "config/testdata/conf.slack-both-file-and-token.yml": "slack_app_token_file",
    "config/testdata/conf.slack-both-file-and-url.yml": "slack_api_url_file",
    "config/testdata/conf.slack-both-url-and-token.yml": "slack_api_url and slack_app_token",
    "config/testdata/conf.slack-default-api-url-file.yml": None,
    "config/testdata/conf.slack-default-app-token.yml": None,
    "config/testdata/conf.slack-no-api-url-or-token.yml": "slack_configs[0]: api_url or",
    "config/testdata/conf.slack-update-message-and-webhook.yml": "update_message",
    "config/testdata/conf.smtp-both-password-and-file.yml": "smtp_auth_password_file",
    "config/testdata/conf.smtp-no-username-or-password.yml": None,
    "config/testdata/conf.smtp-password-global-and-local.yml": None,
    "config/testdata/conf.sns-invalid.yml": "sns",
    "config/testdata/conf.sns-topic-arn.yml": "sns",
    "config/testdata/conf.telegram-both-bot-token-and-file.yml": "telegram",
    "config/testdata/conf.telegram-default-bot-token-file.yml": "telegram",
    "config/testdata/conf.telegram-default-bot-token.yml": "telegram",
    "config/testdata/conf.telegram-no-bot-token.yml": "telegram",
    "config/testdata/conf.telegram-valid-receiver-both-bot-token-and-file.yml": "telegram",
    "config/testdata/conf.victorops-both-file-and-apikey.yml": "victorops",
    "config/testdata/conf.victorops-default-apikey-file.yml": "victorops",
    "config/testdata/conf.victorops-default-apikey.yml": "victorops",
    "config/testdata/conf.victorops-no-apikey.yml": "victorops",
    "config/testdata/conf.wechat-both-file-and-secret.yml": "wecom_configs",
    "config/testdata/conf.wechat-default-api-secret-file.yml": "wecom_configs",
    "config/testdata/conf.wechat-no-api-secret.yml": "wecom_configs",
    "cli/testdata/conf.bad.yml": "alerting: expected a mapping",
    "cli/testdata/conf.good.yml": None,
    "cli/testdata/conf.routing-reverted.yml": None,
    "cli/testdata/conf.routing.yml": None,
    "doc/examples/route_labels.yml": None,
    "doc/examples/simple.yml": "receivers[1].pagerduty_configs",
}


def test_alertmanagers_own_files(shared_data):
    folder = shared_data / "upstream" / "prometheus+alertmanager"
    found = [
        path for part in ("config", "cli", "doc") for path in folder.glob(f"{part}/**/*.yml")
    ]
    assert {str(path.relative_to(folder)) for path in found} == set(UPSTREAM)
    for path in found:
        words = UPSTREAM[str(path.relative_to(folder))]
        if words is None:
            assert of(path.read_text()).tree.file is not None
        else:
            with pytest.raises(ConfigError) as caught:
                of(path.read_text())
            assert words in str(caught.value), path


def test_a_file_but_for_what_we_lack_is_taken(shared_data):
    """The two large examples, once their pagers are ours."""
    folder = shared_data / "upstream" / "prometheus+alertmanager"
    for name in ("config/testdata/conf.good.yml", "doc/examples/simple.yml"):
        read = document.parse((folder / name).read_text(), source=name)
        for receiver in read["receivers"]:
            for key in list(receiver):
                if key not in {"name", "email_configs", "slack_configs"}:
                    del receiver[key]
        made = configuration.parse(read)
        told = [
            r.receiver for r in made.tree.match({"service": "files", "severity": "critical"})
        ]
        assert told == ["team-Y-pager"]
        assert made.tree.file.repeat_interval_ns == 3 * HOUR_NS
        assert made.receivers["team-X-mails"].integrations[0].settings["smarthost"] == (
            "localhost:25"
        )


@pytest.mark.parametrize("text", ["", "{}", "{route: , receivers: []}", "{resolve_after: 1h}"])
def test_nothing_said_is_nobody_told(text):
    made = of(text)
    assert (made.tree.match({"a": "b"}), made.receivers, made.inhibitions) == ((), {}, ())
    assert made.resolve_timeout_ns == 5 * MINUTE_NS
    assert made.original == setup.empty().original


def test_the_whole_of_it():
    made = of(
        """
        global: {resolve_timeout: 2m, smtp_smarthost: 'mail:587', smtp_from: us@example.com,
                 smtp_auth_username: us, smtp_auth_password: secret, smtp_require_tls: no,
                 http_config: {follow_redirects: off, proxy_url: 'http://proxy:3128'}}
        templates: [/etc/a.tmpl]
        tracing: {endpoint: 'localhost:4317'}
        resolve_after: 30m
        route: {receiver: all, group_by: [b, a], group_wait: 0s, routes:
          [{match: {n: 2, t: true}, match_re: {r: 'x|y'}, matchers: [p=q], continue: yes}]}
        receivers:
        - name: all
          webhook_configs: [{url: 'http://h/', max_alerts: 5, http_config: {bearer_token: t}},
                            {url: 'http://i/', send_resolved: false}]
          email_configs: [{to: ops@example.com, headers: {subject: hello}}]
          dingtalk_configs: [{webhook_url: 'https://d/', secret: s, at: {all: true}}]
          wecom_configs: [{webhook_url: 'https://w/'}]
          alertmanager_configs: [{url: ['http://am-1:9093', 'http://am-2:9093']}]
        - {name: nobody}
        """,
        external_url="http://here/",
    )
    proxied = {"follow_redirects": False, "proxy_url": "http://proxy:3128"}

    def integration(id_, kind, settings, send_resolved=True):
        return Integration(f"all/{id_}", "all", kind, settings, send_resolved)

    assert made.receivers == {
        "all": Receiver(
            "all",
            (
                integration("webhook[0]", "webhook", {
                    "url": "http://h/", "max_alerts": 5, "format": "alertmanager",
                    "http_config": {"bearer_token": "t"},
                }),
                integration("webhook[1]", "webhook", {
                    "url": "http://i/", "max_alerts": 0, "format": "alertmanager",
                    "http_config": proxied,
                }, send_resolved=False),
                integration("email[0]", "email", {
                    "to": "ops@example.com", "headers": {"Subject": "hello"},
                    "smarthost": "mail:587", "from": "us@example.com", "hello": "localhost",
                    "auth_username": "us", "auth_password": "secret", "require_tls": False,
                }, send_resolved=False),
                integration("dingtalk[0]", "dingtalk", {
                    "webhook_url": "https://d/", "secret": "s", "at": {"all": True},
                    "http_config": proxied,
                }),
                integration("wecom[0]", "wecom", {
                    "webhook_url": "https://w/", "http_config": proxied,
                }),
                integration("alertmanager[0]", "alertmanager", {
                    "url": "http://am-1:9093,http://am-2:9093", "http_config": proxied,
                }),
            ),
        ),
        "nobody": Receiver("nobody"),
    }  # fmt: skip
    (child,) = made.tree.file.routes
    assert child.matchers == (
        Matcher("n", "=", "2"), Matcher("t", "=", "true"), Matcher("r", "=~", "^(?:x|y)$"),
        Matcher("p", "=", "q"),
    )  # fmt: skip
    assert (child.continue_, child.group_by, child.group_wait_ns) == (True, ("a", "b"), 0)
    assert (made.resolve_timeout_ns, made.templates, made.external_url) == (
        2 * MINUTE_NS, ("/etc/a.tmpl",), "http://here/",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "span_ns"),
    [
        ("1y", 365 * DAY_NS),
        ("1y2d", 367 * DAY_NS),
        ("999y", 100 * 365 * DAY_NS),
        ("1w", 7 * DAY_NS),
        ("1h30m", 90 * MINUTE_NS),
        ("500ms", SECOND_NS // 2),
    ],
)
def test_durations_are_prometheus_own(text, span_ns):
    made = of(f"{{route: {{receiver: a, repeat_interval: {text}}}, receivers: [{{name: a}}]}}")
    assert made.tree.file.repeat_interval_ns == span_ns


def with_route(route):
    return (
        f"{{route: {{receiver: a, {route}}}, receivers: [{{name: a}}], "
        "time_intervals: [{name: t, time_intervals: [{}]}]}"
    )


NAMED = "{name: t, time_intervals: []}"
WRONG = [
    # configuration                                                     what the message names
    ("[]", "alerting: expected a mapping"),
    ("{routes: []}", "alerting: unknown key routes"),
    ("{receivers: [{name: a}]}", "alerting.route: required"),
    ("{route: {receiver: b}, receivers: [{name: a}]}", "route.receiver: receiver 'b' is not"),
    ("{route: {receiver: a}, receivers: [{name: a}, {name: a}]}", "receivers[1].name: receiver 'a'"),
    ("{route: {receiver: a}, receivers: [{name: a}, {name: }]}", "receivers[1].name: required"),
    ("{route: {receiver: a}, receivers: [{name: api/1}]}", "receivers[0].name"),
    ("{route: {receiver: a}, receivers: [{name: a, sms_configs: []}]}", "unknown key sms_configs"),
    ("{route: {receiver: a}, receivers: [{name: a, email: []}]}", "unknown key email"),
    ("{route: {}, receivers: [{name: a}]}", "alerting.route.receiver: required"),
    ("{global: {smtp_smarthost: localhost}}", "global.smtp_smarthost"),
    ("{global: {smtp_to: x}}", "global: unknown key smtp_to"),
    ("{global: {resolve_timeout: 5}}", "global.resolve_timeout: not a duration"),
    ("{global: {resolve_timeout: ''}}", "global.resolve_timeout: not a duration"),
    ("{global: {http_config: {proxy: x}}}", "global.http_config: unknown key proxy"),
    ("{global: {slack_api_url: 'ftp://x'}}", "global.slack_api_url: expected a URL"),
    (with_route("match: {a: b}"), "alerting.route.match: the root route"),
    (with_route("matchers: [a=b]"), "alerting.route.matchers: the root route"),
    (with_route("match: 0"), "alerting.route.match: expected a mapping"),
    (with_route("continue: true"), "alerting.route.continue"),
    (with_route("continue: []"), "alerting.route.continue: expected true or false"),
    (with_route("mute_time_intervals: [t]"), "route.mute_time_intervals"),
    (with_route("active_time_intervals: [t]"), "route.active_time_intervals"),
    (with_route("group_interval: 0s"), "route.group_interval: cannot be zero"),
    (with_route("routes: [{repeat_interval: 0s}]"), "routes[0].repeat_interval: cannot be"),
    (with_route("group_wait: 30"), "route.group_wait: not a duration"),
    (with_route("group_by: [a, a]"), "route.group_by: a label occurs twice"),
    (with_route("group_by: [a, '...']"), "route.group_by: '...' stands alone"),
    (with_route("group_by: a"), "route.group_by: expected a list"),
    (with_route("routes: [{receiver: b}]"), "routes[0].receiver: receiver 'b' is not"),
    (with_route("routes: [{mute_time_intervals: [u]}]"), "time interval 'u' is not defined"),
    (with_route("routes: [{active_time_intervals: [u]}]"), "time interval 'u' is not defined"),
    (with_route("routes: [{matchers: a=b}]"), "routes[0].matchers: expected a list"),
    (with_route("routes: [{matchers: ['a']}]"), "routes[0].matchers[0]: not a matcher: 'a'"),
    (with_route("routes: [{matchers: ['a=~(']}]"), "routes[0].matchers[0]"),
    (with_route("routes: [{match: {a-b: c}}]"), "invalid label name 'a-b'"),
    (with_route("routes: [{match: {a: 1.10}}]"), "write 1.1 in quotes"),
    (with_route("routes: [{match: {a: [b]}}]"), "expected text"),
    (with_route("routes: [{matcher: [a=b]}]"), "routes[0]: unknown key matcher"),
    (with_route("routes: [{continue: maybe}]"), "routes[0].continue: expected true or false"),
    (with_route("routes: [{continue: 0}]"), "routes[0].continue: expected true or false"),
    (with_route("routes: [5]"), "routes[0]: expected a mapping"),
    (with_route("routes: [{routes: [{receiver: b}]}]"), "routes[0].routes[0].receiver"),
    (f"{{time_intervals: [{NAMED}], mute_time_intervals: [{NAMED}]}}", "'t' is defined twice"),
    ("{time_intervals: [{time_intervals: []}]}", "time_intervals[0].name: required"),
    ("{time_intervals: [{name: t, time_intervals: [{weekdays: [x]}]}]}",
     "alerting.time_intervals[0].time_intervals[0].weekdays[0]: x is not a valid weekday"),
    ("{templates: x}", "alerting.templates: expected a list"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "named"), WRONG)
def test_what_is_refused_is_named(text, named):
    with pytest.raises(ConfigError) as caught:
        of(text)
    assert named in str(caught.value)


IN_VAIN = "labels of routes do nothing here"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{}", []),
        (with_route("routes: [{match: {a: b}}, ]"), []),
        (with_route("labels: {}"), []),
        (
            with_route("labels: {why: '{{ .GroupLabels.alertname }}'}"),
            [f"alerting.route.labels: {IN_VAIN}"],
        ),
        (
            with_route(
                "routes: [{match: {a: b}}, {routes: [{labels: {x: y}}], labels: {x: z}}]"
            ),
            [f"alerting.route.routes[1].labels: {IN_VAIN}; there are 2 routes with some"],
        ),
    ],
)
def test_what_is_asked_in_vain_is_told(text, told):
    read = document.parse(text, source="test")
    configuration.parse(read)
    assert configuration.unheeded(read) == told


def test_a_pattern_goes_through_re2():
    with pytest.raises(ConfigError, match="not a regular expression"):
        of(with_route(r"routes: [{match_re: {a: '(x)\1'}}]"))
    made = of(with_route("routes: [{match_re: {a: '(a+)+$'}}]"))
    assert made.tree.match({"a": "a" * 50 + "!"}) == (made.tree.file,)


def test_routes_of_the_api_are_put_in_and_taken_out_again():
    file = of("{route: {receiver: a}, receivers: [{name: a}]}")
    route = Route(id="api/1", receiver="api/1")
    both = setup.with_api_routes(file, [route], [Receiver("api/1")])
    assert both.tree.match({}) == (route,)
    assert set(both.receivers) == {"a", "api/1"}
    again = setup.with_api_routes(both, [], [])
    assert (again.tree.match({}), set(again.receivers), again.original) == (
        (file.tree.file,), {"a"}, file.original,
    )  # fmt: skip
