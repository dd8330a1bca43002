"""How far a regular expression counts, for that is what makes one dear. Server side: needs google-re2.

    counted("NCCL .*")            0      counted(".{0,200}timeout")      399
    counted(r"\\d{4}-\\d{2}")       4      counted("(.{1,20}){1,20}")      798: refused

RE2 is linear in the length of a text, whatever the pattern; but what counts is written out as often
as it counts, and looked at so often for each byte of some texts.
"""

import re

import re2

from heliograph.core.matcher import compile_pattern

COUNTED_MAX = 500

_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.never_capture = True
# Any character is one instruction.
_OPTIONS.dot_nl = True
_OPTIONS.encoding = re2.Options.Encoding.LATIN1
# Control characters, which no pattern needs, and of one byte each.
_STAND_INS = 31

# A class of characters; another escape; a count.
_PIECE = re.compile(
    r"""(\[\^?\]?(?:\[:\^?\w+:\]|\\.|[^\]\\])*\]|\\[pP](?:\{\^?\w+\}|\w)|\\x\{\w+\}|\\[dDsSwWC])
       |(\\.)|\{\d+(?:,\d*)?\}""",
    re.VERBOSE | re.DOTALL,
)


def counted(pattern: str) -> int:
    """How many instructions counting adds to *pattern*, which is RE2. Raises ValueError where that
    is more than `COUNTED_MAX`."""
    if "{" not in pattern:
        return 0
    names: dict[str, str] = {}

    def stand_in(piece: re.Match[str]) -> str:
        """A character for a class, another for each: RE2 makes one of neighbours that are alike."""
        if not piece[1]:
            return piece[0]
        return names.setdefault(piece[1], chr(1 + len(names) % _STAND_INS))

    plain = _PIECE.sub(stand_in, pattern)
    bare = _PIECE.sub(lambda piece: piece[2] or "", plain)
    try:
        found = max(0, _size(plain) - _size(bare))
    except re2.error:
        # Between `\Q` and `\E` a count may be none, and what is left without it no pattern.
        found = compile_pattern(pattern).programsize
    if found > COUNTED_MAX:
        raise ValueError(
            f"the pattern counts too far: {found} repetitions written out, limit {COUNTED_MAX}"
            " (use * or +, or smaller numbers in {})"
        )
    return found


def _size(pattern: str) -> int:
    size: int = re2.compile(pattern.encode("utf-8", "replace"), _OPTIONS).programsize
    return size
