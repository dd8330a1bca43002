"""The points of a sliding window, and what they come to, kept up as they come and go.

    window = Window("p95", 5 * MINUTE_NS)
    window.add(at_ns, 127.0); window.trim(at_ns); window.figure()

A figure is what `rules.condition.aggregate` makes of the same points, to the last digits; NaN
points are none of them. A point costs the same whatever the window holds (but for a move within a
list, where the figure goes by size).

At most POINTS_MAX are held. Of more, those of one SLOTS-th of the window are told as one: sums,
counts, means, the least and the greatest, growth and ends stay what they are, but for the edge of
the window, which is so much coarser. Percentiles and slopes leave the oldest out.
"""

import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby, pairwise
from typing import NamedTuple, Protocol, TypeAlias

from heliograph.core.duration import SECOND_NS
from heliograph.rules import condition

POINTS_MAX = 10_000
SLOTS = 2_500
# Points between two attempts to hold them as fewer.
_FOLD_EVERY = POINTS_MAX // 10
# Beyond it what has left a running sum again might have taken digits of others along: while there is
# such a value in the window, its points are gone through.
_PLAIN_MAX = 1e20
# Instants are told from one that is so many spans ago at most: sums of them stay exact enough.
_ORIGIN_SPANS = 4


class Entry(NamedTuple):
    """So many points of one instant, or of one slot, by its newest; of several the value is what
    the figure needs of them."""

    at_ns: int
    value: float
    points: int


class Figure(Protocol):
    """What entries come to. Told of each that comes and goes, and of those beside it."""

    def put(self, new: Entry, before: Entry | None, after: Entry | None) -> None:
        """*new* came between *before* and *after*."""
        ...

    def drop(self, oldest: Entry, after: Entry | None) -> None:
        """*oldest* went; *after* is the oldest now."""
        ...

    def value(self, entries: Sequence[Entry]) -> float | None:
        """What *entries* come to, of which there is one at least."""
        ...


class Window:
    """The points of the last *span_ns*, up to the newest. For one thread at a time.

    newest_ns   when the newest point was, NaN or not; None before there was one
    points      how many are in it
    left_out    points that were not held for want of room
    """

    __slots__ = (
        "_aggregate", "_entries", "_figure", "_fold_in", "_odd", "_span_ns",
        "left_out", "newest_ns", "points",
    )  # fmt: skip

    def __init__(self, aggregate: str, span_ns: int) -> None:
        self._aggregate = aggregate
        self._span_ns = span_ns
        self.newest_ns: int | None = None
        self.left_out = 0
        self._begin(())

    def add(self, at_ns: int, value: float) -> None:
        """Take a point; what is older than the window then is out of it."""
        newest_ns = at_ns if self.newest_ns is None else max(self.newest_ns, at_ns)
        self.newest_ns = newest_ns
        if not math.isnan(value) and at_ns > newest_ns - self._span_ns:
            self._put(Entry(at_ns, value, 1))
        self.trim(newest_ns)

    def trim(self, end_ns: int) -> None:
        """Let go of what is out of the window that ends at *end_ns*."""
        start_ns = end_ns - self._span_ns
        while self._entries and self._entries[0].at_ns <= start_ns:
            self._drop()
        if len(self._entries) > POINTS_MAX:
            self._make_room()

    def clear(self) -> None:
        """Forget all points."""
        self.newest_ns = None
        self._begin(())

    def figure(self) -> float | None:
        """What the points come to; None where there is no telling."""
        if self._aggregate == "count":
            return float(self.points)
        if not self._entries:
            return None
        if not self._odd:
            return self._figure.value(self._entries)
        # At once, here and below: a signal handler may record while its thread does.
        entries = tuple(self._entries)
        if self._aggregate in {"sum", "mean"}:
            total = sum(entry.value for entry in entries)
            return total / self.points if self._aggregate == "mean" else total
        return condition.aggregate(self._aggregate, [entry[:2] for entry in entries])

    def _begin(self, entries: Iterable[Entry]) -> None:
        self._entries: deque[Entry] = deque()
        self._figure = _figure(self._aggregate, self._span_ns)
        self.points = self._odd = 0
        for entry in entries:
            self._put(entry)
        self._fold_in = _FOLD_EVERY

    def _put(self, new: Entry) -> None:
        """Nearly always behind all others; else where its time is."""
        entries = self._entries
        place = len(entries)
        while place and entries[place - 1].at_ns > new.at_ns:
            place -= 1
        before = entries[place - 1] if place else None
        after = entries[place] if place < len(entries) else None
        if after is None:
            entries.append(new)
        else:
            entries.insert(place, new)
        self.points += new.points
        self._fold_in -= 1
        if _is_odd(new):
            self._odd += 1
        if not self._odd:
            self._figure.put(new, before, after)

    def _drop(self) -> None:
        oldest = self._entries.popleft()
        self.points -= oldest.points
        if not self._odd:
            self._figure.drop(oldest, self._entries[0] if self._entries else None)
        elif _is_odd(oldest):
            self._odd -= 1
            if not self._odd:
                # While there were such, no figure was kept up.
                self._begin(self._entries)

    def _make_room(self) -> None:
        fold = _FOLDS.get(self._aggregate)
        if fold is not None and self._fold_in <= 0:
            slot_ns = max(1, self._span_ns // SLOTS)
            slots = groupby(tuple(self._entries), key=lambda entry: entry.at_ns // slot_ns)
            self._begin([one for _, slot in slots for one in fold(list(slot))])
        while len(self._entries) > POINTS_MAX:
            self.left_out += self._entries[0].points
            self._drop()


def _is_odd(entry: Entry) -> bool:
    return not -_PLAIN_MAX <= entry.value <= _PLAIN_MAX


class _Sum:
    """A sum from which what was added can be taken again: what rounding loses is kept beside it."""

    __slots__ = ("_lost", "_sum")

    def __init__(self) -> None:
        self._sum = self._lost = 0.0

    def add(self, value: float) -> None:
        before = self._sum
        self._sum = after = before + value
        if abs(before) >= abs(value):
            self._lost += (before - after) + value
        else:
            self._lost += (value - after) + before

    def total(self) -> float:
        return self._sum + self._lost


class _Total:
    """Sum and mean."""

    def __init__(self, *, mean: bool) -> None:
        self._mean = mean
        self._sum = _Sum()
        self._points = 0

    def put(self, new: Entry, _before: Entry | None, _after: Entry | None) -> None:
        self._points += new.points
        self._sum.add(new.value)

    def drop(self, oldest: Entry, after: Entry | None) -> None:
        self._points -= oldest.points
        self._sum.add(-oldest.value)
        if after is None:
            self._sum = _Sum()

    def value(self, _entries: Sequence[Entry]) -> float | None:
        total = self._sum.total()
        return total / self._points if self._mean else total


class _BySize:
    """The least, the greatest, percentiles: *share* of the way from the one to the other."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._ordered: list[float] = []

    def put(self, new: Entry, _before: Entry | None, _after: Entry | None) -> None:
        insort(self._ordered, new.value)

    def drop(self, oldest: Entry, _after: Entry | None) -> None:
        del self._ordered[bisect_left(self._ordered, oldest.value)]

    def value(self, _entries: Sequence[Entry]) -> float | None:
        """Linear between the two nearest ranks, as `condition` has it."""
        ordered = self._ordered
        place = self._share * (len(ordered) - 1)
        low = math.floor(place)
        lower, upper = ordered[low], ordered[min(low + 1, len(ordered) - 1)]
        return lower if lower == upper else lower + (upper - lower) * (place - low)


class _Ends:
    """What is asked of the first and the last alone."""

    def __init__(self, name: str) -> None:
        self._name = name

    def put(self, new: Entry, before: Entry | None, after: Entry | None) -> None:
        pass

    def drop(self, oldest: Entry, after: Entry | None) -> None:
        pass

    def value(self, entries: Sequence[Entry]) -> float | None:
        ends = [entries[0][:2], entries[-1][:2]] if len(entries) > 1 else [entries[0][:2]]
        return condition.aggregate(self._name, ends)


class _Growth:
    """Of a counter, which begins at 0 again now and then; *rate* is per second."""

    def __init__(self, *, rate: bool) -> None:
        self._rate = rate
        self._grown = _Sum()

    def put(self, new: Entry, before: Entry | None, after: Entry | None) -> None:
        if before is not None and after is not None:
            self._grown.add(-_growth(before, after))
        if before is not None:
            self._grown.add(_growth(before, new))
        if after is not None:
            self._grown.add(_growth(new, after))

    def drop(self, oldest: Entry, after: Entry | None) -> None:
        if after is None:
            self._grown = _Sum()
        else:
            self._grown.add(-_growth(oldest, after))

    def value(self, entries: Sequence[Entry]) -> float | None:
        if len(entries) < 2:
            return None
        grown, span_ns = self._grown.total(), entries[-1].at_ns - entries[0].at_ns
        if not self._rate:
            return grown
        return grown / (span_ns / SECOND_NS) if span_ns else None


def _growth(before: Entry, after: Entry) -> float:
    return after.value - before.value if after.value >= before.value else after.value


class _Slope:
    """Per second, of the line that is nearest to all points. Instants and values are told from an
    origin near them, so that what is common to all costs no digits."""

    def __init__(self, span_ns: int) -> None:
        self._reach_ns = _ORIGIN_SPANS * span_ns
        self._begin(Entry(0, 0.0, 1))

    def put(self, new: Entry, before: Entry | None, _after: Entry | None) -> None:
        if before is None and not self._points:
            self._begin(new)
        self._count(new, 1)

    def drop(self, oldest: Entry, _after: Entry | None) -> None:
        self._count(oldest, -1)

    def value(self, entries: Sequence[Entry]) -> float | None:
        if entries[-1].at_ns - self._origin.at_ns > self._reach_ns:
            self._begin(entries[0])
            for entry in tuple(entries):
                self._count(entry, 1)
        spread = self._points * self._squares_ns - self._sum_ns**2
        if not spread:
            return None
        mixed = self._points * self._mixed.total() - self._sum_ns * self._values.total()
        return mixed / spread * SECOND_NS

    def _begin(self, origin: Entry) -> None:
        self._origin = origin
        self._points = self._sum_ns = self._squares_ns = 0
        self._values, self._mixed = _Sum(), _Sum()

    def _count(self, entry: Entry, sign: int) -> None:
        at_ns, value = entry.at_ns - self._origin.at_ns, entry.value - self._origin.value
        self._points += sign
        self._sum_ns += sign * at_ns
        self._squares_ns += sign * at_ns * at_ns
        self._values.add(sign * value)
        self._mixed.add(sign * at_ns * value)


def _figure(aggregate: str, span_ns: int) -> Figure:
    if aggregate in {"count", "sum", "mean"}:
        return _Total(mean=aggregate == "mean")
    shares = {"min": 0.0, "max": 1.0, **condition.QUANTILES}
    if aggregate in shares:
        return _BySize(shares[aggregate])
    if aggregate in {"increase", "rate"}:
        return _Growth(rate=aggregate == "rate")
    return _Slope(span_ns) if aggregate == "slope" else _Ends(aggregate)


Fold: TypeAlias = Callable[[list[Entry]], list[Entry]]


def _as_one(slot: list[Entry]) -> list[Entry]:
    total = math.fsum(entry.value for entry in slot if not _is_odd(entry))
    points = sum(entry.points for entry in slot if not _is_odd(entry))
    odd = [entry for entry in slot if _is_odd(entry)]
    return [*odd, Entry(slot[-1].at_ns, total, points)] if points else odd


def _least(slot: list[Entry]) -> list[Entry]:
    return [min(slot, key=lambda entry: entry.value)]


def _greatest(slot: list[Entry]) -> list[Entry]:
    return [max(slot, key=lambda entry: entry.value)]


def _newest(slot: list[Entry]) -> list[Entry]:
    return slot[-1:]


def _turns(slot: list[Entry]) -> list[Entry]:
    """The ends, and what is on both sides of each time that the counter began again."""
    kept = [slot[0]]
    for before, after in pairwise(slot):
        if after.value < before.value:
            kept += [before] if kept[-1] is not before else []
            kept.append(after)
    return kept if kept[-1] is slot[-1] else [*kept, slot[-1]]


_FOLDS: dict[str, Fold] = {
    **dict.fromkeys(("count", "sum", "mean"), _as_one),
    "min": _least,
    "max": _greatest,
    **dict.fromkeys(("first", "last", "delta", "change"), _newest),
    **dict.fromkeys(("increase", "rate"), _turns),
}
