"""Cutting text to a provider's limits, in bytes of UTF-8, at line and code-point borders; pure.

    split("first\\nsecond\\n", 7) == ["first", "second"]

A limit in bytes cut by characters is wrong for every language but English, and a cut inside a
code point is no text at all.
"""

from collections.abc import Callable
from typing import TypeAlias

Size: TypeAlias = Callable[[str], int]

CUT = "…"


def utf8_bytes(text: str) -> int:
    """Bytes of *text* in UTF-8."""
    return len(text.encode("utf-8", "replace"))


def json_bytes(text: str) -> int:
    """Bytes of *text* inside a JSON string of UTF-8: quotes, backslashes and controls grow."""
    grown = sum(text.count(char) for char in '"\\\n\t\r\b\f')
    controls = sum(1 for char in text if char < " " and char not in "\n\t\r\b\f")
    return utf8_bytes(text) + grown + 5 * controls


def clean(text: str) -> str:
    """*text* as UTF-8 can carry it: lone surrogates replaced."""
    return text.encode("utf-8", "replace").decode("utf-8")


def shorten(text: str, limit: int, size: Size = utf8_bytes) -> str:
    """The longest beginning of *text* that fits *limit* with a mark that it was cut."""
    if size(text) <= limit:
        return text
    room = limit - size(CUT)
    return text[: _fitting(text, room, size)] + CUT if room > 0 else ""


def split(text: str, limit: int, size: Size = utf8_bytes) -> list[str]:
    """Pieces of *text* of at most *limit* each, cut between lines; within one only where a line is
    longer than a whole piece. Nothing of it is lost but the line's end at a cut."""
    pieces: list[str] = []
    lines: list[str] = []
    used = 0
    for line in _short_lines(text, limit, size):
        # One more for the line's end between two lines, whatever it takes in *size*.
        needs = size(line) + (size("\n") if lines else 0)
        if lines and used + needs > limit:
            pieces.append("\n".join(lines))
            lines, used, needs = [], 0, size(line)
        lines.append(line)
        used += needs
    if lines:
        pieces.append("\n".join(lines))
    return [piece for piece in pieces if piece.strip()]


def _short_lines(text: str, limit: int, size: Size) -> list[str]:
    lines: list[str] = []
    for line in text.split("\n"):
        rest = line
        while size(rest) > limit:
            taken = max(_fitting(rest, limit, size), 1)
            lines.append(rest[:taken])
            rest = rest[taken:]
        lines.append(rest)
    return lines


def _fitting(text: str, limit: int, size: Size) -> int:
    """How many code points of *text* fit *limit*: by halves, since size grows with each."""
    low, high = 0, min(len(text), max(limit, 0))
    while low < high:
        middle = (low + high + 1) // 2
        if size(text[:middle]) <= limit:
            low = middle
        else:
            high = middle - 1
    return low
