"""Runs of wandb as evidence of runs, beside what is printed; and rows of one step as one."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.training import TrainingRow
from heliograph.training.rows import one_step
from heliograph.training.runs import assign, runs

NAMES = {f"w{n}-{uid}": ("train", f"w{n}") for n in range(2) for uid in range(1, 4)}


def row(at_s, iteration=None, marker=None, *, pod="w0-1", run="", source="wandb", **fields):
    at_ns = round(at_s * 1_000_000_000)
    return TrainingRow(pod, source, run, at_ns, iteration, marker, "x", fields)


def steps(at_s, first, last, **where):
    """One row a second."""
    return [row(at_s + n, i, **where) for n, i in enumerate(range(first, last + 1))]


def printed(at_s, first, last, **where):
    return steps(at_s, first, last, source="log", **where)


def told(rows, names=NAMES):
    found = runs(rows, pod_names=names)
    assert runs(list(reversed(rows)), pod_names=names) == found
    return [
        (run.first_iteration, run.last_iteration, run.rows, run.evidence[0]) for run in found
    ]


def test_a_new_run_id_is_a_new_run_though_its_steps_go_on():
    rows = [*steps(0, 0, 9, run="a"), *steps(60, 10, 15, run="b")]
    assert told(rows) == [(0, 9, 10, "first row"), (10, 15, 6, "new wandb run b")]


def test_a_resumed_run_is_none_wherever_it_goes_on():
    rows = [*steps(0, 0, 9, run="a"), *steps(60, 10, 15, run="a")]
    assert len(told(rows)) == 1
    rewound = [*steps(0, 0, 9, run="a"), *steps(60, 5, 15, run="a")]
    assert len(told(rewound)) == 1
    elsewhere = [*steps(0, 0, 9, run="a"), *steps(60, 10, 15, run="a", pod="w0-2")]
    assert len(told(elsewhere)) == 1
    assert len(told([*elsewhere, *steps(90, 16, 20, run="a", pod="w1-3")])) == 1


def test_what_the_new_pod_prints_shows_a_new_run_though_wandb_goes_on():
    rows = [*printed(0, 1, 10), *steps(0.2, 0, 9, run="a")]
    rows += [*steps(60, 10, 15, run="a", pod="w0-2"), *printed(60.2, 11, 16, pod="w0-2")]
    (_, second) = runs(rows, pod_names=NAMES)
    assert second.evidence == ("new incarnation of pod train/w0",)
    assert second.first_iteration == 11


def test_ranks_that_have_a_run_each_are_one_run():
    rows = [one for n in range(4) for one in steps(n / 10, 0, 9, run=f"a{n}")]
    assert len(told(rows)) == 1
    rows += [one for n in range(4) for one in steps(60 + n / 10, 10, 19, run=f"b{n}")]
    assert [one[:3] for one in told(rows)] == [(0, 9, 40), (10, 19, 40)]


def test_pods_that_have_a_run_each_are_one_run():
    rows = [one for n in range(2) for one in steps(n / 10, 0, 9, run=f"a{n}", pod=f"w{n}-1")]
    rows += [
        one for n in range(2) for one in steps(60 + n / 10, 0, 9, run=f"b{n}", pod=f"w{n}-1")
    ]
    assert [one[:3] for one in told(rows)] == [(0, 9, 20), (0, 9, 20)]


def test_a_run_beside_one_that_goes_on_is_no_new_run():
    rows = [*steps(0, 0, 30, run="train"), *steps(10.5, 0, 5, run="eval")]
    assert len(told(rows)) == 1


def test_the_log_and_wandb_of_one_restart_are_one_new_run_whichever_speaks_first():
    for log_s, wandb_s in ((60, 60.5), (60.5, 60)):
        rows = [*printed(0, 1, 20), *steps(0.2, 0, 19, run="a")]
        rows += [*printed(log_s, 11, 20), *steps(wandb_s, 10, 19, run="b")]
        assert [one[2] for one in told(rows)] == [40, 20], (log_s, wandb_s)


def test_without_a_run_id_steps_that_go_back_are_evidence():
    assert len(told([*steps(0, 0, 9), *steps(60, 5, 9)])) == 2


ROWS = st.lists(
    st.builds(
        row,
        st.integers(0, 30),
        st.none() | st.integers(0, 12),
        st.sampled_from([None, None, None, "training_start"]),
        pod=st.sampled_from(["w0-1", "w0-2", "w1-1", "other"]),
        run=st.sampled_from(["", "a", "b", "c"]),
        source=st.sampled_from(["log", "wandb", "wandb"]),
    ),
    max_size=40,
)


@given(ROWS, st.integers())
def test_any_order_with_repetitions_gives_the_same(rows, seed):
    shuffled = rows + rows[: len(rows) // 2]
    random.Random(seed).shuffle(shuffled)
    assert runs(shuffled, pod_names=NAMES) == runs(rows, pod_names=NAMES)


@given(ROWS)
def test_runs_part_the_rows(rows):
    found = runs(rows, pod_names=NAMES)
    for one, after in itertools.pairwise(found):
        assert one.start_ns < one.end_ns <= after.start_ns + 1
    by_serial = {run.serial: run for run in found}
    for one, serial in zip(rows, assign(rows, pod_names=NAMES), strict=True):
        assert by_serial[serial].start_ns <= one.at_ns < by_serial[serial].end_ns


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=6))
def test_every_run_id_that_begins_when_the_others_are_silent_is_a_run(ids):
    rows = [row(10 * n, n, run=run) for n, run in enumerate(ids)]
    # One that goes on later is not silent in between.
    silent = [
        n for n, run in enumerate(ids)
        if n and run not in ids[:n] and not set(ids[n:]) & set(ids[:n])
    ]  # fmt: skip
    assert len(runs(rows, pod_names=NAMES)) >= 1 + len(silent)
    assert len(runs(rows, pod_names=NAMES)) <= len(set(ids))


def test_rows_of_one_step_are_one_and_the_later_wins_by_field():
    parts = [
        row(1, 5, run="a", total_loss=3.0, tflops=7.0, extra={"x": 1.0, "y": 1.0}),
        row(2, 5, run="a", total_loss=2.0, extra={"y": 2.0}),
    ]
    whole = row(2, 5, run="a", total_loss=2.0, tflops=7.0, extra={"x": 1.0, "y": 2.0})
    assert one_step(parts) == one_step(parts[::-1]) == one_step(parts * 2) == whole
    assert one_step(parts[:1]) == parts[0]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_parts_of_a_step_come_in_any_order(order):
    parts = [
        row(n, 5, run="a", pod=f"w{n}-1", tflops=float(n), **{f"f{n}": 1.0}) for n in range(3)
    ]
    whole = one_step(parts[n] for n in order)
    assert whole.fields == {"tflops": 2.0, "f0": 1.0, "f1": 1.0, "f2": 1.0}
