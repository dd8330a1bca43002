"""Which series a query means: matchers over packed labels, and the numbers a query gives them."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from heliograph.core import labels as label
from heliograph.core.labels import Labels
from heliograph.core.matcher import Matcher, all_match
from heliograph.store.segments.file import Index
from heliograph.store.segments.head import Head


class Pick:
    """One query's matchers. Names are matched first, so that other labels are seldom unpacked.

    The series that it meets get numbers from 0, the `sid` of the query: `packed[sid]`.
    """

    def __init__(
        self, matchers: Sequence[Matcher], unpack: Callable[[bytes], Labels] = label.unpack
    ) -> None:
        self.packed: list[bytes] = []
        self._sid: dict[bytes, int | None] = {}
        self._of_name = [m for m in matchers if m.name == label.NAME]
        self._others = [m for m in matchers if m.name != label.NAME]
        self._name = next((m.value for m in self._of_name if m.op == "="), None)
        # Bytes that a match must contain; whether they are there by accident, unpacking tells.
        self._needles = [
            label.pack(((m.name, m.value),)) for m in self._others if m.op == "=" and m.value
        ]
        self._unpack = unpack

    def sid(self, packed: bytes) -> int | None:
        """The number of the series *packed* (of a name that matches), None when it is not meant."""
        if packed in self._sid:
            return self._sid[packed]
        sid = None
        if self._meant(packed):
            sid = len(self.packed)
            self.packed.append(packed)
        self._sid[packed] = sid
        return sid

    def _meant(self, packed: bytes) -> bool:
        if not self._others:
            return True
        if not all(needle in packed for needle in self._needles):
            return False
        return all_match(self._others, self._unpack(packed))

    def names(self, names: Iterable[str]) -> list[str]:
        """Those of *names* that the matchers of `__name__` allow."""
        return [name for name in names if all(m.matches(name) for m in self._of_name)]

    def in_index(self, index: Index) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(positions, sids) of the series in the file of *index* that are meant, by position."""
        if self._name is not None:
            at = bisect_left(index.names, self._name)
            hit = at < len(index.names) and index.names[at] == self._name
            spans = [at] if hit and self.names([self._name]) else []
        else:
            allowed = set(self.names(index.names))
            spans = [at for at, name in enumerate(index.names) if name in allowed]
        positions: list[int] = []
        sids: list[int] = []
        for at in spans:
            for position in range(index.name_at[at], index.name_at[at + 1]):
                sid = self.sid(index.packed[position])
                if sid is not None:
                    positions.append(position)
                    sids.append(sid)
        return np.array(positions, np.int64), np.array(sids, np.int64)

    def in_head(self, head: Head) -> NDArray[np.int64] | None:
        """(ids,) the sid of each series id of *head*, -1 where it is not meant; None: none is."""
        names = [self._name] if self._name is not None else list(head.ids)
        ids = [number for name in self.names(names) for number in list(head.ids.get(name, ()))]
        found = [(number, self.sid(head.packed[number])) for number in ids]
        meant = [(number, sid) for number, sid in found if sid is not None]
        if not meant:
            return None
        table = np.full(max(number for number, _ in meant) + 1, -1, np.int64)
        for number, sid in meant:
            table[number] = sid
        return table
