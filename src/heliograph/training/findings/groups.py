"""Groups of exceptions as Python draws them: how deep within groups a line is, and what it says.

      + Exception Group Traceback (most recent call last):       1   of the group itself
      |   File "run.py", line 3, in main
      | ExceptionGroup: unhandled errors in a TaskGroup (2 sub-exceptions)
      +-+---------------- 1 ----------------                     2   its first member follows
        | Traceback (most recent call last):
        |   File "run.py", line 8, in load
        | ValueError: no data
        +---------------- 2 ----------------                         the next one
        | Exception Group Traceback (most recent call last):         which is a group too
        | ExceptionGroup: more (1 sub-exception)
        +-+---------------- 1 ----------------                   3
          | KeyError: 1
          +------------------------------------                      the end of all that end here

Source: Python's `traceback`. A line on which nothing is drawn, depth 0, is within a group another's;
but of an exception that nobody caught the further lines of a message come so.
"""

import enum
import re
from typing import NamedTuple

# Python draws ten; deeper is no group.
DEPTH_MAX = 16

_DRAWN = re.compile(
    r"(?P<blanks> *)(?:\+ (?=Exception Group Traceback)|\| ?|(?P<rule>(?P<opens>\+-)?\+-{8,}"
    r"(?P<member> (?:\d{1,9}|\.{3}) -{8,})?\s*\Z))"
)


class Sign(enum.Enum):
    """What is drawn: a margin, a rule that a member follows, or one that ends a group."""

    MARGIN = 1
    MEMBER = 2
    END = 3


class Drawn(NamedTuple):
    """A line, and the text behind what is drawn. *depth* is that of what follows, 0 outside of all."""

    depth: int
    sign: Sign
    text: str


def drawn(text: str) -> Drawn:
    """How *text*, a line of a block, is drawn."""
    match = _DRAWN.match(text)
    if match is None or len(match["blanks"]) > 2 * DEPTH_MAX:
        return Drawn(0, Sign.MARGIN, text)
    depth = len(match["blanks"]) // 2
    if match["rule"] is None:
        return Drawn(depth, Sign.MARGIN, text[match.end() :] if depth else text)
    if match["member"] is None:
        return Drawn(depth - 1 if depth > 2 else 0, Sign.END, "")
    return Drawn(depth + (match["opens"] is not None), Sign.MEMBER, "")
