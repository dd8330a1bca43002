"""`heliograph config check` says of a file what `heliograph serve` says before it listens."""

import json
import logging

import pytest
import yaml
from click.testing import CliRunner

from heliograph.cli.config import _masked, check_file, show
from heliograph.cli.settings import Unusable, load
from heliograph.core.clock import SystemClock
from heliograph.core.errors import ConfigError
from heliograph.notify import secret
from heliograph.service import alert_wiring, wiring


def with_receiver(entries, more=""):
    return f"{{{more}route: {{receiver: a}}, receivers: [{{name: b}}, {{name: a, {entries}}}]}}"


def webhook(http_config, more=""):
    settings = "url: 'http://x/y'" + (f", http_config: {http_config}" if http_config else "")
    return with_receiver(f"webhook_configs: [{{url: 'http://x'}}, {{{settings}}}]", more)


def mail(settings, more=""):
    return with_receiver(f"email_configs: [{{to: x@y.z{settings}}}]", more)


def causes(entry):
    return f"{{causes: [{{cause: a, effect: b}}, {entry}]}}"


HTTP = "alerting.receivers[1].webhook_configs[1].http_config"
OAUTH2 = "{oauth2: {client_id: a, client_secret: b, token_url: 'http://t'}}"
POST = "smtp_smarthost: 'h:25', smtp_from: a@b.c"
CAUSE = "alerting.causes[1]"
# `alerting:` of a file, and how the error begins
REFUSED = [
    (webhook(OAUTH2), f"{HTTP}.oauth2: not supported"),
    (webhook("{proxy_from_environment: true}"), f"{HTTP}.proxy_from_environment: not supported"),
    (webhook("{proxy_url: 'http://p', no_proxy: x}"), f"{HTTP}.no_proxy: not supported"),
    (webhook("{proxy_connect_header: {a: [b]}}"), f"{HTTP}.proxy_connect_header: not supported"),
    (webhook("{tls_config: {max_version: TLS12}}"), f"{HTTP}.tls_config.max_version: not supported"),
    (webhook("{tls_config: {cert: x}}"), f"{HTTP}.tls_config.cert: not supported, write cert_file"),
    (webhook("{tls_config: {key: x}}"), f"{HTTP}.tls_config.key: not supported, write key_file"),
    (webhook("{tls_config: {ca_ref: x}}"),
     f"{HTTP}.tls_config.ca_ref: secret references are not supported, write ca_file"),
    (webhook("{basic_auth: {username: u, password_ref: x}}"), f"{HTTP}.basic_auth.password_ref: "),
    (webhook("{authorization: {credentials_ref: x}}"), f"{HTTP}.authorization.credentials_ref: "),
    (webhook("", "global: {http_config: {proxy_from_environment: true}}, "),
     "alerting.global.http_config.proxy_from_environment: not supported"),
    (webhook("", f"global: {{http_config: {OAUTH2}}}, "),
     "alerting.global.http_config.oauth2: not supported"),
    (mail("", f"global: {{{POST}, smtp_tls_config: {{cert: x}}}}, "),
     "alerting.global.smtp_tls_config.cert: not supported"),
    (mail(", tls_config: {cert: x}", f"global: {{{POST}}}, "),
     "alerting.receivers[1].email_configs[0].tls_config.cert: not supported"),
    (mail("", "global: {smtp_smarthost: 'h:mail', smtp_from: a@b.c}, "),
     "alerting.global.smtp_smarthost: write host:port"),
    (mail(", from: nobody", f"global: {{{POST}}}, "),
     "alerting.receivers[1].email_configs[0].from: 'nobody' is not an address"),
    (with_receiver("slack_configs: [{api_url: 'http://x y'}]"),
     "alerting.receivers[1].slack_configs[0].api_url: a URL has no spaces"),
    ("{causes: [{cause: a}]}", "alerting.causes[0].effect: required"),
    (causes("{cause: a, effect: b, score: 7}"), f"{CAUSE}.score: 7 is not of (0, 1]"),
    (causes("{cause: a, effect: b, score: 0}"), f"{CAUSE}.score: 0 is not of (0, 1]"),
    (causes("{cause: a, effect: b, score: x}"), f"{CAUSE}.score: expected a number"),
    (causes("{cause: a, effect: b, reason: 3}"), f"{CAUSE}.reason: expected text"),
    (causes("{cause: a, effect: b, why: c}"), f"{CAUSE}.why: unknown key"),
    (causes("5"), f"{CAUSE}: expected an object, got a number"),
    (causes("leads"), f"{CAUSE}: expected an object, got 'leads'"),
    (causes("~"), f"{CAUSE}: expected an object, got nothing"),
    ("{templates: [bad.tmpl]}", "alerting.templates: {folder}/bad.tmpl: line 2: "),
    ("{templates: ['*.tmpl']}", "alerting.templates: {folder}/bad.tmpl: line 2: "),
    ("{templates: [.]}", "alerting.templates: {folder}: IsADirectoryError"),
    ("{templates: [good.tmpl, '**x']}", "alerting.templates[1]: '{folder}/**x' is no pattern"),
    ("{templates: [/]}", "alerting.templates[0]: '/' is no pattern"),
]  # fmt: skip


@pytest.fixture
def file(tmp_path, monkeypatch):
    """Writes a configuration into a folder where commands are not called."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "bad.tmpl").write_text('{{ define "x" }}\n{{ if }}')
    (folder / "good.tmpl").write_text('{{ define "x" }}{{ .Status }}{{ end }}')
    (folder / "more.tmpl").write_text('{{ define "y" }}{{ range .Alerts }}{{ break }}{{ end }}')

    def written(text):
        path = folder / "heliograph.yaml"
        path.write_text(text)
        return path

    return written


def start(path, tmp_path):
    return wiring.build(load(path, {"data_dir": str(tmp_path / "data")}), SystemClock())


def checked(path):
    return CliRunner().invoke(check_file, [str(path)])


@pytest.mark.parametrize(("alerting", "told"), REFUSED)
def test_what_cannot_be_served_is_refused_by_the_check_and_by_the_start_alike(
    file, tmp_path, alerting, told
):
    path = file(f"alerting: {alerting}\n")
    told = told.replace("{folder}", str(path.parent))

    with pytest.raises(ConfigError) as refused:
        start(path, tmp_path)

    said = checked(path)
    assert str(refused.value).startswith(told)
    assert (said.exit_code, said.output) == (2, f"Error: {path}: {refused.value}\n")


# a file, and how the error begins: what a start once said alone
REFUSED_ELSEWHERE = [
    ("forward: [{url: 'http://x', match: ['a']}]", "forward[0].match[0]: not a matcher"),
    ("forward: [{url: 'http://'}]", "forward[0].url: not a URL"),
    ("forward: [{url: 'http://u:p/w@x'}]", "forward[0].url: not a URL"),
    ("state: {url: 'postgresql+asyncpg://x/y'}", "state.url: postgresql+asyncpg:// is not supported"),
    ("state: {url: 'mysql://x/y'}", "state.url: mysql is not supported"),
    ("state: {url: 'postgresql://h:port/y'}", "state.url: not a database URL"),
    ("state: {url: ''}", "state.url: not a database URL"),
    ("state: {url: 'postgresql://u:p@ss@h/y'}", "state.url: write an @ of the user or the password as %40"),
    ("metrics: {prefix: 'é_'}", "metrics.prefix: 'é_' begins no metric's name"),
    ("metrics: {prefix: 1x}", "metrics.prefix: '1x' begins no metric's name"),
    ("metrics: {prefix: 'a-b'}", "metrics.prefix: 'a-b' begins no metric's name"),
]  # fmt: skip


def test_a_folder_without_a_name_is_none(file):
    path = file("data_dir: ''")
    assert checked(path).output == f"Error: {path}: data_dir: must not be empty\n"


@pytest.mark.parametrize(("text", "told"), REFUSED_ELSEWHERE)
def test_so_is_what_has_nothing_to_do_with_alerts(file, tmp_path, text, told):
    path = file(text)

    with pytest.raises(Unusable) as refused:
        start(path, tmp_path)

    assert str(refused.value).startswith(f"{path}: {told}")
    assert checked(path).output == f"Error: {refused.value}\n"


# YAML that says nothing under a key: it is as if the key were not there
NOTHING = [
    *(f"{section}:" for section in (
        "alerting", "auth", "data_dir", "forward", "limits", "listen", "logs", "metrics", "notify",
        "retention", "samples", "state", "workloads",
    )),
    *(f"alerting: {{{key}: }}" for key in (
        "builtin_rules", "causes", "evaluate_every", "external_url", "global", "inhibit_rules",
        "mute_time_intervals", "receivers", "resolve_after", "route", "templates",
        "time_intervals", "tracing",
    )),
    "samples: {retention: }", "samples: {retention: {raw: }}", "logs: {fields: , patterns: }",
    "auth: {tokens: }", "workloads: {kubernetes: {enabled: }}", "limits: {series: }",
]  # fmt: skip


@pytest.mark.parametrize("text", NOTHING)
def test_a_key_without_a_value_is_not_there(file, text):
    path = file(text)

    assert load(path, {}) == load(file(""), {})
    assert checked(path).output == f"{path}: ok\n"


@pytest.mark.parametrize(
    "text",
    [
        "{route: {receiver: a, routes: , group_by: , matchers: , continue: }, receivers: [{name: a}]}",
        *(
            with_receiver(f"{kind}_configs: ")
            for kind in ("webhook", "email", "slack", "wecom")
        ),
        webhook("{basic_auth: , tls_config: , http_headers: , proxy_url: }"),
        "{inhibit_rules: [{source_matchers: , target_match: , equal: }]}",
        "{time_intervals: [{name: t, time_intervals: [{times: , weekdays: , location: }]}]}",
    ],
)
def test_so_it_is_within_what_alertmanager_reads(file, text):
    assert checked(file(f"alerting: {text}")).output.endswith(": ok\n")


@pytest.mark.parametrize(
    "text",
    [
        with_receiver("webhook_configs: [{url: 'http://x', payload: {a_ref: b, c_file: d}}]"),
        mail(", headers: {X_ref: b}", f"global: {{{POST}}}, "),
        mail("", f"global: {{{POST}, smtp_tls_config: {{ca_file: x}}}}, "),
        "{causes: [{cause: a, effect: b, score: 1}, {cause: b, effect: c}]}",
    ],
)
def test_what_can_be_served_is_taken(file, tmp_path, text):
    path = file(f"alerting: {text}")

    start(path, tmp_path).close()

    assert checked(path).output == f"{path}: ok\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("forward: [{url: }]", "expected str, got null - at $.forward[0].url"),
        ("logs: {fields: {a: }}", "expected str, got null - at $.logs.fields"),
    ],
)
def test_a_value_without_which_nothing_goes_is_missed(file, text, told):
    path = file(text)

    assert checked(path).output.startswith(f"Error: {path}: {told}")


@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_file_that_a_program_wrote_as_json_means_what_it_says(file, ascii_only):
    alerting = {
        "route": {
            "receiver": "on call 🔥",
            "routes": [{"receiver": "on call 🔥", "matchers": ['team="训练🔥"']}],
        },
        "receivers": [
            {
                "name": "on call 🔥",
                "wecom_configs": [{"webhook_url": "http://x/y", "text": "🔥 {{ .Status }}"}],
            }
        ],
    }
    path = file(json.dumps({"alerting": alerting}, ensure_ascii=ascii_only))

    prepared = alert_wiring.prepared(load(path, {}))

    (one,) = prepared.file.receivers["on call 🔥"].integrations
    assert one.settings["text"] == "🔥 {{ .Status }}"
    (matcher,) = prepared.file.tree.file.routes[0].matchers
    assert matcher.matches({"team": "训练🔥"}.get(matcher.name, ""))
    assert checked(path).output == f"{path}: ok\n"


def test_half_a_character_is_an_error_of_its_key(file, tmp_path):
    path = file(r'{"alerting": {"external_url": "http://x/\ud83d"}}')
    told = f"{path}: half a surrogate pair - at $.alerting.external_url"

    with pytest.raises(Unusable, match="half a surrogate pair"):
        start(path, tmp_path)

    assert (checked(path).exit_code, checked(path).output) == (2, f"Error: {told}\n")


RELATIVE = """
alerting:
  global:
    smtp_smarthost: h:25
    smtp_from: a@b.c
    smtp_auth_password_file: mail
    slack_api_url_file: slack
    http_config: {tls_config: {ca_file: ca.pem}}
  templates: ['good.tmpl', '../etc/good.*']
  route: {receiver: a}
  receivers:
  - name: a
    email_configs: [{to: a@b.c, headers: {X_file: word}}]
    slack_configs: [{channel: x}]
    dingtalk_configs: [{webhook_url: 'http://x', secret_file: robot}]
    webhook_configs:
    - url: http://x
      http_config:
        basic_auth: {username: u, password_file: sub/pass}
        http_headers: {X: {files: [head]}}
        tls_config: {cert_file: /abs/cert, key_file: key}
    - url: http://x
      http_config: {authorization: {credentials_file: cred}}
      payload: {a_file: word}
"""


def test_files_are_looked_for_beside_the_configuration(file, tmp_path):
    path = file(RELATIVE)
    for name in ("mail", "slack", "robot", "sub/pass", "head", "cred"):
        (path.parent / name).parent.mkdir(exist_ok=True)
        (path.parent / name).write_text(f"text of {name}\n")

    prepared = alert_wiring.prepared(load(path, {}))

    read = [secret.resolved(one.settings) for one in prepared.file.receivers["a"].integrations]
    mail, slack, robot, basic, bearer = read
    assert prepared.templates.keys() == {
        str(path.parent / "good.tmpl"),
        str(path.parent / "../etc/good.tmpl"),
    }
    assert mail["auth_password"] == "text of mail"
    assert (mail["headers"], bearer["payload"]) == ({"X_File": "word"}, {"a_file": "word"})
    assert slack["api_url"] == "text of slack"
    assert slack["http_config"]["tls_config"] == {"ca_file": str(path.parent / "ca.pem")}
    assert robot["secret"] == "text of robot"
    assert basic["http_config"]["basic_auth"]["password"] == "text of sub/pass"
    assert basic["http_config"]["http_headers"]["X"]["secrets"] == ["text of head"]
    assert basic["http_config"]["tls_config"] == {
        "cert_file": "/abs/cert",
        "key_file": str(path.parent / "key"),
    }
    assert bearer["http_config"]["authorization"]["credentials"] == "text of cred"


def test_a_link_to_the_configuration_has_its_files_beside_the_link(file, tmp_path):
    (tmp_path / "mounted").mkdir()
    link = tmp_path / "mounted" / "heliograph.yaml"
    link.symlink_to(file("alerting: {templates: [here.tmpl]}"))
    (link.parent / "here.tmpl").write_text("")

    assert alert_wiring.prepared(load(link, {})).templates == {
        str(link.parent / "here.tmpl"): ""
    }


def test_without_a_file_they_are_looked_for_in_the_working_directory(
    tmp_path, monkeypatch, file
):
    monkeypatch.setenv("HELIOGRAPH_ALERTING__TEMPLATES", "[x.tmpl]")
    (tmp_path / "elsewhere" / "x.tmpl").write_text("")

    assert list(alert_wiring.prepared(load(None, {})).templates) == [
        str(tmp_path / "elsewhere" / "x.tmpl")
    ]


def test_what_does_nothing_is_told_of(file, tmp_path, caplog):
    path = file(
        "alerting: {templates: ['no/*.tmpl', good.tmpl, '', more.tmpl], receivers: [{name: a}], "
        "route: {receiver: a, labels: {why: b}}}"
    )
    told = [
        f"alerting.templates[0]: '{path.parent}/no/*.tmpl' matches no file",
        "alerting.templates[2]: '' matches no file",
        f"alerting.templates: {path.parent}/more.tmpl: line 1: break is not in the subset",
        "alerting.route.labels: labels of routes do nothing here",
    ]

    with caplog.at_level(logging.WARNING, "heliograph.service.alert_wiring"):
        start(path, tmp_path).close()

    assert [one.why for one in caplog.records if one.name.endswith("alert_wiring")] == told
    said = checked(path)
    assert (said.exit_code, said.stdout) == (0, f"{path}: ok\n")
    assert said.stderr == "".join(f"{path}: warning: {one}\n" for one in told)


SECRETS = """
state: {url: 'postgresql://me:SECRET@db/x?sslmode=require&password=SECRET'}
samples: {backend: prometheus, write_url: 'http://me:SECRET@vm/w', query_url: 'http://vm/q?access_token=SECRET&a=b'}
forward:
- {url: 'https://vm/w?api_key=SECRET'}
- {url: 'https://vm/w?passwd=SECRET&pwd=SECRET&k=SECRET#t=SECRET', match: ['a="b"']}
- {url: 'https://vm/in/SECRETSECRET/w?SECRET'}
alerting:
  external_url: https://ops.example/heliograph?code=SECRET
  tracing: {endpoint: 'x:4317', headers: {X: SECRET}}
  global:
    smtp_smarthost: h:25
    smtp_from: a@b.c
    smtp_auth_username: me
    smtp_auth_password: SECRET
    smtp_auth_secret: 5378008
    slack_api_url: https://hooks/SECRET
    pagerduty_url: https://p/SECRET
    opsgenie_api_key: SECRET
    http_config: {basic_auth: {username: me, password: SECRET}}
  route: {receiver: a, routes: [{match: {key: shown}}]}
  receivers:
  - name: a
    email_configs: [{to: a@b.c, auth_password: SECRET, auth_identity: SECRET, headers: {X: SECRET}}]
    slack_configs: [{channel: x, app_token: SECRET}, {channel: x, api_url: 'https://hooks/SECRET'}]
    dingtalk_configs: [{webhook_url: 'https://d/robot?access_token=SECRET', secret: SECRET}]
    wecom_configs: [{webhook_url: 'https://w/send?key=SECRET'}]
    webhook_configs:
    - {url: 'https://SECRET', http_config: {authorization: {credentials: SECRET}}, headers: {X-K: SECRET}}
    - {url_file: hook, http_config: {bearer_token: SECRET, http_headers: {X: {secrets: [SECRET]}}}}
    alertmanager_configs: [{url: ['https://a:SECRET@x', 'https://SECRET']}]
"""


def test_what_is_shown_has_no_secrets(file):
    path = file(SECRETS)

    text = CliRunner().invoke(show, [str(path)]).output

    shown = yaml.safe_load(text)
    assert "SECRET" not in text
    assert "5378008" not in text
    assert (
        shown["state"]["url"]
        == "postgresql://me:<secret>@db/x?sslmode=<secret>&password=<secret>"
    )
    assert shown["samples"]["query_url"] == "http://vm/q?access_token=<secret>&a=<secret>"
    assert [one["url"] for one in shown["forward"]][1:] == [
        "https://vm/w?passwd=<secret>&pwd=<secret>&k=<secret>#t=<secret>",
        "https://vm/in/<secret>/w?<secret>",
    ]
    alerting = shown["alerting"]
    assert alerting["external_url"] == "https://ops.example/heliograph?code=<secret>"
    assert alerting["global"]["smtp_smarthost"] == "h:25"
    assert alerting["global"]["http_config"]["basic_auth"] == {
        "username": "me",
        "password": "<secret>",
    }
    assert alerting["route"]["routes"] == [{"match": {"key": "shown"}}]
    one = alerting["receivers"][0]
    assert one["webhook_configs"][1]["url_file"] == str(path.parent / "hook")
    assert one["slack_configs"][0] == {"channel": "x", "app_token": "<secret>"}


@pytest.mark.parametrize(
    ("url", "shown_as"),
    [
        ("postgresql+psycopg://u:pa/ss@db/h", "postgresql+psycopg://u:<secret>@db/h"),
        ("postgresql://u:p@ss@db/h", "postgresql://u:<secret>@db/h"),
        ("https://tok3n@prom/w", "https://<secret>@prom/w"),
        ("https://prom/w?a=b&sig=abc", "https://prom/w?a=<secret>&sig=<secret>"),
        ("https://prom/w?a=b=c;d=e", "https://prom/w?a=<secret>;d=<secret>"),
        ("https://prom/w?abc", "https://prom/w?<secret>"),
        ("https://prom?abc=d", "https://prom?abc=<secret>"),
        ("https://u:p?w@prom/w", "https://u:<secret>@prom/w"),
        ("https://prom/api/v1/write/", "https://prom/api/v1/write/"),
        ("https://prom/T0K3NT0K/write", "https://prom/<secret>/write"),
        ("https://prom/write/T0K3NT0K?a=b", "https://prom/write/<secret>?a=<secret>"),
        ("sqlite:////var/lib/heliograph.db", "sqlite:////var/lib/heliograph.db"),
        ("postgresql://db/heliograph", "postgresql://db/heliograph"),
        (r"see https?://\S+/workspaces", r"see https?://\S+/workspaces"),
        ("https://prom:9090/w", "https://prom:9090/w"),
        ("me@example.com", "me@example.com"),
    ],
)
def test_what_is_secret_in_a_url_is_not_shown(url, shown_as):
    assert _masked({"a": [url]}) == {"a": [shown_as]}


@pytest.mark.parametrize(
    ("url", "shown_as"),
    [
        ("postgresql+psycopg://u:pa ss@db/h", "postgresql+psycopg://u:<secret>@db/h"),
        ("https://us er:top secret@vm/x", "https://us er:<secret>@vm/x"),
        ("https://vm/w?token=a b", "https://vm/w?token=<secret>"),
        ("https://u:a\n/b c@vm/w", "https://u:<secret>@vm/w"),
        ("https://vm/a secret here/w", "https://vm/<secret>/w"),
        ("https://prom:9090/w", "https://prom:9090/w"),
    ],
)
def test_nor_where_it_has_spaces(url, shown_as):
    for key in ("url", "write_url"):
        assert _masked({key: url}) == {key: shown_as}


# a variable, its value, what the file says, and how the error begins
GIVEN = [
    ("LIMITS__SERIES", "0", "", "HELIOGRAPH_LIMITS__SERIES: limits.series: must be"),
    ("LIMITS__SERIES", "1", "limits: {pods: 0}", "{path}: limits.pods: must be"),
    ("LISTEN", "x", "", "HELIOGRAPH_LISTEN: listen: 'x' is not HOST:PORT"),
    ("LIMITS", "{series: 0}", "", "HELIOGRAPH_LIMITS: limits.series: must be"),
    ("FORWARD", "[{url: x}]", "", "HELIOGRAPH_FORWARD: forward[0].url: not a URL"),
    ("ALERTING__CAUSES", "[5]", "", "HELIOGRAPH_ALERTING__CAUSES: alerting.causes[0]: expected"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "text", "told"), GIVEN)
def test_an_error_of_a_value_names_where_it_was_given(
    file, monkeypatch, name, value, text, told
):
    monkeypatch.setenv(f"HELIOGRAPH_{name}", value)
    path = file(text)

    assert checked(path).output.startswith(f"Error: {told.replace('{path}', str(path))}")


def test_so_does_one_of_a_flag(file, monkeypatch):
    monkeypatch.setenv("HELIOGRAPH_LISTEN", "127.0.0.1:1")
    with pytest.raises(Unusable, match="^command line: listen: 'x' is not"):
        load(file(""), {"listen": "x"})


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("LIMITS_SERIES", "; write HELIOGRAPH_LIMITS__SERIES"),
        ("FOO", ""),
        ("TOKEN", None),
        ("SERVICE_HOST", None),
        ("PORT_8989_TCP_ADDR", None),
        ("DB_SERVICE_PORT_PG", None),
        ("DB_PORT", None),
        ("DB_PORT_5432_TCP", None),
        ("DB_SUPPORT", ""),
    ],
)
def test_a_variable_that_is_no_key_is_told_of(file, monkeypatch, name, told):
    monkeypatch.setenv(f"HELIOGRAPH_{name}", "5")
    said = checked(file(""))

    warning = f"warning: HELIOGRAPH_{name} is no key of the configuration{told}\n"
    assert (said.exit_code, said.stderr) == (0, warning if told is not None else "")


def test_so_is_another_store_that_is_not_asked_for(file):
    said = checked(file("samples: {write_url: 'http://x/w'}"))

    told = "samples.write_url does nothing: samples.backend is embedded"
    assert (said.exit_code, said.stderr) == (0, f"warning: {told}\n")
