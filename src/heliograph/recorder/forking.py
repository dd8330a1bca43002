"""The child of a fork: what its parent's threads held at that moment is held for ever, so whoever has
locks gets new ones there.

    forking.watch(store)      store.begin_again() is called in each child, while store is alive
"""

import os
import weakref
from typing import Protocol


class Renewable(Protocol):
    """Has locks, or threads, that a child must not share."""

    def begin_again(self) -> None:
        """In the child of a fork: with locks of its own."""
        ...


_alive: "weakref.WeakSet[Renewable]" = weakref.WeakSet()


def watch(one: Renewable) -> None:
    """Have *one* begin again in each child."""
    _alive.add(one)


def _in_child() -> None:
    for one in list(_alive):
        one.begin_again()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
