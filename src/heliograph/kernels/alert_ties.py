"""Alerts with which nothing has to do but the storm that they are part of, many at a time: where
there is no compiler, none is found to be that.

    begin([alert, …], 0, ties, came, quiet, 0, 600)      how many of them, and the latest

Such an alert is no known cause or effect, has no tie that another alert has, and is within the window
of a group of time alone that is full. All that is to be done is to remember it at its ties. What is
not found to be that is for `alert.correlation`, which does the same for those that are.
"""

from array import array
from collections.abc import Callable, Sequence
from typing import Any

COMPILED = False


class Held(dict[int, Any]):
    """What waits, by the hash of a tie's name: what *ref_of* made, or something else. In the compiled
    form the former are values that are made anew when they are asked for; 100 bytes for the two or
    three ties of an alert."""

    def __init__(self, ref_of: Callable[..., Any]) -> None:
        super().__init__()
        self.ref_of = ref_of

    def shed(self, keys: "array[int]", most: int) -> int:
        """Forget what *ref_of* made for the last of *keys*, which are dropped, while there is more
        than *most*; up to one that has something else. How many went."""
        gone = 0
        while keys and len(self) > most:
            held = self.get(keys[-1])
            if held is not None and type(held) is not self.ref_of:
                break
            gone += self.pop(keys.pop(), None) is not None
        return gone


def begin(
    alerts: Sequence[Any],
    at: int,
    ties: Held,
    came: "array[int]",
    is_quiet: dict[str, bool],
    begin_ns: int,
    end_ns: int,
) -> tuple[int, int]:
    """Remember such alerts, from *at* on until one is none; where that is, and when the latest came.

    *came*: hashes of ties that began. *is_quiet*: whether an alert of a name is in no known cause;
    one that is not there is none. The storm is within `[begin_ns, end_ns]`.
    """
    del alerts, ties, came, is_quiet, begin_ns, end_ns
    return at, 0
