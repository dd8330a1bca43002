"""Attribution at work: counts whose samples are as they are applied, and sums up what has no owner.

Reads resolve owners anew; what is counted here is what was known when the sample was applied.
"""

import threading
from collections import Counter
from typing import NamedTuple

import numpy as np

from heliograph.core.clock import Clock
from heliograph.core.labels import Labels
from heliograph.core.samples import SampleBatch
from heliograph.core.series import SeriesTable
from heliograph.enrich.attribute import Span, span_at
from heliograph.enrich.attribution import Attribution
from heliograph.service.meters import Meters
from heliograph.service.owners import Owners

# The sum over all series is made again at most this often, for it visits every one of them.
CENSUS_AGE_S = 10.0


class Census(NamedTuple):
    """All series in memory at one instant: how many have an owner; the others by reason.

    unowned   reason → (series, labels of one of them)
    """

    owned: int
    unowned: dict[str, tuple[int, Labels]]


class Attributing:
    """Owner spans under the directory of the moment. Thread-safe."""

    def __init__(
        self, owners: Owners, table: SeriesTable, clock: Clock, meters: Meters
    ) -> None:
        self._owners = owners
        self._table = table
        self._clock = clock
        self._meters = meters
        self._seen = owners.changed
        self._attribution = Attribution(owners.directory())
        self._lock = threading.Lock()
        self._census = Census(0, {})
        self._census_at_s = float("-inf")

    def spans(self, labels: Labels) -> tuple[Span, ...]:
        """Owners of a series of *labels* over all time."""
        return self._current().spans_of(labels)

    def count(self, batch: SampleBatch) -> None:
        """Count whose the samples of *batch* are, each at its own time."""
        attribution = self._current()
        owned: Counter[str] = Counter()
        unowned: Counter[str] = Counter()
        order = np.argsort(batch.series, kind="stable")
        series, starts = np.unique(batch.series[order], return_index=True)
        ends = [*starts[1:].tolist(), len(order)]
        at_ns = batch.at_ns[order]
        for one, start, end in zip(series.tolist(), starts.tolist(), ends, strict=True):
            spans = attribution.spans(one, self._table.labels(one))
            instants = at_ns[start:end].tolist() if len(spans) > 1 else [None] * (end - start)
            for instant_ns in instants:
                span = spans[0] if instant_ns is None else span_at(spans, instant_ns)
                if span.by is not None:
                    owned[span.by] += 1
                else:
                    unowned[span.reason or "unknown"] += 1
        for by, count in owned.items():
            self._meters.attributed.add(count, "samples", by)
        for reason, count in unowned.items():
            self._meters.unattributed.add(count, "samples", reason)

    def census(self) -> Census:
        """Who owns what now; at most CENSUS_AGE_S old. Visits every series: for a reader thread."""
        with self._lock:
            now_s = self._clock.monotonic_s()
            if now_s - self._census_at_s > CENSUS_AGE_S:
                self._census = self._taken(self._clock.now_ns())
                self._census_at_s = now_s
            return self._census

    def _taken(self, now_ns: int) -> Census:
        attribution = self._current()
        owned, unowned = 0, dict[str, tuple[int, Labels]]()
        for series in self._table.ids():
            try:
                labels = self._table.labels(series)
            except KeyError:
                continue
            span = span_at(attribution.spans(series, labels), now_ns)
            if span.owner is not None:
                owned += 1
                continue
            reason = span.reason or "unknown"
            count, example = unowned.get(reason, (0, labels))
            unowned[reason] = count + 1, example
        return Census(owned, unowned)

    def _current(self) -> Attribution:
        if self._seen != self._owners.changed:
            # The number first: a change in between is seen by the next caller.
            self._seen = self._owners.changed
            self._attribution.swap(self._owners.directory())
        return self._attribution
