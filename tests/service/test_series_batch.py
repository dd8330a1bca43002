"""Samples that the service makes itself: what finds no room, and what may be forgotten again."""

from heliograph.core import labels as label
from heliograph.core.series import SeriesTable
from heliograph.service.series_batch import batch_of


def samples(*names):
    return [(label.pack(label.of({"__name__": name})), 7, 1.5) for name in names]


def test_what_finds_no_room_is_counted_and_costs_the_rest_nothing():
    batch, refused = batch_of(samples("a", "b", "a"), SeriesTable(1), now_ns=9)
    assert refused == 1
    assert (batch.at_ns.tolist(), batch.value.tolist()) == ([7, 7], [1.5, 1.5])


def test_series_of_runs_long_over_are_forgotten():
    table = SeriesTable(10)
    batch_of(samples("a"), table, now_ns=9)
    assert table.forget(idle_since_ns=10, in_use=frozenset()) == 1
