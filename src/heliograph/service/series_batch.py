"""Samples that the service makes itself → what the log takes."""

from collections.abc import Sequence

import numpy as np

from heliograph.core.samples import SampleBatch
from heliograph.core.series import SeriesTable

# (packed labels, at_ns, value)
Sample = tuple[bytes, int, float]


def batch_of(
    samples: Sequence[Sample], table: SeriesTable, *, now_ns: int
) -> tuple[SampleBatch, int]:
    """*samples*, of the arrival *now_ns*, as a batch; and how many found no room in *table*.

    For the ingest thread: there the table forgets no id before the batch is in the log.
    """
    found = [
        (series, at_ns, value)
        for packed, at_ns, value in samples
        if (series := table.intern(packed)) is not None
    ]
    # What is never touched is never forgotten: the table would fill with runs long over.
    table.touch([one[0] for one in found], now_ns)
    batch = SampleBatch(
        np.array([one[0] for one in found], np.uint32),
        np.array([one[1] for one in found], np.int64),
        np.array([one[2] for one in found], np.float64),
    )
    return batch, len(samples) - len(found)
