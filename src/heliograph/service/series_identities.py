"""What the labels of each series say of node, device and pod, as a number; read once a series.

The thousand metrics of one GPU have the same number, so that whoever works on columns of samples
looks owners up by GPU, not by series, and not again for every sample.
"""

import threading
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from heliograph.core.labels import Labels
from heliograph.enrich import identity
from heliograph.enrich.identity import Identity

# Slot id % size remembers one series, 8 bytes: ids grow for ever, this does not. A collision,
# which is rare as the ids in use are close together, reads the labels once more.
SLOTS = 1 << 19
# Identities kept at once, about 500 bytes each; beyond it all is forgotten.
IDENTITIES_MAX = 200_000


class Numbered(NamedTuple):
    """Identities of some series: *identities* at *numbers*, (n,).

    *identities* only grows; a list that is another one means that old numbers mean nothing now.
    """

    numbers: NDArray[np.intp]
    identities: list[Identity]


class SeriesIdentities:
    """Numbers of the identities of series; *labels_of* raises KeyError for one that was forgotten.

    Thread-safe.
    """

    def __init__(self, labels_of: Callable[[int], Labels]) -> None:
        self._labels_of = labels_of
        # One more than the series, so that a slot that has none is 0: memory that nobody wrote to
        # takes none.
        self._series = np.zeros(SLOTS, np.uint32)
        self._number = np.zeros(SLOTS, np.intp)
        self._numbers: dict[Identity, int] = {}
        self._identities: list[Identity] = []
        self._lock = threading.Lock()

    def of(self, series: NDArray[np.uint32]) -> Numbered:
        """The identities of *series*, (n,); a forgotten series says nothing."""
        slots = series % SLOTS
        with self._lock:
            if len(self._identities) >= IDENTITIES_MAX:
                self._start_afresh()
            numbers = self._number[slots]
            unknown = self._series[slots] != series + 1
            if unknown.any():
                some, place = np.unique(series[unknown], return_inverse=True)
                found = np.fromiter(map(self._read, some.tolist()), np.intp, len(some))
                numbers[unknown] = found[place]
                self._series[slots] = series + 1
                self._number[slots] = numbers
            return Numbered(numbers, self._identities)

    def _read(self, series: int) -> int:
        try:
            said = identity.of(self._labels_of(series))
        except KeyError:
            said = Identity()
        number = self._numbers.setdefault(said, len(self._identities))
        if number == len(self._identities):
            self._identities.append(said)
        return number

    def _start_afresh(self) -> None:
        self._series.fill(0)
        self._numbers = {}
        self._identities = []
