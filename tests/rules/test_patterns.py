"""Many patterns in one look; what hostile ones can cost is bounded by the line's beginning."""

import random

import pytest

from heliograph.core.clock import SystemClock
from heliograph.rules.patterns import STEEP_LINE_BYTES_MAX, Pattern, PatternSet, encoded

LINE_BYTES = 64 * 1024
# Ours is a tenth of the goal of 50 ms; the rest is for a machine that does other things too.
GOAL_S = 0.05


def found(patterns, line):
    return PatternSet([Pattern(text) for text in patterns]).matches(encoded(line))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("NCCL WARN x", (0,)),
        ("CUDA OUT OF MEMORY", (1,)),
        ("NCCL error: cuda out of memory", (0, 1)),
        ("fine", ()),
        ("", ()),
        ("lone \ud800 surrogate NCCL WARN", (0,)),
    ],
)
def test_the_numbers_of_those_that_occur(line, expected):
    assert found(["NCCL (?:error|WARN)", "(?i)out of memory", "^never$"], line) == expected


def test_no_patterns_match_nothing():
    assert PatternSet([]).matches(b"x") == ()


def test_named_groups_and_case():
    pattern = Pattern(r"Xid \((?P<pci>[^)]+)\): (?P<xid>\d+)(?P<more>, x)?", ignore_case=True)
    line = b"NVRM: XID (PCI:0000:05:00): 79, pid=1"

    assert pattern.names == ("pci", "xid", "more")
    assert pattern.groups(line) == {"pci": "PCI:0000:05:00", "xid": "79", "more": ""}
    assert PatternSet([pattern]).matches(line) == (0,)


@pytest.mark.parametrize(
    "text", ["(", r"(?=x)", r"(a)\1", "x" * 5000, "(?:a{1000}){1000}", "a)(?:b", ".{600}x"]
)
def test_what_is_no_pattern_is_refused(text):
    with pytest.raises(ValueError, match=r"pattern|regular expression"):
        Pattern(text)
    with pytest.raises(ValueError, match=r"pattern|regular expression"):
        Pattern(text, ignore_case=True)


def test_steep_patterns_are_found_however_many_there_are():
    """Some at a time."""
    patterns = [f"a.{{0,{50 + n}}}b{n}c" for n in range(200)]
    assert all(Pattern(text).steep for text in patterns)
    assert len(PatternSet([Pattern(text) for text in patterns])._steep) > 1
    assert found(patterns, "a b0c b7c b199c") == (0, 7, 199)
    assert found(patterns, "b0c b7c b199c") == ()


def test_steep_patterns_see_the_beginning_only():
    patterns = ["a.{0,100}b", r"(?P<x>c.{20})d", r"(?P<x>e.{20})f", "plain"]
    assert [Pattern(text).steep for text in patterns] == [True, True, True, False]
    assert found(patterns, "plain a1b c" + 20 * "." + "d") == (0, 1, 3)
    assert found(patterns, STEEP_LINE_BYTES_MAX * " " + "a1b plain") == (3,)


def test_what_counts_little_by_little_is_steep_too():
    patterns = [r"(a.{15}){3}", r"(a.{5}){8}", r"(a{7}){7}"]
    assert all(Pattern(text).steep for text in patterns)
    plain = [r"\d{4}-\d\d-\d\d \d{2}:\d{2}", r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"]
    assert not any(Pattern(text).steep for text in plain)


@pytest.mark.parametrize(
    ("patterns", "line", "expected"),
    [
        ([r"\Qab{20}"], "ab{20}", (0,)),
        ([r"\Q(?P<a>\E.{16}"], "(?P<a>" + 16 * ".", (0,)),
        ([r"[(?P<a>]{20}"], 20 * "P", (0,)),
        ([r"\[(?P<x>a{16})", r"[\]](?P<x>b){16}"], "[" + 16 * "a" + "]" + 16 * "b", (0, 1)),
        # Too big to be looked for together.
        ([rf"\pL{{40}}{n}" for n in range(32)], 40 * "é" + "17", (1, 17)),
    ],
)
def test_steep_patterns_that_are_hard_to_join_are_found(patterns, line, expected):
    assert found(patterns, line) == expected


def words(seed):
    rnd = random.Random(seed)
    some = "error timeout failed rank socket gpu node link checkpoint loss kernel reset".split()
    return rnd, some


def two_hundred(seed=1):
    rnd, some = words(seed)

    def one(n):
        a, b, c = (rnd.choice(some) for _ in range(3))
        return rnd.choice(
            [
                f"{a}{n}.*{b}",
                f"(?i){a} {b}{n}|{c}{n}",
                rf"\b{a}_{n}\b.*\b{b}\b.*{c}",
                rf"^\[{a}{n}\] .*{b}$",
                f"({a}|{b})+{n}(x+x+)+y",
                f"(a+)+{n}$",
                f"{a}.{{0,80}}{b}{n}",
            ]
        )

    return [Pattern(one(n)) for n in range(200)]


@pytest.mark.parametrize("text", ["words", "a", "spaces"])
def test_a_line_of_64_kib_against_200_patterns(text):
    rnd, some = words(2)
    line = {
        "words": " ".join(f"{rnd.choice(some)}{rnd.randrange(300)}" for _ in range(20_000)),
        "a": "a" * LINE_BYTES,
        "spaces": " " * LINE_BYTES,
    }[text]
    patterns = PatternSet(two_hundred())
    payload = encoded(line)[:LINE_BYTES]
    clock = SystemClock()
    best_s = 1e9
    for _ in range(5):
        begin_s = clock.monotonic_s()
        patterns.matches(payload)
        best_s = min(best_s, clock.monotonic_s() - begin_s)

    assert best_s < GOAL_S


def test_the_set_agrees_with_each_pattern_alone():
    rnd, some = words(3)
    patterns = two_hundred(3)
    together = PatternSet(patterns)
    for _ in range(50):
        line = encoded(" ".join(f"{rnd.choice(some)}{rnd.randrange(200)}" for _ in range(60)))
        alone = tuple(n for n, p in enumerate(patterns) if p.found_in(line))
        assert together.matches(line) == alone
