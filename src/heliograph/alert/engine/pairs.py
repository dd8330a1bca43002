"""Which of many alerts carry a label: a table of hashes that is scanned, not an index of sets.

    index = Pairs()
    index.grow(8)
    index.put(7, (("job", "a"), ("pod", "x")))
    index.slots([("job", "a")]) == [7]          perhaps with some that only seem to

A row of 16 hashes of 16 bits an alert is 32 bytes, where a dictionary of sets takes 600; one pass
over 100,000 rows takes a fifth of a millisecond, and finds some 20 that only seem to.
"""

from array import array
from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from heliograph.alert.engine.cold import seen_of
from heliograph.alert.model import NOBODY, Alert
from heliograph.kernels import alert_columns
from heliograph.kernels.alert_columns import hash_of

WIDTH = 16

Pair = tuple[str, str]


class Pairs:
    """Slots by the pairs that they carry."""

    __slots__ = ("_hashes", "_wide")

    def __init__(self) -> None:
        self._hashes = array("H")
        # Hashes of slots that have more than fit in a row.
        self._wide: dict[int, frozenset[int]] = {}

    def grow(self, slots: int) -> None:
        """Have so many more slots, which carry nothing."""
        self._hashes.frombytes(bytes(2 * WIDTH * slots))

    def put(self, slot: int, pairs: Collection[Pair]) -> None:
        """Have *slot* carry *pairs*, instead of what it carried."""
        begin, row = slot * WIDTH, [hash_of(pair) for pair in pairs]
        self._wide.pop(slot, None)
        if len(row) > WIDTH:
            self._wide[slot] = frozenset(row)
        row += [0] * (WIDTH - len(row))
        self._hashes[begin : begin + WIDTH] = array("H", row[:WIDTH])

    def put_all(self, alerts: Sequence[Alert], slots: Sequence[int]) -> None:
        """Have each of *slots*, which carry nothing, carry what matchers see of one of *alerts*."""
        for n in alert_columns.put_hashes(alerts, slots, self._hashes, WIDTH, NOBODY):
            self.put(slots[n], seen_of(alerts[n]).items())

    def slots(self, pairs: Sequence[Pair]) -> list[int]:
        """Slots that carry all of *pairs* (at least one), in order, and perhaps some that only
        seem to."""
        table: npt.NDArray[np.uint16] = np.frombuffer(self._hashes, dtype=np.uint16)
        rows = table.reshape(-1, WIDTH)
        wanted = [hash_of(pair) for pair in pairs]
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
