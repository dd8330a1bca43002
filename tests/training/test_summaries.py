"""What sums a whole run up, and what only looks so: a step that tells how long it runs already."""

import json

import pytest

from heliograph.training.parse import parse_line

STEPS = [
    {"epoch": 3, "step": 100, "train_loss": 0.52, "train_samples_per_second": 812.0, "train_runtime": 33.1},
    {"epoch": 3, "train_loss": 0.52, "val_loss": 0.61, "train_runtime": 33.1},
    {"loss": 0.5, "train_runtime": 33.1, "train_samples_per_second": 812.0},
]  # fmt: skip
SUMMARY = {"train_runtime": 2403.2, "train_samples_per_second": 8.1, "train_loss": 0.5334, "epoch": 8.0}  # fmt: skip


def is_end(document):
    parsed = parse_line(json.dumps(document))
    return parsed.rule == "dict_summary"


@pytest.mark.parametrize("document", STEPS)
def test_a_step_is_no_summary(document):
    assert not is_end(document)


def test_a_run_is_summed_up():
    assert is_end(SUMMARY)
