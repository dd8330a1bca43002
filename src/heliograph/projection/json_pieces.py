"""A JSON document of events read event by event, in pieces of a megabyte.

    [{"a": 1}, {"a": 2}]                              → (1, {"a": 1}), (2, {"a": 2})
    {"version": 1, "events": [{"a": 1}, {"a": 2}]}    → the same
    {"a": 1}                                          → (1, {"a": 1})

The standard library reads a document whole. What one element needs at most is bounded, so a document
that lacks a quote is refused, not gathered.
"""

import codecs
import json
from collections.abc import Iterator
from typing import Any, BinaryIO

PIECE_BYTES = 1 << 20
ELEMENT_CHARS_MAX = 16 << 20
EVENTS = "events"
_SPACE = " \t\r\n"
_ENDS = frozenset(_SPACE + ",:]}")


def events(opened: BinaryIO) -> Iterator[tuple[int, Any]]:
    """(number from 1, event) of the document that *opened* holds. ValueError where it is none of the
    above, after what came before the fault."""
    text = _Text(opened)
    first = text.take()
    if first == "[":
        yield from _elements(text)
    elif first == "{":
        yield from _members(text)
    else:
        raise ValueError("neither a list nor an object")
    if text.peek():
        raise ValueError("more after its end")


def _elements(text: "_Text") -> Iterator[tuple[int, Any]]:
    number = 0
    while text.peek() != "]":
        if number:
            text.expect(",", f"after element {number}")
        number += 1
        yield number, text.value(f"element {number}")
    text.take()


def _members(text: "_Text") -> Iterator[tuple[int, Any]]:
    members: dict[str, Any] = {}
    found = False
    while text.peek() != "}":
        if members or found:
            text.expect(",", "between members")
        key = text.value("a key")
        if not isinstance(key, str):
            raise ValueError("a key is no string")  # noqa: TRY004 - of the document
        text.expect(":", f"after {key!r}")
        if key == EVENTS and text.peek() == "[":
            text.take()
            found = True
            yield from _elements(text)
        else:
            members[key] = text.value(key)
    text.take()
    if not found:
        yield 1, members


class _Text:
    """What is left of a file: read on as needed."""

    def __init__(self, opened: BinaryIO) -> None:
        self._opened = opened
        self._bytes = codecs.getincrementaldecoder("utf-8")()
        self._scan = json.JSONDecoder().raw_decode
        self._text = ""
        self._at = 0
        self._ended = False

    def peek(self) -> str:
        """The next character that is no space, or "" at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _SPACE:
                self._at += 1
            if self._at < len(self._text) or not self._more():
                return self._text[self._at : self._at + 1]

    def take(self) -> str:
        """`peek`, and past it."""
        found = self.peek()
        self._at += 1
        return found

    def expect(self, character: str, where: str) -> None:
        """Past *character*; ValueError where something else comes."""
        if self.take() != character:
            raise ValueError(f"no {character} {where}")

    def value(self, what: str) -> Any:
        """The JSON value that comes next, past it; ValueError, naming *what*, where there is none."""
        self.peek()
        while True:
            try:
                value, end = self._scan(self._text, self._at)
            except json.JSONDecodeError as error:
                if len(self._text) - self._at > ELEMENT_CHARS_MAX or not self._more():
                    raise ValueError(f"{what}: {error.msg}") from error
                continue
            # A number may go on where the piece ends, or in what it ends with.
            if self._text[end : end + 1] in _ENDS or not self._more():
                self._at = end
                return value

    def _more(self) -> bool:
        if self._ended:
            return False
        piece = self._opened.read(PIECE_BYTES)
        self._ended = not piece
        self._text = self._text[self._at :] + self._bytes.decode(piece, self._ended)
        self._at = 0
        return bool(piece)
