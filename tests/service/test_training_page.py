"""Which rows and fields a request for training gets."""

import pytest

from heliograph.core.errors import Refused
from heliograph.core.training import TrainingRow
from heliograph.service import training_page
from heliograph.service.trainings import Row

S = 10**9


def row(iteration, *, at_s=None, run=1, rank="", **fields):
    at_ns = (iteration if at_s is None else at_s) * S
    one = TrainingRow(
        "p", "log", rank, at_ns, iteration, None, "nemo", fields or {"lm_loss": 2.0}
    )
    return Row(one, run, f"id-{run}")


def iterations(rows):
    return [one.row.iteration for one in rows]


@pytest.mark.parametrize(
    ("printed", "every", "shown"),
    [
        (range(1, 41), "10", [10, 20, 30, 40]),
        (range(1, 44), "10", [10, 20, 30, 40, 43]),
        (range(10, 50, 10), "10", [10, 20, 30, 40]),
        # A job that prints its first step, and then each tenth after it.
        (range(1, 51, 10), "10", [1, 11, 21, 31, 41]),
        (range(5, 100, 30), "10", [5, 35, 65, 95]),
        (range(0, 21, 5), "10", [0, 10, 20]),
        (range(1, 9), "1", list(range(1, 9))),
        (range(1, 9), "3s", [1, 3, 6]),
        (range(1, 4), "", [1, 2, 3]),
    ],
)
def test_every(printed, every, shown):
    assert iterations(training_page.every(every)([row(n) for n in printed])) == shown


def test_every_is_of_each_run_and_rank_and_of_rows_without_iteration():
    rows = [row(n, run=run, rank=rank) for run in (1, 2) for rank in "07" for n in range(1, 11)]
    kept = training_page.every("5")(rows)
    assert [(one.run, one.row.rank_group, one.row.iteration) for one in kept] == [
        (run, rank, n) for run in (1, 2) for rank in "07" for n in (5, 10)
    ]
    dicts = [row(None, at_s=n, epoch=n / 10) for n in range(1, 8)]
    kept = training_page.every("3")(dicts)
    assert [one.row.fields["epoch"] for one in kept] == [0.3, 0.6, 0.7]


@pytest.mark.parametrize("text", ["0", "-1", "x", "1.5", "0s"])
def test_every_that_is_none(text):
    with pytest.raises(Refused):
        training_page.every(text)


FIELDS = {"lm_loss": 2.0, "tflops": 5.0, "extra": {"micro_step": 3.0, "kl": 0.1}}


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ([], FIELDS),
        (["lm_loss"], {"lm_loss": 2.0}),
        (["lm_loss,tflops"], {"lm_loss": 2.0, "tflops": 5.0}),
        (["lm_loss", "nosuch"], {"lm_loss": 2.0}),
        (["extra"], {"extra": {"micro_step": 3.0, "kl": 0.1}}),
        (["micro_step"], {"extra": {"micro_step": 3.0}}),
        (["tflops,extra.kl"], {"tflops": 5.0, "extra": {"kl": 0.1}}),
        (["nosuch"], None),
        (["extra.lm_loss"], None),
    ],
)
def test_fields(given, shown):
    rows = [row(1, **FIELDS), row(2, total_loss=1.0)]
    found = training_page.having(rows, training_page.names(given))
    # Who asks for fields is not shown rows that have none of them.
    assert [one.row.fields for one in found if one.row.iteration == 1] == [shown] * bool(shown)
    assert iterations(found) == [1] * bool(shown) + [2] * (not given)
