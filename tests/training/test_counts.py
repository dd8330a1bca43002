"""Counts as people and loggers print them: with thousands separators, filled up with blanks, of so many;
and what may be a fraction is none.
"""

import pytest

from heliograph.training.parse import parse_line

AT, OF, LOSS = "current_iteration", "target_iteration", "total_loss"
STEP = {AT: 1050, OF: 50000, LOSS: 2.5}
LINES = [
    ("Step [1,050/50,000] loss: 2.5", STEP),
    ("[step 1,050/50,000] loss=2.5", STEP),
    ("Step 1,050/50,000, loss 2.5", STEP),
    ("Iteration 1,050 of 50,000: loss=2.5", STEP),
    ("step 1050 of 50000 loss 2.5", STEP),
    ("Step 1,050: loss=2.5", {AT: 1050, LOSS: 2.5}),
    ("step=1,050 loss=2.5", {AT: 1050, LOSS: 2.5}),
    ("Step [1,000,000/5,000,000] loss: 2.5", {AT: 1000000, OF: 5000000, LOSS: 2.5}),
    ("Epoch 1/10, Step 1,050/50,000, Loss: 2.5", {**STEP, "epoch": 1.0, "extra": {"total_epochs": 10}}),
    (
        " [2025-11-20 14:55:23] iteration 1,050/50,000 | consumed samples: 6,400 | lm loss: 6.5 |",
        {AT: 1050, OF: 50000, "consumed_samples": 6400, "lm_loss": 6.5},
    ),
    (" iteration 50/1,000 | lm loss: 6.5 | grad norm: 1.5 |", {AT: 50, OF: 1000, "lm_loss": 6.5, "grad_norm": 1.5}),
    (" 10%|█         | 1,050/50,000 [00:15<25:10,  1.50s/it]", {AT: 1050, OF: 50000, "elapsed_time_per_iteration_ms": 1500.0}),
    ("Train:  10% 1,050/50,000 [00:15<25:10,  2.00it/s, loss=2.5]", {**STEP, "steps_per_second": 2.0}),
    ("step: 5 tokens: 1,234,567, loss: 2.5", {AT: 5, LOSS: 2.5, "extra": {"tokens": 1234567.0}}),
    ("step: 5, loss: 1,234.5, lr: 0.5", {AT: 5, LOSS: 1234.5, "learning_rate": 0.5}),
    ("step: 5 loss: 2.5, lr: [0.5,0.25]", {AT: 5, LOSS: 2.5, "learning_rate": 0.5}),
    # What may be a fraction, or is no number, is left out, and the rest is not.
    ("step: 5 loss: 2,34 grad_norm: 1.5", {AT: 5, "grad_norm": 1.5}),
    ("step: 5, loss: 2,345, grad_norm: 1.5, lr: 0,001", {AT: 5, "grad_norm": 1.5}),
    ("step: 5, loss: 1.234,56, grad_norm: 1.5", {AT: 5, "grad_norm": 1.5}),
    ("step: 5, memory: 2,34GiB, loss: 2.5", {AT: 5, LOSS: 2.5}),
    (" iteration 5/10 | lm loss: 2,34 | grad norm: 1.5 |", {AT: 5, OF: 10, "grad_norm": 1.5}),
    # OpenMMLab and PyTorch's examples.
    ("02/16 16:12:07 - mmengine - INFO - Epoch(train)  [1][100/502]  lr: 0.5  loss: 14.5", {"epoch": 1.0, AT: 100, OF: 502, "learning_rate": 0.5, LOSS: 14.5}),
    ("02/16 16:12:07 - mmengine - INFO - Epoch(train)  [12][  5/502]  lr: 0.5  loss: 14.5", {"epoch": 12.0, AT: 5, OF: 502, "learning_rate": 0.5, LOSS: 14.5}),
    ("2023/06/08 17:06:54 - mmengine - INFO - Iter(train) [   10/80000]  lr: 0.5  loss: 1.25", {AT: 10, OF: 80000, "learning_rate": 0.5, LOSS: 1.25}),
    ("Epoch: [1][  10/1563]\tLoss 4.5e+00 (4.25e+00)", {"epoch": 1.0, AT: 10, OF: 1563, LOSS: 4.5, "total_loss_avg": 4.25}),
    ("Epoch: [1][   0/1563]\tLoss 4.5e+00 (4.25e+00)", {"epoch": 1.0, AT: 0, OF: 1563, LOSS: 4.5, "total_loss_avg": 4.25}),
    ("Iteration: [  100/1000] loss: 2.5", {AT: 100, OF: 1000, LOSS: 2.5}),
    # Units behind values, and values that have none.
    ("Step 100: loss=2.5, throughput=123.5 TFLOP/s", {AT: 100, LOSS: 2.5, "tflops": 123.5}),
    ("Step 100: loss=2.5, throughput=123.5 TFLOP/s/GPU, lr=0.5", {AT: 100, LOSS: 2.5, "tflops": 123.5, "learning_rate": 0.5}),
    ("Step 100: loss=2.5 memory=60.0GiB/80GiB (75.0%)", {AT: 100, LOSS: 2.5, "mem_usage_gb": 60.0, "mem_total_gb": 80.0, "mem_usage_ratio": 75.0}),
    ("Step 100: loss=2.5 memory=60.0GiB/80GiB", {AT: 100, LOSS: 2.5, "mem_usage_gb": 60.0}),
    ("Step 100: loss=2.5 memory: 512/81920MB", {AT: 100, LOSS: 2.5, "mem_usage_gb": 0.5}),
    ("step: 100, loss: 2.5, elapsed: 1m 23s", {AT: 100, LOSS: 2.5}),
    (
        "INFO train.py:323 in record_metrics -- tflops=63.5,step=0,loss=11.5,tgs (tokens/gpu/second)=3072.5",
        {"tflops": 63.5, AT: 0, LOSS: 11.5, "tokens_per_gpu": 3072.5},
    ),
    (
        '[train_inner] {"epoch": 1, "loss": "10.5", "wps": "125.5", "num_updates": "100", "lr": "0.5"}',
        {"epoch": 1.0, LOSS: 10.5, "tokens_per_second": 125.5, AT: 100, "learning_rate": 0.5},
    ),
]  # fmt: skip
SILENT = [
    "Step [1,05/50] loss: 2.5",
    " iteration 12,34/50 | lm loss: 6.5 |",
    "step: 5 loss: 2,34",
    "step=100 | val | loss=2.5",
    "step: 100 | valid | loss: 2.5 | lr: 0.5",
    "mmengine - INFO - Epoch(val)  [1][100/502]  loss: 1.25  time: 0.5",
    "mmengine - INFO - Iter(val) [  100/502]  loss: 1.25  time: 0.5",
    "Test: [  0/196]\tLoss 4.5e+00 (4.5e+00)",
]


@pytest.mark.parametrize(("line", "fields"), LINES)
def test_every_field_and_no_other(line, fields):
    assert parse_line(line).fields == fields


@pytest.mark.parametrize("line", SILENT)
def test_what_is_no_count_and_no_step_is_left_out(line):
    assert (parse_line(line).kind, parse_line(line).fields) == ("none", {})


@pytest.mark.parametrize(
    ("line", "framework"),
    [
        ("2023-07-07 12:26:58,293\tINFO train.py:323 in f -- tflops=63.5,step=0,loss=11.5", "unknown"),
        ("I0612 03:00:12.000000 139 train.py:509] step=5, loss=2.5", "jax-t5x"),
        ('{"loss": "10.5", "num_updates": "100", "gnorm": "2.5"}', "fairseq"),
    ],
)  # fmt: skip
def test_who_prints_it(line, framework):
    assert parse_line(line).framework == framework
