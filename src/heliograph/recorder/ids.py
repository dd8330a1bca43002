"""Event ids: UUIDs of version 4, cheap enough for every call.

    f47ac10b-58cc-4372-a567-0e02b2c3d479
    ╰──────── the process's ───╯ ╰ count ╯

The first 74 free bits are random, drawn when the process (or a child of it) begins; the last 48
count up from a random start. Ids of one process differ by the count, of two by the rest.
"""

import os
from itertools import count

_COUNT_MASK = (1 << 48) - 1
# The last two digits: looked up, an id costs half of what formatting it does.
_DIGITS = [f"{number:02x}" for number in range(1 << 8)]
_prefix = ""
_numbers = count()
_page = (-1, "")


def event_id() -> str:
    """A new id. Thread-safe."""
    global _page  # noqa: PLW0603  # what the last ids had in common
    number = next(_numbers)
    high = number >> 8
    page, text = _page
    if high != page:
        text = f"{_prefix}{(high << 8 & _COUNT_MASK) >> 8:010x}"
        _page = (high, text)
    return text + _DIGITS[number & 0xFF]


def drawn() -> tuple[str, int]:
    """What the ids of somebody else begin with, and the number that theirs count on from."""
    digits = os.urandom(16).hex()
    variant = "89ab"[int(digits[12], 16) & 3]
    prefix = f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-"
    return prefix, int(digits[20:], 16)


def _draw() -> None:
    global _prefix, _numbers, _page  # noqa: PLW0603  # a process has one
    _prefix, first = drawn()
    _numbers = count(first)
    _page = (-1, "")


_draw()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_draw)
