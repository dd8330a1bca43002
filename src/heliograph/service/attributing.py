"""Attribution at work: counts whose samples are as they are applied, and sums up what has no owner.

Reads resolve owners anew; what is counted here is what was known when the sample was applied.
"""

import threading
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from heliograph.core.clock import Clock
from heliograph.core.instant import AT_NS_MAX, AT_NS_MIN
from heliograph.core.labels import Labels
from heliograph.core.samples import SampleBatch
from heliograph.core.series import SeriesTable
from heliograph.enrich.attribute import BY, NO_IDENTITY, REASONS, Span, span_at
from heliograph.enrich.attribution import Attribution
from heliograph.enrich.identity import Identity
from heliograph.service.meters import Meters
from heliograph.service.owners import Owners
from heliograph.service.series_identities import SeriesIdentities
from heliograph.workloads.directory import Directory

# The sum over all series is made again at most this often, for it visits every one of them.
CENSUS_AGE_S = 10.0

_VERDICTS = (*BY, *REASONS)
_CODES = {verdict: code for code, verdict in enumerate(_VERDICTS)}


class Census(NamedTuple):
    """All series in memory at one instant: how many have an owner; the others by reason.

    unowned   reason → (series, labels of one of them)
    """

    owned: int
    unowned: dict[str, tuple[int, Labels]]


class Attributing:
    """Owner spans under the directory of the moment. Thread-safe, but for `count`: one thread's."""

    def __init__(
        self, owners: Owners, table: SeriesTable, clock: Clock, meters: Meters
    ) -> None:
        self._owners = owners
        self._table = table
        self._clock = clock
        self._meters = meters
        self._seen = owners.changed
        self._attribution = Attribution(owners.directory())
        self._identities = SeriesIdentities(table.labels)
        self._verdicts = _Verdicts(self._attribution.directory, [])
        self._swapping = threading.Lock()
        self._lock = threading.Lock()
        self._census = Census(0, {})
        self._census_at_s = float("-inf")

    def spans(self, labels: Labels) -> tuple[Span, ...]:
        """Owners of a series of *labels* over all time."""
        return self._current().spans_of(labels)

    def count(self, batch: SampleBatch) -> None:
        """Count whose the samples of *batch* are, each at its own time."""
        attribution = self._current()
        numbers, identities = self._identities.of(batch.series)
        verdicts = self._verdicts
        if not verdicts.holds_for(attribution.directory, identities):
            verdicts = self._verdicts = _Verdicts(attribution.directory, identities)
        codes = verdicts.of(numbers, batch.at_ns, attribution.spans_of_identity)
        for verdict, count in zip(_VERDICTS, np.bincount(codes).tolist(), strict=False):
            if count and verdict in BY:
                self._meters.attributed.add(count, "samples", verdict)
            elif count:
                self._meters.unattributed.add(count, "samples", verdict)

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
        series = np.array(self._table.ids(), np.uint32)
        numbers, identities = self._identities.of(series)
        owned, unowned = 0, dict[str, tuple[int, Labels]]()
        present, first, counts = np.unique(numbers, return_index=True, return_counts=True)
        for number, example, count in zip(
            present.tolist(), series[first].tolist(), counts.tolist(), strict=True
        ):
            span = span_at(attribution.spans_of_identity(identities[number]), now_ns)
            if span.owner is not None:
                owned += count
                continue
            reason = span.reason or NO_IDENTITY
            before, labels = unowned.get(reason) or (0, self._labels(example))
            unowned[reason] = before + count, labels
        return Census(owned, unowned)

    def _labels(self, series: int) -> Labels:
        try:
            return self._table.labels(series)
        except KeyError:
            return ()

    def _current(self) -> Attribution:
        if self._seen != self._owners.changed:
            # One after the other: an older directory must not take the place of a newer one.
            with self._swapping:
                # The number first: a change in between is seen by the next caller.
                changed = self._owners.changed
                if self._seen != changed:
                    self._attribution.swap(self._owners.directory())
                    self._seen = changed
        return self._attribution


class _Verdicts:
    """Of each identity the span that was asked for last: most samples are within it again.

    Under *directory*, for the numbers of *identities*; what decided, or the reason, as a code.
    """

    def __init__(self, directory: Directory, identities: list[Identity]) -> None:
        self._directory = directory
        self._identities = identities
        self._start_ns = np.empty(0, np.int64)
        self._end_ns = np.empty(0, np.int64)
        self._code = np.empty(0, np.uint8)

    def holds_for(self, directory: Directory, identities: list[Identity]) -> bool:
        """Whether what is remembered is still so."""
        return self._directory is directory and self._identities is identities

    def of(
        self,
        numbers: NDArray[np.intp],
        at_ns: NDArray[np.int64],
        spans_of: Callable[[Identity], tuple[Span, ...]],
    ) -> NDArray[np.uint8]:
        """(n,) codes of samples at *at_ns* of identities *numbers*."""
        self._make_room()
        outside = self._outside(numbers, at_ns)
        if len(outside):
            # One sample of each first: the others of its kind are mostly in the same span.
            _, first = np.unique(numbers[outside], return_index=True)
            for place in outside[first].tolist():
                self._remember(int(numbers[place]), int(at_ns[place]), spans_of)
            outside = self._outside(numbers, at_ns)
        codes = self._code[numbers]
        for place in outside.tolist():
            codes[place] = self._remember(int(numbers[place]), int(at_ns[place]), spans_of)
        return codes

    def _make_room(self) -> None:
        more = 2 * len(self._identities) - len(self._code)
        if len(self._code) < len(self._identities):
            # Nothing is within an empty span.
            self._start_ns = np.append(self._start_ns, np.full(more, AT_NS_MAX))
            self._end_ns = np.append(self._end_ns, np.full(more, AT_NS_MIN))
            self._code = np.append(self._code, np.zeros(more, np.uint8))

    def _outside(self, numbers: NDArray[np.intp], at_ns: NDArray[np.int64]) -> NDArray[np.intp]:
        inside = (self._start_ns[numbers] <= at_ns) & (at_ns < self._end_ns[numbers])
        return np.flatnonzero(~inside)

    def _remember(
        self, number: int, at_ns: int, spans_of: Callable[[Identity], tuple[Span, ...]]
    ) -> int:
        span = span_at(spans_of(self._identities[number]), at_ns)
        self._start_ns[number], self._end_ns[number] = span.start_ns, span.end_ns
        self._code[number] = code = _CODES[span.by or span.reason or NO_IDENTITY]
        return code
