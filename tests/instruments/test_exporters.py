"""Exporters of spec 004: whole files, tried again, and a last one at the end."""

import asyncio
import errno
import json
import math
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path
from unittest.mock import AsyncMock, Mock

import pytest

from heliograph.core.clock import ManualClock, SystemClock
from heliograph.instruments import (
    JSONExporter,
    MetricsExporter,
    MultiExporter,
    PeriodicExporter,
    PrometheusAdapter,
    TelemetryCollector,
    file,
)
from heliograph.instruments import (
    periodic as periodic_module,
)
from heliograph.instruments.exporter import (
    ExportedMetric,
    create_default_exporter,
    export_to_json,
    export_to_prometheus,
)
from tests.instruments.forked import child, status

CLOCK = SystemClock()


class Flaky(MetricsExporter):
    """An exporter of a user that fails as it is told."""

    def __init__(self, *results):
        self.results = list(results)
        self.exports = 0
        self.loops = set()

    async def export_metrics(self, collector):
        self.exports += 1
        self.loops.add(id(asyncio.get_running_loop()))
        result = self.results.pop(0) if self.results else True
        if isinstance(result, Exception):
            raise result
        return result

    def format_metric(self, name, metric):
        return None


@pytest.fixture
def collector():
    made = TelemetryCollector()
    made.register_counter("a_total", "A").increment(2)
    return made


def run(awaitable):
    async def awaited():
        return await awaitable

    return asyncio.run(awaited())


def listed(folder):
    return sorted(entry.name for entry in folder.iterdir())


def until(condition, timeout_s=10):
    end = CLOCK.monotonic_s() + timeout_s
    while not condition():
        assert CLOCK.monotonic_s() < end
        CLOCK.sleep(0.005)


def test_prometheus_text(collector, tmp_path):
    path = tmp_path / "metrics.prom"
    adapter = PrometheusAdapter(str(path), clock=ManualClock(5 * 10**9))
    assert adapter.get_last_export_time() == 0.0

    assert run(adapter.export_metrics(collector)) is True
    assert path.read_text().endswith(
        "\n\n# HELP a_total A\n# TYPE a_total counter\na_total 2.0\n"
    )
    assert adapter.get_last_export_time() == 5.0
    assert listed(tmp_path) == ["metrics.prom"]


def test_labels_and_sources_are_exported(tmp_path):
    collector = TelemetryCollector(labels={"job": "j1"})
    collector.register_counter("a_total", "A").labels(rank="0").increment()
    collector.faults.count("hook_slow")
    assert run(export_to_prometheus(collector, str(tmp_path / "m.prom"))) is True
    text = (tmp_path / "m.prom").read_text()

    assert 'rank="0"' in text
    assert 'reason="hook_slow"' in text
    assert 'job="j1"' in text


def test_json_text(collector, tmp_path):
    collector.register_gauge("loss", "Loss").set(math.nan)
    pretty, flat = tmp_path / "pretty.json", tmp_path / "flat.json"
    assert run(JSONExporter(str(pretty)).export_metrics(collector)) is True
    assert run(JSONExporter(str(flat), pretty=False).export_metrics(collector)) is True

    def refuse(constant):
        raise AssertionError(constant)

    document = json.loads(pretty.read_text(), parse_constant=refuse)
    assert document["metrics"]["loss"]["value"] == "NaN"
    assert pretty.read_text().startswith('{\n  "timestamp": ')
    assert "\n" not in flat.read_text()
    assert run(export_to_json(collector, str(flat))) is True


def test_without_a_file_it_only_logs(collector, caplog):
    caplog.set_level("INFO", logger="heliograph.instruments")
    assert run(PrometheusAdapter().export_metrics(collector)) is True
    assert run(JSONExporter().export_metrics(collector)) is True

    assert [record.getMessage() for record in caplog.records] == [
        "exported metrics: 5",
        "exported JSON metrics: 5",
    ]


def test_a_metric_made_ready(collector):
    adapter = PrometheusAdapter(clock=ManualClock(10**9))
    counter = collector.get_metric("a_total")
    histogram = collector.register_histogram("h", "H", [1], {"m": "GET"})
    histogram.observe(0.5)

    assert adapter.format_metric("a_total", counter) == ExportedMetric(
        "a_total", "counter", "A", [{"value": 2.0, "labels": {}}], 1.0
    )
    assert adapter.format_metric("h", histogram).values == [
        {"value": 1, "labels": {"m": "GET", "le": "1"}},
        {"value": 0.5, "labels": {"m": "GET", "type": "sum"}},
        {"value": 1, "labels": {"m": "GET", "type": "count"}},
    ]
    counter.labels(rank="0").increment()
    assert adapter.format_metric("a_total", counter).values == [
        {"value": 2.0, "labels": {}},
        {"value": 1.0, "labels": {"rank": "0"}},
    ]
    assert adapter.format_metric("x", None) is None
    assert JSONExporter().format_metric("a_total", counter) is None
    assert MultiExporter([adapter]).format_metric("a_total", counter).name == "a_total"
    assert MultiExporter([]).format_metric("a_total", counter) is None


def test_a_collector_that_raises_is_a_failed_export(caplog):
    class Broken:
        def get_all_metrics(self):
            raise RuntimeError("broken")

        get_snapshot = get_all_metrics

    assert run(PrometheusAdapter().export_metrics(Broken())) is False
    assert run(JSONExporter().export_metrics(Broken())) is False
    assert "broken" in caplog.text


def test_mocks_of_the_originals_tests(tmp_path):
    collector, metric = Mock(), Mock()
    collector.get_all_metrics.return_value = {"a": metric}
    assert run(PrometheusAdapter(tmp_path / "m.prom").export_metrics(collector)) is True
    assert (tmp_path / "m.prom").read_text() == ""

    exporter = Mock(spec=["export_metrics"])
    exporter.export_metrics = AsyncMock(return_value=True)

    async def go():
        periodic = PeriodicExporter(exporter, collector, interval=0.01)
        await periodic.start()
        await asyncio.sleep(0.05)
        await periodic.stop()

    asyncio.run(go())
    exporter.export_metrics.assert_called_with(collector)


def test_several_exporters_as_one(collector, tmp_path):
    good = PrometheusAdapter(str(tmp_path / "m.prom"))
    bad = PrometheusAdapter(str(tmp_path / "no" / "m.prom"))
    multi = MultiExporter([Flaky(ValueError("x")), bad, good])

    assert run(multi.export_metrics(collector)) is True
    assert multi.export(collector) is True
    assert multi.exporters[2] is good
    assert run(MultiExporter([bad, Flaky(False)]).export_metrics(collector)) is False
    assert run(MultiExporter([]).export_metrics(collector)) is False


def test_the_default_exporter():
    assert type(create_default_exporter()) is JSONExporter
    assert type(create_default_exporter("a.prom")) is PrometheusAdapter
    assert create_default_exporter(None, "a.json").output_file == "a.json"
    both = create_default_exporter("a.prom", "a.json")
    assert [type(one) for one in both.exporters] == [PrometheusAdapter, JSONExporter]


def test_a_reader_never_sees_half_a_file(collector, tmp_path):
    path = tmp_path / "m.prom"
    for index in range(300):
        collector.register_gauge(f"g{index}", "G" * 100).set(index)
    adapter = PrometheusAdapter(str(path))
    assert adapter.export(collector)
    sizes, stop = set(), threading.Event()

    def read():
        while not stop.is_set():
            text = path.read_bytes()
            sizes.add((len(text), text.endswith(b"g299 299\n")))

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(100):
        assert adapter.export(collector)
    stop.set()
    reader.join()

    assert {whole for _, whole in sizes} == {True}


def test_writers_at_the_same_time_leave_one_whole_file(collector, tmp_path):
    path = tmp_path / "m.prom"

    async def export():
        adapter = PrometheusAdapter(str(path))
        return await asyncio.gather(*(adapter.export_metrics(collector) for _ in range(20)))

    assert asyncio.run(export()) == [True] * 20
    assert path.read_text().endswith("a_total 2.0\n")
    assert listed(tmp_path) == ["m.prom"]


def test_what_may_pass_is_tried_again(collector, tmp_path, monkeypatch):
    failures, clock = [OSError(errno.EIO, "io"), OSError(errno.ENOSPC, "full")], ManualClock()
    whole = Path.replace

    def replace(source, target):
        if failures:
            raise failures.pop()
        return whole(source, target)

    monkeypatch.setattr(Path, "replace", replace)
    adapter = PrometheusAdapter(str(tmp_path / "m.prom"), clock=clock)

    assert adapter.export(collector) is True
    assert clock.monotonic_s() == pytest.approx(0.15)
    failures[:] = [OSError(errno.EIO, "io")] * 3
    assert adapter.export(collector) is False
    assert listed(tmp_path) == ["m.prom"]
    assert collector.faults.counts() == {"export_failed": 1}


def test_what_cannot_pass_is_not(collector, tmp_path):
    clock = ManualClock()
    adapter = PrometheusAdapter(str(tmp_path / "no" / "m.prom"), clock=clock)

    assert adapter.export(collector) is False
    assert clock.monotonic_s() == 0


def test_the_mode_of_a_file_is_kept(collector, tmp_path):
    path = tmp_path / "m.prom"
    path.write_text("old")
    path.chmod(0o640)
    assert PrometheusAdapter(str(path)).export(collector)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640

    previous = os.umask(0o027)
    try:
        assert PrometheusAdapter(str(tmp_path / "new.prom")).export(collector)
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "new.prom").stat().st_mode) == 0o640


def test_what_a_killed_process_left_is_removed(collector, tmp_path):
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    (tmp_path / f".m.prom.{int(dead.stdout)}-1.tmp").write_text("half")
    (tmp_path / f".m.prom.{os.getppid()}-1.tmp").write_text("alive")
    (tmp_path / ".m.prom.tmp").write_text("not ours")
    assert PrometheusAdapter(str(tmp_path / "m.prom")).export(collector)

    assert listed(tmp_path) == [
        f".m.prom.{os.getppid()}-1.tmp", ".m.prom.tmp", "m.prom",
    ]  # fmt: skip


def test_a_link_to_ones_own_file_is_followed(collector, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert PrometheusAdapter(str(tmp_path / "link")).export(collector)
    assert PrometheusAdapter(str(tmp_path / "link")).export(collector)

    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text().endswith("a_total 2.0\n")


def test_a_relative_path_stays_within_the_working_directory(collector, tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")

    assert PrometheusAdapter("m.prom").export(collector) is True
    assert PrometheusAdapter("./x/../n.prom").export(collector) is False  # There is no x.
    assert PrometheusAdapter("../m.prom").export(collector) is False
    assert PrometheusAdapter("x/../../m.prom").export(collector) is False
    assert listed(tmp_path) == ["in"]


def test_periodic_in_an_event_loop(collector):
    flaky = Flaky()

    async def go():
        periodic = PeriodicExporter(flaky, collector, interval=0.02)
        await periodic.start()
        await periodic.start()
        await asyncio.sleep(0.15)
        before = flaky.exports
        await periodic.stop()
        after = flaky.exports
        await periodic.stop()
        await asyncio.sleep(0.05)
        return before, after, id(asyncio.get_running_loop())

    before, after, loop = asyncio.run(go())

    assert 3 <= before <= 8
    assert after == before + 1
    assert flaky.exports == after
    assert flaky.loops == {loop}


def test_a_failed_export_is_retried_soon(collector, monkeypatch, caplog):
    monkeypatch.setattr(periodic_module, "RETRY_FIRST_S", 0.01)
    flaky = Flaky(False, RuntimeError("broken"), False, True)

    async def go():
        periodic = PeriodicExporter(flaky, collector, interval=60.0)
        await periodic.start()
        await asyncio.sleep(0.4)
        exports = flaky.exports
        await periodic.stop()
        return exports

    assert asyncio.run(go()) == 4
    assert collector.faults.counts() == {"export_failed": 1}
    assert "broken" in caplog.text


def test_the_pauses_after_failures():
    periodic = PeriodicExporter(Flaky(), TelemetryCollector(), interval=10.0)

    assert [periodic._pause_s(False) for _ in range(7)] == [0.5, 1, 2, 4, 8, 10, 10]
    assert periodic._pause_s(True) == 10
    assert periodic._pause_s(False) == 0.5
    periodic.interval = 3600
    for _ in range(2000):
        pause_s = periodic._pause_s(False)
    assert pause_s == 30


def test_the_last_export_is_made_when_the_loop_ends(collector):
    flaky = Flaky()

    async def go():
        await PeriodicExporter(flaky, collector, interval=60.0).start()
        await asyncio.sleep(0.05)

    asyncio.run(go())

    assert flaky.exports == 2


def test_an_exporter_that_hangs_does_not_hold_the_end(collector, monkeypatch):
    monkeypatch.setattr(periodic_module, "STOP_WAIT_S", 0.05)

    class Hanging(Flaky):
        async def export_metrics(self, collector):
            await asyncio.sleep(60)

    async def go():
        periodic = PeriodicExporter(Hanging(), collector)
        await periodic.start()
        await asyncio.sleep(0.01)
        await periodic.stop()

    began = CLOCK.monotonic_s()
    asyncio.run(go())

    assert CLOCK.monotonic_s() - began < 2
    assert collector.faults.counts() == {"export_failed": 1}


def test_periodic_in_a_plain_thread(collector, tmp_path):
    path, counter = tmp_path / "m.prom", collector.get_metric("a_total")
    periodic = PeriodicExporter(PrometheusAdapter(str(path)), collector, interval=0.01)
    periodic.start_thread()
    periodic.start_thread()
    until(path.exists)
    counter.increment(40)
    until(lambda: path.read_text().endswith("a_total 42.0\n"))
    counter.increment()
    asyncio.run(periodic.stop())
    assert path.read_text().endswith("a_total 43.0\n")

    periodic.start()
    counter.increment()
    assert periodic.finish() is True
    assert path.read_text().endswith("a_total 44.0\n")


def test_an_async_exporter_in_a_plain_thread(collector):
    flaky = Flaky(False, True)
    multi = MultiExporter([flaky])
    periodic = PeriodicExporter(multi, collector, interval=0.01)
    periodic.start()
    until(lambda: flaky.exports >= 3)
    asyncio.run(periodic.stop())


@pytest.mark.parametrize("ending", ["", "sys.exit(3)", "raise KeyboardInterrupt"])
def test_the_last_export_is_made_when_the_program_ends(tmp_path, ending):
    program = (
        "import sys\n"
        "from heliograph.instruments import PeriodicExporter, PrometheusAdapter, TelemetryCollector\n"
        "c = TelemetryCollector()\n"
        "a = c.register_counter('a_total', 'A')\n"
        f"p = PeriodicExporter(PrometheusAdapter({str(tmp_path / 'm.prom')!r}), c, interval=60)\n"
        "p.start()\n"
        "for _ in range(1000): a.increment()\n"
        f"{ending}\n"
    )
    began = CLOCK.monotonic_s()
    subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, timeout=30
    )

    assert (tmp_path / "m.prom").read_text().endswith("a_total 1000.0\n")
    assert CLOCK.monotonic_s() - began < 10


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_does_not_export_on_its_own(collector, tmp_path):
    path = tmp_path / "m.prom"
    periodic = PeriodicExporter(PrometheusAdapter(str(path)), collector, interval=0.01)
    periodic.start()
    until(path.exists)

    def work():
        assert not periodic._running

    assert status(child(work)) == 0
    periodic.finish()


def test_which_errors_pass():
    assert file.passing(OSError(errno.ENOSPC, ""))
    assert file.passing(OSError("who knows"))
    assert not file.passing(PermissionError(errno.EACCES, ""))
