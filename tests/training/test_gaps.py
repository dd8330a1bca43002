"""Lines that look like measures and yield nothing are told; what is not meant to be read is not."""

import pytest

from heliograph.training.gaps import LOOKED_AT_CHARS_MAX, suspected
from heliograph.training.parse import parse_line

SUSPECTED = [
    "acc@1 = 71.2 | throughput = 812.0 img/s | epoch = 3",
    "[100/1000] loss: 2.3 lr: 1e-4",
    "a step took long: lr=0.001; grad_norm=2.5; done",
]
NOT = [
    "learning_rate: 1e-4 | global batch size: 32",
    "validation loss: 2.31 | ppl: 10.1 | step: 5",
    "| N/A   30C    P0    60W / 400W |   1024MiB / 81920MiB |      0%      Default |",
    "loss: 2.5",
    "time (ms) | forward-compute: 53.79 | optimizer: 49.42",
    "nothing of the kind",
    "",
]


@pytest.mark.parametrize("text", SUSPECTED)
def test_suspected(text):
    parsed = parse_line(text)
    assert (parsed.kind, parsed.gap) == ("none", True)


@pytest.mark.parametrize("text", NOT)
def test_not_suspected(text):
    assert not parse_line(text).gap


def test_a_line_that_is_read_has_no_gap():
    assert not parse_line("step: 5  loss: 2.5  acc: 0.5").gap


def test_only_the_beginning_is_looked_at():
    assert not suspected(" " * LOOKED_AT_CHARS_MAX + SUSPECTED[0])
