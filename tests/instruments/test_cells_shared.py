"""Cells that move into shared memory while another thread makes one; of the plain kernel, for the compiled one
cannot be interrupted there."""

from array import array

from tests.twins import plain


class Interrupted(array):
    """Doubles whose next `extend` is interrupted by *by*."""

    by = None

    def extend(self, more):
        by, self.by = self.by, None
        if by is not None:
            by()
        super().extend(more)


def test_what_is_given_away_before_there_is_room_for_it_is_no_hindrance():
    cells = plain("cells")
    shared = memoryview(array("d", bytes(8 * 64)))
    gauges = memoryview(array("d", bytes(8 * 64)))
    stamp = memoryview(array("q", [0]))
    cells._sums = Interrupted("d")
    first = cells.allocate(cells.sums, 2)
    cells._sums[first] = 7.0
    cells._sums.by = lambda: cells.share(shared, gauges, stamp, keep=True)

    second = cells.allocate(cells.sums, 3)

    assert (first, second) == (0, 2)
    assert shared[:6].tolist() == [7.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert cells.allocate(cells.sums, 1) == 5
