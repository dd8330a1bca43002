"""From a metric and its context to the series id that the log and the segments speak.

A context is what makes series many. Beyond the table's limit a new context is left out:
the point is kept under its metric alone, and counted. Metrics have some more room, of their own.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heliograph.core import labels as label
from heliograph.core.samples import SampleBatch
from heliograph.core.series import SeriesTable
from heliograph.kernels import metric_rows
from heliograph.kernels.metric_rows import Key, Taken
from heliograph.recorder.points import CONTEXT_KEYS_MAX, Point, label_text, labels_of

# Room for metrics, beside the series of contexts.
METRICS_MAX = 10_000
_UNKNOWN = -1


class SeriesIds:
    """Ids by metric and context, remembered. For one thread.

    counts   `contexts_left_out`: points whose context was beyond the bound
    """

    def __init__(self, table: SeriesTable) -> None:
        self.counts: Counter[str] = Counter()
        self._table = table
        self._known: dict[Key, int] = {}
        # Those of the keys that rows come with, by place.
        self._keys: list[Key] = []
        self._of_keys: NDArray[np.int64] = np.empty(0, np.int64)
        self._generation = table.generation

    def of_points(self, points: Sequence[Point]) -> SampleBatch:
        """*points*, all of them numbers, as samples."""
        self._refresh()
        of = self._of
        return SampleBatch(
            np.array(
                [
                    of(point[0] if point[2] is None else key_of(point[0], point[2]))
                    for point in points
                ],
                np.uint32,
            ),
            np.array([point[3] for point in points], np.int64),
            np.array([point[1] for point in points], np.float64),
        )

    def of_rows(self, rows: Taken) -> SampleBatch:
        """*rows* as samples: a series is looked up once, however many are of it."""
        self._refresh()
        slots = np.frombuffer(rows.slots, np.uint32)
        if rows.keys is not self._keys:
            self._keys, self._of_keys = rows.keys, np.empty(0, np.int64)
        more = int(slots.max()) + 1 - len(self._of_keys)
        if more > 0:
            self._of_keys = np.append(self._of_keys, np.full(max(more, 64), _UNKNOWN))
        series = self._of_keys[slots]
        for slot in np.unique(slots[series == _UNKNOWN]).tolist():
            self._look_up(slot, slots, series)
        return SampleBatch(
            series.astype(np.uint32),
            np.frombuffer(rows.at_ns, np.int64),
            np.frombuffer(rows.values, np.float64),
        )

    def knows(self, name: str) -> bool:
        """Whether the metric *name* has an id; asked by any thread."""
        return name in self._known

    def _look_up(self, slot: int, slots: NDArray[np.uint32], series: NDArray[np.int64]) -> None:
        left_out = self.counts["contexts_left_out"]
        found = self._of(self._keys[slot])
        own = slots == slot
        series[own] = found
        if self.counts["contexts_left_out"] == left_out:
            self._of_keys[slot] = found
        else:
            # It may have room the next time; until then each point counts.
            self.counts["contexts_left_out"] += int(own.sum()) - 1

    def _of(self, key: Key) -> int:
        found = self._known.get(key)
        return self._intern(key) if found is None else found

    def _refresh(self) -> None:
        """Forget what was remembered if the table has forgotten some."""
        if self._generation != self._table.generation:
            self._generation = self._table.generation
            self._known.clear()
            self._of_keys = np.empty(0, np.int64)

    def _intern(self, key: Key) -> int:
        name, context = (key, None) if isinstance(key, str) else (key[0], _context_of(key))
        packed = label.pack(labels_of(name, context))
        found = self._table.intern(packed)
        if found is None and context:
            self.counts["contexts_left_out"] += 1
            return self._of(name)
        if found is None:
            # Whoever records was asked before whether there is room.
            found = self._table.intern(packed, beyond_limit=True)
            assert found is not None
        if len(self._known) >= 2 * (self._table.limit + METRICS_MAX):
            # One series can be told in as many ways as its context has orders.
            self._known.clear()
        self._known[key] = found
        return found


def key_of(name: str, context: Mapping[str, Any] | None) -> Key:
    """The key of the series: of a context that is not plain, by what its labels will be."""
    found = metric_rows.key_of(name, context)
    if found is not None and type(name) is str:
        return found
    texts = {
        _exact(key if isinstance(key, str) else str(key)): _exact(label_text(value))
        for key, value in list((context or {}).items())[:CONTEXT_KEYS_MAX]
    }
    plain = metric_rows.key_of(_exact(name), texts)
    assert plain is not None
    return plain


def _exact(text: str) -> str:
    """The characters of *text*, whatever kind of text it is."""
    return str.__str__(text)


def _context_of(key: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(key[1::2], key[2::2], strict=True))
