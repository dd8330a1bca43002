"""Steps of wandb: a record carries them unchanged."""

import math

import pytest

from heliograph.core.record import Record
from heliograph.core.training import TrainingRow
from heliograph.training import steps
from heliograph.wire import records

AT_NS = 1_795_343_840_559_178_000


def test_a_row_goes_through_the_log_unchanged():
    values = {"total_loss": math.inf, "consumed_samples": 1e30, "extra": {"odd": -0.0}}
    row = TrainingRow("p", steps.SOURCE, "r", AT_NS, 3, None, "nemo", values)
    record = steps.record_of(row, observed_ns=5)
    (carried,) = records.decode(records.encode([record]))
    assert steps.row_of(carried) == row
    assert steps.record_of(row, observed_ns=6).record_id == record.record_id
    nan = row._replace(fields={"total_loss": math.nan})
    back = steps.row_of(*records.decode(records.encode([steps.record_of(nan, observed_ns=5)])))
    assert math.isnan(back.fields["total_loss"])


@pytest.mark.parametrize(
    "record",
    [
        Record("i", 1, 1, "r", "log", steps.STEP),
        Record("i", 1, 1, "r", steps.SOURCE, "oom"),
        Record("i", 1, 1, "r", steps.SOURCE, steps.STEP),
        Record("i", 1, 1, "r", steps.SOURCE, steps.STEP, resource={"pod_uid": 3}),
        Record(
            "i", 1, 1, "r", steps.SOURCE, steps.STEP,
            resource={"pod_uid": "p"}, correlation={"iteration": "7"},
        ),
    ],
)  # fmt: skip
def test_what_carries_no_row(record):
    assert steps.row_of(record) is None
