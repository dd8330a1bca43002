"""The one grammar: a cleaned line is a list of keys with values, whatever printed it.

    piped     iteration 4/ 20 | consumed samples: 64 | elapsed time per iteration (ms): 654.5/735.1 |
    spaced    step: 530  loss:  5.9866  memory: 63.36GiB(45.35%)  tps: 1,829  mfu: 2.34%

    value  = piece ( "/" piece | "(" piece ")" )*
    piece  = [ "avg" ] number [ unit ]
    number = decimal, with or without exponent, sign, thousands separators | nan | inf

What does not fit is no value: `1.2.3`, `--`, `0x10`, `1_000`, `0,001` and `12,34` are left unread.
"""

import re
from typing import NamedTuple

# Longer values and more pieces are no numbers that a trainer prints.
VALUE_CHARS_MAX = 120
PIECES_MAX = 5
# An iteration count beyond this is not one; it also keeps whole numbers inside 64 bits.
WHOLE_MAX = 2**63 - 1

_PIECE = re.compile(
    r"\s*(avg:?\s*)?"
    r"([-+]?(?:(?!0,)\d{1,3}(?:,\d{3}){1,40}(?:\.\d*)?|\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?"
    r"|[-+]?nan|[-+]?inf(?:inity)?)"
    r"\s*([a-zµ%]*)\s*",
    re.IGNORECASE,
)
_SPACED = re.compile(r"(?:^|(?<=\s))([A-Za-z][\w./-]*):\s*([^\s:]+)(?=\s|$)")
# A count as printed, with thousands separators or without.
WHOLE = r"(?:\d{1,3}(?:,\d{3}){1,5}|\d{1,18})(?!,?\d)"
_ITERATION = re.compile(rf"(?<![\w.])iteration:?\s+({WHOLE})(?:\s*/\s*({WHOLE}))?\s*\Z")
# One number without unit, as part of a longer pattern.
NUMBER = (
    r"[-+]?(?:\d[\d,]{0,24}(?:\.\d{0,20})?|\.\d{1,20})(?:[eE][-+]?\d{1,4})?|[-+]?(?:nan|inf)"
)


class Piece(NamedTuple):
    """One number of a value.

    number    as printed
    unit      the letters after it, or ""
    average   it is marked as a running average
    """

    number: float
    unit: str
    average: bool


class Head(NamedTuple):
    """`iteration 4/ 20`: *at* is the character of the segment where it begins."""

    iteration: int
    target: int | None
    at: int


def piped(text: str) -> list[str]:
    """The segments of a piped line, in order; blank ones are left out."""
    return [segment for segment in text.split("|") if segment and not segment.isspace()]


def key_value(segment: str) -> tuple[str, str]:
    """The key and the value of one segment; ("", segment) where there is neither.

    The last colon divides. Before 2021 there was none: `learning rate 1.500E-04`.
    """
    key, colon, value = segment.rpartition(":")
    if colon:
        return key, value
    key, space, value = segment.strip().rpartition(" ")
    return (key, value) if space else ("", segment)


def spaced(text: str) -> list[tuple[str, str, int]]:
    """Key, value and the key's place, of each `key: value` in a line without pipes."""
    return [(match[1], match[2], match.start()) for match in _SPACED.finditer(text)]


def head(segment: str) -> Head | None:
    """The iteration that *segment* ends with, or None."""
    match = _ITERATION.search(segment)
    if match is None:
        return None
    return Head(count(match[1]), count(match[2]) if match[2] else None, match.start())


def count(printed: str) -> int:
    """The number that *printed*, a WHOLE, is."""
    return int(printed.replace(",", ""))


def pieces(value: str) -> tuple[Piece, ...]:
    """The numbers of *value*, in order; () when any part of it is not one."""
    if len(value) > VALUE_CHARS_MAX:
        return ()
    found = []
    for part in value.replace("(", "/").replace(")", "").split("/", PIECES_MAX):
        plain = plain_number(part)
        if plain is not None:
            found.append(Piece(plain, "", average=False))
            continue
        match = _PIECE.fullmatch(part)
        if match is None:
            return ()
        number = float(match[2].replace(",", ""))
        found.append(Piece(number, match[3], match[1] is not None))
    return tuple(found)


def plain_number(value: str) -> float | None:
    """*value* when it is one number without unit or separators, the common case; else None."""
    if len(value) > VALUE_CHARS_MAX or "_" in value:
        return None
    try:
        return float(value)
    except ValueError:
        return None


def whole(number: float) -> int | None:
    """*number* as the count it stands for, or None when it is none: `128.0`, but not `128.5`."""
    if number.is_integer() and 0 <= number <= WHOLE_MAX:
        return int(number)
    return None
