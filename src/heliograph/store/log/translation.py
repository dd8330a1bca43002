"""From the refs of one log file to the ids of this process."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from heliograph.core.series import SeriesTable
from heliograph.store.log.columns import Definition


class Translation:
    """What the refs of one file mean here. Belongs to one reader; grows as definitions are read.

    Interns beyond the table's limit: what was acknowledged once is not refused at replay.
    """

    def __init__(self, table: SeriesTable) -> None:
        self._table = table
        self._generation = table.generation
        self._packed: dict[int, bytes] = {}
        self._refs = np.empty(0, np.uint32)
        self._ids = np.empty(0, np.uint32)

    def learn(self, definitions: Iterable[Definition]) -> None:
        """Add *definitions*; those known already change nothing (a ref has one meaning a file)."""
        fresh = {d.ref: d.packed for d in definitions if d.ref not in self._packed}
        if not fresh:
            return
        for ref, packed in fresh.items():
            self._packed[ref] = packed
        refs = np.fromiter(fresh, np.uint32, len(fresh))
        ids = np.fromiter(map(self._intern, fresh.values()), np.uint32, len(fresh))
        order = np.argsort(np.concatenate([self._refs, refs]), kind="stable")
        self._refs = np.concatenate([self._refs, refs])[order]
        self._ids = np.concatenate([self._ids, ids])[order]

    def known(self, refs: NDArray[np.uint32]) -> NDArray[np.bool_]:
        """(n,) True where the ref has been defined."""
        if not len(self._refs):
            return np.zeros(len(refs), np.bool_)
        at = np.searchsorted(self._refs, refs)
        at[at == len(self._refs)] = 0
        same: NDArray[np.bool_] = self._refs[at] == refs
        return same

    def ids(self, refs: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """(n,) the ids of *refs*, all of them known."""
        if self._generation != self._table.generation:
            # Ids may have been forgotten since they were looked up here.
            self._generation = self._table.generation
            packed = (self._packed[ref] for ref in self._refs.tolist())
            self._ids = np.fromiter(map(self._intern, packed), np.uint32, len(self._refs))
        return self._ids[np.searchsorted(self._refs, refs)]

    def _intern(self, packed: bytes) -> int:
        series = self._table.intern(packed, beyond_limit=True)
        assert series is not None
        return series
