"""The routing tree: which routes an alert takes, what they inherit, and how fast that is."""

import json
import random

import pytest

from heliograph.alert import routes
from heliograph.alert.config import configuration
from heliograph.alert.routes import Route, Tree
from heliograph.core import document
from heliograph.core.duration import MINUTE_NS, SECOND_NS
from heliograph.core.matcher import Matcher
from tests.alert.trees import random_labels, random_tree
from tests.calls import calls_of


def setup_of(text_or_route):
    """The setup of a route document (or its YAML), with every receiver that it names."""
    route = text_or_route
    if isinstance(route, str):
        route = document.parse(route, source="test")
    names = set()

    def collect(one):
        names.add(one.get("receiver"))
        for child in one.get("routes") or []:
            collect(child)

    collect(route)
    receivers = [{"name": name} for name in sorted(names - {None})]
    return configuration.parse({"route": route, "receivers": receivers})


def told(setup, labels):
    return [route.receiver for route in setup.tree.match(labels)]


def test_alertmanagers_table(shared_data):
    cases = json.loads((shared_data / "tables" / "am_routing_tree.json").read_text())["cases"]
    for case in cases:
        taken = setup_of(case["route_yaml"]).tree.match(case["labels"])
        assert [
            {
                "receiver": one.receiver,
                "group_by": list(one.group_by or ()),
                "group_by_all": one.group_by is None,
                "group_wait_s": one.group_wait_ns // SECOND_NS,
                "group_interval_s": one.group_interval_ns // SECOND_NS,
                "repeat_interval_s": one.repeat_interval_ns // SECOND_NS,
            }
            for one in taken
        ] == case["expect"], case
    assert len(cases) == 24


AMTOOLS_OWN = [
    # file                                    labels               told
    ("conf.routing.yml", {"test": "1"}, ["test1"]),
    ("conf.routing.yml", {"test": "2"}, ["test1", "test2"]),
    ("conf.routing-reverted.yml", {"test": "2"}, ["test2", "test1"]),
    ("conf.routing.yml", {"test": "volcano"}, ["default"]),
    ("conf.routing-reverted.yml", {}, ["default"]),
]


@pytest.mark.parametrize(("name", "labels", "receivers"), AMTOOLS_OWN)
def test_the_files_of_amtools_tests(shared_data, name, labels, receivers):
    path = shared_data / "upstream" / "prometheus+alertmanager" / "cli" / "testdata" / name
    made = configuration.parse(document.parse(path.read_text(), source=name))
    assert told(made, labels) == receivers


TREE = """
receiver: default
group_by: [alertname]
routes:
- matchers: [severity="critical"]
  receiver: pager
  continue: true
- matchers: [team="ml"]
  receiver: ml
  group_by: [...]
  repeat_interval: 1h
  routes:
  - matchers: [env=~"test|dev"]
    receiver: nobody
    continue: true
  - matchers: [env="test"]
    group_wait: 5s
- matchers: [team="ml"]
  receiver: never
- matchers: [severity!=""]
  receiver: severe
"""

CASES = [
    # labels                                              told, in order
    ({}, ["default"]),
    ({"team": "ml"}, ["ml"]),
    ({"team": "ml", "severity": "critical"}, ["pager", "ml"]),
    ({"severity": "critical"}, ["pager", "severe"]),
    ({"severity": "info"}, ["severe"]),
    ({"team": "ml", "env": "dev"}, ["nobody"]),
    ({"team": "ml", "env": "test"}, ["nobody", "ml"]),
    ({"team": "mlx"}, ["default"]),
    ({"env": "test"}, ["default"]),
]


@pytest.mark.parametrize(("labels", "receivers"), CASES)
def test_depth_first_and_continue(labels, receivers):
    assert told(setup_of(TREE), labels) == receivers


def test_children_inherit_all_but_intervals_and_matchers():
    setup = configuration.parse(
        {
            "route": {
                "receiver": "a",
                "group_by": ["x"],
                "group_wait": "1s",
                "group_interval": "2s",
                "repeat_interval": "3s",
                "routes": [
                    {
                        "mute_time_intervals": ["nights"],
                        "routes": [{"matchers": ["a=b"], "group_by": []}],
                    }
                ],
            },
            "receivers": [{"name": "a"}],
            "time_intervals": [{"name": "nights", "time_intervals": [{"years": ["2026"]}]}],
        }
    )
    (leaf,) = setup.tree.match({"a": "b"})
    middle = setup.tree.file.routes[0]
    assert middle.mute_time_intervals == ("nights",)
    assert leaf == Route(
        id=leaf.id,
        receiver="a",
        matchers=(Matcher("a", "=", "b"),),
        group_by=("x",),
        group_wait_ns=SECOND_NS,
        group_interval_ns=2 * SECOND_NS,
        repeat_interval_ns=3 * SECOND_NS,
    )
    # What was not said is Alertmanager's default.
    plain = setup_of("receiver: a").tree.file
    assert plain == Route(id="file", receiver="a")
    assert (plain.group_wait_ns, plain.group_interval_ns, plain.repeat_interval_ns) == (
        30 * SECOND_NS, 5 * MINUTE_NS, 240 * MINUTE_NS,
    )  # fmt: skip


LABELS = (("alertname", "OOM"), ("pod", 'w"0"'))
SEEN = {**dict(LABELS), "workload_id": "t-1", "source": "log"}
GROUPED = [
    # group_by                          labels of the group
    ((), ()),
    (None, LABELS),
    (("alertname",), (("alertname", "OOM"),)),
    (("alertname", "node"), (("alertname", "OOM"),)),
    (("alertname", "workload_id"), (("alertname", "OOM"), ("workload_id", "t-1"))),
]


@pytest.mark.parametrize(("group_by", "expected"), GROUPED)
def test_group_labels(group_by, expected):
    route = Route(id="file", receiver="a", group_by=group_by)
    assert routes.group_labels(route, LABELS, SEEN) == expected


def test_without_what_matchers_see_the_labels_alone_group():
    route = Route(id="file", receiver="a", group_by=("alertname", "workload_id"))
    assert routes.group_labels(route, LABELS) == (("alertname", "OOM"),)


def test_a_groups_key_names_the_route_and_the_labels():
    assert routes.group_key(Route(id="api/7", receiver="a"), ()) == "api/7:{}"
    assert routes.group_key(Route(id="file", receiver="a"), LABELS) == (
        'file:{alertname="OOM",pod="w\\"0\\""}'
    )


def test_a_groups_key_is_what_alertmanager_calls_it():
    leaf = {"matchers": ['pod!="p-1"', 'a="x\\ny"']}
    middle = {"matchers": ['t="3"', "node=~n1.?", 'e!=""'], "routes": [leaf]}
    tree = setup_of({"receiver": "a", "routes": [middle]}).tree
    ids = [route.id for route in routes.walk(tree.file)]

    assert tree.foreign_key(ids[0], ()) == "{}:{}"
    assert tree.foreign_key(ids[1], (("alertname", "Größe"), ("pod", 'x"y\\z\nq'))) == (
        '{}/{e!="",node=~"n1.?",t="3"}:{alertname="Größe", pod="x\\"y\\\\z\\nq"}'
    )
    assert tree.foreign_key(ids[2], (("tab", "a\tb\0\x7f\u200b\U000e0001\a"),)) == (
        '{}/{e!="",node=~"n1.?",t="3"}/{a="x\\ny",pod!="p-1"}'
        ':{tab="a\\tb\\x00\\x7f\\u200b\\U000e0001\\a"}'
    )
    assert tree.foreign_key("api/7", ()) == ""


def test_ids_stay_when_other_routes_come_and_go():
    def ids(text):
        return {
            tuple(str(m) for m in route.matchers): route.id
            for route in routes.walk(setup_of(text).tree.file)
        }

    before = ids("{receiver: a, routes: [{match: {x: '1'}, routes: [{match: {y: '2'}}]}]}")
    after = ids(
        "{receiver: b, routes: [{match: {z: '0'}},"
        " {matchers: ['x=1'], receiver: c, group_wait: 1s, routes: [{match: {y: '2'}}]}]}"
    )
    assert {key: after[key] for key in before} == before
    assert len(set(after.values())) == len(after) == 4


def test_alike_siblings_have_ids_of_their_own():
    tree = setup_of("{receiver: a, routes: [{match: {x: '1'}}, {match: {x: '1'}}]}").tree
    first, second = tree.file.routes
    assert second.id == f"{first.id}~2"
    assert (tree.by_id(first.id), tree.by_id(second.id)) == (first, second)
    assert tree.by_id("file/ffffffff") is None


def api(name, *matchers, more=False):
    return Route(
        id=f"api/{name}",
        receiver=name,
        matchers=tuple(Matcher(*one) for one in matchers),
        continue_=more,
    )


FILE = setup_of(TREE).tree.file
API_CASES = [
    # routes of the API, the file's                                  labels          told
    ([], None, {"a": "b"}, []),
    ([api("x")], None, {"a": "b"}, ["x"]),
    ([api("x", ("a", "=", "c"))], None, {"a": "b"}, []),
    ([api("x", ("a", "=", "b"))], FILE, {"a": "b", "team": "ml"}, ["x"]),
    ([api("x", ("a", "=", "c"))], FILE, {"a": "b", "team": "ml"}, ["ml"]),
    ([api("x", ("a", "=", "b"), more=True)], FILE, {"a": "b"}, ["x", "default"]),
    ([api("x", more=True), api("y"), api("z")], FILE, {}, ["x", "y"]),
]


@pytest.mark.parametrize(("made", "file", "labels", "receivers"), API_CASES)
def test_routes_of_the_api_come_first(made, file, labels, receivers):
    tree = Tree(made, file)
    assert [one.receiver for one in tree.match(labels)] == receivers


def test_the_path_names_every_route_on_the_way():
    tree = Tree([api("x", more=True)], FILE)
    assert [
        [route.receiver for route in trail]
        for trail in tree.paths({"team": "ml", "env": "test"})
    ] == [["x"], ["default", "ml", "nobody"], ["default", "ml", "ml"]]
    assert Tree([], FILE).paths({}) == [(FILE,)]


def plain_match(route, labels):
    """The rule as it is written down, without index or memory."""
    if not all(m.matches(labels.get(m.name, "")) for m in route.matchers):
        return []
    taken = []
    for child in route.routes:
        found = plain_match(child, labels)
        taken += found
        if found and not child.continue_:
            break
    return taken or [route]


@pytest.mark.parametrize("seed", range(30))
def test_index_and_memory_change_nothing(seed):
    rng = random.Random(seed)
    route, _ = random_tree(rng)
    setup = setup_of(route)
    for _ in range(40):
        labels = random_labels(rng)
        expected = plain_match(setup.tree.file, labels)
        assert list(setup.tree.match(labels)) == expected
        assert list(setup.tree.match(labels)) == expected


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(routes, "CACHE_MAX", 10)
    tree = setup_of("{receiver: a, routes: [{match_re: {pod: 'p-.*'}, receiver: b}]}").tree
    for number in range(100):
        (route,) = tree.match({"pod": f"p-{number}"})
        assert route.receiver == "b"
    assert len(tree._cache) <= 10


def test_a_match_costs_no_more_among_hundreds_of_routes():
    def cost(routes_count):
        children = [{"matchers": [f'team="t{n}"', 'env!="test"']} for n in range(routes_count)]
        tree = setup_of({"receiver": "a", "routes": children}).tree

        def matched():
            for number in range(100):
                asked = {"team": f"t{number % routes_count}", "env": f"e{number}"}
                assert len(tree.match(asked)) == 1

        return calls_of(matched)

    assert cost(500) <= 1.1 * cost(5)


def test_a_match_re_is_the_pattern_that_alertmanager_makes_of_it():
    """Of the real 0.25, the `groupKey` that a webhook gets and what `amtool config routes` prints."""
    tree = setup_of(
        """{receiver: a, routes: [
            {matchers: ['b=~"1|2"']}, {match_re: {b: '3|4'}}, {match_re: {b: '8"é|7'}},
            {match: {b: '6'}, match_re: {a: 'x.*'}, matchers: ['c!~"z|y"']}]}"""
    ).tree
    keys = {
        value: tree.foreign_key(route.id, ())
        for value, more in (("1", {}), ("4", {}), ("7", {}), ("6", {"a": "xx"}))
        for route in tree.match({"b": value, **more})
    }
    assert keys == {
        "1": '{}/{b=~"1|2"}:{}',
        "4": '{}/{b=~"^(?:3|4)$"}:{}',
        "7": r'{}/{b=~"^(?:8\"é|7)$"}:{}',
        "6": '{}/{a=~"^(?:x.*)$",b="6",c!~"z|y"}:{}',
    }
    assert [route.id for route in tree.match({"b": "34"})] == ["file"]
