"""No line can cost much: what every pattern may do is bounded by its form, and so are the tries.

Time is not measured. A pattern that is searched for anywhere may try at each character; it stays
linear when no repetition in it is without bound and none is nested. The rest is counted: calls of
Python functions for lines that are made of nothing but what readers look for.
"""

import re
import sys
from re import _constants as codes
from re import _parser as parser

import pytest

from heliograph.training import (
    bars,
    clean,
    dicts,
    fields,
    gaps,
    grammar,
    lone,
    parse,
    piped,
    reading,
    spaced,
)
from heliograph.training.parse import LINE_CHARS_MAX, parse_line

MODULES = (bars, clean, dicts, fields, gaps, grammar, lone, piped, reading, spaced)
REPEATS = (codes.MAX_REPEAT, codes.MIN_REPEAT)
# What one try of a pattern may read, when all its bounded repetitions are used up.
READ_MAX = 6_000
# Function calls for one line; a line of 16,384 characters has some thousand numbers.
CALLS_MAX = 60_000


def patterns():
    for module in MODULES:
        for name, value in vars(module).items():
            if isinstance(value, re.Pattern):
                yield pytest.param(value, id=f"{module.__name__.rpartition('.')[2]}.{name}")


def walk(tree, above=1):
    """Of each repetition: how often it may repeat, times those around it, and its element."""
    for code, value in tree:
        if code in REPEATS or code is codes.POSSESSIVE_REPEAT:
            least, most, inner = value
            yield least, most, above, inner
            yield from walk(inner, above * (2 if most > 1 else 1))
        elif code is codes.SUBPATTERN:
            yield from walk(value[-1], above)
        elif code is codes.BRANCH:
            for branch in value[1]:
                yield from walk(branch, above)
        elif code in {codes.ASSERT, codes.ASSERT_NOT}:
            yield from walk(value[1], above)
        elif code is codes.ATOMIC_GROUP:
            yield from walk(value, above)


@pytest.mark.parametrize("pattern", list(patterns()))
def test_no_repetition_without_bound_inside_another(pattern):
    for _, most, above, _ in walk(parser.parse(pattern.pattern, pattern.flags)):
        assert not (most is codes.MAXREPEAT and above > 1), pattern.pattern


@pytest.mark.parametrize("pattern", list(patterns()))
def test_one_try_reads_a_bounded_length(pattern):
    width = parser.parse(pattern.pattern, pattern.flags).getwidth()[1]
    free = [
        inner
        for _, most, _, inner in walk(parser.parse(pattern.pattern, pattern.flags))
        if most is codes.MAXREPEAT
    ]
    if not free:
        assert width <= READ_MAX, width
    # Runs without bound are of one kind of character each, so each is read once a try.
    for inner in free:
        assert len(inner) == 1, pattern.pattern


PIECES = (
    "|", "|:", "1%|", "5%|#| 1/2 [00:01<00:02,", "|1/2 [1:1:1:1", " ", "1", "1,111", "iteration ",
    "iteration 1|", "step: ", "step: 1 ", "step:=", "'", "'a':", "'a':1,", "{", "{}", "[", "[a]",
    "\x1b[", "\x1b]", "[1;", "(a pid=", ": ", "= ", "a=1 ", "loss=1,", "a ", " - ", ".", "Train a/",
    "epoch [1/", ": 1it [", "=np.float64(", "=1/", "=1(", "=[1,", "='1'", "1e", "é=1 ", "step #1",
    "mem usage/free/total/", "memory (", "[rank", "Skipping step. Attempted loss scale: ", "\r",
    "Throughput: 1", "aA", "[epoch=1][", "loss: x ", "evalstep=1 ", "timing_s/a:1 - ",
)  # fmt: skip
HEADS = ("", "step: 1 loss: 2 ", '{"loss": 1, ', "iteration 1/2 | lm loss: 1 | ", "x ")


@pytest.mark.parametrize("head", HEADS)
def test_hostile_lines_cost_a_bounded_number_of_calls(head):
    for piece in PIECES:
        text = (head + piece * (LINE_CHARS_MAX // len(piece) + 1))[:LINE_CHARS_MAX]
        calls = 0

        def count(frame, event, argument):
            nonlocal calls
            calls += event == "call"

        sys.setprofile(count)
        try:
            parse_line(text)
        finally:
            sys.setprofile(None)
        assert calls <= CALLS_MAX, (piece, calls)


def test_longer_lines_are_not_read():
    line = "step: 1 loss: 2 " * 4096
    assert len(line) == 65_536
    assert (parse_line(line).kind, parse_line(line).rule) == ("none", "too_long")


def test_of_an_overwritten_line_the_end_is_read():
    bar = "  5%|▌     | 100/2000 [02:00<38:00,  1.25s/it]\r"
    parsed = parse_line(bar * 400)
    assert len(bar * 400) > LINE_CHARS_MAX
    assert (parsed.rule, parsed.fields["current_iteration"]) == ("bar", 100)


def test_memory_of_keys_is_bounded():
    for cached in (fields.named, spaced._inner_key):
        assert cached.cache_info().maxsize is not None


def test_every_rule_is_named():
    assert {"bar", "dict", "piped", "spaced", "lone_row"} <= parse.RULES
