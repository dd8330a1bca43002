"""From a metric and its context to the series id that the log and the segments speak.

A context is what makes series many. Beyond the table's limit a new context is left out:
the point is kept under its metric alone, and counted. Metrics have some more room, of their own.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from heliograph.core import labels as label
from heliograph.core.series import SeriesTable
from heliograph.recorder.points import label_text, labels_of

# Room for metrics, beside the series of contexts.
METRICS_MAX = 10_000


class SeriesIds:
    """Ids by metric and context, remembered. For one thread.

    counts   `contexts_left_out`: points whose context was beyond the bound
    """

    def __init__(self, table: SeriesTable) -> None:
        self.counts: Counter[str] = Counter()
        self._table = table
        self._known: dict[Any, int] = {}
        self._generation = table.generation

    def of(self, name: str, context: Mapping[str, Any] | None) -> int:
        """The id of the series."""
        key: Any = name
        if context:
            key = (name, *[
                (k, v) if type(v) is str else (k, label_text(v)) for k, v in context.items()
            ])  # fmt: skip
        found = self._known.get(key)
        return self._intern(key, name, context) if found is None else found

    def knows(self, name: str) -> bool:
        """Whether the metric *name* has an id; asked by any thread."""
        return name in self._known

    def refresh(self) -> None:
        """Forget what was remembered if the table has forgotten some."""
        if self._generation != self._table.generation:
            self._generation = self._table.generation
            self._known.clear()

    def _intern(self, key: Any, name: str, context: Mapping[str, Any] | None) -> int:
        packed = label.pack(labels_of(name, context))
        found = self._table.intern(packed)
        if found is None and context:
            self.counts["contexts_left_out"] += 1
            return self.of(name, None)
        if found is None:
            # Whoever records was asked before whether there is room.
            found = self._table.intern(packed, beyond_limit=True)
            assert found is not None
        if len(self._known) >= 2 * (self._table.limit + METRICS_MAX):
            # One series can be told in as many ways as its context has orders.
            self._known.clear()
        self._known[key] = found
        return found
