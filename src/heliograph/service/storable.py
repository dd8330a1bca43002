"""Writing many where one may be such that no store can hold it: that one is left out, alone."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from heliograph.core.errors import Refused
from heliograph.store.state import batches

T = TypeVar("T")


def put_storable(
    items: Sequence[T],
    put: Callable[[Sequence[T]], None],
    dropped: Callable[[T, Refused], None],
) -> None:
    """*put* all of *items* (none of them: nothing). Where it raises Refused, halves are put, until
    the one at fault is alone; *dropped* is told that one, and why."""
    if not items:
        return
    try:
        put(items)
    except Refused as refused:
        if len(items) == 1:
            dropped(items[0], refused)
            return
        for some in batches.cut(items, len(items) // 2):
            put_storable(some, put, dropped)
