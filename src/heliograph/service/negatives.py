"""`metrics.drop_negative`: an operator's wish to drop negative samples of some metrics, counted.

NaN, stale markers and -0 are not negative and always stay.
"""

import fnmatch
from collections.abc import Sequence

import numpy as np

from heliograph.core import labels as label
from heliograph.core.samples import SampleBatch
from heliograph.core.series import SeriesTable

CACHE_MAX = 1_000_000


class Negatives:
    """Drops negative samples of metrics whose name one of the glob *patterns* matches.

    Used by the ingest thread alone.
    """

    def __init__(self, patterns: Sequence[str], table: SeriesTable) -> None:
        self._patterns = tuple(patterns)
        self._table = table
        self._named: dict[int, bool] = {}

    def without(self, batch: SampleBatch) -> SampleBatch:
        """*batch* without them; the very same batch when there are none."""
        if not self._patterns:
            return batch
        below = np.flatnonzero(batch.value < 0)
        gone = [at for at in below.tolist() if self._is_named(int(batch.series[at]))]
        if not gone:
            return batch
        keep = np.ones(batch.count, bool)
        keep[gone] = False
        return SampleBatch(batch.series[keep], batch.at_ns[keep], batch.value[keep])

    def _is_named(self, series: int) -> bool:
        found = self._named.get(series)
        if found is None:
            if len(self._named) >= CACHE_MAX:
                self._named.clear()
            name = label.get(self._table.labels(series), label.NAME)
            found = any(fnmatch.fnmatchcase(name, pattern) for pattern in self._patterns)
            self._named[series] = found
        return found
