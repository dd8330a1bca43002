"""The misuses of the shared table that meet the collector, the exporters and the face.

The rest are in the tests of metrics and of shipping; `test_every_misuse_has_a_test` looks for the
id of each in the text of all SDK tests.
"""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from heliograph import ship
from heliograph.core.clock import ManualClock, SystemClock
from heliograph.instruments.collector import TelemetryCollector
from heliograph.instruments.exporter import JSONExporter, PrometheusAdapter
from heliograph.instruments.faults import ERRORS
from tests.peers import free_port

NAMES = {
    "name-empty": "",
    "name-space": "a b",
    "name-newline": "a\nb",
    "name-unicode": "größe",
    "name-digit": "9a",
    "name-reserved": "__x",
    "name-10k": "a" * 10_000,
    "name-none": None,
    "name-bytes": b"a",
}

CLOCK = SystemClock()


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_bad_name_is_refused_with_the_rule(name):
    collector = TelemetryCollector()
    for register in (
        collector.register_counter,
        collector.register_gauge,
        collector.register_histogram,
        collector.register_summary,
    ):
        with pytest.raises(ValueError, match="name"):
            register(name, "d")

    assert len(collector.get_all_metrics()) == 4


def test_register_twice_same():
    """id register-twice-same: the instruments of spec 004 refuse, as the original; the face gives it back."""
    collector = TelemetryCollector()
    first = collector.register_counter("a", "d")
    with pytest.raises(ValueError, match="already registered"):
        collector.register_counter("a", "d")

    assert collector.get_metric("a") is first


def test_register_type_clash():
    """id register-type-clash"""
    collector = TelemetryCollector()
    first = collector.register_counter("a")
    with pytest.raises(ValueError, match="already registered"):
        collector.register_gauge("a")

    assert collector.get_metric("a") is first


def test_help_newline(tmp_path):
    """id help-newline"""
    collector = TelemetryCollector()
    collector.register_counter("a", "x\n# TYPE evil counter\nevil 1").increment()
    for text in (collector.render().decode(), collector.render(openmetrics=True).decode()):
        assert "\nevil" not in text
        assert "\n# TYPE evil" not in text
        assert "x\\n# TYPE evil counter\\nevil 1" in text


def unwritable(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "others").write_text("theirs")
    (tmp_path / "link").symlink_to(tmp_path / "others")
    return {
        "exporter-path-traversal": "../" * 30 + "etc/cron.d/x",
        "exporter-path-dev-full": "/dev/full",
        "exporter-path-directory": "/var",
        "exporter-path-missing-parent": str(tmp_path / "nope" / "nope" / "m.prom"),
        "exporter-path-fifo": str(tmp_path / "fifo"),
        "exporter-path-symlink": str(tmp_path / "link"),
        "exporter-path-readonly": "/proc/m.prom",
    }


@pytest.mark.parametrize("kind", [PrometheusAdapter, JSONExporter])
@pytest.mark.parametrize(
    "case",
    [
        *("exporter-path-traversal", "exporter-path-dev-full", "exporter-path-directory"),
        *("exporter-path-missing-parent", "exporter-path-fifo", "exporter-path-symlink"),
        "exporter-path-readonly",
    ],
)
def test_an_export_that_cannot_be(case, kind, tmp_path, monkeypatch):
    paths = unwritable(tmp_path)
    if case == "exporter-path-symlink":
        if not hasattr(os, "geteuid"):
            pytest.skip("no users here")
        monkeypatch.setattr(os, "geteuid", lambda: (tmp_path / "others").stat().st_uid + 1)
    collector, before = TelemetryCollector(), sorted(tmp_path.iterdir())
    began = CLOCK.monotonic_s()

    assert kind(paths[case]).export(collector) is False
    assert CLOCK.monotonic_s() - began < 2
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "others").read_text() == "theirs"
    assert not Path("/etc/cron.d/x").exists()
    assert collector.faults.counts() == {"export_failed": 1}
    assert f'{ERRORS}{{reason="export_failed"}} 1' in collector.render().decode()


def test_hook_raises(caplog):
    """id hook-raises"""
    collector, seen = TelemetryCollector(clock=ManualClock()), []
    collector.add_hook("x", lambda event: 1 / 0)
    collector.add_hook("x", seen.append)
    for _ in range(100):
        collector.record_event("x", 1)

    assert (len(seen), len(caplog.records)) == (100, 1)


def test_hook_blocks():
    """id hook-blocks: a hook that sleeps for a minute holds the first event for half a second."""
    collector, go = TelemetryCollector(), threading.Event()
    collector.add_hook("x", lambda event: go.wait(60))
    collector.add_hook("collection", lambda figures: go.wait(60))
    began = CLOCK.monotonic_s()
    for _ in range(10):
        collector.record_event("x", 1)
        collector.collect()
    took = CLOCK.monotonic_s() - began
    go.set()

    assert took < 2
    assert collector.get_metric("telemetry_collection_runs_total").get_value().value == 10


def test_event_unserialisable():
    """id event-unserialisable"""
    collector, cyclic = TelemetryCollector(), {}
    cyclic["self"] = cyclic
    collector.record_event(
        "x", {"o": object(), "nan": float("nan"), "bytes": b"\xff", "self": cyclic}
    )
    value = collector.get_events()[-1].value

    json.dumps(value)
    assert value["o"].startswith("<object object at")
    assert (value["bytes"], value["self"]) == ("b'\\xff'", {"self": "[cycle]"})


def test_event_10mib():
    """id event-10mib"""
    collector = TelemetryCollector()
    collector.record_event("x", "A" * 10_485_760)

    assert "[cut, 10485760 characters]" in collector.get_events()[-1].value
    assert collector.faults.counts() == {"event_cut": 1}


def test_event_secret(tmp_path):
    """id event-secret"""
    collector = TelemetryCollector()
    collector.record_event("x", {"api_key": "hgcanarysecret-sdk-0001"})
    JSONExporter(str(tmp_path / "m.json")).export(collector)
    everywhere = (
        repr(collector.get_events())
        + collector.render().decode()
        + (tmp_path / "m.json").read_text()
    )

    assert "hgcanary" not in everywhere
    assert collector.faults.counts() == {"event_redacted": 1}


def test_clock_back():
    """id clock-back"""
    clock = ManualClock(10**18)
    collector = TelemetryCollector(clock=clock)
    collector.record_event("before", 1)
    clock.set_wall(10**18 - 3600 * 10**9)
    collector.record_event("after", 2)
    collector.collect()
    durations = []
    collector.add_hook("collection", lambda figures: durations.append(figures["duration"]))
    collector.collect()

    assert [event.name for event in collector.get_events()][:2] == ["before", "after"]
    assert durations
    assert min(durations) >= 0


def test_the_face_never_raises():
    """ids counter-inc-*, gauge-set-*, register-twice-same, register-type-clash, name-*: on the face."""
    program = """
import decimal, heliograph
def floats(): raise RuntimeError("float")
Raising = type("Raising", (), {"__float__": lambda self: floats()})
counter, gauge = heliograph.counter("steps_total", "Steps"), heliograph.gauge("loss", "Loss")
assert heliograph.counter("steps_total") is counter
counter.increment(2)
gauge.set(1.5)
for amount in (-1, float("nan"), float("inf"), "5", None, True, 1j, 10**400, decimal.Decimal("sNaN"), [1, 2]):
    counter.increment(amount)
for value in ("x", Raising(), None, 1j):
    gauge.set(value)
heliograph.histogram("took_seconds").observe("x")
heliograph.gauge("steps_total").set(5)
heliograph.counter("")
heliograph.counter("a b").labels(x="1").increment()
heliograph.counter(None).increment()
heliograph.counter(b"a").increment()
heliograph.histogram("h", buckets=["1"]).observe(1)
heliograph.histogram("h", buckets=[1, float("nan")]).observe(1)
heliograph.counter("labelled_total", labels=["x"]).labels().increment()
heliograph.counter("labelled_total").labels(x="1", y="2").increment()
heliograph.event(None, object())
heliograph.event("x", {"self": globals()})
text = heliograph.collector().render().decode()
assert "\\nsteps_total 2.0\\n" in text, text
assert "\\nloss 1.5\\n" in text, text
errors = {line.split('"')[1]: float(line.split()[-1]) for line in text.splitlines() if line.startswith("sdk_errors_total{")}
print(sum(errors.values()))
gauge.set(float("nan"))
assert "\\nloss NaN\\n" in heliograph.collector().render().decode()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stderr
    # 10 amounts, 4 values, 1 observation, 1 clash, 4 names, 2 buckets, 2 label sets, and what
    # the events were cut for.
    assert float(done.stdout) >= 24


def test_counting_is_quick_while_the_endpoint_is_down(tmp_path):
    """id endpoint-down-1h: what a call costs meanwhile; bounds and counts are in the tests of ship."""
    collector, took = TelemetryCollector(), []
    counter = collector.register_counter("a_total", "A")
    url = f"http://127.0.0.1:{free_port()}"
    shipper = ship.to(url, collector=collector, every_s=0.05, spool_dir=str(tmp_path))
    for index in range(20_000):
        began = CLOCK.monotonic_s()
        counter.increment()
        collector.record_event("step", {"index": index})
        took.append(CLOCK.monotonic_s() - began)
    shipper.close(2)

    assert sorted(took)[round(len(took) * 0.99)] < 0.001


# Misuses of shipping, by the tests of it.
IN_SHIP = {
    "endpoint-down-1h": ("test_the_spool_is_bounded", "test_memory_alone_has_its_own_bound"),
    "endpoint-hangs": ("test_closing_is_bounded_where_nobody_answers",),
    "exit-flush": ("test_the_end_of_a_process_is_bounded_and_loses_nothing",),
    "sigkill": ("test_a_new_process_delivers_what_a_killed_one_left",),
}


def test_every_misuse_has_a_test(shared_data):
    table = json.loads((shared_data / "tables" / "sdk_misuses.json").read_text())["cases"]
    here = Path(__file__).parent.parent
    files = [path for part in ("instruments", "ship") for path in (here / part).glob("*.py")]
    text = "\n".join(path.read_text() for path in files)

    assert len(table) == 62
    assert [case["id"] for case in table if case["id"] not in text] == []
    named = [name for names in IN_SHIP.values() for name in names]
    assert [name for name in named if f"def {name}(" not in text] == []
