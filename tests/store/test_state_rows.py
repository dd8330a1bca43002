"""What the state keeps, a noun at a time, on both engines."""

import itertools
import math

import pytest

from heliograph.core.errors import Refused
from heliograph.core.owner import Device, Hold, Pod, Workload
from heliograph.core.training import TrainingRow
from heliograph.store.state import (
    batches,
    dirty,
    owners,
    owners_list,
    owners_prune,
    partials,
    training,
    training_adding,
    training_arranging,
    versions,
)
from heliograph.store.state.dirty import DirtySpan
from heliograph.store.state.lanes import Lane
from heliograph.store.state.partials import Partial
from heliograph.store.state.training import Edge


@pytest.fixture
def write(state):
    """Runs a function of the state's in a write transaction of its own."""

    def run(work, *args, **kwargs):
        done = state.write(lambda tx: work(tx, *args, **kwargs), lane=Lane.APPLIER)
        return done.result(timeout=10)

    return run


@pytest.fixture
def read(state):
    return lambda work, *args, **kwargs: state.read(lambda tx: work(tx, *args, **kwargs))


# owners


def hold(pod, n, start_ns=0, end_ns=None):
    return Hold(pod, "node-1", Device("gpu", str(n), uuid=f"GPU-{n}"), start_ns, end_ns)


def test_owners_are_what_was_written(write, read):
    workload = Workload("w-1", "llm", "PyTorchJob", "train", None, "Running")
    pod = Pod("p-1", "llm-0", "train", "node-1", "w-1", 5, None)
    holds = [hold("p-1", 1, start_ns=7), hold("p-1", 0, start_ns=5, end_ns=6)]
    write(owners.upsert_workloads, [workload])
    write(owners.upsert_pods, [pod])
    assert write(owners.replace_holds, "p-1", holds) == 0

    assert read(owners.load_all) == ([workload], [pod], [holds[1], holds[0]])
    assert read(owners.holds_of, ["p-1"]) == [holds[1], holds[0]]


def test_only_a_change_is_a_new_version(write, read):
    pod = Pod("p-1", "a", node="n-1", start_ns=1)

    def change(work, *args):
        before = read(versions.get, owners.VERSION)
        write(work, *args)
        return read(versions.get, owners.VERSION) - before

    assert change(owners.upsert_pods, [pod]) == 1
    assert change(owners.upsert_pods, [pod]) == 0
    assert change(owners.upsert_pods, [pod._replace(end_ns=9)]) == 1
    assert change(owners.upsert_pods, []) == 0
    assert change(owners.upsert_workloads, [Workload("w", "w")]) == 1
    assert change(owners.upsert_workloads, [Workload("w", "w")]) == 0
    assert change(owners.upsert_workloads, [Workload("w", "w", parent_uid="x")]) == 1
    assert change(owners.replace_holds, "p-1", [hold("p-1", 0)]) == 1
    assert change(owners.replace_holds, "p-1", [hold("p-1", 0)]) == 0
    assert change(owners.replace_holds, "p-1", []) == 1
    assert read(owners.load_all)[0] == [Workload("w", "w", parent_uid="x")]


def test_the_latest_spans_of_a_pod_are_kept(write, read, monkeypatch):
    monkeypatch.setattr(owners, "HOLDS_PER_POD_MAX", 3)
    assert write(owners.replace_holds, "p", [hold("p", n, start_ns=n) for n in range(5)]) == 2
    assert [h.start_ns for h in read(owners.holds_of, ["p"])] == [2, 3, 4]


def test_workloads_are_listed_newest_first(write, read):
    made = [
        Workload(f"w-{n}", f"job-{n % 3}", "Pod" if n % 2 else "Job", "train", None, "Running")
        for n in range(10)
    ]
    for n, workload in enumerate(made):
        write(owners.upsert_workloads, [workload], seen_ns=n + 1)
    write(owners.upsert_workloads, [made[0]._replace(status="Failed")], seen_ns=99)
    made[0] = made[0]._replace(status="Failed")
    listed = made[::-1]

    assert read(owners_list.list_workloads) == (listed, 10)
    assert read(owners_list.list_workloads, offset=3, limit=2) == (listed[3:5], 10)
    assert read(owners_list.list_workloads, status="Failed") == ([made[0]], 1)
    both = [w for w in listed if w.name == "job-1" and w.kind == "Pod"]
    assert read(owners_list.list_workloads, name="job-1", kind="Pod") == (both, len(both))
    assert read(owners_list.list_workloads, namespace="none") == ([], 0)


def test_who_ended_goes_in_pieces_and_who_did_not_stays(write, read):
    write(
        owners.upsert_workloads,
        [Workload("root", "r"), Workload("old", "o", parent_uid="root"), Workload("new", "n")],
        seen_ns=1,
    )
    write(owners.upsert_workloads, [Workload("unknown", "u")])
    gone = [Pod(f"p-{n}", "a", workload_uid="old", start_ns=1, end_ns=50) for n in range(4)]
    stays = Pod("p-new", "a", workload_uid="new", start_ns=1)
    write(owners.upsert_pods, [*gone, stays])
    for pod in gone:
        write(owners.replace_holds, pod.uid, [hold(pod.uid, n) for n in range(4)])
    kept = hold("p-new", 1, start_ns=2)
    write(owners.replace_holds, "p-new", [hold("p-new", 0, end_ns=9), kept])

    assert write(owners_prune.prune, 50, 10) == 1
    pieces = []
    while piece := write(owners_prune.prune, 51, 10):
        pieces.append(piece)
    # 16 spans, then 4 pods, then the workload and at last its parent.
    assert pieces == [10, 6, 4, 1, 1]
    workloads, pods, holds = read(owners.load_all)
    assert {w.uid for w in workloads} == {"new", "unknown"}
    assert (pods, holds) == ([stays], [kept])


# training


def row(at_ns, iteration=0, pod="p", **fields):
    return TrainingRow(pod, "log", "7", at_ns, iteration, None, "megatron-lm", fields)


def marker(at_ns):
    return TrainingRow("p", "log", "", at_ns, None, "training_start", "megatron-lm", {})


def everything(read, *pods):
    return read(training.rows, pods, start_ns=-(2**62), end_ns=2**62, limit=10**6)


def test_rows_are_added_once(write, read):
    made = [marker(1), row(2, 1, lm_loss=2.5), row(2, 2, lm_loss=2.25)]
    assert write(training_adding.add_rows, made) == 3
    assert write(training_adding.add_rows, [made[0], row(3, 3), made[1]]) == 1
    assert write(training_adding.add_rows, []) == 0
    assert everything(read, "p") == [*made, row(3, 3)]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("together", [True, False])
def test_rows_of_one_identity_are_one_row_whatever_their_order(write, read, order, together):
    """What wandb logs of a step at one instant; of what is printed, the same line again."""
    parts = [
        row(2, 1, lm_loss=1.0, extra={"a": 1})._replace(source="wandb"),
        row(2, 1, tokens_per_gpu=77.0, extra={"b": math.nan})._replace(source="wandb"),
        row(2, 1, lm_loss=2.0)._replace(source="wandb"),
    ]
    batches = [[parts[n] for n in order]] if together else [[parts[n]] for n in order]
    for batch in [*batches, *batches]:
        write(training_adding.add_rows, batch)

    (kept,) = everything(read, "p")
    assert kept.fields["lm_loss"] == 2.0
    assert kept.fields["tokens_per_gpu"] == 77.0
    assert kept.fields["extra"]["a"] == 1
    assert math.isnan(kept.fields["extra"]["b"])


def test_nan_and_infinities_survive(write, read):
    fields = {"lm_loss": math.nan, "grad_norm": math.inf, "extra": {"x": -math.inf, "n": 2**80}}
    write(training_adding.add_rows, [row(1, 1, **fields), row(2, 2, lm_loss=math.nan)])
    first, second = everything(read, "p")
    assert math.isnan(first.fields["lm_loss"])
    assert math.isnan(second.fields["lm_loss"])
    assert first.fields["grad_norm"] == math.inf
    assert first.fields["extra"] == {"x": -math.inf, "n": 2**80}


def test_rows_come_by_time_over_pods_in_pages(write, read, monkeypatch):
    made = [row(n // 2, n, pod=f"p-{n % 5}") for n in range(40)]
    write(training_adding.add_rows, made[::-1])
    expected = sorted((r for r in made if r.pod_uid != "p-4"), key=training.order)
    expected = [r for r in expected if 2 <= r.at_ns < 18]
    for pods_per_statement in (1000, 2):
        monkeypatch.setattr(training, "PODS_PER_STATEMENT", pods_per_statement)
        paged, after = [], None
        while page := read(
            training.rows,
            ["p-0", "p-1", "p-2", "p-3"],
            start_ns=2,
            end_ns=18,
            limit=7,
            after=after,
        ):
            paged, after = paged + page, page[-1]
        assert paged == expected


def test_edges_are_rows_of_whose_fields_only_the_progress_is_there(write, read):
    write(training_adding.add_rows, [row(2, 5, lm_loss=1.0), marker(1)])
    write(training_adding.add_rows, [row(3, 6, epoch=0.5, lm_loss=2.0), row(4, 7, tflops=1.0)])
    write(training_adding.add_rows, [row(4, 7, tflops=2.0), row(4, 7, tflops=3.0)])
    assert read(training.edges, ["p", "q"]) == [
        Edge("p", "log", "", 1, None, "training_start", "megatron-lm", {}),
        Edge("p", "log", "7", 2, 5, None, "megatron-lm", {}),
        Edge("p", "log", "7", 3, 6, None, "megatron-lm", {"epoch": 0.5}),
        *(
            Edge("p", "log", "7", 4, 7, None, "megatron-lm", fields)
            for fields in ({}, {"nth": 1}, {"nth": 2})
        ),
    ]
    assert len(read(training.edges, ["p"], limit=1)) == 1


def test_latest_is_the_last_row_of_each_pod(write, read):
    write(training_adding.add_rows, [row(n, n, pod=p) for n in range(5) for p in ("a", "b")])
    write(training_adding.add_rows, [marker(9)])
    assert read(training.latest, ["b", "a", "none", "a", "p"]) == [
        row(4, 4, pod=p) for p in "ab"
    ]
    assert read(training.latest, []) == []


def test_training_is_pruned_in_pieces_oldest_first(write, read):
    write(training_adding.add_rows, [row(n, n) for n in range(10)])
    pieces = []
    while piece := write(training.prune, 7, 3):
        pieces.append(piece)
    assert pieces == [3, 3, 1]
    assert everything(read, "p") == [row(n, n) for n in range(7, 10)]


@pytest.mark.parametrize(
    ("bad", "field"),
    [(row(2**63), "at_ns"), (row(1, 2**70), "iteration"), (row(1, -(2**63)), "iteration")],
)
def test_numbers_outside_64_bits_are_refused(write, read, bad, field):
    with pytest.raises(Refused) as told:
        write(training_adding.add_rows, [row(1), bad])
    assert told.value.field == field
    assert everything(read, "p") == []


# unfinished lines, dirty spans, batches


def test_beginnings_are_replaced_and_deleted(write, read):
    first = Partial("p", "c", "stdout", "beg\x00\ud800", 2)
    other = Partial("p", "c", "stderr", "x", 1)
    write(partials.put, [first, other])
    longer = first._replace(text="beginning", at_ns=3)
    write(partials.put, [longer])
    assert read(partials.load_all) == [other, longer]
    write(partials.delete, [("p", "c", "stderr"), ("p", "c", "none")])
    assert read(partials.load_all) == [longer]


def test_beginnings_are_bounded(write, read, monkeypatch):
    monkeypatch.setattr(partials, "PARTIALS_MAX", 3)
    monkeypatch.setattr(partials, "TEXT_CHARS_MAX", 4)
    made = [Partial("p", str(n), "stdout", "x" * n, n) for n in range(6)]
    write(partials.put, made)
    assert read(partials.load_all) == [*made[3:5], made[5]._replace(text="xxxx")]


def test_a_span_marked_again_survives_its_deletion(write, read):
    write(dirty.add_dirty, 10, 20)
    write(dirty.add_dirty, 0, 10)
    taken = write(dirty.take_dirty, 10)
    assert taken == [DirtySpan(0, 10, 1), DirtySpan(10, 20, 1)]
    assert write(dirty.take_dirty, 1) == taken[:1]
    write(dirty.add_dirty, 10, 20)
    write(dirty.delete_dirty, taken)
    assert read(dirty.take_dirty, 10) == [DirtySpan(10, 20, 2)]


def test_too_many_spans_become_one_that_covers_them(write, read, monkeypatch):
    monkeypatch.setattr(dirty, "DIRTY_MAX", 3)
    for n in range(4):
        write(dirty.add_dirty, n * 10, n * 10 + 5)
    assert read(dirty.take_dirty, 10) == [DirtySpan(0, 35, 1)]


def test_what_one_transaction_takes_is_bounded(write):
    """Twenty milliseconds on the writer, as sizes: a caller that forgets to cut is told in a test."""
    for work, items in (
        (training_adding.add_rows, [row(n, n) for n in range(training_arranging.WORK_MAX + 1)]),
        (owners.upsert_pods, [Pod(str(n), "p") for n in range(owners.BATCH_MAX + 1)]),
        (
            owners.upsert_workloads,
            [Workload(str(n), "p") for n in range(owners.BATCH_MAX + 1)],
        ),
        (
            partials.put,
            [Partial(str(n), "c", "s", "", 0) for n in range(partials.BATCH_MAX + 1)],
        ),
        (partials.delete, [(str(n), "c", "s") for n in range(partials.BATCH_MAX + 1)]),
    ):
        with pytest.raises(AssertionError):
            write(work, items)
        assert [len(piece) for piece in batches.cut(items, len(items) - 1)] == [
            len(items) - 1,
            1,
        ]
    with pytest.raises(AssertionError):
        write(training.prune, 0, training.ROWS_MAX + 1)
    with pytest.raises(AssertionError):
        write(owners_prune.prune, 0, owners_prune.LIMIT_MAX + 1)
    assert max(training.ROWS_MAX, owners.BATCH_MAX, partials.BATCH_MAX) <= 500
