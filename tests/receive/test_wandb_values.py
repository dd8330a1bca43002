"""Config and summary, change by change, as a script would see them."""

import math

from heliograph.receive.wandb_values import Tree


def after(*changes):
    tree = Tree()
    for update in changes:
        tree.change(update.items())
    return tree.values()


def test_parts_of_a_value_come_one_by_one():
    assert after({("deep", "x"): "29"}, {("deep", "y"): "[1]", ("top",): '"t"'}) == {
        "deep": {"x": 29, "y": [1]}, "top": "t",
    }  # fmt: skip
    assert after({("a", "b", "c"): "1"}, {("a", "b"): "2"}) == {"a": {"b": 2}}
    # A dot in a name is one.
    assert after({("a.b",): "1", ("a", "b"): "2"}) == {"a.b": 1, "a": {"b": 2}}


def test_a_whole_value_replaces_its_parts_and_a_part_one_of_it():
    whole = {("deep",): '{"q": "1", "r": [2]}'}
    assert after({("deep", "x"): "1"}, whole) == {"deep": {"q": "1", "r": [2]}}
    assert after(whole, {("deep", "q"): "3"}) == {"deep": {"q": 3, "r": [2]}}
    assert after(whole, {("deep", "q", "s"): "3"}) == {"deep": {"q": {"s": 3}, "r": [2]}}
    assert after({("deep",): "5"}, {("deep", "q"): "3"}) == {"deep": {"q": 3}}


def test_what_goes_is_gone():
    tree = Tree()
    assert not tree
    tree.change([(("a",), "1"), (("b", "c"), "2"), (("b", "d"), "-Infinity")])
    tree.change([], [("a",), ("b", "c"), ("x",)])
    assert tree.values() == {"b": {"d": -math.inf}}


def test_what_is_no_json_is_text():
    assert after({("a",): "{", ("b",): ""}) == {"a": "{", "b": ""}
