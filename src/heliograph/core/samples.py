"""Samples: what streams of numbers are, from the wire to the disk. Server side: needs numpy.

    SampleBatch(series u32[n], at_ns i64[n], value f64[n])      series: ids of a `SeriesTable`

Values are copied as bytes and never computed with on their way: multiplying a stale marker by 1.0
turns it into a plain NaN. For equal (series, at_ns) the sample later in the log wins.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# The NaN with which Prometheus says that a series has ended.
# Source: prometheus/model/value, `StaleNaN`.
STALE_BITS = 0x7FF0000000000002
STALE = np.uint64(STALE_BITS).view(np.float64)


class SampleBatch(NamedTuple):
    """*n* samples in the order of their arrival.

    series   (n,) uint32, ids of the process's `SeriesTable`
    at_ns    (n,) int64, UTC nanoseconds, the sender's time
    value    (n,) float64, opaque bits
    """

    series: NDArray[np.uint32]
    at_ns: NDArray[np.int64]
    value: NDArray[np.float64]

    @property
    def count(self) -> int:  # type: ignore[override]  # nobody asks how often
        """Number of samples."""
        return len(self.series)


def is_stale(value: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(n,) True where *value* is the stale marker, bit for bit."""
    stale: NDArray[np.bool_] = value.view(np.uint64) == STALE_BITS
    return stale


def concatenate(batches: list[SampleBatch]) -> SampleBatch:
    """One batch of all of *batches*, in order."""
    return SampleBatch(
        np.concatenate([b.series for b in batches] or [np.empty(0, np.uint32)]),
        np.concatenate([b.at_ns for b in batches] or [np.empty(0, np.int64)]),
        np.concatenate([b.value for b in batches] or [np.empty(0, np.float64)]),
    )
