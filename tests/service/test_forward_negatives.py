"""`metrics.drop_negative`: what an operator asked to lose is lost, and nothing else."""

import numpy as np
import pytest

from heliograph.core.samples import STALE, STALE_BITS, SampleBatch
from heliograph.core.series import SeriesTable
from heliograph.service import negatives
from heliograph.service.negatives import Negatives
from tests.service.sink import packed

NAN_WITH_SIGN = np.uint64(0xFFF8000000000001).view(np.float64)


def batch_of(table, *samples):
    """(metric, value) each, at 0, 1, 2 … ns."""
    return SampleBatch(
        np.array([table.intern(packed(name=name)) for name, _ in samples], np.uint32),
        np.arange(len(samples), dtype=np.int64),
        np.array([value for _, value in samples], np.float64),
    )


CASES = [
    ("no pattern keeps all", (), "power_w", -1.0, True),
    ("a name that matches loses it", ("power_*",), "power_w", -1.0, False),
    ("the whole name must match", ("power",), "power_w", -1.0, True),
    ("a name is matched by its case", ("POWER_*",), "power_w", -1.0, True),
    ("another name keeps it", ("power_*",), "temperature", -1.0, True),
    ("`*` is every name", ("*",), "loss", -0.1, False),
    ("the least below 0 is negative", ("*",), "loss", -5e-324, False),
    ("minus infinity is negative", ("*",), "loss", -np.inf, False),
    ("minus zero is not", ("*",), "loss", -0.0, True),
    ("NaN is not", ("*",), "loss", np.nan, True),
    ("NaN with a sign is not", ("*",), "loss", NAN_WITH_SIGN, True),
    ("a stale marker is not", ("*",), "loss", STALE, True),
    ("positive is not", ("*",), "loss", 1.0, True),
]


@pytest.mark.parametrize(
    ("patterns", "name", "value", "kept"), [pytest.param(*row, id=case) for case, *row in CASES]
)
def test_what_is_dropped(patterns, name, value, kept):
    table = SeriesTable(10)
    batch = batch_of(table, (name, value))
    assert Negatives(patterns, table).without(batch).count == (1 if kept else 0)


def test_the_rest_keeps_its_order_and_bits():
    table = SeriesTable(10)
    batch = batch_of(table, ("a", STALE), ("b", -1.0), ("a", -2.0), ("b", 3.0), ("a", -0.0))
    left = Negatives(("a",), table).without(batch)

    assert left.at_ns.tolist() == [0, 1, 3, 4]
    assert left.value.view(np.uint64)[0] == STALE_BITS
    assert left.value[1:].tolist() == [-1.0, 3.0, 0.0]


def test_a_batch_without_any_is_the_very_same():
    table = SeriesTable(10)
    batch = batch_of(table, ("a", 1.0), ("b", -1.0))
    assert Negatives(("a",), table).without(batch) is batch


def test_what_is_remembered_of_names_is_bounded(monkeypatch):
    monkeypatch.setattr(negatives, "CACHE_MAX", 3)
    table = SeriesTable(100)
    dropping = Negatives(("m1*",), table)
    for n in range(20):
        batch = batch_of(table, (f"m{n}", -1.0))
        assert dropping.without(batch).count == (0 if str(n).startswith("1") else 1)
        assert len(dropping._named) <= 3
