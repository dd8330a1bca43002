"""Where training began anew, and where it only looks so: told in lines that trainers print."""

import random

import pytest

from heliograph.training.parse import parse_line
from heliograph.training.rows import rows as rows_of
from heliograph.training.runs import runs

EPOCH = 20


def megatron(i):
    return f" iteration {i:8d}/    5000 | consumed samples: {i * 128:12d} | lm loss: 2.5E+00 |"


def hf(epoch):
    return f"{{'loss': 2.0, 'grad_norm': 1.2, 'learning_rate': 5e-05, 'epoch': {epoch:.2f}}}"


def bar(name, i, of):
    return f"{name}: {i * 100 // of:3d}%|{'█' * (i * 10 // of):10}| {i}/{of} [00:33<00:00,  4.20s/it, pg=0.1]"


def told(lines):
    """(first iteration, last iteration, rows, why) of each run of lines with their second."""
    rows = [
        row
        for at_s, text in lines
        for row in rows_of(parse_line(text), pod_uid="p", source="log", at_ns=round(at_s * 1e9))
    ]
    assert rows
    found = runs(rows, pod_names={})
    again = rows * 2
    random.Random(1).shuffle(again)
    assert runs(again, pod_names={}) == found
    return [
        (run.first_iteration, run.last_iteration, run.rows, run.evidence[0]) for run in found
    ]


def paced(texts, *, first_s=0.0, step_s=5.0):
    return [(first_s + n * step_s, text) for n, text in enumerate(texts)]


@pytest.mark.parametrize(
    "line",
    [
        lambda e, i: f"Epoch {e + 1}/3, Step {i}/{EPOCH}, Loss: 2.3",
        lambda e, i: f"[epoch {e}] step {i}/{EPOCH} loss=2.345 lr=1e-4",
        lambda e, i: f"{{'epoch': {e}, 'step': {i}, 'loss': 2.3}}",
        lambda e, i: (
            f"Epoch: {e} | Step: {i} | PPO Epoch: 1 | Actor Loss: 0.1 | Critic Loss: 0.2"
        ),
        lambda e, i: (
            f"Training epoch {e}, iteration {i - 1}/19 | lr: 1e-05 | global_batch_size: 512 | global_step: {e * EPOCH + i - 1} | reduced_train_loss: 10.23"
        ),
        lambda _, i: bar("Train epoch [1/1]", i, EPOCH),
    ],
    ids=["words", "brackets", "dict", "deepspeed-chat", "nemo", "openrlhf"],
)
def test_the_end_of_an_epoch_begins_no_run(line):
    steps = [(e, i) for e in range(3) for i in range(1, EPOCH + 1)]
    (run,) = told(paced(line(*step) for step in steps))
    assert run[2:] == (3 * EPOCH, "first row")


def test_an_epoch_that_is_gone_through_again_does():
    def lines(*steps):
        return [f"Epoch {e}/3, Step {i}/{EPOCH}, Loss: 2.3" for e, i in steps]

    whole = [(1, i) for i in range(1, 21)]
    begun = [*whole, *((2, i) for i in range(1, 16))]
    # Cut in the second epoch, and again from the first.
    found = told([*paced(lines(*begun)), *paced(lines(*whole[2:]), first_s=500)])
    assert [run[2:] for run in found] == [(35, "first row"), (18, "iteration went back")]
    # A bar that was not counted out.
    cut = [bar("Train epoch [1/1]", i, 40) for i in range(1, 21)]
    found = told([*paced(cut), *paced(cut, first_s=500)])
    assert [run[2:] for run in found] == [(20, "first row"), (20, "iteration went back")]


@pytest.mark.parametrize(
    ("first", "then"),
    [((0.0, 1.0), (0.5, 1.0)), ((0.0, 2.98), (1.5, 2.98)), ((0.0, 0.5), (0.48, 0.9))],
)
def test_an_epoch_that_goes_back_where_no_step_is_named(first, then):
    def dicts(low, high):
        return [hf(n / 100) for n in range(round(low * 100), round(high * 100))]

    lines = [*paced(dicts(*first)), *paced(dicts(*then), first_s=4000)]
    assert [run[2:] for run in told(lines)] == [
        (len(dicts(*first)), "first row"),
        (len(dicts(*then)), "epoch went back"),
    ]


@pytest.mark.parametrize("others", [1, 3, 7])
@pytest.mark.parametrize("behind_s", [0.5, 2.5, 5.0, 9.0])
def test_one_that_prints_behind_another_is_no_restart(others, behind_s):
    lines = [
        (i * 2 + behind_s * n / others, megatron(i))
        for i in range(1, 51)
        for n in range(1 + others)
    ]
    assert len(told(lines)) == 1


@pytest.mark.parametrize("seed", range(5))
def test_nor_are_some_of_no_steady_pace_and_their_restart_is_one(seed):
    rng = random.Random(seed)

    def lines(first, last, from_s):
        return [
            (from_s + (i - first) * 2 + n * 1.5 + rng.random() * 2, megatron(i))
            for i in range(first, last + 1)
            for n in range(3)
        ]

    assert len(told(lines(1, 150, 0))) == 1
    restarted = [*lines(1, 99, 0), *lines(96, 150, 260)]
    assert [run[:2] for run in told(restarted)] == [(1, 99), (96, 150)]


@pytest.mark.parametrize(
    ("name", "first", "then", "pause_s"),
    [
        ("far, without a pause", (1, 100), (81, 150), 5),
        ("a little, after silence", (1, 100), (99, 150), 60),
        ("by one, after silence", (1, 100), (99, 99), 60),
        ("a little, without a pause: through the same again and on", (1, 100), (97, 110), 5),
        ("a little, at steps of its own", (1, 100), (96, 110), 5),
    ],
)
def test_a_restart(name, first, then, pause_s):
    step = 10 if "own" in name else 1
    before = [
        megatron(i) for i in range(first[0], first[1] + 1) if (i - 1) % step == 0 or i == 100
    ]
    after = [megatron(i) for i in range(then[0], then[1] + 1)]
    end_s = 5.0 * (len(before) - 1)
    found = told([*paced(before), *paced(after, first_s=end_s + pause_s)])
    assert [run[:2] for run in found] == [first, then]


def test_each_of_a_loop_of_crashes_is_a_run():
    lines = [(k * 90 + i * 5, megatron(80 + i)) for k in range(4) for i in range(1, 6)]
    assert [run[:2] for run in told(lines)] == [(81, 85)] * 4
