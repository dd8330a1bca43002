"""`MemoryTracker` on recorded devices: events, phases, health, the end of memory, forks, sinks."""

import json
import os
import sys
import threading

import pytest

from heliograph.core.clock import ManualClock
from heliograph.core.errors import ConfigError
from heliograph.projection import memory_devices, memory_outbox
from heliograph.projection.events import load_telemetry_sessions, validate_telemetry_record
from heliograph.projection.memory import MemoryTracker
from heliograph.projection.memory_devices import DeviceError, NotInUse, Reading, RecordedDevice
from heliograph.projection.sink import TelemetrySink

NOW_NS = 1_795_311_305_000_000_000
MIB = 1 << 20


def reading(allocated, *, total=1000, ooms=0, **more):
    """MiB of a device of *total* MiB."""
    used = allocated + 20
    return Reading(
        allocated * MIB,
        (allocated + 10) * MIB,
        allocated * MIB,
        0,
        used * MIB,
        (total - used) * MIB,
        total * MIB,
        ooms,
        **more,
    )


class Watching:
    """A tracker without a thread, over *readings*; *kept* is what its sink was given."""

    def __init__(self, *readings, devices=None, environ=None, **more):
        self.clock = ManualClock(NOW_NS)
        self.kept = []
        self.tracker = MemoryTracker(
            [self.kept.append],
            devices=[RecordedDevice(readings)] if devices is None else devices,
            every_s=0,
            session_id="s-1",
            clock=self.clock,
            environ=environ or {},
            **more,
        )

    def sample(self, times=1, every_s=1.0):
        for _ in range(times):
            self.clock.advance(every_s)
            self.tracker.sample()
        return self

    def told(self):
        """(event type, MiB allocated) of all that was kept; each is a valid event."""
        self.tracker.flush()
        for event in self.kept:
            validate_telemetry_record(event)
        return [
            (event["event_type"], event["allocator_allocated_bytes"] // MIB)
            for event in self.kept
        ]


def test_samples_are_events_of_version_3():
    environ = {
        "RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "8", "TORCHELASTIC_RUN_ID": "job-7",
        "NODE_NAME": "gpu-01", "POD_NAME": "llm-3", "POD_NAMESPACE": "train", "POD_UID": "u-3",
    }  # fmt: skip
    watching = Watching(
        reading(100), reading(130), environ=environ, metadata={"model": "llm"}
    ).sample(2)

    assert watching.told() == [("sample", 100), ("sample", 130)]
    event = watching.kept[1]
    assert event == {
        "schema_version": 3, "session_id": "s-1", "timestamp_ns": NOW_NS + 2 * 10**9,
        "event_type": "sample", "collector": "heliograph.memory.cuda", "sampling_interval_ms": 0,
        "pid": os.getpid(), "host": event["host"], "job_id": "job-7", "rank": 3, "local_rank": 1,
        "world_size": 8, "device_id": 0, "allocator_allocated_bytes": 130 * MIB,
        "allocator_reserved_bytes": 140 * MIB, "allocator_active_bytes": 130 * MIB,
        "allocator_inactive_bytes": 0, "allocator_change_bytes": 30 * MIB,
        "device_used_bytes": 150 * MIB, "device_free_bytes": 850 * MIB,
        "device_total_bytes": 1000 * MIB, "context": None,
        "metadata": {
            "backend": "cuda", "model": "llm", "node": "gpu-01", "pod_name": "llm-3",
            "namespace": "train", "pod_uid": "u-3",
        },
    }  # fmt: skip


def test_a_rank_that_makes_no_sense_costs_the_rank_alone():
    watching = Watching(reading(1), environ={"RANK": "9", "WORLD_SIZE": "x"}).sample()

    assert watching.told() == [("sample", 1)]
    assert watching.kept[0]["rank"] == 0


def test_phases_nest_and_samples_say_which():
    watching = Watching(reading(1), reading(2), reading(3), reading(4))
    with watching.tracker.phase("step"), watching.tracker.phase("forward", {"batch": 7}):
        watching.tracker.sample()
    watching.tracker.sample()

    assert [kind for kind, _ in watching.told()] == [
        "phase_enter", "phase_enter", "sample", "phase_exit", "phase_exit", "sample",
    ]  # fmt: skip
    enter, sample, last = watching.kept[1], watching.kept[2], watching.kept[5]
    assert enter["context"] == "Phase entered: step / forward"
    assert enter["metadata"]["batch"] == 7
    assert sample["metadata"]["phase_scope"]["name"] == "forward"
    assert "phase_scope" not in last["metadata"]


def test_phases_in_the_wrong_order_are_counted_not_raised():
    tracker = Watching(reading(1)).tracker
    outer = tracker.enter_phase("outer")
    tracker.enter_phase("inner")

    tracker.exit_phase(outer)

    assert tracker.counts()["phase_failed"] == 1


def test_a_device_that_fails_is_left_alone_for_longer_each_time_and_no_zeros_are_written():
    broken = [DeviceError("lost")] * 3
    watching = Watching(reading(100), *broken, reading(110)).sample(12)

    assert watching.told() == [
        ("sample", 100),
        # Once as it begins, and once more as it is given up on for the time being.
        ("collector_degraded", 100),
        ("collector_degraded", 100),
        ("collector_recovered", 110),
        *[("sample", 110)] * (len(watching.kept) - 4),
    ]
    degraded = watching.kept[1]["metadata"]
    assert degraded["collector_last_error"] == "lost"
    assert degraded["telemetry_partial"] is True
    assert "allocator_allocated_bytes" in degraded["collector_partial_fields"]
    # Tried at 2, 3 and 5 s; well again at 9.
    assert [event["timestamp_ns"] - NOW_NS for event in watching.kept[1:4]] == [
        2 * 10**9, 5 * 10**9, 9 * 10**9,
    ]  # fmt: skip
    assert watching.tracker.counts()["read_failed"] == 3


def test_what_was_not_measured_this_time_is_named():
    watching = Watching(
        reading(100), reading(120)._replace(active_bytes=None, partial=("active_bytes",))
    ).sample(2)

    partial = watching.kept[-1]
    assert partial["metadata"]["collector_partial_fields"] == ["allocator_active_bytes"]
    assert partial["allocator_active_bytes"] == 100 * MIB


def test_a_device_that_is_not_in_use_says_nothing():
    watching = Watching(NotInUse(), NotInUse(), reading(5)).sample(3)

    assert watching.told() == [("sample", 5)]
    assert watching.tracker.counts().get("read_failed") is None


def test_a_full_device_is_told_beside_its_sample():
    watching = Watching(reading(100), reading(900), reading(960)).sample(3)

    assert [kind for kind, _ in watching.told() if kind != "sample"] == [
        "warning", "warning", "critical",
    ]  # fmt: skip
    notices = [event["metadata"] for event in watching.kept if event["event_type"] != "sample"]
    assert [(one["alert"], one["severity"]) for one in notices] == [
        ("device_memory", "warning"),
        ("allocation_jump", "warning"),
        ("device_memory", "critical"),
    ]


def test_an_end_of_memory_is_dumped_once_and_goes_on_its_way(tmp_path):
    watching = Watching(reading(100), reading(500), dumps=tmp_path)
    error = RuntimeError("CUDA out of memory. Tried to allocate 20 GiB")

    def train():
        with watching.tracker:
            watching.sample(3)
            with watching.tracker.guard(), watching.tracker.phase("backward"):
                raise error

    with pytest.raises(RuntimeError) as raised:
        train()
    assert raised.value is error
    (place,) = tmp_path.iterdir()
    kinds = [kind for kind, _ in watching.told()]
    assert kinds.count("error") == 1
    event = next(one for one in watching.kept if one["event_type"] == "error")
    assert event["metadata"]["oom_dump_path"] == str(place)
    assert event["metadata"]["oom_reason"] == f"RuntimeError: {error}"
    assert event["metadata"]["phase_scope"]["name"] == "backward"
    assert event["metadata"]["severity"] == "critical"
    lines = [json.loads(line) for line in (place / "events.jsonl").read_text().splitlines()]
    assert [line["event_type"] for line in lines[-4:]] == ["sample"] * 3 + ["phase_enter"]
    assert json.loads((place / "metadata.json").read_text())["reason"].startswith(
        "RuntimeError"
    )


def test_an_allocation_that_was_refused_is_told_though_the_program_goes_on(tmp_path):
    watching = Watching(reading(1), reading(2, ooms=2), reading(3, ooms=2), dumps=tmp_path)
    watching.sample(3)

    assert [kind for kind, _ in watching.told()] == ["sample", "sample", "error", "sample"]
    assert len(list(tmp_path.iterdir())) == 1


def test_other_errors_are_none_of_ours(tmp_path):
    watching = Watching(reading(1), dumps=tmp_path)

    with pytest.raises(KeyError), watching.tracker, watching.tracker.phase("step"):
        raise KeyError("x")

    assert [kind for kind, _ in watching.told()] == [
        "start",
        "phase_enter",
        "phase_exit",
        "stop",
    ]
    assert list(tmp_path.iterdir()) == []


def test_a_dump_that_cannot_be_written_is_counted(tmp_path):
    (tmp_path / "file").touch()
    watching = Watching(reading(1), dumps=tmp_path / "file" / "below")

    assert watching.tracker.oom(MemoryError()) is None

    assert watching.tracker.counts()["dump_failed"] == 1
    assert [kind for kind, _ in watching.told()] == ["error"]


class Sink:
    """A sink with methods."""

    def __init__(self, *, broken=False):
        self.broken = broken
        self.events = []
        self.done = []

    def append(self, event):
        if self.broken:
            raise OSError("the disk is full")
        self.events.append(event)

    def flush(self):
        self.done.append("flush")

    def close(self, session_status):
        self.done.append(session_status)


def tracking(sinks, *readings, **more):
    return MemoryTracker(
        sinks, devices=[RecordedDevice(readings or [reading(1)])], every_s=0, environ={}, **more
    )


def test_a_sink_that_fails_costs_the_others_nothing():
    broken, whole, called = Sink(broken=True), Sink(), []
    with tracking([broken, whole, called.append]) as tracker:
        tracker.sample()
        tracker.flush()

    assert [event["event_type"] for event in whole.events] == ["start", "sample", "stop"]
    assert called == whole.events
    assert whole.done == ["flush", "completed"]
    assert tracker.counts()["sink_failed"] == 3


def test_an_error_inside_interrupts_the_session():
    sink = Sink()
    with pytest.raises(ZeroDivisionError), tracking([sink]):
        1 / 0

    assert sink.done == ["interrupted"]


def test_a_sink_on_disk_is_a_session_of_its_own(tmp_path):
    def train():
        with tracking([TelemetrySink(tmp_path)], session_id="s-9") as tracker:
            tracker.sample()
            assert tracker.counts().get("sink_failed") is None
            raise KeyError

    with pytest.raises(KeyError):
        train()

    (session,) = load_telemetry_sessions(tmp_path)
    assert [event.event_type for event in session.events] == ["start", "sample", "stop"]
    assert (session.session_id, session.status) == ("s-9", "interrupted")


def test_a_shipper_of_the_trackers_own_ends_with_it(tmp_path, monkeypatch):
    monkeypatch.setenv("HELIOGRAPH_SPOOL_DIR", str(tmp_path))
    tracker = tracking([], ship="http://127.0.0.1:1")
    shipper = tracker._lane.shipper
    shipper.exit_s = 0.05
    with tracker:
        tracker.sample()

    assert shipper.labels["rank"] == "0"
    assert shipper.counts.records["collected"] == 3
    # That the receiver was not there is counted.
    counts = tracker.counts()
    assert counts["ship_later"] == shipper.counts.attempts["later"] > 0
    assert (counts["ship_delivered"], counts["ship_dropped"], counts["ship_refused"]) == (
        0,
        0,
        0,
    )
    # What nobody took waits for the next process.
    assert len(list(tmp_path.rglob("*.frame"))) >= 1


@pytest.mark.parametrize(
    ("error", "status", "dumps"),
    [
        (None, "completed", 0),
        (KeyError("x"), "interrupted", 0),
        (MemoryError(), "interrupted", 1),
    ],
)
def test_a_program_that_ends_without_stopping_it(tmp_path, monkeypatch, error, status, dumps):
    monkeypatch.setattr(sys, "last_value", error, raising=False)
    sink = Sink()
    tracker = tracking([sink], dumps=tmp_path).start()

    tracker._at_exit()

    assert sink.done[-1] == status
    assert sink.events[-1]["event_type"] == "stop"
    assert len(list(tmp_path.iterdir())) == dumps


def test_what_waits_is_bounded(monkeypatch):
    monkeypatch.setattr(memory_outbox, "WAITING_MAX", 3)
    sink = Sink()
    tracker = tracking([sink])
    for _ in range(5):
        tracker.enter_phase("step")
    tracker.flush()

    assert len(sink.events) == 3
    assert tracker.counts()["dropped"] == 2


def test_a_thread_samples_until_it_is_stopped():
    seen = threading.Event()
    tracker = MemoryTracker(
        [lambda event: seen.set() if event["event_type"] == "sample" else None],
        devices=[RecordedDevice([reading(1)])],
        every_s=0.01,
        environ={},
    )
    with tracker:
        assert seen.wait(20)
    assert not tracker._thread.is_alive()
    before = tracker.counts()["events"]
    tracker.stop()
    tracker.start()

    assert tracker.counts()["events"] == before
    assert [event["event_type"] for event in tracker.events[-1:]] == ["stop"]


def test_a_forked_child_is_silent():
    sink = Sink()
    tracker = tracking([sink]).start()
    reading_end, writing_end = os.pipe()
    child = os.fork()
    if not child:  # pragma: no cover - in the child
        tracker.sample()
        with tracker.phase("step"):
            pass
        tracker.oom("out of memory")
        tracker.flush()
        tracker.stop()
        os.write(writing_end, b"%d" % len(sink.events))
        os._exit(0)
    os.waitpid(child, 0)

    assert os.read(reading_end, 10) == b"0"
    tracker.stop()
    assert [event["event_type"] for event in sink.events] == ["start", "stop"]


def test_the_device_of_a_torch_that_is_imported_later_is_found(monkeypatch):
    host = RecordedDevice([reading(1)], backend="cpu", device_id=-1)
    devices = [None]
    monkeypatch.setattr(memory_devices, "host", lambda: host)
    monkeypatch.setattr(memory_devices, "accelerator", lambda: devices[0])
    kept = []
    tracker = MemoryTracker([kept.append], every_s=0, environ={})
    tracker.sample()
    devices[0] = RecordedDevice([reading(2)])
    tracker.sample()
    tracker.sample()

    assert [(event["metadata"]["backend"]) for event in kept] == [
        "cpu", "cuda", "cpu", "cuda", "cpu",
    ]  # fmt: skip


def test_the_host_is_watched_on_any_machine():
    with MemoryTracker(every_s=0) as tracker:
        (event,) = (one for one in tracker.sample() if one["device_id"] == -1)

    validate_telemetry_record(event)
    assert event["allocator_allocated_bytes"] > MIB
    assert event["device_total_bytes"] >= event["device_used_bytes"] > 0


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"every_s": -1}, "every"),
        ({"every_s": 0.001}, "every"),
        ({"rank": 3}, "rank"),
        ({"every_s": float("inf")}, "86400"),
        ({"ship": 7}, "ship"),
        ({"ship": "http://vm:8428/api/v1/write"}, "samples alone"),
        ({"ship": "gopher://x"}, "URL"),
        ({"sinks": [object()]}, "sink"),
    ],
)
def test_what_cannot_be_meant_is_said_at_once(given, word):
    with pytest.raises(ConfigError, match=word):
        MemoryTracker(**{"devices": [RecordedDevice([reading(1)])], "environ": {}, **given})
