"""Printed rows of one instant: each is kept as it was printed, however they come and come again."""

import itertools
import math
import random

import pytest

from heliograph.core.training import TrainingRow, merged, said
from heliograph.store.state import training, training_adding, training_arranging
from heliograph.store.state.lanes import Lane
from heliograph.store.state.state import State
from heliograph.training.runs import runs

EVER = {"start_ns": -(2**62), "end_ns": 2**62}


def row(at_ns, iteration=None, marker=None, *, rank="", framework="hf-trainer", **fields):
    return TrainingRow("p", "log", rank, at_ns, iteration, marker, framework, fields)


def write(state, work, *args):
    return state.write(lambda tx: work(tx, *args), lane=Lane.APPLIER).result(10)


def keep(state, rows):
    """As the applier does; how many were not there yet."""
    some = training_arranging.Gathering()
    some.take(rows)
    left, new = some.parts(), 0
    while left:
        again = []
        for piece in training_arranging.pieces(left):
            added, met = write(state, training_adding.add, piece)
            new += sum(one.rows for one in added)
            for change in training_adding.changes(met):
                added, moved = write(state, training_adding.put, change)
                new += sum(one.rows for one in added)
                again += moved
        left = again
    return new


def everything(state, **more):
    return state.read(lambda tx: training.rows(tx, ["p"], **{**EVER, "limit": 10**6, **more}))


def dicts(count, at_ns=1):
    """What Transformers prints within a second, for a shipper that knows no parts of it."""
    return [
        row(at_ns, total_loss=3 - n / 10, learning_rate=5e-05, epoch=n / 10)
        for n in range(count)
    ]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("cuts", [[3], [1, 2], [1, 1, 1]])
def test_lines_of_one_instant_stay_what_they_are(state, order, cuts):
    printed = [
        row(1, 10, lm_loss=2.0),
        row(1, 10, lm_loss=3.0),
        row(1, 10, lm_loss=math.nan, extra={"a": 1}),
    ]
    left = iter([printed[n] for n in order])
    frames = [list(itertools.islice(left, many)) for many in cuts]
    assert sum(keep(state, frame) for frame in frames) == 3
    assert sum(keep(state, frame) for frame in reversed(frames)) == 0
    assert sorted(map(said, everything(state))) == sorted(map(said, printed))


def test_they_are_read_by_their_epochs_and_the_last_is_the_present_one(state):
    printed = dicts(5)
    assert keep(state, printed[3:] + printed[:2]) == 4
    assert keep(state, printed) == 1
    assert everything(state) == printed
    assert state.read(lambda tx: training.latest(tx, ["p"])) == printed


@pytest.mark.parametrize("seed", range(8))
def test_any_cut_any_order_and_twice(state, seed):
    rng = random.Random(seed)
    printed = [
        row(at_ns, iteration, rank=rank, **{name: value})
        for at_ns in range(3)
        for iteration in (None, 1)
        for rank in ("", "7")
        for name in ("total_loss", "epoch")
        for value in range(rng.choice([1, 40]))
    ]
    printed += [row(at_ns, None, "training_start") for at_ns in range(3)]
    told = printed + rng.sample(printed, len(printed) // 2)
    if seed % 2:
        rng.shuffle(told)
    new = 0
    while told:
        many = rng.choice([1, 7, 100])
        new += keep(state, told[:many])
        told = told[many:]
    assert new == len(printed)

    rng.shuffle(printed)
    assert keep(state, printed) == 0
    held = everything(state)
    assert sorted(map(repr, held)) == sorted(map(repr, printed))
    edges = state.read(lambda tx: training.edges(tx, ["p"]))
    # Marks are no rows of a run.
    found = runs(map(TrainingRow._make, edges), pod_names={})
    assert sum(run.rows for run in found) == len(printed) - 3
    assert found == runs(held, pod_names={})


def test_pages_of_one_instant_leave_none_out(state):
    printed = [*dicts(150), *dicts(90, at_ns=2)]
    for first in range(0, 240, 11):
        keep(state, printed[first : first + 11])
    paged, after = [], None
    while page := everything(state, limit=7, after=after):
        paged, after = paged + page, page[-1]
    assert paged == printed
    gone = 0
    while some := write(state, training.prune, 2, 40):
        gone += some
    assert gone == 150
    assert everything(state) == printed[150:]


def test_a_restart_changes_nothing(state_url, tmp_path, clock):
    printed = dicts(70)
    for part in (printed[:40], printed[20:]):
        opened = State.open(state_url, tmp_path, clock)
        keep(opened, part)
        opened.close()
    opened = State.open(state_url, tmp_path, clock)
    assert keep(opened, printed[::-1]) == 0
    assert everything(opened) == printed
    opened.close()


def test_a_line_that_was_read_again_with_its_framework_known_is_the_same(state):
    first, again = row(1, 5, framework="unknown", mfu=3), row(1, 5, framework="nemo", mfu=3.0)
    assert keep(state, [first]) == 1
    assert keep(state, [again]) == 0
    assert everything(state) == [merged(first, again)]
    assert everything(state)[0].framework == "nemo"


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (row(1, lm_loss=1), row(1, lm_loss=1.0), True),
        (row(1, lm_loss=0.0), row(1, lm_loss=-0.0), True),
        (row(1, lm_loss=math.nan), row(1, lm_loss=math.nan), True),
        (row(1, a=1, b=2), row(1, b=2, a=1), True),
        (row(1, extra={"a": 1, "b": 2}), row(1, extra={"b": 2.0, "a": 1}), True),
        (row(1, lm_loss=10**5000), row(1, lm_loss=10**5000), True),
        (row(1, lm_loss=1), row(1, lm_loss=2), False),
        (row(1, lm_loss=math.inf), row(1, lm_loss=-math.inf), False),
        (row(1, lm_loss=1), row(1, total_loss=1), False),
        (row(1, extra={"a": 1}), row(1, a=1), False),
        (row(1), row(1, None, "training_end"), False),
        (row(1, lm_loss=1)._replace(source="wandb"), row(1)._replace(source="wandb"), True),
    ],
)
def test_what_makes_rows_of_one_place_the_same(a, b, same):
    assert (said(a) == said(b)) == same
