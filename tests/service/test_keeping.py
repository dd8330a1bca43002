"""What the applier keeps: all of it but what no store can hold, counted by what it is."""

import pytest

from heliograph.core.record import Record, record_id
from heliograph.core.training import TrainingRow
from heliograph.service.keeping import Keeping
from heliograph.service.meters import Meters
from heliograph.store.records.folder import RecordFolder
from heliograph.store.state import training, training_adding
from heliograph.store.state.state import State


@pytest.fixture
def state(tmp_path, clock):
    opened = State.open(None, tmp_path, clock)
    yield opened
    opened.close()


@pytest.fixture
def records(tmp_path, clock):
    opened = RecordFolder.open(tmp_path / "records", clock)
    yield opened
    opened.close()


@pytest.fixture
def meters():
    return Meters()


@pytest.fixture
def keeping(state, records, meters):
    return Keeping(
        state,
        records,
        meters,
        insist=lambda work: work(),
        workload_of=lambda pod_uid: f"w-{pod_uid}",
    )


def row(n, pod="p", **fields):
    return TrainingRow(pod, "log", "", n, n, None, "nemo", fields)


def stored(state, *pods):
    return state.read(
        lambda tx: training.rows(tx, pods, start_ns=-(2**62), end_ns=2**62, limit=10_000)
    )


def test_rows_that_cannot_be_stored_are_left_out_alone(keeping, state, meters):
    good = [row(n, pod, lm_loss=n / 2) for n in range(150) for pod in ("p", "q")]
    mark = good[0]._replace(marker="training_start", iteration=None, at_ns=-1)
    bad = [row(2**63), row(7, "q", odd=object())]
    keeping.rows([*good[:100], bad[0], *good[100:], bad[1], mark])

    assert stored(state, "p", "q") == sorted([*good, mark], key=training.order)
    assert meters.stored.items() == [(("rows",), 301.0)]
    assert dict(meters.performance_saved.items()) == {
        ("w-p", "log"): 150.0,
        ("w-q", "log"): 150.0,
    }
    assert dict(meters.performance_errors.items()) == {
        ("w-p", "log"): 1.0,
        ("w-q", "log"): 1.0,
    }


def test_rows_come_again_changed_until_all_are_merged(keeping, state, meters, monkeypatch):
    monkeypatch.setattr(training_adding, "MERGED_MAX", 10)
    made = [row(n, lm_loss=1.0) for n in range(200)]
    keeping.rows(made)
    keeping.rows([row(n, tflops=2.0) for n in range(200)])

    assert stored(state, "p") == [row(n, lm_loss=1.0, tflops=2.0) for n in range(200)]
    assert meters.stored.items() == [(("rows",), 200.0)]


def test_new_records_are_counted_by_what_they_are(keeping, records, meters, clock):
    now = clock.now_ns()
    kinds = [
        ("checkpoint_load", "nemo"),
        ("checkpoint_load", "primus"),
        ("training_start", ""),
        ("oom", ""),
    ]
    made = [
        Record(
            *(record_id(n), now - n, now, "p", ("log", "wandb")[n % 2], kinds[n % 4][0]),
            attributes={"framework": kinds[n % 4][1]},
        )
        for n in range(12)
    ]

    assert keeping.records(made[:8]) == made[:8]
    assert keeping.records(made) == made[8:]
    assert records.query().items == made
    assert meters.stored.items() == [(("records",), 12.0)]
    assert dict(meters.event_streams.items()) == {("log",): 6.0, ("wandb",): 6.0}
    assert meters.workload_events.items() == [((), 3.0)]
    assert dict(meters.checkpoint_events.items()) == {
        ("checkpoint_load", "nemo"): 3.0,
        ("checkpoint_load", "primus"): 3.0,
    }
