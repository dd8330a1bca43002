"""How far a value is from its own recent past: the robust z-score.

    z = 0.6745 · (x − median) / MAD        MAD = median of |xᵢ − median|

Median and MAD do not move when a few values are wild, so that a spike does not hide the next one.
A past that hardly varies would make any change infinite: the spread is at least *floor* of the
median's size. Values that are not finite are no part of the past; whether they are anomalies is
another rule's question. Source: Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993.
"""

import math
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Sequence
from typing import Any

# Makes the MAD of a normal distribution its standard deviation.
SCALE = 0.6745
FLOOR = 0.01
PAST_MAX = 1000
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
    half = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[half]
    return (ordered[half - 1] + ordered[half]) / 2


def robust_z(value: float, past: Sequence[float], *, floor: float = FLOOR) -> float:
    """The score of *value* against *past*, which is not empty; signed."""
    return _z(value, sorted(past), floor)


def _z(value: float, ordered: Sequence[float], floor: float) -> float:
    middle = median(ordered)
    least = max(abs(middle) * floor * SCALE, 1e-12)
    return SCALE * (value - middle) / max(_deviation(ordered, middle), least)


def _deviation(ordered: Sequence[float], middle: float) -> float:
    """The median of the distances from *middle*, without sorting them: those that are nearest to
    it stand side by side in *ordered*."""
    half = (len(ordered) + 1) // 2
    farthest = _kth_distance(ordered, middle, half)
    if len(ordered) % 2:
        return farthest
    return (farthest + _kth_distance(ordered, middle, half + 1)) / 2


def _kth_distance(ordered: Sequence[float], middle: float, k: int) -> float:
    """The *k*-th smallest distance from *middle*, from 1."""
    low, high = 0, len(ordered) - k
    while low < high:
        at = (low + high) // 2
        if middle - ordered[at] > ordered[at + k] - middle:
            low = at + 1
        else:
            high = at
    return max(middle - ordered[low], ordered[low + k - 1] - middle)


def _spreads(ordered: Sequence[float], middle: float, value: float, limit: float) -> bool:
    """Whether less than half of *ordered* is so near to *middle* that the score of *value* could be
    beyond *limit*: two searches, where the score takes twenty steps."""
    if limit <= 0.0:
        return False
    # A little more than it takes, for what is rounded on the way.
    near = SCALE * abs(value - middle) / limit * (1 + 1e-9)
    low, high = bisect_left(ordered, middle - near), bisect_right(ordered, middle + near)
    return high - low < (len(ordered) + 1) // 2


def is_anomalous(z: float, *, limit: float, direction: str) -> bool:
    """Whether a score of *z* is beyond *limit* in *direction* (`up`, `down` or `both`)."""
    if direction == "up":
        return z > limit
    return z < -limit if direction == "down" else abs(z) > limit


class Past:
    """The last *size* finite values of one key, and the score of the next one.

    Values come in order of event time; an earlier one than the last is late and ignored, for
    trainers print in order and a replayed line must not be its own past. Anomalous values become
    part of the past too: a level that stays is the new normal.
    """

    __slots__ = ("_before", "_change", "_last_ns", "_least", "_ordered", "_values", "late")

    def __init__(self, *, size: int, least: int, of: str = OF[0]) -> None:
        assert 1 <= least <= size <= PAST_MAX
        self._values: deque[float] = deque(maxlen=size)
        self._ordered: list[float] = []
        self._least = least
        self._last_ns: int | None = None
        self._change = of == "change"
        # The last finite value, and when it was.
        self._before: tuple[int, float] | None = None
        self.late = 0

    def score(self, at_ns: int, value: float, *, limit: float = 0.0) -> float | None:
        """Take *value*; its score, or None while the past is too short, or it is late.

        A score that is certain to be within *limit* may be told as 0.
        """
        if self._last_ns is not None and at_ns <= self._last_ns:
            self.late += 1
            return None
        self._last_ns = at_ns
        if not math.isfinite(value):
            return None
        if self._change:
            before, self._before = self._before, (at_ns, value)
            if before is None:
                return None
            value = (value - before[1]) / ((at_ns - before[0]) / 1e9)
        ordered, values = self._ordered, self._values
        z = None
        if len(ordered) >= self._least:
            middle = median(ordered)
            # The spread is at least so much: most values need no more than this.
            within = abs(value - middle) <= limit * abs(middle) * FLOOR
            z = (
                0.0
                if within or _spreads(ordered, middle, value, limit)
                else _z(value, ordered, FLOOR)
            )
        if len(values) == values.maxlen:
            del ordered[bisect_left(ordered, values[0])]
        values.append(value)
        insort(ordered, value)
        return z

    def dump(self) -> bytes:
        """The state, to begin from again with `load`."""
        import msgspec  # not here before it is needed: the recorder's monitors go without

        return msgspec.msgpack.encode((self._last_ns, list(self._values), self._before))

    def load(self, state: bytes) -> None:
        """Take up the *state* that `dump` wrote. Raises ValueError on anything else."""
        import msgspec  # as above

        try:
            # States of an earlier version have two parts.
            held = [*msgspec.msgpack.decode(state, type=list[Any]), None][:3]
            last_ns, values, before = msgspec.convert(held, _STATE)
        except msgspec.MsgspecError as error:
            raise ValueError(f"not a past: {error}") from error
        self._last_ns, self._before = last_ns, before
        self._values.extend(values)
        self._ordered = sorted(self._values)
