"""Inhibition: what is not told because something else explains it."""

import json
import random

import pytest

from heliograph.alert import inhibition
from heliograph.alert.config import configuration
from heliograph.alert.inhibition import Inhibitor
from heliograph.core.clock import SystemClock
from heliograph.core.errors import ConfigError


def inhibitor(*rules):
    return Inhibitor(configuration.parse({"inhibit_rules": list(rules)}).inhibitions)


def test_alertmanagers_table(shared_data):
    cases = json.loads((shared_data / "tables" / "am_inhibit_rules.json").read_text())["cases"]
    for case in cases:
        found = inhibitor(*case["rules"])
        for number, labels in enumerate(case["active"]):
            found.update(f"source-{number}", labels, True)
        assert bool(found.inhibited_by(case["target"], "target")) is case["muted"], case
    assert len(cases) == 19


CRITICAL = {
    "source_matchers": ['severity="critical"'],
    "target_matchers": ['severity="warning"'],
}
ON_A_NODE = {**CRITICAL, "equal": ["node"]}
SOURCE, TARGET = {"severity": "critical", "node": "n1"}, {"severity": "warning", "node": "n1"}


def test_only_while_the_source_fires():
    found = inhibitor(ON_A_NODE)
    assert found.inhibited_by(TARGET, "t") == ()
    found.update("s", SOURCE, True)
    assert found.inhibited_by(TARGET, "t") == ("s",)
    assert found.inhibited_by({**TARGET, "node": "n2"}, "t") == ()
    found.update("s", SOURCE, False)
    assert found.inhibited_by(TARGET, "t") == ()


def test_news_of_a_source_is_taken_whole():
    found = inhibitor(ON_A_NODE)
    for _ in range(2):
        found.update("s", SOURCE, True)
    found.update("s", {**SOURCE, "node": "n2"}, True)
    assert found.inhibited_by(TARGET, "t") == ()
    assert found.inhibited_by({**TARGET, "node": "n2"}, "t") == ("s",)
    found.update("s", {**SOURCE, "severity": "info"}, True)
    assert found.inhibited_by({**TARGET, "node": "n2"}, "t") == ()
    found.update("never seen", SOURCE, False)
    assert found._places == {}


def test_the_next_source_takes_over():
    found = inhibitor(CRITICAL)
    for name in ("s1", "s2"):
        found.update(name, SOURCE, True)
    assert found.inhibited_by(TARGET, "t") == ("s1",)
    found.update("s1", SOURCE, False)
    assert found.inhibited_by(TARGET, "t") == ("s2",)


def test_every_rule_that_inhibits_is_named_once():
    found = inhibitor(ON_A_NODE, CRITICAL, {**CRITICAL, "equal": ["rack"]})
    found.update("other node", {**SOURCE, "node": "n2"}, True)
    found.update("same node", SOURCE, True)
    assert found.inhibited_by(TARGET, "t") == ("same node", "other node")


BOTH = {"source_matchers": ['a="1"'], "target_matchers": ['b="1"'], "equal": ["e"]}


def test_what_is_both_does_not_inhibit_what_is_both():
    found = inhibitor(BOTH)
    found.update("x", {"a": "1", "b": "1"}, True)
    assert found.inhibited_by({"a": "1", "b": "1"}, "x") == ()
    assert found.inhibited_by({"a": "1", "b": "1", "c": "1"}, "y") == ()
    # but it inhibits a mere target, and a mere source inhibits it
    assert found.inhibited_by({"b": "1"}, "y") == ("x",)
    found.update("z", {"a": "1"}, True)
    assert found.inhibited_by({"a": "1", "b": "1"}, "x") == ("z",)


def test_missing_is_empty():
    found = inhibitor(ON_A_NODE)
    found.update("s", {"severity": "critical"}, True)
    assert found.inhibited_by({"severity": "warning", "node": ""}, "t") == ("s",)
    assert found.inhibited_by({"severity": "warning"}, "t") == ("s",)
    assert found.inhibited_by(TARGET, "t") == ()


def test_several_sources_are_all_needed():
    found = inhibitor(
        {
            "sources": [
                {"matchers": ['alertname="NodeDown"'], "equal": ["node"]},
                {"matchers": ['alertname="Maintenance"']},
            ],
            "target_matchers": ['severity="warning"'],
        }
    )
    found.update("down", {"alertname": "NodeDown", "node": "n1"}, True)
    assert found.inhibited_by(TARGET, "t") == ()
    found.update("maintenance", {"alertname": "Maintenance"}, True)
    assert found.inhibited_by(TARGET, "t") == ("down", "maintenance")
    assert found.inhibited_by({**TARGET, "node": "n2"}, "t") == ()


def test_a_rule_of_nothing_inhibits_what_is_not_both():
    # Alertmanager takes a rule without matchers: everything is source and target, so nothing is
    # inhibited.
    found = inhibitor({})
    found.update("s", SOURCE, True)
    assert found.inhibited_by(TARGET, "t") == ()


WRONG = [
    ({"sources": [{"matchers": ["a=b"]}], "equal": ["c"]}, "inhibit_rules[0].sources"),
    ({"sources": [{"matchers": ["a=~'.*'"]}], "source_match": {"a": "b"}}, "sources"),
    ({"sources": [{"matchers": ['a=~".*"']}]}, "inhibit_rules[0].sources[0].matchers"),
    ({"sources": [{}]}, "inhibit_rules[0].sources[0].matchers"),
    ({"source_match": {"a-b": "c"}}, "invalid label name 'a-b'"),
    ({"source_match_re": {"a": "("}}, "source_match_re.a: not a regular expression"),
    ({"equal": "a"}, "inhibit_rules[0].equal: expected a list"),
    ({"equal": ["a", ""]}, "inhibit_rules[0].equal: a label name is empty"),
    ({"equals": ["a"]}, "unknown key equals"),
    ("a", "inhibit_rules[0]: expected a mapping"),
]


@pytest.mark.parametrize(("rule", "named"), WRONG)
def test_what_is_no_rule(rule, named):
    with pytest.raises(ConfigError) as caught:
        inhibitor(rule)
    assert named in str(caught.value)


def plain(rules, firing, target_id, target):
    """Whether *target* is inhibited, by the words of the rules alone."""

    def all_match(matchers, labels):
        return all(m.matches(labels.get(m.name, "")) for m in matchers)

    for rule in rules:
        if not all_match(rule.targets, target):
            continue
        needed = [
            any(
                all_match(source.matchers, labels)
                and one != target_id
                and not (all_match(source.matchers, target) and all_match(rule.targets, labels))
                and all(labels.get(n, "") == target.get(n, "") for n in source.equal)
                for one, labels in firing.items()
            )
            for source in rule.sources
        ]
        if all(needed):
            return True
    return False


@pytest.mark.parametrize("seed", range(12))
def test_a_random_history_agrees_with_the_plain_rule(seed):
    rng = random.Random(seed)
    names, values = ["a", "b", "e"], ["1", "2", ""]

    def matcher():
        return f'{rng.choice(names)}{rng.choice(["=", "!=", "=~"])}"{rng.choice(values)}"'

    rules = configuration.parse(
        {
            "inhibit_rules": [
                {
                    "source_matchers": [matcher() for _ in range(rng.randint(1, 2))],
                    "target_matchers": [matcher()],
                    "equal": rng.sample(names, rng.randint(0, 2)),
                }
                for _ in range(3)
            ]
        }
    ).inhibitions
    found, firing = Inhibitor(rules), {}
    for _ in range(150):
        one = f"alert-{rng.randrange(8)}"
        labels = {name: rng.choice(values) for name in rng.sample(names, rng.randint(0, 3))}
        if rng.random() < 0.6:
            firing[one] = labels
            found.update(one, labels, True)
        else:
            found.update(one, firing.pop(one, labels), False)
        target = {name: rng.choice(values) for name in names}
        inhibitors = found.inhibited_by(target, "target")
        assert bool(inhibitors) is plain(rules, firing, "target", target)
        assert set(inhibitors) <= set(firing)


def test_nothing_grows_with_what_was(monkeypatch):
    monkeypatch.setattr(inhibition, "CACHE_MAX", 10)
    found = inhibitor(ON_A_NODE, {**CRITICAL, "source_matchers": ['pod=~"p.*"']})
    for number in range(100):
        found.update(f"{number}", {**SOURCE, "pod": f"p{number}", "node": f"n{number}"}, True)
    for number in range(100):
        found.update(f"{number}", SOURCE, False)
    assert len(found._cache) <= 10
    assert found._places == {}
    assert all(not part.one_sided for rule in found._rules for part in rule.parts)


def test_a_hundred_thousand_alerts_are_asked_one_by_one():
    found = inhibitor(ON_A_NODE, CRITICAL)
    count, clock = 100_000, SystemClock()
    alerts = [
        {"severity": "critical" if n % 2 else "warning", "node": f"n{n % 5000}", "pod": f"p{n}"}
        for n in range(count)
    ]
    began_s = clock.monotonic_s()
    for number, labels in enumerate(alerts):
        found.update(str(number), labels, True)
    inhibited = sum(bool(found.inhibited_by(one, str(n))) for n, one in enumerate(alerts))
    assert inhibited == count // 2
    # About 0.5 s alone; a comparison of all with all would take hours.
    assert clock.monotonic_s() - began_s < 5
