"""Matchers as text: both of Alertmanager's grammars, and which of them reads what."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.alert import grammar
from heliograph.core.matcher import Matcher


def read(parse, text):
    """[(name, op, value), …], or None where *parse* refuses *text*, quoting it."""
    try:
        return [(one.name, one.op, one.value) for one in parse(text)]
    except ValueError:
        return None


def expected(case):
    if case["expect"] is None:
        return None
    return [(one["name"], one["op"], one["value"]) for one in case["expect"]]


def single(text):
    return [grammar.one(text, grammar.utf8_matchers(text))]


def table(shared_data, name):
    return json.loads((shared_data / "tables" / f"{name}.json").read_text())["cases"]


@pytest.mark.parametrize(
    ("name", "parse", "count"),
    [
        ("am_matchers_utf8_list", grammar.utf8_matchers, 45),
        ("am_matchers_utf8_single", single, 31),
        ("am_matchers_classic_vs_utf8", grammar.classic_matchers, 54),
        ("am_matchers_classic_vs_utf8", grammar.matchers, 54),
    ],
)
def test_alertmanagers_tables(shared_data, name, parse, count):
    cases = table(shared_data, name)
    assert [(c["input"], read(parse, c["input"])) for c in cases] == [
        (c["input"], expected(c)) for c in cases
    ]
    assert len(cases) == count


def test_what_both_grammars_read_they_read_alike(shared_data):
    cases = [
        case
        for case in table(shared_data, "am_matchers_classic_vs_utf8")
        if not case["classic_only"]
    ]
    assert [read(grammar.utf8_matchers, c["input"]) for c in cases] == [
        expected(c) for c in cases
    ]


CASES = [
    # text                       UTF-8                      classic                   read as
    ("", [], [], []),
    ("{}", [], [], []),
    ("{ }", [], [], []),
    ("a=b", [("a", "=", "b")], [("a", "=", "b")], [("a", "=", "b")]),
    (" { a = b , } ", [("a", "=", "b")], None, [("a", "=", "b")]),
    ("a=b,c!~d", [("a", "=", "b"), ("c", "!~", "d")], [("a", "=", "b"), ("c", "!~", "d")],
     [("a", "=", "b"), ("c", "!~", "d")]),
    ('a="b,c"', [("a", "=", "b,c")], [("a", "=", "b,c")], [("a", "=", "b,c")]),
    ("a=", None, [("a", "=", "")], [("a", "=", "")]),
    ('a=""', [("a", "=", "")], [("a", "=", "")], [("a", "=", "")]),
    ("größe=1", [("größe", "=", "1")], None, [("größe", "=", "1")]),
    ("a.b=c", [("a.b", "=", "c")], None, [("a.b", "=", "c")]),
    ('"a b"=c', [("a b", "=", "c")], None, [("a b", "=", "c")]),
    ('""=c', None, None, None),
    ("0=c", [("0", "=", "c")], None, [("0", "=", "c")]),
    ("a==b", None, [("a", "=", "=b")], [("a", "=", "=b")]),
    (r'a="\u00e9"', [("a", "=", "é")], [("a", "=", r"\u00e9")], [("a", "=", r"\u00e9")]),
    (r'a="\303\251"', [("a", "=", "é")], [("a", "=", r"\303\251")],
     [("a", "=", r"\303\251")]),
    (r'a="\400"', None, [("a", "=", r"\400")], [("a", "=", r"\400")]),
    (r'a="\ud800"', None, [("a", "=", r"\ud800")], [("a", "=", r"\ud800")]),
    (r'a="\U00110000"', None, [("a", "=", r"\U00110000")], [("a", "=", r"\U00110000")]),
    ('a="x\ny"', None, [("a", "=", "x\ny")], [("a", "=", "x\ny")]),
    (r'a=~"\d+"', None, [("a", "=~", r"\d+")], [("a", "=~", r"\d+")]),
    (r'a=~"\\d+"', [("a", "=~", r"\d+")], [("a", "=~", r"\d+")], [("a", "=~", r"\d+")]),
    ("a\x1fb=c", [("a\x1fb", "=", "c")], None, [("a\x1fb", "=", "c")]),
    ("a\xa0=\u2003b", [("a", "=", "b")], None, [("a", "=", "b")]),
    ("a=b c", None, [("a", "=", "b c")], [("a", "=", "b c")]),
    ("a=b,,c=d", None, None, None),
    ("{a=b},c=d", None, [("a", "=", "b}"), ("c", "=", "d")], [("a", "=", "b}"), ("c", "=", "d")]),
    ("{a=b}{", None, [("a", "=", "b}{")], [("a", "=", "b}{")]),
    ("a", None, None, None),
    ("a~b", None, None, None),
    ("=b", None, None, None),
    ('a=~"("', None, None, None),
    (r'a=~"(a)\1"', None, None, None),
]  # fmt: skip


@pytest.mark.parametrize(("text", "utf8", "classic", "both"), CASES)
def test_our_own_cases(text, utf8, classic, both):
    assert read(grammar.utf8_matchers, text) == utf8
    assert read(grammar.classic_matchers, text) == classic
    assert read(grammar.matchers, text) == both


@pytest.mark.parametrize("text", ["a", "a=b,,", 'a="b', "{a=b", "a=~(", '"\\x"=b', "}"])
def test_errors_quote_what_was_written(text):
    with pytest.raises(ValueError) as caught:
        grammar.utf8_matchers(text)
    assert repr(text) in str(caught.value)


def test_a_filter_is_one_matcher_without_braces():
    assert grammar.matcher('a=~"b.*"') == Matcher("a", "=~", "b.*")
    # All after the operator is the value, as in Alertmanager.
    assert grammar.matcher("a=b,c=d") == Matcher("a", "=", "b,c=d")
    for text in ("{a=b}", "{a=b", "a=b}", "", 'a="b",c="d"', "a"):
        with pytest.raises(ValueError):
            grammar.matcher(text)


def test_a_text_without_end_is_refused_at_once():
    with pytest.raises(ValueError, match="limit"):
        grammar.matchers("a=b," * 20_000)


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text):
    for parse in (grammar.utf8_matchers, grammar.classic_matchers, grammar.matchers):
        read(parse, text)


@given(
    st.lists(
        st.tuples(
            st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,6}", fullmatch=True),
            st.sampled_from(["=", "!="]),
            st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
        ),
        max_size=4,
    )
)
def test_what_is_written_is_read_back_by_both(triples):
    text = "{" + ",".join(str(Matcher(*one)) for one in triples) + "}"
    assert read(grammar.classic_matchers, text) == triples
    assert read(grammar.utf8_matchers, text) == triples
