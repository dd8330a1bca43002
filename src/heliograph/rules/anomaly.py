"""How far a value is from its own recent past: the robust z-score.

    z = 0.6745 · (x − median) / MAD        MAD = median of |xᵢ − median|

Median and MAD do not move when a few values are wild, so that a spike does not hide the next one.
A past that hardly varies would make any change infinite: the spread is at least *floor* of the
median's size. Values that are not finite are no part of the past; whether they are anomalies is
another rule's question. Source: Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993.
"""

from collections.abc import Sequence
from typing import Any

from heliograph.kernels import past as kernel

SCALE, FLOOR, PAST_MAX = kernel.SCALE, kernel.FLOOR, kernel.PAST_MAX
Scores = kernel.Scores
look_through, double = kernel.look_through, kernel.double
DIRECTIONS = ("up", "down", "both")
# What is scored: the values, or how much they move per second from one to the next.
OF = ("value", "change")
_STATE = tuple[int | None, list[float], tuple[int, float] | None]


def changes(points: Sequence[tuple[int, float]]) -> list[float]:
    """Per second, from each of *points* (at_ns, value), all finite and in time order, to the next;
    of points of one instant the first counts."""
    found: list[float] = []
    if points:
        last_ns, last = points[0]
    for at_ns, value in points:
        if at_ns > last_ns:
            found.append((value - last) / ((at_ns - last_ns) / 1e9))
            last_ns, last = at_ns, value
    return found


def median(ordered: Sequence[float]) -> float:
    """The middle of *ordered*, which is not empty."""
    return kernel.median(ordered)


def robust_z(value: float, past: Sequence[float], *, floor: float = FLOOR) -> float:
    """The score of *value* against *past*, which is not empty; signed."""
    return kernel.robust_z(value, past, floor)


def is_anomalous(z: float, *, limit: float, direction: str) -> bool:
    """Whether a score of *z* is beyond *limit* in *direction* (`up`, `down` or `both`)."""
    if direction == "up":
        return z > limit
    return z < -limit if direction == "down" else abs(z) > limit


class Past(kernel.Past):
    """The last *size* finite values of one key, and the score of the next one.

    Values come in order of event time; an earlier one than the last is late and ignored, for
    trainers print in order and a replayed line must not be its own past. Anomalous values become
    part of the past too: a level that stays is the new normal.
    """

    __slots__ = ()

    def __init__(self, *, size: int, least: int, of: str = OF[0]) -> None:
        super().__init__(size, least, of == "change")

    def dump(self) -> bytes:
        """The state, to begin from again with `load`."""
        import msgspec  # not here before it is needed: the recorder's monitors go without

        return msgspec.msgpack.encode(self.held())

    def load(self, state: bytes) -> None:
        """Take up the *state* that `dump` wrote. Raises ValueError on anything else."""
        import msgspec  # as above

        try:
            # States of an earlier version have two parts.
            held = [*msgspec.msgpack.decode(state, type=list[Any]), None][:3]
            last_ns, values, before = msgspec.convert(held, _STATE)
        except msgspec.MsgspecError as error:
            raise ValueError(f"not a past: {error}") from error
        self.begin(last_ns, values, before)
