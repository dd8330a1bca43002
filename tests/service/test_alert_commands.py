"""`heliograph alerts|silence|rules` against a running service: what they say, and to wrong input."""

import json

import pytest
from click.testing import CliRunner

from heliograph.alert.rules.trial_inputs import INPUTS_MAX
from heliograph.cli.alerts import alerts
from heliograph.cli.rules import LINES_MAX, rules
from heliograph.cli.silence import silence
from tests.notify.fakes import Provider, Reply
from tests.service.alert_site import GPU_MEMORY, OOM, RULE, SILENCE
from tests.service.live import until
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
    assert [line.split()[:2] for line in counted[1:-1]] == [["critical", "1"], ["warning", "1"]]
    assert counted[-1] == "2 of 2"


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


def test_an_error_names_its_field_once(told, tmp_path):
    file = tmp_path / "rule.json"
    file.write_text(json.dumps({**RULE, "name": "No", "rule_config": {"pattern": "("}}))
    said = asked(told, rules, "add", str(file)).output
    assert said.count("rule_config.pattern: ") == 1, said


@pytest.mark.parametrize(
    ("command", "arguments", "words"),
    [
        (alerts, ("show", "nope"), "404: "),
        # What is typed leads nowhere else.
        (alerts, ("show", "../silences"), "404: "),
        (alerts, ("show", "..?x"), "404: "),
        (alerts, ("list", "--limit", "0"), "--limit"),
        (alerts, ("statistics", "--group-by", "colour"), "400: group_by: 'colour' is not"),
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


def names(site):
    return {
        one["name"]
        for one in json.loads(asked(site, rules, "list", "--json").stdout)["items"]
        if not one["builtin"]
    }


def test_an_alert_says_what_its_channel_answered(tmp_path):
    with Provider(lambda _: Reply(400, "no such label")) as hook:
        route = {"receiver": "r", "group_wait": "0s", "group_interval": "1s"}
        receivers = [{"name": "r", "webhook_configs": [{"url": f"{hook.url}/x"}]}]
        alerting = {"route": route, "receivers": receivers}
        with running(tmp_path / "data", alerting=alerting) as site:
            assert site.post("/v1/alerts/metric", [GPU_MEMORY]).status == 200
            (one,) = json.loads(asked(site, alerts, "list", "--json").stdout)["items"]
            said = "dead refused: HTTP 400: no such label"

            def shown():
                return " ".join(asked(site, alerts, "show", one["id"]).stdout.split())

            until(lambda: said in shown(), "the answer is shown")


def test_of_a_list_with_a_wrong_rule_none_is_made_and_the_wrong_ones_are_named(told, tmp_path):
    file = tmp_path / "rules.json"
    good = [{**RULE, "name": name} for name in ("One", "Two")]
    wrong = {**RULE, "name": "Bad", "severity": 7}
    unnamed = {key: value for key, value in RULE.items() if key != "name"}
    file.write_text(json.dumps([good[0], wrong, good[1], unnamed]))
    before = names(told)
    done = asked(told, rules, "add", str(file))
    assert (done.exit_code, done.stdout) == (1, "")
    assert "none is made" in done.stderr
    assert "rule 2 (Bad): 400: " in done.stderr
    assert "rule 4 (without a name): 400: " in done.stderr
    assert "One" not in done.stderr
    assert names(told) == before


def test_what_is_refused_though_it_is_right_is_named_and_the_rest_is_made(told, tmp_path):
    file = tmp_path / "rules.json"
    file.write_text(json.dumps([{**RULE, "name": name} for name in ("Three", "Three", "Four")]))
    done = asked(told, rules, "add", str(file))
    assert done.exit_code == 1
    assert [line.split("  ")[1] for line in done.stdout.splitlines()] == ["Three", "Four"]
    assert "rule 2 (Three): 409: " in done.stderr
    assert "1 of 3 not made" in done.stderr


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("{0}", "A"),
        ("{0}\n---\n{1}\n", "AB"),
        ("# both\n---\n{0}\n---\n- {1}\n- {2}\n---\n", "ABC"),
        ("%YAML 1.2\n---\n{0}\n...\n--- # another\n{1}", "AB"),
    ],
)
def test_a_file_may_hold_several_documents(told, tmp_path, text, wanted):
    file = tmp_path / "rules.yaml"
    file.write_text(text.format(*(json.dumps({**RULE, "name": name}) for name in "ABC")))
    tried = lines(asked(told, rules, "test", str(file), given="NCCL error\n" * 3))
    assert [line[0] for line in tried if line.endswith(": 1 alerts")] == list(wanted)


def test_an_error_of_a_later_document_names_its_own_line(told, tmp_path):
    file = tmp_path / "rules.yaml"
    file.write_text("name: A\n---\nname: B\nsource: [\n")
    done = asked(told, rules, "add", str(file))
    assert (done.exit_code, "line 5" in done.stderr) == (1, True), done.stderr


@pytest.mark.parametrize("command", [rules, silence])
def test_an_unknown_id_does_not_keep_the_rest_from_being_done(told, tmp_path, command):
    if command is rules:
        file = tmp_path / "rules.json"
        file.write_text(json.dumps([{**RULE, "name": "Gone soon"}]))
        (made,) = lines(asked(told, rules, "add", str(file)))
        verb, done_verb = "delete", "deleted"
    else:
        (made,) = lines(asked(told, silence, "add", 'a="b"', "--comment", "x"))
        verb, done_verb = "expire", "expired"
    found = made.split("  ")[0]
    done = asked(told, command, verb, "nope", found, "neither")
    assert (done.exit_code, done.stdout.splitlines()) == (1, [f"{done_verb} {found}"])
    assert "nope: 404: " in done.stderr
    assert "neither: 404: " in done.stderr
    assert f"2 of 3 not {done_verb}" in done.stderr


def test_of_a_long_log_the_end_is_tried_and_a_warning_says_so(told, tmp_path):
    file = tmp_path / "rules.json"
    file.write_text(json.dumps({**RULE, "name": "Long"}))
    assert LINES_MAX == INPUTS_MAX
    error, noise = "NCCL error\n" * 3, "fine\n" * (INPUTS_MAX - 3)
    for given, fired, warns in (
        (noise + error, 1, False),
        (noise + "fine\n" * 5000 + error, 1, True),
        (error + noise + error[:-1], 1, True),
        (error + noise + "fine\n" * 3, 0, True),
    ):
        done = asked(told, rules, "test", str(file), given=given)
        assert lines(done)[0] == f"Long: {fired} alerts"
        warned = f"warning: {given.count(chr(10)) + (given[-1:] != chr(10))} lines, of which"
        assert (warned in done.stderr) is warns, done.stderr
    assert f"{INPUTS_MAX:,}" in asked(told, rules, "test", "--help").stdout


def test_a_rule_that_is_given_nothing_it_looks_at_is_warned_of(told, tmp_path):
    file = tmp_path / "rule.json"
    threshold = {"metric": "m", "agg": "last", "op": ">", "value": 1, "window": "1m"}
    file.write_text(
        json.dumps(
            {
                "name": "M",
                "source": "metric",
                "rule_type": "threshold",
                "rule_config": threshold,
            }
        )
    )
    done = asked(told, rules, "test", str(file), given="a line\n")
    assert (done.exit_code, done.stdout) == (0, "M: 0 alerts\n")
    assert done.stderr.startswith("warning: rule 1 (M): ")


def test_a_list_longer_than_a_page_is_whole(told):
    made = [
        told.post("/v1/silences", {**SILENCE, "comment": str(n)}).json()["silence_id"]
        for n in range(60)
    ]
    listed = asked(told, silence, "list")
    assert lines(listed)[-1] == "60 of 60"
    assert {line.split()[0] for line in lines(listed)[1:-1]} == set(made)
    assert len(json.loads(asked(told, silence, "list", "--json").stdout)["items"]) == 60
    assert lines(asked(told, silence, "expire", *made))[-1] == f"expired {made[-1]}"
    assert json.loads(asked(told, rules, "list", "--json").stdout)["total"] > 10
