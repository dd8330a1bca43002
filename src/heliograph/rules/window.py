"""Counts in sliding windows of event time, for one key of one rule.

    window = Window(count=3, span_ns=10 * MINUTE_NS)
    window.add("pod-a", t0), window.add("pod-b", t1), window.add("pod-a", t2)  →  0, 0, 3

*count* occurrences within less than *span_ns*, whatever the order they came in, are what is looked
for: the answer depends on the set of occurrences alone. Each source (the client that printed the
line) has its own watermark, the latest time it told, and only its own occurrences leave when it
moves on: a client whose clock is a year ahead takes nothing from the windows of others.

An occurrence more than *lateness_ns* plus the span behind its own source's watermark is late: it
counts for nothing, and in `late`. One that has an identity and is there already, for a shipper that
got no answer sends again, is one; nothing is known of those that had to go.
"""

from bisect import bisect_left, insort
from collections import Counter
from typing import Any

import msgspec

from heliograph.core.duration import MINUTE_NS

LATENESS_NS = 5 * MINUTE_NS
SOURCES_MAX = 1024
COUNT_MAX = 10_000
# Of one key, from all sources: what a state can weigh.
TIMES_MAX = 20_000

_ENCODER = msgspec.msgpack.Encoder()
# A time and an identity, 0 for none; states of an earlier version have times alone.
Told = tuple[int, int]
_DECODER = msgspec.msgpack.Decoder(dict[str, list[Told | int]])


class Window:
    """The occurrences that still matter of one key. Bounded by sources and times.

    late, evicted    occurrences too late to count; those given up because there were too many
    """

    __slots__ = ("_merged", "_of", "count", "evicted", "late", "lateness_ns", "span_ns")

    def __init__(self, *, count: int, span_ns: int, lateness_ns: int = LATENESS_NS) -> None:
        assert 1 <= count <= COUNT_MAX
        self.count = count
        self.span_ns = span_ns
        self.lateness_ns = lateness_ns
        self.late = 0
        self.evicted = 0
        # source → its times, ascending; the last one is its watermark.
        self._of: dict[str, list[Told]] = {}
        self._merged: list[int] = []

    def __len__(self) -> int:
        return len(self._merged)

    def add(self, source: str, at_ns: int, identity: int = 0, also: str = "") -> int:
        """Take one occurrence; how many there are in the window that it completes, or 0.

        *identity*, ≥ 0, tells it from others of its source, and of *also*, and its time: one that is
        there already completes nothing. Each that has none, 0, counts.
        """
        times = self._of.pop(source, None)
        if times is None:
            times = []
            if len(self._of) >= SOURCES_MAX:
                self._drop_source(next(iter(self._of)))
        # Taken out and put back: the sources are in the order in which they were last heard.
        self._of[source] = times
        floor = (times[-1][0] if times else at_ns) - self.span_ns - self.lateness_ns
        if at_ns <= floor:
            self.late += 1
            return 0
        told = at_ns, identity
        place = bisect_left(times, told)
        if identity and (_is_at(times, place, told) or told in self._of.get(also, ())):
            return 0
        times.insert(place, told)
        insort(self._merged, at_ns)
        self._trim(times)
        return self._completed(at_ns)

    def _trim(self, times: list[Told]) -> None:
        """What this source's watermark leaves behind goes, and what is more than can matter."""
        floor = times[-1][0] - self.span_ns - self.lateness_ns
        keep = min(2 * self.count + 8, TIMES_MAX)
        while times[0][0] <= floor or len(times) > keep:
            if times[0][0] > floor:
                self.evicted += 1
            self._remove(times.pop(0)[0])
        while len(self._merged) > TIMES_MAX and len(self._of) > 1:
            self._drop_source(next(iter(self._of)))

    def _completed(self, at_ns: int) -> int:
        merged, count = self._merged, self.count
        place = bisect_left(merged, at_ns)
        last = min(place, len(merged) - count)
        for first in range(max(0, place - count + 1), last + 1):
            if merged[first + count - 1] - merged[first] < self.span_ns:
                begin = bisect_left(merged, at_ns - self.span_ns + 1)
                end = bisect_left(merged, at_ns + 1)
                return max(count, end - begin)
        return 0

    def _remove(self, at_ns: int) -> None:
        place = bisect_left(self._merged, at_ns)
        if place < len(self._merged) and self._merged[place] == at_ns:
            del self._merged[place]

    def _drop_source(self, source: str) -> None:
        times = self._of.pop(source)
        self.evicted += len(times)
        gone = Counter(at_ns for at_ns, _ in times)
        kept = []
        for at_ns in self._merged:
            if gone[at_ns]:
                gone[at_ns] -= 1
            else:
                kept.append(at_ns)
        self._merged = kept

    def dump(self) -> bytes:
        """The state, to begin from again with `load`."""
        return _ENCODER.encode(self._of)

    def load(self, state: bytes) -> None:
        """Take up the *state* that `dump` wrote. Raises ValueError on anything else."""
        try:
            held: dict[str, Any] = _DECODER.decode(state)
        except msgspec.MsgspecError as error:
            raise ValueError(f"not a window's state: {error}") from error
        self._of = {
            source: sorted((one, 0) if isinstance(one, int) else one for one in times)
            for source, times in held.items()
            if times
        }
        self._merged = sorted(at_ns for times in self._of.values() for at_ns, _ in times)


def _is_at(times: list[Told], place: int, told: Told) -> bool:
    return place < len(times) and times[place] == told
