"""When what is due: an instant for each key, the soonest first; what there was can be put back.

timers.set("a", at_ns)      timers.due(at_ns) == "a", which needs a new instant then, or to be dropped
timers.abort()              as at the last commit
"""

import heapq
from typing import Generic, TypeVar

from heliograph.alert.engine.rows import Rows

K = TypeVar("K")


class Timers(Generic[K]):
    """Instants by key, in memory alone."""

    __slots__ = ("_at", "_heap")

    def __init__(self) -> None:
        self._at: Rows[K, int] = Rows()
        # With instants that are no more among them, which are passed over.
        self._heap: list[tuple[int, K]] = []

    def get(self, key: K) -> int | None:
        """When *key* is due; None: never."""
        return self._at.get(key)

    def set(self, key: K, at_ns: int) -> None:
        """Have *key* due at *at_ns*, and not before."""
        self._at.put(key, at_ns)
        heapq.heappush(self._heap, (at_ns, key))

    def drop(self, key: K) -> None:
        """Have *key* never due."""
        self._at.drop(key)

    def clear(self) -> None:
        """Have nothing due."""
        self._at.clear()
        self._heap.clear()

    def due_ns(self) -> int | None:
        """When the next is due; None: nothing is."""
        while self._heap:
            at_ns, key = self._heap[0]
            if self._at.get(key) == at_ns:
                return at_ns
            heapq.heappop(self._heap)
        return None

    def due(self, now_ns: int) -> K | None:
        """What is due first, by *now_ns*; it needs a new instant, or to be dropped."""
        at_ns = self.due_ns()
        if at_ns is None or at_ns > now_ns:
            return None
        return heapq.heappop(self._heap)[1]

    def commit(self) -> None:
        """What there is, stays."""
        self._at.commit()

    def abort(self) -> None:
        """Put back what there was at the last commit."""
        touched = self._at.touched()
        self._at.abort()
        for key in touched:
            at_ns = self._at.get(key)
            if at_ns is not None:
                heapq.heappush(self._heap, (at_ns, key))

    def __len__(self) -> int:
        return len(self._at)
