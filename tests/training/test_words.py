"""One vocabulary of rates and of evaluations: the same words wherever on a line they stand."""

import pytest

from heliograph.training import evaluations, rates
from heliograph.training.fields import named
from heliograph.training.parse import parse_line
from heliograph.training.vocabulary import NAMES

TIME = "elapsed_time_per_iteration_ms"
MANY = [
    ("tokens/s", "tokens_per_second"),
    ("tok/sec", "tokens_per_second"),
    ("tokens/second", "tokens_per_second"),
    ("tokens/s/GPU", "tokens_per_gpu"),
    ("tokens/sec/npu", "tokens_per_gpu"),
    ("samples/s", "samples_per_second"),
    ("sequences/s", "samples_per_second"),
    ("seq/s", "samples_per_second"),
    ("it/s", "steps_per_second"),
    ("iterations/s", "steps_per_second"),
    ("batches/sec", "steps_per_second"),
    ("updates/s", "steps_per_second"),
]
EACH = [
    ("s/it", 5000.0),
    ("secs/step", 5000.0),
    ("seconds/iter", 5000.0),
    ("sec/batch", 5000.0),
    ("ms/iteration", 5.0),
    ("ms/batch", 5.0),
]
OTHERS = ["MB/s", "img/s", "requests/s", "files/s", "rows/sec", "tokens/min", "s/file"]


def fields_of(line):
    return parse_line(line).fields


@pytest.mark.parametrize(("unit", "field"), MANY)
@pytest.mark.parametrize(
    "line",
    [
        "step: 1 loss: 2.5 | {unit}: 5",
        "step: 1 loss: 2.5 throughput: 5 {unit}",
        "step: 1 loss: 2.5 throughput ({unit}): 5",
        "step: 1 loss: 2.5, 5 {unit}",
        "step: 1 loss: 2.5 (5 {unit})",
        "step 1/9 | loss 2.5 | 5 {unit}",
        "iteration 1/ 9 | lm loss: 2.5 | {unit}: 5 |",
    ],
)
def test_so_many_in_a_second(line, unit, field):
    assert fields_of(line.format(unit=unit))[field] == 5


@pytest.mark.parametrize(("unit", "ms"), EACH)
@pytest.mark.parametrize(
    "line",
    [
        "step: 1 loss: 2.5 {unit}: 5",
        "step: 1 loss: 2.5 time: 5 {unit} lr: 0.1",
        "step: 1 loss: 2.5 (5 {unit})",
        "step 1/9 | loss 2.5 | 5 {unit}",
        "step 1/9 | loss 2.5 | time 5 {unit}",
    ],
)
def test_the_time_of_each(line, unit, ms):
    assert fields_of(line.format(unit=unit))[TIME] == ms


@pytest.mark.parametrize("unit", ["it", "iterations", "step", "batches", "ba", "updates"])
def test_a_bar_s_rate(unit):
    bar = " 10%|█         | 8/80 [00:01<00:09,  5.0{}]".format
    steps = {"current_iteration": 8, "target_iteration": 80}
    assert fields_of(bar(f"{unit}/s")) == {**steps, "steps_per_second": 5.0}
    assert fields_of(bar(f"s/{unit}")) == {**steps, TIME: 5000.0}


@pytest.mark.parametrize("unit", OTHERS)
@pytest.mark.parametrize(
    "line",
    [
        "step: 1 loss: 2.5 {unit}: 5",
        "step: 1 loss: 2.5 throughput: 5 {unit}",
        "step: 1 loss: 2.5, 5 {unit}",
        "step: 1 loss: 2.5 download speed: 5 it/s",
        "step: 1 loss: 2.5 data loading rate: 5 samples/s",
        "iteration 1/ 9 | total loss: 2.5 | tokens per GPU ({unit}): 5/5 |",
        "iteration 1/ 9 | total loss: 2.5 | throughput per GPU ({unit}): 5/5 |",
    ],
)
def test_rates_of_something_else_are_not_the_training_s(line, unit):
    found = fields_of(line.format(unit=unit))
    found.pop("extra", None)
    found.pop("target_iteration", None)
    assert found == {"current_iteration": 1, "total_loss": 2.5}


@pytest.mark.parametrize("unit", ["tokens/s", "tokens/s/GPU", "tokens/gpu/s", "tok/sec", "tgs"])
def test_the_unit_of_tokens(unit):
    key = named(f"tokens per GPU ({unit})")
    assert (key.field, key.scale) == ("tokens_per_gpu", 1)


@pytest.mark.parametrize(
    ("unit", "scale"),
    [
        *(("TFLOP/s/GPU", 1), ("TFLOPs", 1), ("tflops/s/npu", 1), ("TFLOP/s/chip", 1)),
        *(("GFLOP/s/GPU", 1e-3), ("PFLOPs", 1e3), ("FLOP/s", 1e-12)),
    ],
)
@pytest.mark.parametrize("words", ["throughput per GPU", "compute per GPU"])
def test_the_unit_of_work(words, unit, scale):
    key = named(f"{words} ({unit})")
    assert (key.field, key.scale) == ("tflops", scale)


def test_the_words_are_one_list():
    assert set(rates.COUNTED) >= rates.STEPS
    assert not rates.WORDS & (rates.SECOND | rates.COUNTED.keys() | rates.DEVICE)


EVALUATED = [
    "eval",
    "evaluation",
    "val",
    "valid",
    "validation",
    "test",
    "testing",
    "dev",
    "devset",
]
NAMELESS = [
    "device",
    "latest",
    "retrieval",
    "value",
    "std dev",
    "std_dev",
    "invalid",
    "testbed",
]


@pytest.mark.parametrize("word", [*EVALUATED, "Eval", "TEST", "evaluating", "tests"])
@pytest.mark.parametrize("name", sorted({*NAMES, "tokens/s", "s/it", "max mem (GB)", "tflops"}))
def test_a_measure_of_an_evaluation_is_no_field(word, name):
    for sign in (" ", "_", "/"):
        assert not named(f"{word}{sign}{name}").known


EVALUATIONS = [
    "{word} step: 5 loss: 2.5",
    "{word} | step: 5 | loss: 2.5",
    "{word}: iteration 5/ 10 | lm loss: 2.5 |",
    "{word}: {{'loss': 2.5, 'learning_rate': 0.1, 'epoch': 1.0}}",
    '{{"split": "{word}", "step": 5, "loss": 2.5}}',
    "{word} epoch 5:  10%|█ | 10/100 [00:01<00:09,  9.9it/s, loss=2.5]",
    "step 5: {word} loss 2.5, time 5.0s",
]


@pytest.mark.parametrize("word", EVALUATED)
@pytest.mark.parametrize("line", EVALUATIONS)
def test_an_evaluation_is_no_step(line, word):
    found = parse_line(line.format(word=word))
    assert (found.kind, found.gap) == ("none", False)


@pytest.mark.parametrize("word", NAMELESS)
def test_words_that_are_like_them(word):
    assert not evaluations.measured(word)
    assert not evaluations.spoken(word)
    assert not evaluations.named(word)


@pytest.mark.parametrize("word", ["eval", "val_0", "validation", "test", "testing"])
@pytest.mark.parametrize(
    "line", ["step=5 loss=2.5", "[Rank 0] Loss: 2.5", "lm loss: 2.5 | grad norm: 1.0 |"]
)
def test_a_logger_s_sign(line, word):
    assert parse_line(f"[{word.removesuffix('_0')}] {line}").kind == "none"


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ("test-node-7: {'loss': 2.5, 'learning_rate': 0.1, 'epoch': 1.0}",
         {"total_loss": 2.5, "learning_rate": 0.1, "epoch": 1.0}),
        ("dev-gpu-3: {'loss': 2.5, 'learning_rate': 0.1, 'epoch': 1.0}",
         {"total_loss": 2.5, "learning_rate": 0.1, "epoch": 1.0}),
        ("latest-node-7: iteration 5/ 10 | lm loss: 2.5 |",
         {"current_iteration": 5, "target_iteration": 10, "lm_loss": 2.5}),
        ("[dev] step: 5 loss: 2.5", {"current_iteration": 5, "total_loss": 2.5}),
        ("step: 5 loss: 2.5 std_dev: 0.5 (3 it/s)",
         {"current_iteration": 5, "total_loss": 2.5, "steps_per_second": 3.0,
          "extra": {"std_dev": 0.5}}),
        ('{"name": "value", "loss": 2.5, "step": 5}',
         {"total_loss": 2.5, "current_iteration": 5}),
        ("Epoch 3, best 0.25, loss: 2.5:  10%|█ | 10/100 [00:01<00:09,  9.5it/s]",
         {"epoch": 3.0, "current_iteration": 10, "target_iteration": 100, "total_loss": 2.5,
          "steps_per_second": 9.5}),
    ],
)  # fmt: skip
def test_steps_that_are_none_of_an_evaluation(line, fields):
    assert fields_of(line) == fields


@pytest.mark.parametrize(
    "line",
    [
        "eval-node-7: {'loss': 2.5, 'learning_rate': 0.1, 'epoch': 1.0}",
        "Best metrics: {'loss': 2.5, 'learning_rate': 0.1, 'epoch': 1.0}",
        "inference: {'loss': 2.5, 'learning_rate': 0.1, 'epoch': 1.0}",
        "predicting: iteration 5/ 10 | lm loss: 2.5 |",
        "step: 5 val/loss: 2.5 (3 it/s)",
        "step: 5 loss/val: 2.5 (3 it/s)",
    ],
)
def test_what_tells_of_no_step(line):
    assert not {"total_loss", "lm_loss", "steps_per_second"} & fields_of(line).keys()
