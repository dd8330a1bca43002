"""Patterns whose every repetition has a bound, so that no line, however it is made, costs much.

    compiled(r"ran for (\\d+) mil")      as re.compile, with \\d{1,20}

A try at one character then reads a bounded length, and a search is linear in the line. The bounds
are far above what lines have: a number has 20 digits, a word 128 characters.
"""

import re

_BOUNDS = {"\\d": 20, "\\s": 64, "\\w": 128, "\\S": 160, ".": 512, ")": 16}
_OTHERS = 128


def compiled(text: str, flags: re.RegexFlag = re.NOFLAG) -> re.Pattern[str]:
    """*text* compiled, with a bound for each `+` and `*` in it."""
    return re.compile(bounded(text), flags)


def bounded(text: str) -> str:
    """*text* with `{1,n}` and `{0,n}` in place of `+` and `*`; what is escaped, and what stands in
    brackets, is as it was."""
    result: list[str] = []
    element, at, in_class = "", 0, False
    while at < len(text):
        char = text[at]
        width = 2 if char == "\\" else 1
        piece = text[at : at + width]
        at += width
        if in_class:
            in_class = char != "]" or element in {"[", "[^"}
            element = "[]" if not in_class else "[^" if element == "[" and char == "^" else "x"
        elif char == "[":
            in_class, element = True, "["
        elif char in "+*" and element:
            piece = f"{{{int(char == '+')},{_BOUNDS.get(element, _OTHERS)}}}"
            # A sign that follows says how to repeat, and repeats nothing itself.
            element = ""
        else:
            element = "" if char in "(|?" else piece
        result.append(piece)
    return "".join(result)
