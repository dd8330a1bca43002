"""Matchers: what fulfils one, how one is written, and that no pattern can stall us."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core import matcher
from heliograph.core.clock import SystemClock
from heliograph.core.matcher import PATTERN_BYTES_MAX, Matcher

CASES = [
    # case                              op    value        a label of    fulfils it
    ("equal", "=", "a", "a", True),
    ("not equal", "=", "a", "b", False),
    ("equal to nothing is absent", "=", "", "", True),
    ("different", "!=", "a", "b", True),
    ("absent is different", "!=", "a", "", True),
    ("the same is not different", "!=", "a", "a", False),
    ("capitals count", "=", "a", "A", False),
    ("a pattern", "=~", "a.c", "abc", True),
    ("a pattern matches the whole", "=~", "b", "abc", False),
    ("alternatives match the whole too", "=~", "a|b", "ab", False),
    ("alternatives", "=~", "a|b", "b", True),
    ("a pattern of nothing is absent", "=~", "", "", True),
    ("anything is absent too", "=~", ".*", "", True),
    ("something is not absent", "=~", ".+", "", False),
    ("a line's end is not any character", "=~", "a.b", "a\nb", False),
    ("unless told so", "=~", "(?s)a.b", "a\nb", True),
    ("$ does not forgive a line's end", "=~", "a$", "a\n", False),
    ("case-blind", "=~", "(?i)ab", "AB", True),
    ("not the pattern", "!~", "a.*", "abc", False),
    ("other than the pattern", "!~", "a.*", "bc", True),
    ("absent is not the pattern", "!~", "a.*", "", True),
    ("a pattern is not equality", "=", "a.*", "abc", False),
    ("beyond ASCII", "=~", "gr[üu]n", "grün", True),
    ("one character is one dot", "=~", "..", "🙂é", True),
    ("a lone surrogate is some character", "=~", "a.", "a\ud800", True),
    ("and no other", "=~", "a\\?", "a\ud800", False),
]


@pytest.mark.parametrize(
    ("op", "value", "of", "fulfils"), [pytest.param(*row, id=case) for case, *row in CASES]
)
def test_matches(op, value, of, fulfils):
    assert Matcher("x", op, value).matches(of) is fulfils


def test_alertmanagers_own_table(shared_data):
    cases = json.loads((shared_data / "tables" / "am_matcher_eval.json").read_text())["cases"]
    answered = [
        {**case, "match": Matcher("x", case["op"], case["pattern"]).matches(case["value"])}
        for case in cases
    ]
    assert answered == cases


WRITTEN = [
    # text                      name       op    value, or None where it is no matcher
    ('job="train"', "job", "=", "train"),
    ("job=train", "job", "=", "train"),
    ("job='train'", "job", "=", "train"),
    (' job != "a b" ', "job", "!=", "a b"),
    ('pod=~"llm-.*"', "pod", "=~", "llm-.*"),
    ('pod!~"llm-[0-9]+"', "pod", "!~", "llm-[0-9]+"),
    ("x=", "x", "=", ""),
    ('x=""', "x", "=", ""),
    (r'x="say \"hi\""', "x", "=", 'say "hi"'),
    (r'x="a\\b"', "x", "=", r"a\b"),
    (r'x="a\nb"', "x", "=", "a\nb"),
    (r'x=~"\\d+"', "x", "=~", r"\d+"),
    ('x="="', "x", "=", "="),
    ('x="a=~b"', "x", "=", "a=~b"),
    ('"a name with blanks"="x"', "a name with blanks", "=", "x"),
    ("a.b:c_d=1", "a.b:c_d", "=", "1"),
    ("", None, None, None),
    ("job", None, None, None),
    ("=a", None, None, None),
    ("job==a", "job", "=", "=a"),
    ("job>a", None, None, None),
    ('job="a', None, None, None),
    ('job="a"b', None, None, None),
    ('{job="a"}', None, None, None),
    ('a="1",b="2"', None, None, None),
    ("job=a b", None, None, None),
    ("1job=a", None, None, None),
    ('""=a', None, None, None),
    ('job=~"("', None, None, None),
]


@pytest.mark.parametrize(("text", "name", "op", "value"), WRITTEN)
def test_parse(text, name, op, value):
    if name is not None:
        assert matcher.parse(text) == Matcher(name, op, value)
    else:
        with pytest.raises(ValueError) as caught:
            matcher.parse(text)
        assert repr(text) in str(caught.value)


@given(
    st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,8}", fullmatch=True),
    st.sampled_from(["=", "!="]),
    st.text(max_size=12),
)
def test_what_is_written_is_read_back(name, op, value):
    one = Matcher(name, op, value)
    assert matcher.parse(str(one)) == one


def test_matchers_are_values():
    one, same, other = Matcher("a", "=~", "b"), Matcher("a", "=~", "b"), Matcher("a", "=", "b")
    assert (one == same, hash(one) == hash(same), one == other, one == "a") == (
        True, True, False, False,
    )  # fmt: skip
    assert repr(one) == 'Matcher(a=~"b")'


REFUSED = [
    # case                      op     pattern                    words of the error
    ("an unknown operator", "==", "a", "unknown operator '=='"),
    ("an open group", "=~", "(", "not a regular expression: missing"),
    ("a look-ahead", "=~", "(?=a)", "not a regular expression"),
    ("a back reference", "=~", r"(a)\1", "not a regular expression"),
    ("a repetition too large", "=~", "a{1001}", "not a regular expression"),
    ("a repetition of repetitions", "!~", "((a{100}){100}){100}", "not a regular expression"),
    ("a lone surrogate", "=~", "\ud800", "not a regular expression"),
    ("a byte too long", "=~", "a" * (PATTERN_BYTES_MAX + 1), "4097 bytes, limit 4096"),
    ("too long in bytes", "=~", "é" * (PATTERN_BYTES_MAX // 2 + 1), "4098 bytes, limit 4096"),
]


@pytest.mark.parametrize(
    ("op", "value", "words"), [pytest.param(*row, id=case) for case, *row in REFUSED]
)
def test_what_is_refused(op, value, words):
    with pytest.raises(ValueError) as caught:
        Matcher("x", op, value)
    assert words in str(caught.value)


def test_a_pattern_of_the_greatest_length_is_accepted():
    assert Matcher("x", "=~", "a" * PATTERN_BYTES_MAX).matches("a" * PATTERN_BYTES_MAX)


# Each takes a backtracking engine longer than the universe on such a value.
EVIL = ["(a+)+", "(a|aa)+", "(a|a?)+", "(.*a){25}", "(a*)*b", "([a-z]+)*[0-9]", "(x+x+)+y"]


@pytest.mark.parametrize("pattern", EVIL)
def test_no_pattern_stalls_us(pattern):
    clock = SystemClock()
    began_s = clock.monotonic_s()

    assert not Matcher("x", "=~", pattern).matches("a" * 20_000 + "!")

    assert clock.monotonic_s() - began_s < 2


def test_all_must_match_and_a_missing_label_is_empty():
    both = [Matcher("job", "=", "train"), Matcher("rank", "!=", "0")]
    assert matcher.all_match(both, (("job", "train"),))
    assert matcher.all_match(both, (("job", "train"), ("rank", "1")))
    assert not matcher.all_match(both, (("job", "train"), ("rank", "0")))
    assert not matcher.all_match(both, (("rank", "1"),))
    assert matcher.all_match([], ())
