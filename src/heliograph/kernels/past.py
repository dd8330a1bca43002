"""The last values of one thing and the robust score of the next: the plain twin of `past.pyx`.

    past = Past(200, 30)                past.score(at_ns, 2.5)  →  None while it is too short, then z
    robust_z(50.0, [1.0, 1.1, 0.9])     of one value against some
    scores.take(fields, at_ns)          of those of a row that somebody looks at

    z = 0.6745 · (x − median) / max(MAD, floor · |median| · 0.6745)

What it means, and how states are written down, is `rules.anomaly`.
"""

import math
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

COMPILED = False
# Makes the MAD of a normal distribution its standard deviation.
SCALE = 0.6745
FLOOR = 0.01
PAST_MAX = 1000
# A little more than it takes, for what is rounded on the way.
_ROUNDED = 1 + 1e-9


def double(value: float) -> float:
    """*value* as a double; a whole number that is beyond all doubles is infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def median(ordered: Sequence[float]) -> float:
    """The middle of *ordered*, which is not empty."""
    half = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[half]
    return (ordered[half - 1] + ordered[half]) / 2


def robust_z(value: float, past: Sequence[float], floor: float = FLOOR) -> float:
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
    near = SCALE * abs(value - middle) / limit * _ROUNDED
    low, high = bisect_left(ordered, middle - near), bisect_right(ordered, middle + near)
    return high - low < (len(ordered) + 1) // 2


class Past:
    """The last *size* finite values, of which *least* are needed for a score; with *change* what is
    kept and scored is how much they move per second.

    late, taken    values that came out of order; all that came
    due, gone      of how many values somebody wants to know; whether it is kept no more: `Scores`
    """

    __slots__ = (
        *("_before", "_change", "_last_ns", "_least", "_ordered", "_values"),
        *("due", "gone", "late", "taken"),
    )

    def __init__(self, size: int, least: int, change: bool = False) -> None:
        assert 1 <= least <= size <= PAST_MAX
        self._values: deque[float] = deque(maxlen=size)
        self._ordered: list[float] = []
        self._least = least
        self._last_ns: int | None = None
        self._change = change
        # The last finite value, and when it was.
        self._before: tuple[int, float] | None = None
        self.late = self.taken = self.due = 0
        self.gone = False

    def score(self, at_ns: int, value: float, limit: float = 0.0) -> float | None:
        """Take *value*; its score, or None while the past is too short, or it is late.

        A score that is certain to be within *limit* may be told as 0.
        """
        self.taken += 1
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
            within = abs(value - middle) * _ROUNDED <= limit * (abs(middle) * FLOOR)
            z = (
                0.0
                if within or _spreads(ordered, middle, value, limit)
                else _z(value, ordered, FLOOR)
            )
        if len(values) == values.maxlen:
            # A state that was damaged may hold what is no number, which is right of everything.
            del ordered[min(bisect_left(ordered, values[0]), len(ordered) - 1)]
        values.append(value)
        insort(ordered, value)
        return z

    def held(self) -> tuple[int | None, list[float], tuple[int, float] | None]:
        """When the last value came, the values in the order they came, and, of changes, the last
        value and when it came."""
        return self._last_ns, list(self._values), self._before

    def begin(
        self, last_ns: int | None, values: Sequence[float], before: tuple[int, float] | None
    ) -> None:
        """Go on from what `held` gave; of more values than there is room for from the last."""
        self._last_ns, self._before = last_ns, before
        self._values.clear()
        self._values.extend(values)
        self._ordered = sorted(self._values)


class Look(Protocol):
    """Who looks at one field of rows."""

    @property
    def fields(self) -> Sequence[str]:
        """It looks at the first of these that a row has."""
        ...

    @property
    def limit(self) -> float:
        """Scores beyond it, and beyond it below 0, are told."""
        ...

    @property
    def held(self) -> dict[str, Any]:
        """The pasts that `past` gave, by field."""
        ...

    def past(self, field: str, /) -> Any:
        """The past of *field*, which is to be in *held*."""
        ...

    def write(self, past: Any, /) -> None:
        """*past* has taken as many values as were due; set when the next are."""
        ...


class Test(Protocol):
    """Who asks something else of rows, until it was heard of."""

    @property
    def heard_in(self) -> object | None:
        """What rows came with, of which nothing more is asked."""
        ...


class Scores:
    """What some looks see of the rows of one printer, in order. Of *owner*, who asks *tested* too."""

    __slots__ = ("_looks", "owner", "tested")

    def __init__(
        self, looks: Sequence[Look], tested: Sequence[Test] = (), owner: Any = None
    ) -> None:
        self._looks = [(look.fields, float(look.limit), look.held, look) for look in looks]
        self.tested, self.owner = list(tested), owner

    def take(
        self, fields: Mapping[str, Any], at_ns: int
    ) -> list[tuple[int, str, float, float]] | None:
        """Take the values of a row's *fields*; of scores beyond their limit the number of the look,
        the field, its value and the score, or None."""
        found: list[tuple[int, str, float, float]] | None = None
        for n, (names, limit, held, look) in enumerate(self._looks):
            name = next((one for one in names if one in fields), None)
            if name is None or type(fields[name]) not in {float, int}:
                continue
            past = held.get(name)
            if past is None or past.gone:
                past = look.past(name)
            value = double(fields[name])
            z = past.score(at_ns, value, limit)
            if past.taken >= past.due:
                look.write(past)
            if z is not None and (z > limit or z < -limit):
                found = [*(found or ()), (n, name, value, z)]
        return found


def look_through(
    tracks: Mapping[Any, Scores], rows: Sequence[Any], at: int, came: object
) -> tuple[int, Any, list[tuple[int, str, float, float]] | None]:
    """Take the values of *rows*, training rows, from *at* on, up to the first that somebody must look
    at; *tracks* has scores by the first three parts of a row.

    Where that row is, the owner of its scores, and what of them is beyond a limit: its values are
    taken, and something is, or a test has not heard of it in *came*. The owner is None where there
    is no track for it, and nothing of it was taken; and at the end of *rows*.
    """
    for n in range(at, len(rows)):
        row = rows[n]
        scores = tracks.get(row[:3])
        if scores is None:
            return n, None, None
        beyond = scores.take(row[7], row[3])
        if beyond is not None or any(one.heard_in is not came for one in scores.tested):
            return n, scores.owner, beyond
    return len(rows), None, None
