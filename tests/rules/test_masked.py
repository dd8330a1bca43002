"""Where a pattern occurs in a line, its masked one occurs in the line with some digits masked; and
which digits tell that none occurs."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.alert.rules import pack
from heliograph.alert.rules.rule import LinePattern
from heliograph.core.matcher import compile_pattern
from heliograph.rules.guards import FREE_MAX, Guards
from heliograph.rules.masked import masked
from heliograph.rules.patterns import Pattern, PatternSet

ATOMS = (
    *("7", "0", "19", "a", "ab", " ", ".", r"\d", r"\D", r"\w", r"\W", r"\s", r"\b", r"\B", r"\."),
    *("[1-9]", "[^0-9]", "[^1-9]", "[a-c5]", "[^7]", r"[\d.]", r"[^\d]", "[[:digit:]]", "[]5]"),
    *("[[:^digit:]]", "[-3]", r"\x37", r"\x{38}", r"[\x31-\x33]", r"\pN", r"\p{Nd}", r"\PN", "{", "a{"),
)  # fmt: skip
REPEATS = ("", "", "", "?", "*", "+", "{2}", "{1,3}", "{0,}", "+?")
PARTS = st.builds(
    lambda atom, many: atom + many, st.sampled_from(ATOMS), st.sampled_from(REPEATS)
)


def joined(parts):
    return st.builds(
        lambda kind, some: {
            "seq": "".join(some),
            "or": f"(?:{'|'.join(some)})",
            "named": f"(?P<n1>{''.join(some)})",
            "case": f"(?i:{''.join(some)})",
            "edge": f"^{''.join(some)}$",
        }[kind],
        st.sampled_from(["seq", "seq", "or", "named", "case", "edge"]),
        st.lists(parts, min_size=1, max_size=4),
    )


def compiled(text):
    try:
        return compile_pattern(text)
    except ValueError:
        return None


def masked_at(line, places):
    """*line* with the digits at *places* masked."""
    return "".join("_" if n in places and one.isdigit() else one for n, one in enumerate(line))


@given(
    st.recursive(PARTS, joined, max_leaves=6),
    st.text("0123579abcA_ {}.]-\n", max_size=12),
    st.sets(st.integers(0, 11)),
)
def test_what_occurs_in_a_line_occurs_in_its_mask(pattern, line, places):
    found = compiled(pattern)
    if found is None or pattern.count("n1") > 1:
        return
    over = masked(pattern)
    if over is not None and found.search(line.encode()):
        assert compile_pattern(over).search(masked_at(line, places).encode()), over


@given(
    st.lists(st.recursive(PARTS, joined, max_leaves=4), min_size=1, max_size=3),
    st.text("0101579abcA_ {}.]-\n", min_size=2, max_size=14),
    st.lists(st.text("0001579", min_size=14, max_size=14), min_size=1, max_size=5),
)
def test_guarded_digits_that_are_zeros_tell_that_nothing_occurs(patterns, text, others):
    some = [Pattern(one) for one in patterns if compiled(one) is not None]
    free = [found.span() for found in re.finditer("[0-9]+", text)][:3]
    guard = Guards(some).of(text.encode(), free)
    if guard is None:
        return
    assert set(guard) <= set(free)
    for digits in others:
        line = list(text)
        for start, stop in free:
            zeros = (start, stop) in guard
            line[start:stop] = "0" * (stop - start) if zeros else digits[start:stop]
        assert PatternSet(some).matches("".join(line).encode()) == ()


def test_a_megatron_line_is_guarded_by_its_nan_iterations():
    text = b" iteration 12/ 20 | lm loss: 1.1E+01 | number of nan iterations:   0 |"
    free = [found.span() for found in re.finditer(rb"[0-9]+", text)]
    bodies = [rule.body for rule in pack.rules() if isinstance(rule.body, LinePattern)]
    guards = Guards([body.pattern for body in bodies])
    assert guards.of(text, free) == [(text.rindex(b"0"), text.rindex(b"0") + 1)]
    assert guards.of(b"step 12 of 20", [(5, 7), (11, 13)]) == []
    assert guards.of(b"CUDA out of memory 12", [(19, 21)]) is None
    assert Guards([Pattern(r"\Q7\E")]).of(b"step 12", []) is None


def test_of_lines_of_many_numbers_only_those_that_tell_nothing_at_all_are_guarded():
    text = b"1 " * (FREE_MAX + 1)
    free = [found.span() for found in re.finditer(rb"[0-9]+", text)]
    assert Guards([Pattern("[5-9]")]).of(text, free) is None
    assert Guards([Pattern("[5-9]")]).of(text, free[1:]) == free[1:]
    assert Guards([Pattern("loss")]).of(text, free) == []


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (r"Xid \((?P<pci>[^)]+)\): (?:63|7)\b", r"Xid \(((?:[^)]|_)+)\): (?:[6_][3_]|[7_])\b"),
        (r"a{2,3}[a-f]x{", r"a{2,3}[a-f]x{"),
        (r"(?i)step\x31\d", r"(?i)step(?:\x31|_)(?:\d|_)"),
        (r"\Q1\E", None),
        (r"\101", None),
        (r"\C", None),
    ],
)
def test_how_patterns_are_masked(pattern, expected):
    assert masked(pattern) == expected


def test_every_pattern_that_is_built_in_can_be_masked():
    bodies = [rule.body for rule in pack.rules() if isinstance(rule.body, LinePattern)]
    assert len(bodies) > 10
    assert [body.pattern.text for body in bodies if masked(body.pattern.text) is None] == []
