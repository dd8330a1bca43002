"""The head: acknowledged samples that are in the log and not yet in a segment. Memory only.

One thread appends; any number read. What was published once never changes: chunks are filled from
the front, and a reader takes how far they were filled together with them.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from heliograph.core.samples import SampleBatch
from heliograph.store.segments.file import metric_name

CHUNK_SAMPLES = 1 << 16


class _Filled(NamedTuple):
    full: tuple[SampleBatch, ...]
    open: SampleBatch
    used: int


def _chunk(samples: int) -> SampleBatch:
    return SampleBatch(
        np.empty(samples, np.uint32), np.empty(samples, np.int64), np.empty(samples, np.float64)
    )


class Head:
    """Samples of the frames first_seq..last_seq, in the order of the log.

    packed   series id → packed labels, of every series in it
    ids      metric name → series ids
    low_ns   the least event time in it
    """

    def __init__(self, since_s: float) -> None:
        self.since_s = since_s
        self.first_seq: int | None = None
        self.last_seq = -1
        self.samples = 0
        self.low_ns: int | None = None
        self.packed: dict[int, bytes] = {}
        self.ids: dict[str, list[int]] = {}
        self._seen = np.zeros(1024, np.bool_)
        self._filled = _Filled((), _chunk(CHUNK_SAMPLES), 0)

    def append(self, batch: SampleBatch, seq: int, packed_of: Callable[[int], bytes]) -> None:
        """Take a copy of *batch*, which the frame *seq* carried."""
        if self.first_seq is None:
            self.first_seq = seq
        self.last_seq = max(self.last_seq, seq)
        if not batch.count:
            return
        self._note_series(batch.series, packed_of)
        low_ns = int(batch.at_ns.min())
        self.low_ns = low_ns if self.low_ns is None else min(self.low_ns, low_ns)
        done = 0
        while done < batch.count:
            done += self._fill(batch, done)
        self.samples += batch.count

    def _fill(self, batch: SampleBatch, done: int) -> int:
        full, chunk, used = self._filled
        size = min(batch.count - done, CHUNK_SAMPLES - used)
        chunk.series[used : used + size] = batch.series[done : done + size]
        chunk.at_ns[used : used + size] = batch.at_ns[done : done + size]
        chunk.value[used : used + size] = batch.value[done : done + size]
        used += size
        if used == CHUNK_SAMPLES:
            self._filled = _Filled((*full, chunk), _chunk(CHUNK_SAMPLES), 0)
        else:
            self._filled = _Filled(full, chunk, used)
        return size

    def _note_series(
        self, series: NDArray[np.uint32], packed_of: Callable[[int], bytes]
    ) -> None:
        top = int(series.max())
        if top >= len(self._seen):
            self._seen = np.concatenate([self._seen, np.zeros(top + 1, np.bool_)])
        new = series[~self._seen[series]]
        if not len(new):
            return
        for number in np.unique(new).tolist():
            packed = packed_of(number)
            self.packed[number] = packed
            self.ids.setdefault(metric_name(packed), []).append(number)
        self._seen[new] = True

    def batches(self) -> Iterator[SampleBatch]:
        """All samples in it now, in order; the arrays are the head's own, not to be written."""
        full, chunk, used = self._filled
        yield from full
        if used:
            yield SampleBatch._make(column[:used] for column in chunk)
