r"""A pattern over lines → one over lines of which some digits are not known, written `_`.

    masked(r"Xid \((?P<pci>[^)]+)\): 79\b")   →   r"Xid \(((?:[^)]|_)+)\): [7_][9_]\b"

Where a pattern occurs in a line, its masked one occurs in that line with any of its digits masked: so
that lines that differ in digits alone need one look together, and none alone where it finds nothing.
It may find more: `_` stands for itself too.
"""

import re

import re2

from heliograph.core.matcher import compile_pattern

_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
# A digit that is not known: a part of words, as digits are.
ANY = "_"

# What a digit in a pattern may be besides a digit: a count, a character by its code, part of a name.
_COUNT = re.compile(r"\{\d+(?:,\d*)?\}")
_CODE = re.compile(r"\\x(?:([0-9a-fA-F]{2})|\{([0-9a-fA-F]+)\})")
_PROPERTY = re.compile(r"\\[pP](?:\{[^}]*\}|.)")
_GROUP = re.compile(r"\(\?(?:P?<\w+>|[a-zA-Z-]*[:)])")
_CLASS = re.compile(
    r"\[\^?\]?(?:\[:\^?\w+:\]|\\[pP]\{[^}]*\}|\\x\{[^}]*\}|\\.|[^\]\\])*\]", re.DOTALL
)
# Escapes that say nothing of single digits.
_PLAIN = re.compile(r"\\[^0-9A-Za-z]|\\[dDsSwWbBAzaftnrv]", re.DOTALL)


def masked(pattern: str) -> str | None:
    """*pattern* over masked lines; None where it is written in a way that this cannot read."""
    parts: list[str] = []
    at = 0
    while at < len(pattern):
        part, at = _part(pattern, at)
        if part is None:
            return None
        parts.append(part)
    found = "".join(parts)
    try:
        compile_pattern(found)
    except ValueError:
        return None
    return found


def _part(pattern: str, at: int) -> tuple[str | None, int]:
    """What stands for the part of *pattern* that begins at *at*, and where it ends."""
    match pattern[at]:
        case "\\":
            return _escape(pattern, at)
        case "(" if pattern.startswith("(?", at):
            group = _GROUP.match(pattern, at)
            if group is None:
                return None, at
            # Names are left out: some that differ in digits would be one.
            return "(" if "<" in group[0] else group[0], group.end()
        case "{":
            count = _COUNT.match(pattern, at)
            return ("{", at + 1) if count is None else (count[0], count.end())
        case "[":
            some = _CLASS.match(pattern, at)
            return (None, at) if some is None else (_class(some[0]), some.end())
        case one:
            return f"[{one}_]" if one in "0123456789" else one, at + 1


def _escape(pattern: str, at: int) -> tuple[str | None, int]:
    for form in (_CODE, _PROPERTY, _PLAIN):
        if (found := form.match(pattern, at)) is not None:
            return _class(found[0]), found.end()
    return None, at


def _class(text: str) -> str | None:
    """What *text* stands for, a character of some, and what is not known if any digit is of them."""
    try:
        one = re2.compile(text, _OPTIONS)
    except re2.error:
        return None
    return f"(?:{text}|_)" if any(one.fullmatch(digit) for digit in "0123456789") else text
