"""A recorder's data folder: it lasts, has one writer, is the service's too, and outlives full disks."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

from heliograph.core import labels
from heliograph.core.duration import DAY_NS
from heliograph.core.errors import ConfigError, Refused, Unavailable
from heliograph.core.samples import SampleBatch
from heliograph.core.series import SeriesTable
from heliograph.kernels.metric_rows import Rows
from heliograph.recorder import aggregation, ids, points, query
from heliograph.recorder.points import Event, Point
from heliograph.recorder.store import Asked, Policy
from heliograph.recorder.wiring import folder as folders
from heliograph.recorder.wiring import upkeep
from heliograph.recorder.wiring.committing import Committer
from heliograph.recorder.wiring.reading import StoredPoints
from heliograph.store.log.disk import Disk
from heliograph.store.records.folder import RecordFolder
from heliograph.store.segments.floors import Retention
from heliograph.store.segments.store import SegmentStore
from tests.conftest import NEW_YEAR_NS


class FailingDisk(Disk):
    """Full, when it is told to be."""

    full = False

    def write(self, fd, content):
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().write(fd, content)


@pytest.fixture
def opened(tmp_path, clock):
    stores = []

    def open_store(*, disk=None, **options):
        stores.append(
            folders.FolderStore(
                tmp_path / "data", Policy(), clock, session_id="s", disk=disk, **options
            )
        )
        return stores[-1]

    yield open_store
    for store in stores:
        store.close()


def counted(recorder, name, aggregation="COUNT"):
    found = recorder.get_metrics([name], aggregation=aggregation)["metrics"]
    return found[name]["value"] if name in found else 0


def test_what_was_recorded_is_there_after_a_restart(made, clock):
    first = made()
    first.record_metric("m", 1.5, {"a": "b"})
    first.record_metric("m", "word", {"a": "b"})
    first.record_event({"event_type": "COMMAND", "source": "s", "data": {"x": 1}})
    first.close()
    assert first.record_metric("m", 1)["error"]["code"] == "STORAGE_FAILURE"
    assert first.get_metrics()["error"]["code"] == "RETRIEVAL_FAILURE"
    clock.advance(1)

    again = made()
    again.record_metric("m", 2.5, {"a": "c"})
    found = again.get_metrics(["m"], aggregation="SUM", by=["a"])["metrics"]["m"]
    assert [(one["by"]["a"], one["value"]) for one in found["groups"]] == [
        ("b", 1.5),
        ("c", 2.5),
    ]
    assert found["sample_count"] == 3


def test_a_folder_has_one_writer(made):
    made().record_metric("m", 1)

    with pytest.raises(ConfigError, match=r"in use .* http://"):
        made()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_the_child_of_a_fork_is_told_that_the_folder_is_its_parents(tmp_path):
    program = f"""
        import os
        from heliograph.recorder import BridgeTelemetry
        t = BridgeTelemetry({{"logger_config": {{"enable_console": False, "log_path": {str(tmp_path / "j")!r}}},
            "storage_config": {{"backend": "timeseries_db", "connection_string": {str(tmp_path / "d")!r}}}}})
        t.record_metric("m", 1)
        if not os.fork():
            answer = t.record_metric("m", 2)
            assert t.flush()["status"] == "error" and t.health_check()["status"] == "degraded"
            t.close()
            os._exit(0 if "parent" in str(answer) or "process" in str(answer) else 1)
        assert os.wait()[1] == 0
        t.record_metric("m", 3)
        print(t.get_metrics(["m"], aggregation="SUM")["metrics"]["m"]["value"])
    """
    out = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=True,
    )

    assert out.stdout == "4.0\n"


def test_what_is_buffered_is_written_at_exit(tmp_path, made):
    program = f"""
        from heliograph.recorder import BridgeTelemetry
        t = BridgeTelemetry({{"logger_config": {{"enable_console": False}},
            "storage_config": {{"backend": "timeseries_db", "durability": "buffered",
                "connection_string": {str(tmp_path / "data")!r}}}}})
        for n in range(1000):
            t.record_metric("m", n, timestamp=n)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)

    assert counted(made(), "m") == 1000


def test_a_full_disk_refuses_loses_nothing_and_is_got_over(opened, clock):
    disk = FailingDisk()
    store = opened(disk=disk)
    point = Point("m", 1.0, None, clock.now_ns(), ids.event_id(), "")
    store.add_point(point)
    disk.full = True
    for _ in range(2):
        with pytest.raises(folders.Unavailable, match="No space"):
            store.add_point(point)
    with pytest.raises(folders.Unavailable):
        store.add_event(Event("e", "A", "s", clock.now_ns(), {}, "", {}))
    assert "No space" in store.usage().failing
    disk.full = False
    store.add_points([point, point])

    assert store.usage().failing == ""
    assert sum(len(part.values) for part in parts(store)) == 3
    store.close()
    assert sum(len(part.values) for part in parts(opened())) == 3


def parts(store):
    store._stores.settle()
    return list(store._stores.source().parts(None, -(2**63), 2**63 - 1))


def test_what_is_buffered_waits_for_a_full_disk_up_to_the_bound(opened, clock):
    disk = FailingDisk()
    store = opened(disk=disk, buffered=True, limits=folders.FolderLimits(buffer_max=10))
    point = Point("m", 1.0, None, clock.now_ns(), ids.event_id(), "")
    disk.full = True
    store.add_point(point)
    with pytest.raises(folders.Unavailable):
        store.flush()
    for _ in range(9):
        store.add_point(point)
    with pytest.raises(folders.Unavailable, match="wait already"):
        store.add_point(point)
    disk.full = False
    store.flush()
    store.add_point(point)
    store.flush()

    assert sum(len(part.values) for part in parts(store)) == 11


def test_what_a_closed_buffer_could_not_write_is_counted(clock, caplog):
    def refuse(_points, _records, _rows):
        raise folders.Unavailable("no")

    rows = Rows(clock.now_ns, str, int, *ids.drawn(), rows_max=10, group_max=4)
    committer = Committer(refuse, rows, buffer_max=10)
    for _ in range(3):
        committer.offer([("m", 0, 1.0), ("m", 0, 2.0)], ())
    committer.close()

    assert (committer.lost, committer.buffered) == (6, 0)
    with pytest.raises(folders.Unavailable, match="closed"):
        committer.submit((), ())


def test_a_torn_end_costs_only_itself(made, tmp_path):
    recorder = made()
    for n in range(5):
        recorder.record_metric("m", n)
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", str(tmp_path / "data"), str(copy)], check=True)
    newest = max((copy / "log").glob("*.log"))
    os.truncate(newest, newest.stat().st_size - 3)

    torn = made(storage_config={"connection_string": str(copy)})
    assert counted(torn, "m") == 4
    torn.record_metric("m", 9)
    torn.close()
    assert counted(made(storage_config={"connection_string": str(copy)}), "m") == 5


@pytest.mark.parametrize("threads", [4])
def test_a_kill_costs_nothing_that_was_answered(tmp_path, made, threads):
    program = f"""
        import os, threading
        from heliograph.recorder import BridgeTelemetry
        t = BridgeTelemetry({{"logger_config": {{"enable_console": False}},
            "storage_config": {{"backend": "timeseries_db", "connection_string": {str(tmp_path / "data")!r}}}}})
        def run(n):
            i = 0
            while True:
                i += 1
                if i % 4:
                    answer = t.record_metric(f"m{{n}}", float(i))
                else:
                    answer = t.record_metric(f"m{{n}}", str(i))
                if answer["status"] == "success":
                    os.write(1, b"%d\\n" % n)
        for n in range({threads}):
            threading.Thread(target=run, args=(n,)).start()
    """
    answered = 0
    for lines in (40, 100):
        running = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE
        )
        for _ in range(lines):
            assert running.stdout.readline()
        running.send_signal(signal.SIGKILL)
        answered += lines + running.stdout.read().count(b"\n")
        running.wait()
        running.stdout.close()
    found = made().get_metrics(None, ("1970-01-01", "2200-01-01"), "COUNT")["metrics"]

    kept = sum(one["value"] for one in found.values())
    assert answered <= kept <= answered + 2 * threads


def test_contexts_beyond_the_bound_are_left_out_and_the_points_kept(made):
    recorder = made(storage_config={"max_series": 10})
    recorder.record_metrics([("m", 1, {"id": n}) for n in range(100)])
    recorder.record_metric("another", 1)

    found = recorder.get_metrics(["m"], aggregation="COUNT", by=["id"])["metrics"]["m"]
    assert found["value"] == 100
    assert len(found["groups"]) == 11
    assert counted(recorder, "another") == 1
    stats = recorder.health_check()["stats"]
    assert (stats["contexts_left_out"], stats["series"]) == (90, 12)


def test_metrics_without_end_are_refused(made, monkeypatch):
    monkeypatch.setattr("heliograph.recorder.wiring.stores.METRICS_MAX", 5)
    recorder = made(storage_config={"max_series": 5})
    codes = [recorder.record_metric(f"m{n}", 1.0)["status"] for n in range(15)]

    assert codes == ["success"] * 10 + ["error"] * 5
    assert recorder.record_metric("m9", 1)["status"] == "success"


def test_an_event_that_is_too_large_is_refused(made, monkeypatch):
    monkeypatch.setattr(folders, "EVENT_BYTES_MAX", 1000)
    event = {"event_type": "A", "source": "s", "data": {"x": "y" * 1000}}

    assert "limit 1000" in made().record_event(event)["error"]["message"]


def test_an_integer_that_is_no_float_is_told(made):
    assert made().record_metric("m", 10**400)["status"] == "error"


def test_old_samples_and_events_leave_by_the_policy(made, clock):
    policy = {"metrics": {"duration_days": 2}, "events": {"duration_days": 3}}
    days = (0.1, 1, 2.5, 4, 9000)
    first = made()
    for age in days:
        at = (clock.now_ns() - round(age * DAY_NS)) / 1e9
        first.record_metric("m", age, timestamp=at)
        first.record_event({"event_type": "A", "source": "s", "timestamp": at})
    assert counted(first, "m") == 5
    assert first.retain()["removed"] == {"events": 0, "metrics": 0, "size_bytes": 0}
    first.close()

    again = made(retention_policy=policy)
    dry = again.retain(dry_run=True)["removed"]
    gone = again.retain()["removed"]
    assert (dry["metrics"], gone["metrics"]) == (3, 3)
    assert (dry["events"], gone["events"]) == (2, 2)
    assert gone["size_bytes"] > 0
    assert counted(again, "m", "MAX") == 1
    assert again.retain(dry_run=True)["removed"] == {"events": 0, "metrics": 0, "size_bytes": 0}


def test_a_retention_that_fails_does_not_go_on_by_itself(made, clock, monkeypatch):
    # Upkeep would do the same at its first look, a second after the start.
    monkeypatch.setattr(upkeep, "LOOK_EVERY_S", 3600.0)
    recorder = made()
    for age in (6, 3, 1):
        at_s = (clock.now_ns() - age * DAY_NS) / 1e9
        recorder.record_metric("m", age, timestamp=at_s)
    store = recorder.storage

    def refuse(*_args, **_more):
        raise Unavailable("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(SegmentStore, "maintain", refuse)
        with pytest.raises(Unavailable):
            store.retain(Policy(metrics_ns=2 * DAY_NS), clock.now_ns(), dry_run=False)
    store._stores.maintain()
    assert counted(recorder, "m") == 3
    gone = store.retain(Policy(metrics_ns=2 * DAY_NS), clock.now_ns(), dry_run=False)
    assert gone.metrics == 2
    assert counted(recorder, "m") == 1


def test_a_bound_of_size_takes_the_oldest_days(made, clock, monkeypatch):
    # Upkeep would do the same at its first look, a second after the start.
    monkeypatch.setattr(upkeep, "LOOK_EVERY_S", 3600.0)
    recorder = made(retention_policy={"max_mb": 0.025})
    for age in range(6, 0, -1):
        at_ns = clock.now_ns() - age * DAY_NS
        recorder.record_metrics(
            [("m", os.urandom(1)[0] / 7, None, at_ns / 1e9 + n) for n in range(5_000)]
        )
    before = recorder.health_check()["stats"]["storage_usage_percentage"]
    dry = recorder.retain(dry_run=True)["removed"]
    gone = recorder.retain()["removed"]
    after = recorder.health_check()["stats"]["storage_usage_percentage"]

    assert 0 < gone["metrics"] < 30_000
    assert dry["metrics"] <= gone["metrics"]
    assert counted(recorder, "m") == 30_000 - gone["metrics"]
    assert after < before


def test_the_service_goes_on_with_the_folder(made, tmp_path):
    from tests.service.running import running

    recorder = made("folder")
    recorder.record_metrics([("took_ms", n, {"kind": "x"}) for n in range(10)])
    recorder.record_event({"event_type": "COMMAND", "source": "s", "data": {"a": 1}})
    recorder.close()
    with running(tmp_path / "data") as site:
        at_ms = NEW_YEAR_NS // 10**6
        answer = site.get(
            f"/v1/query/range?metric=took_ms&start={at_ms // 1000 - 60}&end={at_ms // 1000 + 60}&step=2m&agg=sum"
        ).json()
        records = site.get("/v1/records?event_type=COMMAND").json()

    assert [point[1] for series in answer["series"] for point in series["points"]] == [45], (
        answer
    )
    assert records["items"][0]["attributes"] == {"a": 1}


def test_where_only_roll_ups_are_left_they_count(tmp_path, clock):
    table = SeriesTable(10)
    ids_ = [table.intern(labels.pack(points.labels_of("m", {"k": k}))) for k in ("a", "b")]
    kept = Retention(raw_ns=DAY_NS, minute_ns=90 * DAY_NS, hour_ns=90 * DAY_NS)
    segments = SegmentStore(tmp_path / "segments", table, kept, clock)
    at_ns = clock.now_ns() - 3 * DAY_NS + np.arange(600) * 10**9
    for number, series in enumerate(ids_):
        value = np.arange(600.0) + 1000 * number
        segments.append(SampleBatch(np.full(600, series, np.uint32), at_ns, value), number + 1)
    segments.append(
        SampleBatch(np.array(ids_[:1], np.uint32), np.array([clock.now_ns()]), np.array([5e4])),
        3,
    )
    segments.seal()
    segments.maintain(cuts=lambda *_: (), dirty=())
    records = RecordFolder.open(tmp_path / "records", clock)
    source = StoredPoints(segments, records)

    def ask(name, **more):
        asked = Asked(["m"], 0, 2**62, aggregation.of(name, {}), None, ("k",), ("", ""))
        return query.answer(source, asked._replace(**more))["m"]

    assert ask("COUNT")["value"] == 1201
    assert ask("SUM")["value"] == 2 * sum(range(600)) + 600_000 + 50_000
    assert [(one["by"]["k"], one["value"]) for one in ask("MIN")["groups"]] == [
        ("a", 0),
        ("b", 1000),
    ]
    assert ask("MAX")["value"] == 50_000
    buckets = ask("MEAN", every_ns=60 * 10**9)["buckets"]
    assert (len(buckets), buckets[0]["value"], buckets[0]["sample_count"]) == (11, 529.5, 120)
    with pytest.raises(Refused, match="roll-ups"):
        ask("P95")
    records.close()
    segments.close()


def test_many_threads_and_both_kinds_lose_nothing(made):
    recorder = made(storage_config={"durability": "buffered"})

    def run(n):
        for i in range(500):
            recorder.record_metric("m", float(i), {"n": str(n)})

    threads = [threading.Thread(target=run, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert counted(recorder, "m") == 2000
    assert recorder.flush() == {"status": "success"}
