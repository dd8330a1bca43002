"""No two points of one series at one instant: the later one moves on by a nanosecond.

    arrived (s, 5) (s, 5) (s, 7) (s, 5)      with 6 taken already
    placed  (s, 5) (s, 7) (s, 8) (s, 9)      in the order of time, then of arrival

A store keeps one sample of a series at an instant, but every call counts. Of each series the span
that may hold samples is known: outside it every instant is free, which is nearly always the case;
inside it the store is asked.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from heliograph.core.samples import SampleBatch

Ints: TypeAlias = NDArray[np.int64]
# (series, start_ns, end_ns) → instants at which the store has a sample of it.
Taken: TypeAlias = Callable[[int, int, int], Ints]

_LEAST, _GREATEST = -(2**63), 2**63 - 1
# About so many instants are asked for at a time; the next question is of a span so much wider.
FOUND_MAX = 200_000
WIDER = 4


class Placing:
    """Knows the spans; for one thread. *low_ns*..*high_ns* is what a series not met here may have
    in the store, an empty span (low above high) when the store began empty.

    moved, asked   points that were moved; how often the store was asked
    """

    def __init__(self, low_ns: int, high_ns: int, taken: Taken) -> None:
        self.moved = 0
        self.asked = 0
        self._taken = taken
        self._span = (low_ns, high_ns)
        self._low = np.full(1024, low_ns, np.int64)
        self._high = np.full(1024, high_ns, np.int64)

    def place(self, batch: SampleBatch) -> SampleBatch:
        """*batch* by series and time, each sample at an instant of its own."""
        self._reach(int(batch.series.max()))
        if batch.count == 1:
            one, only_ns = int(batch.series[0]), int(batch.at_ns[0])
            if only_ns > self._high[one] or only_ns < self._low[one]:
                self._widen(one, only_ns)
                return batch
        order = np.lexsort((batch.at_ns, batch.series))
        series, at_ns = batch.series[order], batch.at_ns[order]
        starts = np.flatnonzero(np.append(True, series[1:] != series[:-1]))
        ends = np.append(starts[1:], len(series))
        placed = _apart(at_ns, starts, ends)
        ids = series[starts]
        inside = (placed[starts] <= self._high[ids]) & (placed[ends - 1] >= self._low[ids])
        for place in np.flatnonzero(inside).tolist():
            begin, end = int(starts[place]), int(ends[place])
            placed[begin:end] = self._between(int(ids[place]), at_ns[begin:end])
        self._low[ids] = np.minimum(self._low[ids], placed[starts])
        self._high[ids] = np.maximum(self._high[ids], placed[ends - 1])
        self.moved += int((placed != at_ns).sum())
        return SampleBatch(series, placed, batch.value[order])

    def _between(self, series: int, at_ns: Ints) -> Ints:
        """Free instants for ascending *at_ns* of one series among those that the store has."""
        found: set[int] = set()
        known_ns = int(at_ns[0])
        # Room beside a point for those that move; more and more while little is there.
        width_ns = least_ns = max(64, 2 * len(at_ns))
        following: dict[int, int] = {}
        placed = []
        for at in at_ns.tolist():
            free = _following(following, at)
            while True:
                if free >= known_ns:
                    self.asked += 1
                    known_ns = min(free + width_ns, _GREATEST)
                    # Whatever is before has been passed: points ascend.
                    found = set(self._taken(series, free, known_ns).tolist())
                    few = len(found) < FOUND_MAX // WIDER
                    width_ns = width_ns * WIDER if few else max(least_ns, width_ns // WIDER)
                if free not in found:
                    break
                following[free] = free + 1
                free = _following(following, free)
            following[free] = free + 1
            placed.append(free)
        return np.array(placed, np.int64)

    def _widen(self, series: int, at_ns: int) -> None:
        self._low[series] = min(int(self._low[series]), at_ns)
        self._high[series] = max(int(self._high[series]), at_ns)

    def _reach(self, series: int) -> None:
        if series < len(self._low):
            return
        more = max(series + 1, 2 * len(self._low)) - len(self._low)
        low_ns, high_ns = self._span
        self._low = np.append(self._low, np.full(more, low_ns, np.int64))
        self._high = np.append(self._high, np.full(more, high_ns, np.int64))


def nothing_there() -> tuple[int, int]:
    """The span of a store that began empty."""
    return _GREATEST, _LEAST


def _following(following: dict[int, int], at: int) -> int:
    """The first instant from *at* on that is not given yet; the way there is made shorter."""
    passed = []
    while at in following:
        passed.append(at)
        at = following[at]
    for one in passed:
        following[one] = at
    return at


def _apart(at_ns: Ints, starts: NDArray[np.intp], ends: NDArray[np.intp]) -> Ints:
    """Ascending *at_ns* of each group, moved on by as little as makes them strictly ascending."""
    same = at_ns[1:] == at_ns[:-1]
    within = np.ones(len(at_ns), np.bool_)
    within[starts] = False
    if not (same & within[1:]).any():
        return at_ns.copy()
    placed = at_ns.copy()
    for begin, end in zip(starts.tolist(), ends.tolist(), strict=True):
        group = at_ns[begin:end]
        if end - begin > 1 and (group[1:] == group[:-1]).any():
            steps = np.arange(end - begin, dtype=np.int64)
            placed[begin:end] = np.maximum.accumulate(group - steps) + steps
    return placed
