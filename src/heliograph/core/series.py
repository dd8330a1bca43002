"""SeriesTable: the one place where packed labels get the small id that sample batches carry.

Ids are of this process alone: log files and segments carry labels, never rely on an id that
another process gave. An id is never given twice, so a holder of an old one can only miss.
"""

import threading

from heliograph.core import labels as label

SERIES_ID_MAX = 2**32 - 1


class SeriesTable:
    """Packed labels ↔ id. Thread-safe: one lock for writers, reads are single dict look-ups.

    *limit* bounds how many series are held at once; reaching it is the caller's to count.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._ids: dict[bytes, int] = {}
        self._packed: dict[int, bytes] = {}
        self._seen_ns: dict[int, int] = {}
        self._next = 0
        self._lock = threading.Lock()
        # Grows when ids are forgotten: whoever caches ids compares it and starts afresh.
        self.generation = 0

    def __len__(self) -> int:
        return len(self._ids)

    def intern(self, packed: bytes, *, beyond_limit: bool = False) -> int | None:
        """The id of *packed*, given now if it is new; None when it is new and the table is full.

        *beyond_limit* is for replay: what was once acknowledged is never refused.
        """
        found = self._ids.get(packed)
        if found is not None:
            return found
        with self._lock:
            found = self._ids.get(packed)
            if found is not None:
                return found
            if len(self._ids) >= self.limit and not beyond_limit:
                return None
            series = self._next
            assert series <= SERIES_ID_MAX
            self._next += 1
            self._packed[series] = packed
            self._ids[packed] = series
            if beyond_limit:
                # Replayed, so perhaps long gone: unless it is touched, it may be forgotten.
                self._seen_ns[series] = 0
            return series

    def packed(self, series: int) -> bytes:
        """The packed labels of *series*. Raises KeyError when it was forgotten."""
        return self._packed[series]

    def labels(self, series: int) -> label.Labels:
        """The labels of *series*. Raises KeyError when it was forgotten."""
        return label.unpack(self._packed[series])

    def ids(self) -> list[int]:
        """The ids that are held now; any of them may be forgotten the next moment."""
        with self._lock:
            return list(self._packed)

    def touch(self, series: list[int], seen_ns: int) -> None:
        """Note that *series* had samples as late as *seen_ns* (arrival time)."""
        with self._lock:
            self._seen_ns.update(dict.fromkeys(series, seen_ns))

    def forget(self, *, idle_since_ns: int, in_use: frozenset[int]) -> int:
        """Drop series last touched before *idle_since_ns* and not *in_use*; how many went.

        A series that was never touched is new and stays.
        """
        with self._lock:
            idle = [
                series
                for series, seen_ns in self._seen_ns.items()
                if seen_ns < idle_since_ns and series not in in_use
            ]
            for series in idle:
                del self._seen_ns[series]
                packed = self._packed.pop(series, None)
                if packed is not None:
                    del self._ids[packed]
            self.generation += bool(idle)
            return len(idle)
