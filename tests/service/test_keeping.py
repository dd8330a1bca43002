"""What the applier keeps: all of it but what no store can hold, counted by what it is."""

import pytest

from heliograph.core.clock import ManualClock
from heliograph.core.record import Record, record_id
from heliograph.core.training import TrainingRow
from heliograph.service.keeping import Keeping
from heliograph.service.meters import Meters
from heliograph.store.records.folder import RecordFolder
from heliograph.store.state import cursors, document, training, training_adding
from heliograph.store.state.state import State
from tests.service.running import running


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
    keeping.take([*good[:100], bad[0]], [])
    keeping.take([*good[100:], bad[1], mark], [])
    keeping.rows()
    assert not keeping.waits

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
    monkeypatch.setattr(training_adding, "CHANGED_MAX", 2)
    made = [row(n, lm_loss=1.0) for n in range(200)]
    for some in (made, [row(n, tflops=2.0) for n in range(200)], made):
        keeping.take([one._replace(source="wandb") for one in some], [])
        keeping.rows()

    assert stored(state, "p") == [
        row(n, lm_loss=1.0, tflops=2.0)._replace(source="wandb") for n in range(200)
    ]
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

    keeping.take([], made[:5])
    keeping.take([], made[5:8])
    assert keeping.records() == made[:8]
    keeping.take([], made)
    assert keeping.records() == made[8:]
    assert keeping.records() == []
    assert records.query().items == made
    assert meters.stored.items() == [(("records",), 12.0)]
    assert dict(meters.event_streams.items()) == {("log",): 6.0, ("wandb",): 6.0}
    assert meters.workload_events.items() == [((), 3.0)]
    assert dict(meters.checkpoint_events.items()) == {
        ("checkpoint_load", "nemo"): 3.0,
        ("checkpoint_load", "primus"): 3.0,
    }


def test_what_was_taken_is_kept_before_it_is_too_much(tmp_path, monkeypatch):
    """A stretch of the log is bounded in bytes there; a million lines alike are next to none."""
    monkeypatch.setattr("heliograph.service.applier.Applier.start", lambda _: None)
    monkeypatch.setattr("heliograph.service.keeping.ROWS_TAKEN_MAX", 4)
    monkeypatch.setattr("heliograph.service.keeping.RECORDS_TAKEN_MAX", 2)
    pod = {"pod_id": "p", "pod_name": "p", "namespace_name": "n", "host": "h"}
    with running(tmp_path, clock=ManualClock(1_800_000_000 * 10**9)) as site:
        applier = site.site.flow.applier
        for n in range(4):
            texts = [f"iteration {n * 3 + m}/ 99 | lm loss: 2.5 |" for m in range(3)]
            if n == 3:
                texts = ["NVRM: Xid (PCI:0000:03:00): 79, GPU has fallen off the bus"] * 3
            entries = [
                {"date": 1_800_000_000 - n, "log": text, "kubernetes": pod} for text in texts
            ]
            assert site.post("/v1/logs", entries).status == 200
        kept = []
        persist = applier._persist
        monkeypatch.setattr(
            applier,
            "_persist",
            lambda told, through: kept.append((len(told), through)) or persist(told, through),
        )
        frames = site.site.core.log.reader(0).read(bytes_max=1 << 20)
        assert [frame.kind.name for frame in frames] == ["LINES"] * 4
        applier._apply_all(frames)
        assert [through for _, through in kept] == [2, 4, 4]
        assert kept[1][0] >= 2
        assert site.site.core.state.read(cursors.get_all)["effects"] == 4


def test_a_record_has_its_own_document_whatever_failed_before(
    keeping, records, clock, monkeypatch
):
    now = clock.now_ns()
    made = [
        Record(record_id(n), now + n, now, "p", "log", "oom", body=str(n)) for n in range(6)
    ]
    packed = document.packed

    def failing(one):
        if one is made[1]:
            raise MemoryError
        return packed(one)

    monkeypatch.setattr(document, "packed", failing)
    with pytest.raises(MemoryError):
        keeping.take([], made[:3])
    monkeypatch.setattr(document, "packed", packed)
    monkeypatch.setattr("heliograph.service.keeping.RECORDS_PER_APPEND", 3)
    keeping.take([], made)
    assert keeping.records() == made
    assert records.query().items == made[::-1]
