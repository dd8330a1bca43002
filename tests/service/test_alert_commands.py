"""`heliograph alerts|silence|rules` against a running service: what they say, and to wrong input."""

import json

import pytest
from click.testing import CliRunner

from heliograph.cli.alerts import alerts
from heliograph.cli.rules import rules
from heliograph.cli.silence import silence
from tests.service.alert_site import GPU_MEMORY, OOM, RULE
from tests.service.running import running


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A service with two alerts."""
    with running(tmp_path_factory.mktemp("commands") / "data") as site:
        assert site.post("/v1/alerts/log", OOM).status == 201
        assert site.post("/v1/alerts/metric", [GPU_MEMORY]).status == 200
        yield site
        site.assert_sound()


def asked(site, command, *arguments, given=None):
    url = f"http://127.0.0.1:{site.port}"
    done = CliRunner().invoke(
        command, [arguments[0], "--url", url, *arguments[1:]], input=given
    )
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done


def lines(done):
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines()


def test_alerts_are_listed_shown_and_counted(told):
    said = lines(asked(told, alerts, "list", "--severity", "critical"))
    assert said[-1] == "1 of 1"
    assert "OOMDetected" in said[1]
    (one,) = json.loads(
        asked(told, alerts, "list", "--name", "GPUMemoryHigh", "--json").stdout
    )["items"]
    shown = lines(asked(told, alerts, "show", one["id"]))
    assert shown[0] == "GPUMemoryHigh  firing  warning"
    assert "  label node: gpu-node-01" in shown
    whole = json.loads(asked(told, alerts, "show", one["id"], "--json").stdout)
    assert (whole["id"], "correlations" in whole) == (one["id"], True)
    counted = lines(asked(told, alerts, "statistics", "--group-by", "severity"))
    assert [line.split()[:2] for line in counted[1:]] == [["critical", "1"], ["warning", "1"]]


def test_a_silence_is_made_listed_and_ended(told):
    made = lines(
        asked(
            told,
            silence,
            "add",
            'alertname="GPUMemoryHigh"',
            'node=~"gpu-.*"',
            "--comment",
            "fans",
        )
    )
    silence_id, said = made[0].split("  ")
    assert said == "matches 1 alerts now"
    (line, count) = lines(asked(told, silence, "list"))[1:]
    assert (line.split()[:2], count) == ([silence_id, "active"], "1 of 1")
    assert lines(asked(told, silence, "expire", silence_id)) == [f"expired {silence_id}"]
    assert lines(asked(told, silence, "list"))[-1] == "0 of 0"


def test_rules_are_added_tried_listed_and_deleted(told, tmp_path):
    file = tmp_path / "rules.json"
    file.write_text(json.dumps([{**RULE, "name": "Mine"}]))
    (made,) = lines(asked(told, rules, "add", str(file)))
    rule_id, name = made.split("  ")
    assert name == "Mine"
    tried = lines(asked(told, rules, "test", str(file), given="NCCL error\n" * 3))
    assert tried[0] == "Mine: 1 alerts"
    listed = lines(asked(told, rules, "list", "--source", "log"))
    assert any(line.split()[0] == "Mine" for line in listed)
    assert listed[-1] == f"{len(listed) - 2} of {len(listed) - 2}"
    assert lines(asked(told, rules, "delete", rule_id)) == [f"deleted {rule_id}"]


@pytest.mark.parametrize(
    ("command", "arguments", "words"),
    [
        (alerts, ("show", "nope"), "404: "),
        # What is typed leads nowhere else.
        (alerts, ("show", "../silences"), "404: "),
        (alerts, ("show", "..?x"), "404: "),
        (alerts, ("list", "--limit", "0"), "--limit"),
        (alerts, ("statistics", "--group-by", "colour"), "400: group_by"),
        (alerts, ("statistics", "--from", "yesterday"), "400: date_from"),
        (silence, ("expire", "nope"), "404: "),
        (silence, ("expire", "../alert-rules/x"), "404: "),
        (silence, ("add", "no matcher", "--comment", "x"), "not a matcher: 'no matcher'"),
        (silence, ("add", 'a=~"("', "--comment", "x"), "not a regular expression"),
        (silence, ("add", 'a="b"', "--for", "soon", "--comment", "x"), "soon"),
        (rules, ("delete", "nope"), "404: "),
        (rules, ("delete", "x/../../silences/x"), "404: "),
    ],
)
def test_wrong_input_is_answered_in_words(told, command, arguments, words):
    done = asked(told, command, *arguments)
    assert done.exit_code != 0
    assert words in done.output


def test_a_file_that_is_no_rule_is_answered_in_words(told, tmp_path):
    file = tmp_path / "rules.yaml"
    for text, words in (("7", "not a rule"), ("{name: x}", "400: "), ("a: [", "rules.yaml")):
        file.write_text(text)
        done = asked(told, rules, "add", str(file))
        assert (done.exit_code, words in done.output) == (1, True), done.output
