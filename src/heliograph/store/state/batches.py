"""Long lists in pieces that one transaction may take."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def cut(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """*items* in order, in pieces of *size*; the last may be shorter. No items, no piece."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
