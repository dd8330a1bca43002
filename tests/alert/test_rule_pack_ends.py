"""The built-in rules over steps, and the lines by which a training tells that it is over: a run that
came to its end does not hang, and the means of its summary are no step's."""

import pytest

from heliograph.alert.model import Context
from heliograph.alert.rules import pack as rule_pack
from heliograph.alert.rules.rule import Said
from heliograph.alert.rules.stream import RuleStream
from heliograph.core import labels as core_labels
from heliograph.core.duration import MINUTE_NS, SECOND_NS
from heliograph.receive.lines import Line
from heliograph.service.effects import Given, of_lines
from heliograph.service.findings import Findings
from heliograph.training.parse import parse_line

S = SECOND_NS
T0 = 1_767_225_600 * S
WHO = Context(workload_id="w1", pod_name="p0", pod_id="uid-p0", node_name="n1")
STEP = "{{'loss': {:.4f}, 'grad_norm': 0.7, 'learning_rate': 2e-05, 'epoch': {:.2f}}}"
BAR = "100%|##########| 200/200 [16:43<00:00,  5.02s/it]"
TOLD = (
    "'train_runtime': 2403.2, 'train_samples_per_second': 31.9, 'train_steps_per_second': 0.333"
)
MEANS = f"{{{TOLD}, 'train_loss': 0.5334, 'epoch': 8.0}}"
SUMMARIES = [
    MEANS,
    f"{BAR}\r{MEANS}",
    f"TrainOutput(global_step=200, training_loss=0.5334, metrics={MEANS})",
    "TrainOutput(global_step=200, training_loss=0.5334)",
    "  train_loss               =     0.5334",
]
ELASTIC = "INFO:torch.distributed.elastic.agent.server.api:[default] worker group successfully finished."


def fired(lines, *, minutes=0):
    """The names of the rules that fire over *lines*, a second apart, and *minutes* after them."""
    stream = RuleStream(rule_pack.rules(), since_ns=T0)
    given = [
        Given(
            Line(T0 + n * S, "p0", "train", "uid-p0", "n1", "main", "stdout", line),
            "uid-p0",
            parse_line(line),
        )
        for n, line in enumerate(lines)
    ]
    effects = of_lines(given, arrival_ns=T0, keep_lines="none", findings=Findings(), seq=1)
    stream.rows(effects.rows, lambda pod_uid: WHO, arrival_ns=T0)
    for record in effects.records:
        stream.record(record, Said(record.timestamp_ns, "uid-p0", WHO), arrival_ns=T0)
    stream.tick(T0 + minutes * MINUTE_NS)
    return [core_labels.get(post.labels, "alertname") for post in stream.drain()[0]]


@pytest.mark.parametrize(
    "lines",
    [
        *[[one] for one in SUMMARIES],
        # What is over is drawn once more.
        [MEANS, BAR],
        [BAR, "***** train metrics *****", "  epoch                    =        8.0"],
        ["[2026-11-22 11:53:04,629] [INFO] [launch.py:285:main] Process 3803 exits successfully."],
        [f"{ELASTIC} Waiting 300 seconds for other agents to finish."],
    ],
)  # fmt: skip
def test_a_training_that_is_over_does_not_hang(lines):
    begun = [" 50%|#####     | 100/200 [08:20<08:20,  5.02s/it]"]
    assert fired(begun + lines, minutes=31) == []


@pytest.mark.parametrize(
    "line",
    [
        BAR,
        # Of a step, though it tells how long it runs.
        "{'loss': '1.3', 'epoch': '0.607', 'train_runtime': '23508'}",
        "{'eval_loss': 1.5, 'eval_runtime': 12.5, 'eval_samples_per_second': 80.1, 'epoch': 1.0}",
        "***** eval metrics *****",
        "waits until Process 1 exits successfully",
    ],
)
def test_a_training_that_goes_on_may_hang(line):
    begun = [" 50%|#####     | 100/200 [08:20<08:20,  5.02s/it]"]
    assert fired([*begun, line], minutes=31) == ["TrainingHang"]


def steps():
    return [STEP.format(0.2 + 3.3 * 0.98**n + 0.01 * (n * 7 % 5), n / 50) for n in range(400)]


@pytest.mark.parametrize("summary", SUMMARIES)
def test_the_mean_of_a_run_is_no_spike(summary):
    assert fired([*steps(), summary]) == []


def test_a_step_of_the_same_loss_is_one():
    assert fired([*steps(), STEP.format(0.5334, 8)]) == ["LossSpike"]
