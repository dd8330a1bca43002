"""What a terminal shows of what was printed: each case as a real client cut it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.receive.wandb_terminal import HEIGHT, LINE_CHARS_MAX, Line, Terminal

CASES = [
    ("a\n\nb\n   \n  indented\ttab\n", ["a", "", "b", "", "  indented\ttab"]),
    ("crlf\r\nnext", ["crlf", "next"]),
    ("trailing   \n", ["trailing"]),
    ("first version longer\rsecond\n", ["secondversion longer"]),
    (" 10%\r 50%\r100%\n", ["100%"]),
    ("\x1b[32mgreen\x1b[0m text\n", ["\x1b[32mgreen\x1b[0m text"]),
    ("up two\n1\n2\x1b[A\x1b[A\rUP\n\n\nz\n", ["UP two", "1", "2", "z"]),
    ("many\x1b[2A\x1b[Bx\n", ["many\x1b[2A", "        x"]),
    ("\r outer 0\n\r inner 0\x1b[A\r outer 1\n\r inner 1\x1b[A\n\ndone", [" outer 1", " inner 1", "done"]),
    ("x" * 5000 + "END\n", ["x" * LINE_CHARS_MAX]),
    ("\x1b[A\x1b[Atop", ["top"]),
    ("\n\n\nend\n\n\n", ["", "", "", "end"]),
    ("", []),
]  # fmt: skip


def shown(*pieces):
    terminal = Terminal()
    lines = [line for at, text in pieces for line in terminal.written(at, text)]
    return [*lines, *terminal.rest()]


@pytest.mark.parametrize(("text", "lines"), CASES)
def test_what_is_shown(text, lines):
    assert [line.text for line in shown((1, text))] == lines


def test_a_line_has_the_time_at_which_its_text_began():
    pieces = [(1, "epoch "), (2, "1\n 10%"), (3, "\r 50%"), (4, "\r 90%\n"), (5, "bye")]
    assert shown(*pieces) == [Line(1, "epoch 1"), Line(4, " 90%"), Line(5, "bye")]


def test_a_line_is_final_when_nothing_reaches_it():
    terminal = Terminal()
    lines = [f"line {number}" for number in range(HEIGHT + 2)]
    final = [
        line.text for text in lines for line in terminal.written(1, f"{text}\n")
    ]  # The cursor stands on the last of the HEIGHT that can be reached, and it is empty.
    assert final == lines[:3]
    assert [line.text for line in terminal.rest()] == lines[3:]
    assert terminal.rest() == []


@given(st.lists(st.text(alphabet="ab \n\r", max_size=5)), st.integers(0, 3))
def test_where_it_is_cut_into_pieces_means_nothing(pieces, ups):
    pieces = [*pieces, *["\x1b[A\rup"] * ups]
    whole = [line.text for line in shown((1, "".join(pieces)))]
    assert [line.text for line in shown(*((1, piece) for piece in pieces))] == whole
