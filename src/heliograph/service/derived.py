"""What the applier makes of rows goes back into the log: training values as frames of samples.

    derived.take(rows)              of each frame
    appended = derived.append()     the frame of all of them is on its way, on the ingest thread
    …                               rows and records are kept meanwhile
    appended.result()               durable; only then the applier's cursor moves
    derived.settle()

After a crash in between the rows are read again and give the same samples, and of equal samples one
is seen. Nobody waits in a circle: the frame goes before requests that wait, ingest waits for no
applier, and what limits writers (lag, the size of the log) is asked where requests come in.
"""

from collections.abc import Sequence
from concurrent.futures import Future

import numpy as np
from numpy.typing import NDArray

from heliograph.core.clock import Clock
from heliograph.core.samples import SampleBatch
from heliograph.core.series import SERIES_ID_MAX, SeriesTable
from heliograph.core.training import TrainingRow
from heliograph.service.ingest import Ingest
from heliograph.service.log_patterns import PatternBook
from heliograph.service.meters import Meters
from heliograph.store.log.log import Log
from heliograph.training.samples import (
    Columns,
    Sampler,
    is_training,
    joined,
    may_be_training,
)

_UNKNOWN = np.uint32(SERIES_ID_MAX)
_NOTHING: "Future[int]" = Future()
_NOTHING.set_result(0)


class Derived:
    """Appends for the applier's thread. *patterns* say which names of `extra` have samples."""

    def __init__(
        self,
        log: Log,
        table: SeriesTable,
        meters: Meters,
        clock: Clock,
        patterns: PatternBook,
        ingest: Ingest,
    ) -> None:
        self._log = log
        self._table = table
        self._meters = meters
        self._clock = clock
        self._patterns = patterns
        self._sampler = Sampler()
        self._ingest = ingest
        self._taken: list[Columns] = []
        # Of the ingest thread: the id of each of the sampler's series, while nothing is forgotten.
        self._ids = np.empty(0, np.uint32)
        self._packed: Sequence[bytes] = []
        self._generation = table.generation

    def take(self, rows: Sequence[TrainingRow]) -> None:
        """Make the samples of *rows*, for `append`."""
        if not rows:
            return
        if not self._taken:
            self._sampler.renew()
        before = self._sampler.skipped
        columns = self._sampler.columns(rows, self._patterns.in_force().named)
        if skipped := self._sampler.skipped - before:
            self._meters.dropped.add(skipped, "rows", "not_sampled")
        if len(columns.series):
            self._taken.append(columns)

    def append(self) -> "Future[int]":
        """Append the samples that were taken since `settle`; the sequence of their frame once it is
        durable, 0 where there is none. Raises Unavailable, and so does the future: to be done again."""
        if not self._taken:
            return _NOTHING
        columns = joined(self._taken)
        return self._ingest.submit(lambda: self._append(columns), urgent=True)

    def settle(self) -> None:
        """What was taken is in the log."""
        self._taken = []

    def wrote(self, batch: SampleBatch) -> bool:
        """Whether *batch*, a frame's, is one of ours: such a frame holds nothing else."""
        if not batch.count:
            return False
        first = int(batch.series[0])
        try:
            likely = may_be_training(self._table.packed(first))
            return likely and is_training(self._table.labels(first))
        except KeyError:
            return False

    def _append(self, columns: Columns) -> int:
        """On the ingest thread, which is the one that forgets series too."""
        series = self._ids_of(columns)
        batch = SampleBatch(series, columns.at_ns, columns.value)
        lost = int(np.count_nonzero(series == _UNKNOWN))
        if lost:
            there = series != _UNKNOWN
            batch = SampleBatch(*(column[there] for column in batch))
            self._meters.dropped.add(lost, "samples", "series_limit")
        if not batch.count:
            return 0
        seq = self._log.append_samples(batch)
        self._meters.derived.add(batch.count, "samples")
        return seq

    def _ids_of(self, columns: Columns) -> NDArray[np.uint32]:
        """(n,) ids of the series of *columns*; `_UNKNOWN` where the table is full."""
        table, packed = self._table, columns.packed
        if self._generation != table.generation or self._packed is not packed:
            self._generation, self._packed = table.generation, packed
            self._ids = np.empty(0, np.uint32)
        more = len(packed) - len(self._ids)
        if more > 0:
            self._ids = np.append(self._ids, np.full(more, _UNKNOWN, np.uint32))
        present = np.flatnonzero(np.bincount(columns.series, minlength=len(self._ids)))
        for place in present[self._ids[present] == _UNKNOWN].tolist():
            found = table.intern(packed[place])
            if found is not None:
                self._ids[place] = found
        known = self._ids[present]
        table.touch(known[known != _UNKNOWN].tolist(), self._clock.now_ns())
        return self._ids[columns.series]
