"""Long lists in pieces that one transaction may take."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def cut(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """*items* in order, in pieces of *size*; the last may be shorter. No items, no piece."""
    if len(items) <= size:
        # Nearly always, and many times a transaction.
        return iter((items,) if items else ())
    return (items[start : start + size] for start in range(0, len(items), size))


def halved(items: Sequence[T], most: int) -> Iterator[Sequence[T]]:
    """*items* in order, in pieces of at most *most* whose lengths are powers of two: of few lengths,
    so that a statement for each stays prepared."""
    first, size = 0, 1 << most.bit_length() - 1
    while first < len(items):
        while size > len(items) - first:
            size //= 2
        yield items[first : first + size]
        first += size
