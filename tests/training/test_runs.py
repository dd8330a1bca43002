"""Runs: a pure function of the set of rows, told in stories and held by a law."""

import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.training import TrainingRow
from heliograph.training.runs import EVIDENCE_MAX, Run, assign, runs

NAMES = {
    f"{name}-{n}": ("train", name) for name in ("w0", "w1", "w2", "w3") for n in range(1, 4)
}


def row(at_s, iteration=None, marker=None, *, pod="w0-1", rank="", source="log", **fields):
    """A row at second *at_s*."""
    at_ns = round(at_s * 1_000_000_000)
    return TrainingRow(pod, source, rank, at_ns, iteration, marker, "megatron-lm", fields)


def start(at_s, **where):
    return row(at_s, None, "training_start", **where)


def steps(at_s, first, last, **where):
    """One row a second."""
    return [row(at_s + n, i, **where) for n, i in enumerate(range(first, last + 1))]


def told(rows, names=NAMES):
    """(first iteration, last iteration, rows, why) of each run."""
    found = runs(rows, pod_names=names)
    assert [run.serial for run in found] == list(range(1, len(found) + 1))
    assert len({run.id for run in found}) == len(found)
    return [(r.first_iteration, r.last_iteration, r.rows, r.evidence[0]) for r in found]


def test_no_rows_no_runs():
    assert runs([], pod_names={}) == []
    assert assign([], pod_names={}) == []


def test_one_run():
    rows = [start(0), *steps(1, 1, 5)]
    (run,) = runs(rows, pod_names=NAMES)
    assert run == Run(run.id, 1, 0, 5_000_000_001, 1, 5, 5, ("first row",))


def test_a_restart_from_a_checkpoint():
    rows = [*steps(0, 1, 150), *steps(300, 101, 180)]
    assert told(rows) == [(1, 150, 150, "first row"), (101, 180, 80, "iteration went back")]
    assert assign(rows, pod_names=NAMES) == [1] * 150 + [2] * 80


def test_a_repeated_iteration_is_no_restart():
    assert len(told([row(0, 5), row(1, 5), row(2, 6)])) == 1


def test_started_again_just_where_it_stopped():
    rows = [start(0), *steps(1, 1, 10), start(20), *steps(21, 11, 15)]
    assert told(rows) == [(1, 10, 10, "first row"), (11, 15, 5, "training_start again")]


def test_two_start_lines_of_one_start():
    assert len(told([start(0), start(0.1), *steps(1, 1, 3)])) == 1


def test_the_first_start_was_not_seen():
    rows = [*steps(0, 90, 100), start(200), *steps(201, 101, 105)]
    assert told(rows)[1] == (101, 105, 5, "training_start after its rows")


def test_eight_ranks_that_restart_together_are_one_run():
    rows = []
    for rank in range(8):
        late = rank / 100
        rows += [start(late, rank=str(rank)), *steps(1 + late, 1, 20, rank=str(rank))]
        rows += [start(100 + late, rank=str(rank)), *steps(101 + late, 11, 30, rank=str(rank))]
    assert [x[:3] for x in told(rows)] == [(1, 20, 160), (11, 30, 160)]


def test_ranks_that_are_a_step_apart():
    rows = [*steps(0, 1, 20, rank="0"), *steps(1.5, 1, 20, rank="1")]
    assert len(told(rows)) == 1


def test_megatron_rank_0_says_start_and_the_last_rank_prints():
    first, last = {"pod": "w0-1"}, {"pod": "w3-1"}
    rows = [start(0, **first), *steps(1, 1, 100, **last)]
    rows += [start(200, **first), *steps(201, 81, 90, **last)]
    # The checkpoint held the very last step: only the start tells.
    rows += [start(300, **first), *steps(301, 91, 95, **last)]
    assert told(rows) == [
        (1, 100, 100, "first row"),
        (81, 90, 10, "training_start again"),
        (91, 95, 5, "training_start again"),
    ]


def test_the_last_row_of_an_old_rank_comes_after_the_start_of_another():
    rows = [*steps(0, 1, 20, rank="0"), *steps(0.5, 1, 20, rank="1")]
    rows += [row(30, 11, rank="0"), row(30.5, 21, rank="1")]
    rows += [*steps(31, 12, 20, rank="0"), *steps(31.5, 11, 20, rank="1")]
    assert len(told(rows)) == 2


def test_a_pod_comes_again_under_another_uid():
    rows = [*steps(0, 1, 10, pod="w0-1"), *steps(60, 11, 15, pod="w0-2")]
    assert told(rows) == [
        (1, 10, 10, "first row"),
        (11, 15, 5, "new incarnation of pod train/w0"),
    ]


def test_all_pods_come_again_and_are_one_run():
    rows = []
    for number in range(4):
        rows += steps(number / 10, 1, 10, pod=f"w{number}-1")
        rows += steps(60 + number / 10, 11, 15, pod=f"w{number}-2")
        rows += steps(120 + number / 10, 16, 20, pod=f"w{number}-3")
    assert [x[:3] for x in told(rows)] == [(1, 10, 40), (11, 15, 20), (16, 20, 20)]


def test_pods_of_other_names_start_over_when_the_others_are_silent():
    rows = [
        *steps(0, 1, 50, pod="a"),
        *steps(100, 21, 30, pod="b"),
        *steps(100.5, 21, 30, pod="c"),
    ]
    assert told(rows, {}) == [(1, 50, 50, "first row"), (21, 30, 20, "pod b starts over")]


def test_pods_of_other_names_say_start_when_the_others_are_silent():
    rows = [start(0, pod="a"), *steps(1, 1, 50, pod="z")]
    rows += [start(100, pod="b"), *steps(101, 51, 60, pod="y")]
    assert told(rows, {}) == [(1, 50, 50, "first row"), (51, 60, 10, "pod b starts over")]


def test_a_pod_that_joins_while_others_go_on_is_no_restart():
    rows = [*steps(0, 1, 50, pod="a"), *steps(20.5, 15, 50, pod="b")]
    assert len(told(rows, {})) == 1


def test_wandb_and_log_stand_side_by_side():
    rows = [*steps(0, 1, 20), *steps(0.2, 0, 19, source="wandb")]
    rows += [*steps(100, 11, 20), *steps(100.2, 10, 19, source="wandb")]
    assert [x[:3] for x in told(rows)] == [(1, 19, 40), (11, 19, 20)]


def test_rows_again_change_nothing():
    rows = [start(0), *steps(1, 1, 20), *steps(100, 11, 20)]
    assert runs(rows * 3, pod_names=NAMES) == runs(rows, pod_names=NAMES)


def test_a_later_row_keeps_ids():
    rows = [*steps(0, 1, 20), *steps(100, 11, 20)]
    before = runs(rows, pod_names=NAMES)
    after = runs([*rows, *steps(111, 21, 30), *steps(200, 25, 30)], pod_names=NAMES)
    assert [run.id for run in after][:2] == [run.id for run in before]


def test_a_late_row_of_the_middle_keeps_ids_and_takes_its_place():
    rows = [*steps(0, 1, 20), *steps(100, 11, 20)]
    late = [row(19.5, 20), row(50, 21)]
    before, after = runs(rows, pod_names=NAMES), runs([*rows, *late], pod_names=NAMES)
    assert [run.id for run in after] == [run.id for run in before]
    assert [run.rows for run in after] == [22, 10]


def test_a_run_found_late_moves_those_after_it():
    rows = [*steps(0, 1, 20), *steps(200, 11, 20)]
    after = runs([*rows, *steps(100, 5, 15)], pod_names=NAMES)
    assert [(run.serial, run.first_iteration) for run in after] == [(1, 1), (2, 5), (3, 11)]
    assert after[2].id == runs(rows, pod_names=NAMES)[1].id


def test_evidence_is_bounded_and_told_once():
    rows = [start(0, rank=str(n)) for n in range(20)]
    rows += [row(1, 9, rank=str(n)) for n in range(20)]
    rows += [start(2 + n / 100, rank=str(n)) for n in range(20)]
    evidence = runs(rows, pod_names={})[1].evidence
    assert evidence == ("training_start again",)
    assert len(evidence) <= EVIDENCE_MAX


ROWS = st.lists(
    st.builds(
        row,
        st.integers(0, 30),
        st.none() | st.integers(0, 12),
        st.sampled_from([None, None, None, "training_start", "training_end"]),
        pod=st.sampled_from(["w0-1", "w0-2", "w1-1", "w1-2", "other"]),
        rank=st.sampled_from(["", "0", "1"]),
        source=st.sampled_from(["log", "wandb"]),
    ),
    max_size=40,
)


@given(ROWS, st.integers())
def test_any_order_with_repetitions_gives_the_same(rows, seed):
    shuffled = rows + rows[: len(rows) // 2]
    random.Random(seed).shuffle(shuffled)
    found = runs(rows, pod_names=NAMES)
    assert runs(shuffled, pod_names=NAMES) == found
    serials = dict(zip(map(repr, rows), assign(rows, pod_names=NAMES), strict=True))
    assert (
        dict(zip(map(repr, shuffled), assign(shuffled, pod_names=NAMES), strict=True))
        == serials
    )


@given(ROWS)
def test_runs_part_the_rows(rows):
    found = runs(rows, pod_names=NAMES)
    assert [run.serial for run in found] == list(range(1, len(found) + 1))
    assert len({run.id for run in found}) == len(found)
    for one, next_one in itertools.pairwise(found):
        assert one.start_ns < one.end_ns
        assert one.end_ns <= next_one.start_ns + 1
    by_serial = {run.serial: run for run in found}
    for one, serial in zip(rows, assign(rows, pod_names=NAMES), strict=True):
        assert by_serial[serial].start_ns <= one.at_ns < by_serial[serial].end_ns


@given(ROWS, st.integers(0, 39))
def test_rows_that_come_later_in_time_keep_the_first_run(rows, cut):
    ordered = sorted(rows, key=lambda one: one.at_ns)[:cut]
    if ordered:
        assert (
            runs(ordered, pod_names=NAMES)[0].id
            == runs([*ordered, row(99, 5)], pod_names=NAMES)[0].id
        )
