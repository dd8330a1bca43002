r"""What a terminal would show of a stream that was printed: the lines as wandb's clients see them.

    "epoch 1\n 10%\r 50%"        epoch 1,  50%
    "outer\n inner\x1b[A\rOUTER"  OUTER,  inner

Of what moves the cursor a return, a line feed and one line up or down count; all else, colours too,
stays in the line. What is written over a line replaces as much of it as it covers. A line is final
when HEIGHT lines stand below it, for nothing reaches it any more. Blank lines are lines.
Source: how wandb 0.18 to 0.31 number and cut the lines that they send.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

HEIGHT = 32
LINE_CHARS_MAX = 4096
_LINES = re.compile("(\n)")
_MOVES = re.compile("(\n|\r|\x1b\\[A|\x1b\\[B)")


class Line(NamedTuple):
    """A final line: when its present text was begun, and the text without blanks at its end."""

    at_ns: int
    text: str


class Terminal:
    """One stream's lines, of which the last HEIGHT may still change."""

    def __init__(self) -> None:
        self._rows: list[Line] = []
        self._x = self._y = 0

    def written(self, at_ns: int, text: str) -> Iterator[Line]:
        """The lines that are final once *text* was written at *at_ns*."""
        moves = _MOVES.split(text) if "\r" in text or "\x1b" in text else _LINES.split(text)
        for part in moves:
            if part in {"\n", "\x1b[B"}:
                self._x = 0 if part == "\n" else self._x
                self._y += 1
                if self._y >= HEIGHT:
                    yield from self._scrolled()
            elif part == "\r":
                self._x = 0
            elif part == "\x1b[A":
                self._y = max(0, self._y - 1)
            elif part:
                self._put(at_ns, part)

    def rest(self) -> list[Line]:
        """The lines that were not final; there are none after that."""
        rows = [_final(row) for row in self._rows]
        self._rows, self._x, self._y = [], 0, 0
        return rows

    def _scrolled(self) -> Iterator[Line]:
        self._y -= 1
        if self._rows:
            yield _final(self._rows.pop(0))

    def _put(self, at_ns: int, part: str) -> None:
        start, end = self._x, self._x + len(part)
        self._x = end
        if start == 0 and len(self._rows) == self._y:
            self._rows.append(Line(at_ns, part[:LINE_CHARS_MAX]))
            return
        while len(self._rows) <= self._y:
            self._rows.append(Line(at_ns, ""))
        began_ns, before = self._rows[self._y]
        if start < LINE_CHARS_MAX:
            text = before[:start].ljust(start) + part + before[end:]
            self._rows[self._y] = Line(began_ns if start else at_ns, text[:LINE_CHARS_MAX])


def _final(row: Line) -> Line:
    return Line(row.at_ns, row.text.rstrip())
