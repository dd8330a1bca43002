"""Commands where something else than Heliograph answers, or their own input cannot be sent."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import pytest
from click.testing import CliRunner

from heliograph.cli.client import TOKEN_VARIABLE, address
from heliograph.cli.main import main

RULE = {"name": "R", "source": "log", "rule_type": "pattern", "rule_config": {"pattern": "x"}}
EVENT = {"event_type": "sample", "timestamp_ns": 1, "rank": 0}


@contextmanager
def answering(status, body, headers=()):
    """A server that answers all alike, or *body* of the path; yields its URL and what it was asked."""
    asked = []

    class Any(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked.append((self.command, self.path))
            said = body(self.path) if callable(body) else body
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_POST = do_DELETE = answer  # noqa: N815 - its base's names

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Any)
    server.daemon_threads = True
    threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
    ).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def files(tmp_path):
    (tmp_path / "rule.json").write_text(json.dumps(RULE))
    (tmp_path / "events.jsonl").write_text(json.dumps(EVENT) + "\n")
    return tmp_path


def run(url, files, text, **options):
    words = [str(files / word[1:]) if word.startswith("@") else word for word in text.split()]
    done = CliRunner().invoke(main, words, env={"HELIOGRAPH_URL": url}, input="x\n", **options)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


COMMANDS = [
    "alerts list", "alerts list --json", "alerts show x", "alerts show x --json",
    "alerts statistics", "silence list", "silence add a=b --comment c", "silence expire x",
    "rules list", "rules add @rule.json", "rules test @rule.json", "rules delete x", "workloads",
    "records", "records --plot", "import @events.jsonl",
]  # fmt: skip
STRANGE = {
    "moved": (301, b"", [("Location", "https://sso.example/login?state=SECRET")]),
    "moved for a while": (302, b""),
    "moved with the method": (308, b""),
    "an empty answer": (200, b""),
    "an object": (200, b"{}"),
    "a list": (200, b"[]"),
    "null": (200, b"null"),
    "a page": (200, b"<html>welcome</html>"),
    "a list of others": (200, b'{"items": [{}, 7], "total": 2}'),
    "a list of nothing": (200, b'{"items": null, "total": 0}'),
    "brackets": (200, b"[" * 100_000),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("strange", STRANGE)
def test_what_is_no_answer_of_ours_is_an_error_in_words(files, command, strange):
    with answering(*STRANGE[strange]) as (url, asked):
        done = run(url, files, command)

    assert done.exit_code == 1, done.output
    assert "what answers there is no Heliograph" in done.stderr
    assert "SECRET" not in done.output
    assert asked
    for word in ("expired", "deleted", "matches", "taken"):
        assert word not in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_at_all_is_an_answer_only_where_something_is_removed(files, command):
    with answering(204, b"") as (url, _):
        done = run(url, files, command)

    removes = command in {"silence expire x", "rules delete x"}
    assert done.exit_code == (0 if removes else 1)
    assert ("no Heliograph" in done.stderr) is not removes


def test_a_redirect_says_where_it_leads(files):
    with answering(*STRANGE["moved"]) as (url, _):
        said = run(url, files, "silence expire x").stderr

    assert "(it said 301, which leads to https://sso.example/login)" in said


@pytest.mark.parametrize(
    "body", [b"", b"no", b"[]", b'{"detail": 7, "errors": [{"field": 1, "message": 2}]}']
)
def test_an_error_of_a_stranger_is_an_error_in_words(files, body):
    with answering(502, body) as (url, _):
        done = run(url, files, "alerts list")
    assert (done.exit_code, done.stderr[:12]) == (1, "Error: 502: ")


@pytest.mark.parametrize("command", ["alerts list", "silence expire x", "import @events.jsonl"])
@pytest.mark.parametrize("token", ["hg_viewer_SECRET\r", "SECRETé", "SECRET\n", "SECRET\x7f"])
def test_a_token_that_no_header_can_carry_is_not_shown(files, monkeypatch, command, token):
    monkeypatch.setenv(TOKEN_VARIABLE, token)
    with answering(204, b"") as (url, asked):
        done = run(url, files, command)

    assert (done.exit_code, asked) == (1, [])
    place = len(token)
    assert f"{TOKEN_VARIABLE}: character {place} of {place} is none of a token's" in done.stderr
    assert "SECRET" not in done.output


@pytest.mark.parametrize("url", ["http://x\r", "http://[::1", "nope", "http://é..com", ""])
def test_an_address_that_is_none_is_an_error_in_words(files, url):
    done = CliRunner().invoke(main, ["alerts", "list", "--url", url])
    assert (done.exit_code, done.stderr[:7]) == (1, "Error: ")


@pytest.mark.parametrize("command", ["alerts list", "records", "import @events.jsonl"])
def test_who_is_not_known_is_told_where_the_token_is_looked_for(files, command):
    with answering(401, b'{"detail": "a token is needed"}') as (url, _):
        said = run(url, files, command).stderr
    assert (
        f"401: a token is needed (its token comes from the environment, {TOKEN_VARIABLE})"
        in said
    )


@pytest.mark.parametrize(
    "command", ["alerts list", "rules add", "silence list", "records", "import"]
)
def test_the_help_of_a_command_names_the_variables(files, command):
    said = run("", files, f"{command} --help").stdout
    assert "HELIOGRAPH_URL" in said
    assert TOKEN_VARIABLE in said


def test_a_password_in_the_address_is_not_shown(files):
    assert address("http://u:SECRET@h/x@y") == "http://<secret>@h/x@y"
    done = run("http://u:SECRET@127.0.0.1:1", files, "alerts list")
    assert (done.exit_code, "SECRET" in done.output) == (1, False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("value: .inf", "rule_config.value: inf is no number of JSON"),
        ("value: .nan", "rule_config.value: nan is no number of JSON"),
        ("value: 1e999", "rule_config.value: inf is no number of JSON"),
        ("value: [1, -1e999]", "rule_config.value[1]: -inf is no number of JSON"),
        ("value: !!timestamp 2026-01-01", "rule_config.value: a date is no value of JSON"),
        (r'value: "\ud83d"', "rule_config.value: not valid Unicode"),
    ],
)
@pytest.mark.parametrize("command", ["rules add @rule.yaml", "rules test @rule.yaml"])
def test_a_file_that_no_request_can_carry_is_refused_by_the_name_of_its_field(
    files, command, text, said
):
    (files / "rule.yaml").write_text(f"name: R\nsource: metric\nrule_config:\n  {text}\n")
    with answering(200, b"{}") as (url, asked):
        done = run(url, files, command)

    assert (done.exit_code, asked) == (1, [])
    assert said in done.stderr


def test_the_rule_of_several_that_cannot_be_sent_is_named(files):
    (files / "rule.yaml").write_text("- {name: A}\n- {name: B, rule_config: {value: .inf}}\n")
    done = run("http://127.0.0.1:1", files, "rules add @rule.yaml")
    assert "rule.yaml: rule 2: rule_config.value: inf is no number of JSON" in done.stderr


@pytest.mark.parametrize(
    ("command", "field"),
    [
        ("silence add a=b --comment x\udcff", "comment: "),
        ("silence add a=x\udcff --comment x", "matchers[0].value: "),
        ("alerts list --pod x\udcff", "pod_name: "),
    ],
)
def test_what_is_typed_and_is_no_text_is_refused_by_its_name(files, command, field):
    with answering(200, b"{}") as (url, asked):
        done = run(url, files, command)
    assert (done.exit_code, asked) == (1, [])
    assert f"Error: {field}not valid Unicode" in done.stderr


@pytest.mark.parametrize("command", ["alerts list --source x", "rules list --source webhook"])
def test_a_source_that_there_is_not_is_refused(files, command):
    with answering(200, b'{"items": [], "total": 0}') as (url, asked):
        done = run(url, files, command)
    assert (done.exit_code, asked) == (2, [])
    assert "'--source'" in done.stderr


def test_statistics_of_many_groups_are_whole_and_their_means_short(files):
    groups = [
        {
            "group": {"alert_name": f"A{number}"},
            "firing_count": 2,
            "resolved_count": 1,
            "avg_duration_seconds": 471.65225298400003,
        }
        for number in range(83)
    ]

    def page(path):
        offset = int(dict(parse_qsl(urlsplit(path).query)).get("offset", 0))
        return json.dumps({"items": groups[offset : offset + 50], "total": 83}).encode()

    with answering(200, page) as (url, _):
        said = run(url, files, "alerts statistics --group-by alert_name").stdout.splitlines()

    assert [line.split() for line in said[1:-1]] == [
        [f"A{number}", "2", "1", "471.652"] for number in range(83)
    ]
    assert said[-1] == "83 of 83"
