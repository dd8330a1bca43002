"""Which step of its run a line is of: a bar begins anew with every epoch, and training does not."""

import pytest

from heliograph.training.parse import Parsed, parse_line
from heliograph.training.rows import iteration_of, rows
from heliograph.training.runs import runs


def said(rule, framework="pytorch-lightning", **fields):
    return Parsed("performance", framework, fields, (), rule, "")


@pytest.mark.parametrize(
    ("case", "parsed", "step"),
    [
        ("what is printed", said("piped", current_iteration=7, target_iteration=9, epoch=3), 7),
        ("a bar of the first epoch", said("bar", current_iteration=7, target_iteration=9, epoch=0.0), 7),
        ("a bar of the third", said("bar", current_iteration=7, target_iteration=9, epoch=2.0), 25),
        ("epochs from 1", said("bar", "torchtune", current_iteration=7, target_iteration=9, epoch=1.0), 7),
        ("a bar that names no epoch", said("bar", current_iteration=7, target_iteration=9), None),
        ("a bar without an end", said("bar", current_iteration=7, epoch=2.0), None),
        ("an epoch that is none", said("bar", current_iteration=7, target_iteration=9, epoch=float("nan")), None),
        ("beyond 64 bits", said("bar", current_iteration=7, target_iteration=10**18, epoch=99.0), None),
        ("no iteration", said("dict", epoch=0.5), None),
    ],
)  # fmt: skip
def test_the_step_of_a_line(case, parsed, step):
    assert iteration_of(parsed) == step, case
    (row,) = rows(parsed, pod_uid="p", source="log", at_ns=1)
    assert (row.iteration, row.fields) == (step, parsed.fields)


@pytest.mark.parametrize(
    ("line", "step"),
    [
        ("Epoch: [2]  [ 260/9143]  lr: 0.000003  loss: 1.6425 (2.0424)", 2 * 9143 + 260),
        ("Epoch: [2][ 10/5005]  Time  0.350 ( 0.612)  Loss 6.9130e+00 (6.9201e+00)", 2 * 5005 + 10),
        ("| epoch 010  2000 / 8223 loss=1.27 (1.50), wps=962, lr=0.001, gnorm=2.1427", 9 * 8223 + 2000),
        ("Epoch 5, Loss 0.5731, LR 0.1111", None),
        ("Epoch: [1][   0/1563]\tTime  2.916 ( 2.916)\tLoss 4.3512e+00 (4.3512e+00)", 1563),
        ("Training epoch 1, iteration 0/19 | lr: 1e-05 | global_step: 20 | reduced_train_loss: 10.25", 20),
        ("Training epoch 1, iteration 0/19 | lr: 1e-05 | reduced_train_loss: 10.25", 0),
        ("Training epoch 1, iteration 3/19 | lr: 1e-05 | global_step: 2.5 | reduced_train_loss: 10.25", 3),
    ],
)  # fmt: skip
def test_steps_that_are_counted_within_an_epoch(line, step):
    assert iteration_of(parse_line(line)) == step


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        (
            "{'train_runtime': 98.5, 'train_steps_per_second': 0.5, 'train_loss': 1.25, 'epoch': 3.0}",
            {"steps_per_second": 0.5, "epoch": 3.0, "extra": {"runtime_s": 98.5, "train_loss": 1.25}},
        ),
        ("TrainOutput(global_step=500, training_loss=0.75)", {"current_iteration": 500, "extra": {"train_loss": 0.75}}),
        ("  train_loss               =       1.25", {"extra": {"train_loss": 1.25}}),
        ("  train_samples_per_second =     12.5", {"samples_per_second": 12.5}),
        (
            "{'loss': 1.25, 'epoch': 3.0, 'train_runtime': 98.5}",
            {"total_loss": 1.25, "epoch": 3.0, "extra": {"runtime_s": 98.5}},
        ),
    ],
)  # fmt: skip
def test_the_mean_loss_of_a_run_is_that_of_no_step(line, fields):
    (row,) = rows(parse_line(line), pod_uid="p", source="log", at_ns=1)
    assert row.fields == fields


def test_epochs_of_a_bar_are_no_runs():
    bar = "Epoch {}:  50%|#####     | {}/3 [00:01<00:01,  9.50it/s, v_num=0, train_loss=0.512]"
    lines = [bar.format(epoch, step) for epoch in range(3) for step in (1, 2, 3)]
    made = [
        row
        for second, line in enumerate(lines)
        for row in rows(parse_line(line), pod_uid="p", source="log", at_ns=second)
    ]
    (run,) = runs(made, pod_names={})
    assert (run.rows, run.first_iteration, run.last_iteration) == (9, 1, 9)
    assert len(runs([*made, made[0]._replace(at_ns=99)], pod_names={})) == 2
