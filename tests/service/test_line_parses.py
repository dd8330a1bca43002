"""Lines read at ingest and left for the applier, and the applier's short way past lines of noise."""

import pytest

from heliograph.receive.lines import Line, LineBlock
from heliograph.service import handover
from heliograph.service.handover import Handover
from heliograph.service.line_parses import LineParses, Read
from heliograph.service.log_patterns import InForce
from heliograph.service.meters import Meters
from heliograph.training import shapes
from heliograph.training.parse import parse_line
from heliograph.training.shapes import QUIET

STEP = "iteration {}/ 99 | lm loss: 2.5 |"


def block(*texts, partial=False):
    return LineBlock.of(
        Line(n, "p", "", "", "", "", "stdout", text, partial and n == len(texts) - 1)
        for n, text in enumerate(texts)
    )


class Book:
    """Patterns that a test changes."""

    def __init__(self):
        self.now = InForce(0, parse_line, own=False)

    def in_force(self):
        return self.now


def test_lines_are_read_with_the_patterns_of_the_moment():
    book = Book()
    parses = LineParses(book, Meters())
    lines = block("noise", STEP.format(1), "the beginning of ", partial=True)
    first = parses.read(lines)
    assert (first.parsed[0], first.parsed[2], list(first.telling), first.version) == (
        QUIET,
        None,
        [1],
        0,
    )
    assert first.parsed[1] == parse_line(STEP.format(1))
    own = parse_line(STEP.format(7))
    book.now = InForce(1, lambda text: own, own=True)
    second = parses.read(lines)
    assert (second.parsed[0], list(second.telling), second.version) == (own, [0, 1], 1)
    assert parses.read(lines, InForce(0, parse_line, own=False)).parsed[0] is QUIET


def test_lines_read_by_plan_are_counted(monkeypatch):
    monkeypatch.setattr(shapes, "LINES_PER_LESSON", 1)
    meters = Meters()
    parses = LineParses(Book(), meters)
    for n in range(shapes.SIGHTINGS + 5):
        said = parses.read(block(STEP.format(n % 10)))
        assert said.parsed[0] == parse_line(STEP.format(n % 10))
    assert meters.log_plans.items() == [(("right",), 5.0)]


def read(lines, version=0):
    return Read(LineBlock.of([]), [QUIET] * lines, [], version)


def test_what_is_handed_over_is_taken_once_and_by_whom_it_holds_for():
    left = Handover()
    one, two = read(3), read(3, version=2)
    left.put(1, one, b"1")
    left.put(2, two, b"2")
    assert left.take(1, 0, b"1") is one
    assert left.take(1, 0, b"1") is None
    assert left.take(2, 1, b"2") is None
    left.put(2, two, b"2")
    assert left.take(2, 2, b"2") is two


def test_what_was_refused_is_not_taken_for_what_has_its_sequence_now():
    left = Handover()
    left.put(7, read(3), b"refused")
    assert left.take(7, 0, b"another") is None
    assert left.take(7, 0, b"refused") is None


def test_the_oldest_of_too_many_lines_are_given_up(monkeypatch):
    monkeypatch.setattr(handover, "HANDED_OVER_LINES_MAX", 10)
    left = Handover()
    for seq in range(4):
        left.put(seq, read(4), b"")
    left.put(3, read(5), b"")
    assert [left.take(seq, 0, b"") is None for seq in range(4)] == [True, True, False, False]
    left.put(9, read(11), b"")
    assert left.take(9, 0, b"") is None


@pytest.mark.parametrize("parts", [["a", "b\n", ""], ["é", "x" * 40, "error 7"]])
def test_patterns_find_lines_in_a_block_as_they_do_alone(parts):
    from heliograph.rules.patterns import LINES_TOGETHER, Pattern, PatternSet

    lines = [f"{part}{n}" for n in range(2 * LINES_TOGETHER) for part in parts]
    made = block(*lines)
    for texts in ([r"error \d"], ["^a1", "x"], ["b$"], [r"[^x]1\b", "é2"], [], [r"(a|b).{40}"]):
        patterns = PatternSet([Pattern(text) for text in texts])
        alone = [
            (n, found)
            for n, line in enumerate(lines)
            if (found := patterns.matches(line.encode()))
        ]
        assert patterns.matching(made.blob, made.ends) == alone
        assert patterns.matching(made.blob, made.ends, together=False) == alone
        odd = range(1, len(lines), 2)
        assert patterns.matching(made.blob, made.ends, odd) == [
            one for one in alone if one[0] % 2
        ]
