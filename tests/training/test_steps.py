"""Steps of wandb: their names are those of a log line, and a record carries them unchanged."""

import math

import pytest

from heliograph.core.record import Record
from heliograph.training import steps
from heliograph.wire import records

AT_NS = 1_795_343_840_559_178_000


def fields(values, step=3):
    return steps.told(values, pod_uid="p", run="r", step=step, at_ns=AT_NS).row.fields


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("loss", "total_loss", 2.0),
        ("train/loss", "total_loss", 2.0),
        ("train.loss", "total_loss", 2.0),
        ("lm loss", "lm_loss", 2.0),
        ("train/grad_norm", "grad_norm", 2.0),
        ("learning-rate", "learning_rate", 2.0),
        ("train/learning_rate", "learning_rate", 2.0),
        ("tokens_per_sec", "tokens_per_second", 2.0),
        ("iteration-time", "elapsed_time_per_iteration_ms", 2000.0),
        ("consumed_samples", "consumed_samples", 2),
        ("batch-size", "global_batch_size", 2),
        ("loss_metrics/global_avg_loss", "total_loss", 2.0),
    ],
)
def test_names_are_those_of_log_lines(name, field, value):
    found = fields({name: 2.0})
    assert found == {"current_iteration": 3, field: value}
    assert type(found[field]) is type(value)


@pytest.mark.parametrize("name", ["eval/loss", "val/loss", "my/thing", "step", "gradients/w.b"])
def test_what_is_measured_elsewhere_is_not_the_trainings(name):
    found = fields({name: 2.0})
    assert found.keys() == {"current_iteration", "extra"}
    assert list(found["extra"].values()) == [2.0]


def test_the_fields_own_name_wins_and_nothing_is_lost():
    found = fields({"train/loss": 1.0, "loss": 2.0})
    assert found == {"current_iteration": 3, "total_loss": 2.0, "extra": {"train_loss": 1.0}}


def test_names_of_extra_have_an_end_and_stay_apart():
    found = fields({"x" * 100 + "1": 1.0, "x" * 100 + "2": 2.0, "0/y": 3.0})["extra"]
    assert len(found) == 3
    assert max(map(len, found)) == steps.EXTRA_CHARS_MAX
    assert found["n_0_y"] == 3.0


def test_more_names_than_a_row_may_have_are_counted(monkeypatch):
    monkeypatch.setattr(steps, "EXTRA_MAX", 2)
    told = steps.told(
        {"a1": 1.0, "b2": 2.0, "c3": 3.0}, pod_uid="p", run="r", step=0, at_ns=AT_NS
    )
    assert (told.left_out, told.row.fields["extra"]) == (1, {"a1": 1.0, "b2": 2.0})


def test_a_row_goes_through_the_log_unchanged():
    values = {"loss": math.inf, "consumed_samples": 1e30, "odd": -0.0}
    row = steps.told(values, pod_uid="p", run="r", step=3, at_ns=AT_NS, framework="nemo").row
    record = steps.record_of(row, observed_ns=5)
    (carried,) = records.decode(records.encode([record]))
    assert steps.row_of(carried) == row
    assert steps.record_of(row, observed_ns=6).record_id == record.record_id
    nan = steps.told({"loss": math.nan}, pod_uid="p", run="r", step=3, at_ns=AT_NS).row
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


LOGGED = [
    {"train/loss": 2.0, "iteration-time": 0.25, "deep.er": 7.0, "eval/loss": math.inf},
    {"loss": 1.0, "train/loss": 2.0, "consumed_samples": 64.0},
    {"step": 3.0, "x" * 200: 1.0},
    {},
]


@pytest.mark.parametrize("values", LOGGED)
def test_a_step_is_shown_as_it_was_logged(values):
    row = steps.told(values, pod_uid="p", run="r", step=3, at_ns=AT_NS).row
    assert steps.as_logged(row, steps.fields_of(tuple(values))) == values


def test_what_nobody_named_is_shown_under_our_names():
    row = steps.told(LOGGED[0], pod_uid="p", run="r", step=3, at_ns=AT_NS).row
    assert steps.as_logged(row, {}) == {
        "total_loss": 2.0, "elapsed_time_per_iteration_ms": 250.0, "deep_er": 7.0,
        "eval_loss": math.inf,
    }  # fmt: skip
