"""Which of many alerts carry a label: a table of hashes that is scanned, not an index of sets.

    index = Pairs()
    index.grow(8)
    index.put(7, (("job", "a"), ("pod", "x")))
    index.slots([("job", "a")]) == [7]          perhaps with some that only seem to

A row of 16 hashes of 32 bits an alert is 64 bytes, where a dictionary of sets takes 600; one pass
over 100,000 rows takes a third of a millisecond.
"""

from array import array
from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from heliograph.kernels import label_sets

WIDTH = 16
_MASK = 0xFFFFFFFF

Pair = tuple[str, str]


class Pairs:
    """Slots by the pairs that they carry."""

    __slots__ = ("_hashes", "_wide")

    def __init__(self) -> None:
        self._hashes = array("I")
        # Hashes of slots that have more than fit in a row.
        self._wide: dict[int, frozenset[int]] = {}

    def grow(self, slots: int) -> None:
        """Have so many more slots, which carry nothing."""
        self._hashes.frombytes(bytes(4 * WIDTH * slots))

    def put(self, slot: int, pairs: Collection[Pair]) -> None:
        """Have *slot* carry *pairs*, instead of what it carried."""
        begin = slot * WIDTH
        if not label_sets.put_hashes(pairs, self._hashes, begin, WIDTH):
            row = list(pairs)
            self._wide[slot] = frozenset([hash(pair) & _MASK for pair in row])
            label_sets.put_hashes(row[:WIDTH], self._hashes, begin, WIDTH)
        elif self._wide:
            self._wide.pop(slot, None)

    def slots(self, pairs: Sequence[Pair]) -> list[int]:
        """Slots that carry all of *pairs* (at least one), in order, and perhaps some that only
        seem to."""
        table: npt.NDArray[np.uint32] = np.frombuffer(self._hashes, dtype=np.uint32)
        rows = table.reshape(-1, WIDTH)
        wanted = [hash(pair) & _MASK for pair in pairs]
        # Flat, a pass is five times faster than by rows; the rarest leaves the fewest rows to look at.
        passes = [np.flatnonzero(table == one) for one in wanted]
        first = min(range(len(wanted)), key=lambda n: len(passes[n]))
        found = passes[first] // WIDTH
        if len(found) > 1:
            # In order, but twice where two hashes of a row are alike.
            found = found[np.append(True, found[1:] != found[:-1])]
        for n, one in enumerate(wanted):
            if n != first:
                found = found[(rows[found] == one).any(axis=1)]
        slots: list[int] = found.tolist()
        if self._wide:
            needed = frozenset(wanted)
            more = {slot for slot, row in self._wide.items() if needed <= row}
            slots = sorted(more.union(slots))
        return slots
