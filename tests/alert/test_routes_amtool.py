"""Against the real amtool: the same alerts to the same receivers, by our file and by our words."""

import random
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml

from heliograph.alert.config import configuration, routing_rules, setup
from heliograph.alert.routes import walk
from heliograph.core import document
from tests.alert.test_routes import setup_of, told
from tests.alert.trees import random_labels, random_tree
from tests.peers import peer

TREES = 100
LABELS_PER_TREE = 2


def routes_test(amtool, path, labels):
    """Receivers that amtool says *labels* go to."""
    pairs = [f"{name}={quoted(value)}" for name, value in labels.items()]
    done = subprocess.run(
        [amtool, "config", "routes", "test", f"--config.file={path}", *pairs],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().split(",")


def quoted(value):
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def in_parallel(amtool, cases):
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda case: routes_test(amtool, *case), cases))


def test_random_trees_route_as_amtool_says(tmp_path):
    amtool = peer("amtool")
    rng = random.Random(20_261_122)
    cases, ours = [], []
    for number in range(TREES):
        route, receivers = random_tree(rng)
        path = tmp_path / f"{number}.yml"
        names = [{"name": name} for name in receivers]
        path.write_text(
            yaml.safe_dump({"route": route, "receivers": names}, allow_unicode=True)
        )
        made = setup_of(route)
        for _ in range(LABELS_PER_TREE):
            labels = random_labels(rng)
            cases.append((path, labels))
            ours.append(told(made, labels))

    assert in_parallel(amtool, cases) == ours
    # The trees are worth the while: many different answers, some of several receivers.
    assert len({tuple(one) for one in ours}) > 30
    assert sum(len(one) > 1 for one in ours) > 20


def test_our_original_routes_as_we_do_with_routes_of_the_api(tmp_path):
    amtool = peer("amtool")
    rng = random.Random(7)
    cases, ours = [], []
    for number in range(25):
        route, _ = random_tree(rng, depth=3, width=3)
        made = [
            routing_rules.from_document(str(index), rule, setup.empty())
            for index, rule in enumerate(random_rules(rng))
        ]
        whole = setup.with_api_routes(
            setup_of(route), [one[0] for one in made], [one[1] for one in made]
        )
        path = tmp_path / f"{number}.yml"
        path.write_text(whole.original)
        for _ in range(2):
            labels = random_labels(rng)
            cases.append((path, labels))
            ours.append(told(whole, labels))

    assert in_parallel(amtool, cases) == ours
    assert any(name.startswith("api/") for one in ours for name in one)


def random_rules(rng):
    for _ in range(rng.randint(1, 3)):
        yield {
            "matchers": [
                {"name": "env", "value": rng.choice(["prod", "t*", "p?od"])},
                {
                    "name": "team",
                    "value": rng.choice(["ml", "", "a.b"]),
                    "is_equal": rng.random() < 0.5,
                },
            ][: rng.randint(1, 2)],
            "channels": [{"type": "webhook", "config": {"url": "http://example.com/"}}],
            "continue": rng.random() < 0.5,
            "group_by": rng.choice([["..."], ["alertname"], []]),
        }


WHOLE = """
global: {smtp_smarthost: 'mail:25', smtp_from: a@b, slack_app_token: xoxb-secret, resolve_timeout: 2m}
templates: [/etc/alertmanager/*.tmpl]
route:
  receiver: all
  group_by: ['...']
  repeat_interval: 1y
  routes:
  - matchers: ['{a="b\\n", c!~"x|y"}', 'd=~"ü.*"']
    receiver: ding
    mute_time_intervals: [nights]
    active_time_intervals: [days]
    labels: {why: because}
receivers:
- name: all
  webhook_configs: [{url: 'http://example.com/?token=very-secret', headers: {X-Token: very-secret}}]
  email_configs: [{to: 'ops@example.com', auth_password: very-secret, headers: {subject: hi}}]
  slack_configs: [{channel: '#a', update_message: true}, {api_url: 'https://h/very-secret'}]
- name: ding
  dingtalk_configs: [{webhook_url: 'https://d/very-secret', secret: very-secret}]
  wecom_configs: [{webhook_url: 'https://w/very-secret'}]
  alertmanager_configs: [{url: 'http://am-1:9093, http://am-2:9093'}]
inhibit_rules:
- {source_match: {a: b}, target_match_re: {c: d}, equal: [node]}
- {target_matchers: [x=y], sources: [{matchers: [p=q]}, {matchers: [r=s], equal: [node]}]}
time_intervals:
- name: nights
  time_intervals:
  - times: [{start_time: '22:00', end_time: '24:00'}, {start_time: '00:00', end_time: '06:30'}]
    weekdays: ['monday:friday', sunday]
    days_of_month: ['1:5', '-3:-1']
    months: ['january:march', '12']
    years: ['2026', '2030:2035']
    location: Europe/Berlin
mute_time_intervals:
- name: days
  time_intervals: [{}]
"""


def test_amtool_takes_our_original_and_learns_no_secret(tmp_path):
    amtool = peer("amtool")
    whole = configuration.parse(document.parse(WHOLE, source="test"))
    path = tmp_path / "original.yml"
    path.write_text(whole.original)
    done = subprocess.run(
        [amtool, "check-config", path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(
        line in done.stdout for line in (" - 1 inhibit rules", " - 2 receivers", " - route")
    )
    assert "secret" not in whole.original.replace("secret.invalid", "")
    assert routes_test(amtool, path, {"a": "b\n", "d": "über"}) == ["ding"]


def test_our_original_reads_back_as_the_same_routes_and_intervals():
    whole = configuration.parse(document.parse(WHOLE, source="test"))
    again = configuration.parse(document.parse(whole.original, source="original"))
    strip = [
        (one.id, one.receiver, one.group_by, one.repeat_interval_ns, one.mute_time_intervals)
        for one in walk(again.tree.file)
    ]
    assert strip == [
        (one.id, one.receiver, one.group_by, one.repeat_interval_ns, one.mute_time_intervals)
        for one in walk(whole.tree.file)
    ]
    assert again.intervals == whole.intervals
    assert again.inhibitions == whole.inhibitions[:1]
    assert (again.resolve_timeout_ns, again.templates) == (
        whole.resolve_timeout_ns,
        whole.templates,
    )


@pytest.mark.parametrize("made", [setup.empty(), configuration.parse({})])
def test_amtool_takes_what_we_say_without_a_configuration(tmp_path, made):
    path = tmp_path / "original.yml"
    path.write_text(made.original)
    assert routes_test(peer("amtool"), path, {"a": "b"}) == ["nobody"]
