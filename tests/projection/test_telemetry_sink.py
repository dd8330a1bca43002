"""The sink: each event durable once, whatever fails; one writer; nothing new ever deleted."""

import json
import os
import subprocess
import sys
import threading
import types

import pytest

from heliograph.core.clock import ManualClock
from heliograph.projection import loading, segment_writer, segments, sink
from heliograph.projection.events import TelemetryEvent, load_telemetry_sessions
from heliograph.projection.folderlock import SinkBusyError
from heliograph.projection.sink import SinkConfig, TelemetrySink
from tests.projection.telemetry_samples import event


@pytest.fixture
def opened(tmp_path, clock):
    """Opens sinks on one folder and closes what a test leaves open."""
    made = []

    def open_(**config):
        made.append(TelemetrySink(tmp_path / "sink", SinkConfig(**config), clock=clock))
        return made[-1]

    yield open_
    for one in made:
        one.close()


def folder(of):
    return of._folder


def times(path):
    return [one.timestamp_ns for one in loading.events(path)]


def fill(of, numbers):
    for n in numbers:
        of.append(event(timestamp_ns=n))


class Disk:
    """fsync that fails as often as it is told."""

    def __init__(self, monkeypatch):
        self.fails = 0
        monkeypatch.setattr(segment_writer, "os", types.SimpleNamespace(fsync=self.fsync))

    def fsync(self, file):
        if self.fails:
            self.fails -= 1
            raise OSError(5, "Input/output error")
        os.fsync(file)


@pytest.fixture
def disk(monkeypatch):
    return Disk(monkeypatch)


def test_what_was_written_is_read_back(opened):
    one = opened()
    assert one.start_session("run-7") == one.current_session == "run-7"
    fill(one, [1, 2])
    one.append(TelemetryEvent(**event(timestamp_ns=3, metadata={"odd": {4}})))
    assert times(folder(one)) == []
    one.flush()
    assert times(folder(one)) == times(folder(one) / "manifest.json") == [1, 2, 3]
    one.close()

    lines = (folder(one) / "segment-000001.jsonl").read_text().splitlines()
    assert [list(json.loads(line)) for line in lines] == [sorted(event())] * 3
    assert times(folder(one) / "segment-000001.jsonl") == [1, 2, 3]
    assert [(s.session_id, s.status) for s in load_telemetry_sessions(folder(one))] == [
        ("run-7", "completed")
    ]
    assert one.get_diagnostics() == {
        "events_written": 3, "events_dropped": 0, "flush_failures": 0, "events_waiting": 0,
        "rollover_count": 0, "pruned_segment_count": 0, "pruned_bytes": 0,
        "final_retained_files": 1, "final_retained_bytes": sum(map(len, lines)) + 3,
        "last_error": None,
    }  # fmt: skip


def test_the_manifest_says_what_there_is(opened, clock):
    one = opened()
    one.start_session("a")
    clock.advance(1)
    one.start_session("b")
    one.append(event(session_id="b"))
    one.close("interrupted")

    told = json.loads((folder(one) / "manifest.json").read_text())
    began = clock.now_ns() - 1_000_000_000
    size = (folder(one) / "segment-000001.jsonl").stat().st_size
    assert told == {
        "schema_version": 2,
        "format": "heliograph.append_only_telemetry_sink",
        "sessions": [
            {"session_id": "a", "status": "completed", "started_at_ns": began,
             "ended_at_ns": clock.now_ns(), "event_count": 0},
            {"session_id": "b", "status": "interrupted", "started_at_ns": clock.now_ns(),
             "ended_at_ns": clock.now_ns(), "event_count": 1},
        ],
        "segments": [{"file": "segment-000001.jsonl", "event_count": 1, "bytes": size}],
    }  # fmt: skip


def test_sessions_that_are_remembered_are_bounded(opened, monkeypatch):
    monkeypatch.setattr(sink, "SESSIONS_MAX", 3)
    one = opened()
    for n in range(5):
        one.start_session(f"s{n}")
    one.close()
    assert [s.session_id for s in segments.sessions(folder(one))] == ["s2", "s3", "s4"]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"flush_events": 0}, "flush_events must be >= 1"),
        ({"flush_interval_s": 0}, "flush_interval_s must be > 0"),
        ({"segment_bytes_max": 0}, "segment_bytes_max must be >= 1"),
        ({"retain_files": -1}, "retain_files must be >= 1"),
    ],
)
def test_configuration_is_checked(bad, said):
    with pytest.raises(ValueError, match=f"^{said}$"):
        SinkConfig(**bad)


def test_what_does_not_belong_is_refused(opened):
    one = opened()
    with pytest.raises(ValueError, match="is not the running session None"):
        one.append(event())
    with pytest.raises(ValueError, match="session_id must be a non-empty string"):
        one.start_session(" ")
    assert one.start_session().startswith("session-")
    with pytest.raises(ValueError, match="^session_id 'run-7' is not the running session"):
        one.append(event())
    with pytest.raises(ValueError, match="^pid must be an integer$"):
        one.append(event(pid="x"))
    one.close()
    one.close()
    with pytest.raises(ValueError, match="^the sink is closed$"):
        one.append(event())


def test_it_flushes_by_number_and_by_time(opened, clock):
    one = opened(flush_events=3, flush_interval_s=2.0)
    one.start_session("run-7")
    fill(one, [1, 2])
    one.flush(force=False)
    assert times(folder(one)) == []
    fill(one, [3])
    assert times(folder(one)) == [1, 2, 3]
    fill(one, [4])
    clock.advance(2)
    one.flush(force=False)
    assert times(folder(one)) == [1, 2, 3, 4]
    clock.advance(2)
    fill(one, [5])
    assert times(folder(one)) == [1, 2, 3, 4, 5]


def test_a_thread_flushes_when_nothing_more_comes(tmp_path):
    with TelemetrySink(tmp_path, SinkConfig(flush_interval_s=0.005)) as one:
        one.start_session("run-7")
        fill(one, [1])
        for _ in range(2000):
            if one.get_diagnostics()["events_written"]:
                break
            threading.Event().wait(0.005)
        assert times(tmp_path) == [1]


def test_segments_roll_and_the_oldest_go(opened):
    one = opened(flush_events=1, segment_events_max=2, retain_files=3)
    one.start_session("run-7")
    fill(one, range(9))

    assert times(folder(one)) == [4, 5, 6, 7, 8]
    told = one.get_diagnostics()
    assert (told["rollover_count"], told["pruned_segment_count"]) == (4, 2)
    assert told["final_retained_files"] == len(segments.paths(folder(one))) == 3
    sizes = sum(path.stat().st_size for path in segments.paths(folder(one)))
    assert told["final_retained_bytes"] == sizes


def test_segments_roll_and_go_by_size(opened):
    line_bytes = len(json.dumps(event(timestamp_ns=1))) + 1
    one = opened(flush_events=1, segment_bytes_max=2 * line_bytes, retain_bytes=3 * line_bytes)
    one.start_session("run-7")
    fill(one, range(1, 8))

    assert times(folder(one)) == [5, 6, 7]


@pytest.mark.parametrize("bounds", [{"retain_files": 1}, {"retain_bytes": 1}])
def test_retention_spares_what_was_just_written(opened, bounds):
    one = opened(flush_events=1000, segment_events_max=3, **bounds)
    one.start_session("run-7")
    fill(one, range(10))
    one.flush()
    assert times(folder(one)) == list(range(10))
    fill(one, [10])
    one.flush()
    assert times(folder(one)) == [9, 10]
    one.close()
    assert times(folder(one)) == [9, 10]


def test_a_line_longer_than_a_segment_has_one_of_its_own(opened):
    one = opened(flush_events=1, segment_bytes_max=1)
    one.start_session("run-7")
    fill(one, [1, 2])

    assert times(folder(one)) == [1, 2]
    assert len(segments.paths(folder(one))) == 2


def test_a_failed_sync_never_doubles_an_event(opened, disk, clock):
    one = opened(flush_events=2, segment_events_max=3)
    one.start_session("run-7")
    fill(one, [1, 2])
    disk.fails = 3
    fill(one, [3, 4])
    assert one.get_diagnostics()["last_error"] == "[Errno 5] Input/output error"
    for _ in range(2):
        with pytest.raises(OSError, match="Input/output error"):
            one.flush()
    one.flush()
    assert times(folder(one)) == [1, 2, 3, 4]
    told = one.get_diagnostics()
    assert (told["flush_failures"], told["events_written"]) == (3, 4)


def test_a_failing_disk_is_tried_later_and_later_and_never_fails_a_step(opened, disk, clock):
    one = opened(flush_events=1, buffer_events_max=3)
    one.start_session("run-7")
    disk.fails = 1000
    tries = []
    for n in range(100):
        fill(one, [n])
        tries.append(one.get_diagnostics()["flush_failures"])
        clock.advance(1)
    assert (tries[0], tries[1], tries[2], tries[-1]) == (1, 2, 2, 7)
    told = one.get_diagnostics()
    assert (told["events_waiting"], told["events_dropped"]) == (3, 97)
    disk.fails = 0
    one.close()
    assert times(folder(one)) == [0, 1, 2]


def test_closing_on_a_failing_disk_says_so_and_lets_go(opened, disk):
    one = opened()
    one.start_session("run-7")
    fill(one, [1])
    disk.fails = 1
    with pytest.raises(OSError, match="Input/output error"):
        one.close()
    again = opened()
    assert [s.status for s in segments.sessions(folder(again))] == ["interrupted"]


def test_there_is_one_live_writer(opened):
    one = opened()
    one.start_session("run-7")
    with pytest.raises(SinkBusyError, match=f"has a writer already, process {os.getpid()}$"):
        opened()
    assert segments.sessions(folder(one))[0].status == "running"
    fill(one, [1])
    one.close()
    opened().start_session("run-8")


def test_a_writer_that_was_killed_leaves_whole_lines_and_an_interrupted_session(
    opened, tmp_path
):
    code = f"""
import os
from pathlib import Path
from heliograph.projection.sink import TelemetrySink
from tests.projection.telemetry_samples import event
sink = TelemetrySink(Path({str(tmp_path)!r}) / "sink")
sink.start_session("run-7")
sink.append(event(timestamp_ns=1))
sink.append(event(timestamp_ns=2))
sink.flush()
os._exit(9)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == 9
    path = tmp_path / "sink" / "segment-000001.jsonl"
    with path.open("ab") as file:
        file.write(path.read_bytes()[:100])
    assert times(tmp_path / "sink") == [1, 2]
    assert [s.status for s in load_telemetry_sessions(tmp_path / "sink")] == ["running"]

    one = opened()
    assert [s.status for s in load_telemetry_sessions(tmp_path / "sink")] == ["interrupted"]
    one.start_session("run-7")
    fill(one, [3])
    one.close()
    assert times(tmp_path / "sink") == [1, 2, 3]
    (session,) = load_telemetry_sessions(tmp_path / "sink")
    assert (session.status, len(session.events)) == ("completed", 3)


def test_a_writer_may_have_stopped_after_any_byte(tmp_path):
    lines = [json.dumps(event(timestamp_ns=n)).encode() + b"\n" for n in range(3)]
    whole = b"".join(lines)
    path = tmp_path / "segment-000001.jsonl"
    for cut in {
        0,
        1,
        len(whole),
        *(sum(map(len, lines[:n])) + k for n in (1, 2) for k in (-1, 0, 1)),
    }:
        path.write_bytes(whole[:cut])
        complete = whole[:cut].count(b"\n")
        # A line that lacks its end alone can be read, but not be relied upon.
        assert times(tmp_path)[:complete] == list(range(complete))
        with TelemetrySink(tmp_path, clock=ManualClock()) as one:
            one.start_session("run-7")
            fill(one, [9])
        assert times(tmp_path) == [*range(complete), 9]


def test_threads_may_append_together(opened):
    one = opened(flush_events=7, segment_events_max=50, retain_files=100)
    one.start_session("run-7")
    threads = [
        threading.Thread(target=fill, args=(one, range(first, first + 100)))
        for first in (0, 100, 200, 300)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    one.close()
    assert sorted(times(folder(one))) == list(range(400))


def test_what_waits_is_written_when_the_process_ends(tmp_path):
    code = f"""
from heliograph.projection.sink import TelemetrySink
from tests.projection.telemetry_samples import event
sink = TelemetrySink({str(tmp_path)!r})
sink.start_session("run-7")
sink.append(event(timestamp_ns=1))
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert times(tmp_path) == [1]


def test_a_block_that_fails_interrupts_its_session(tmp_path):
    def work():
        with TelemetrySink(tmp_path, clock=ManualClock()) as one:
            one.start_session("run-7")
            fill(one, [1])
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert [(s.status, len(s.events)) for s in load_telemetry_sessions(tmp_path)] == [
        ("interrupted", 1)
    ]


@pytest.mark.parametrize(
    "manifest",
    ["", "[]", '{"sessions": 5}', '{"sessions": [1, {"session_id": 2}]}', "{" * 9999],
)
def test_a_damaged_manifest_costs_no_event(tmp_path, manifest):
    (tmp_path / "segment-000004.jsonl").write_text(json.dumps(event()) + "\n")
    (tmp_path / "manifest.json").write_text(manifest)

    assert [one.status for one in load_telemetry_sessions(tmp_path)] == ["incomplete"]
    with TelemetrySink(tmp_path) as one:
        one.start_session("run-7")
        fill(one, [1])
    assert len(times(tmp_path)) == 2
    assert segments.paths(tmp_path) == [tmp_path / "segment-000004.jsonl"]


def test_a_manifest_of_others_tells_how_sessions_ended(tmp_path):
    (tmp_path / "segment-000001.jsonl").write_text(json.dumps(event()) + "\n")
    told = {"sessions": {"run-7": {"status": "completed"}, "run-8": {"status": "interrupted"}}}
    (tmp_path / "manifest.json").write_text(json.dumps(told))

    found = load_telemetry_sessions(tmp_path)
    assert [(s.session_id, s.status, len(s.events)) for s in found] == [
        ("run-7", "completed", 1), ("run-8", "interrupted", 0),
    ]  # fmt: skip


def test_a_child_of_a_fork_does_not_write(opened):
    one = opened()
    one.start_session("run-7")
    child = os.fork()
    if not child:
        try:
            one.append(event())
        except ValueError as error:
            os._exit(0 if "belongs to process" in str(error) else 1)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    fill(one, [1])
    one.flush()
    assert times(folder(one)) == [1]
