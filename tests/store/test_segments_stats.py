"""Figures of the segment store, read while others count."""

from collections import Counter

from heliograph.core.clock import ManualClock
from heliograph.core.series import SeriesTable
from heliograph.store.segments.floors import Retention
from heliograph.store.segments.store import SegmentStore


class Counting(Counter):
    """Counts something for the first time whenever somebody goes through it, as another thread may."""

    def items(self):
        for item in super().items():
            yield item
            self[f"new-{len(self)}"] += 1


def test_what_others_count_meanwhile_is_no_fault(tmp_path):
    store = SegmentStore(tmp_path, SeriesTable(10), Retention(), ManualClock(0))
    store._counts = Counting(files_written=2)
    store._catalogue.counts = Counting(unfinished=1, files_written=1)
    assert store.stats().counts == {"files_written": 3, "unfinished": 1}
    store.close()
