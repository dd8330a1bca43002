"""`import heliograph`: light, lazy, one collector, and nothing that raises."""

import os
import subprocess
import sys

import pytest

import heliograph
from heliograph import instruments


def ran(program, **environ):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HELIO")}
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False,
        env={**kept, **environ},
    )  # fmt: skip


def printed(program, **environ):
    done = ran(program, **environ)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_loads_nothing_else():
    program = "import sys; before = set(sys.modules); import heliograph; print(sorted(set(sys.modules) - before))"

    assert printed(program).strip() == "['heliograph']"


def test_instruments_load_no_more_than_they_need():
    program = "import sys, heliograph; heliograph.counter('a').increment(); heliograph.event('x', 1); print(*sys.modules)"
    heavy = {
        "asyncio",
        "dataclasses",
        "email",
        "http",
        "http.client",
        "inspect",
        "json",
        "logging",
        "ssl",
    }

    assert heavy & set(printed(program).split()) == set()


def test_parts_are_found_without_importing_them():
    assert (
        printed("import heliograph; print(heliograph.instruments.Counter.__name__)")
        == "Counter\n"
    )
    for part in ("projection", "recorder", "ship", "usage"):
        program = f"import heliograph; print(heliograph.{part}.__name__)"
        assert printed(program) == f"heliograph.{part}\n"


@pytest.mark.parametrize(
    "name",
    [
        *("TelemetryCollector", "Counter", "Gauge", "Histogram", "Metric", "MetricType"),
        *("MetricsExporter", "PrometheusAdapter", "JSONExporter", "MultiExporter"),
        *("PeriodicExporter", "Summary", "TelemetryEvent", "setup_health_hooks"),
    ],
)
def test_the_names_of_the_document(name):
    assert getattr(instruments, name).__name__ == name
    assert name in dir(instruments)


def test_what_is_not_there_is_said():
    for module in (heliograph, instruments):
        with pytest.raises(AttributeError, match="gadget"):
            module.gadget
    assert {
        "counter",
        "gauge",
        "histogram",
        "event",
        "collector",
        "timer",
        "track_step",
    } <= set(dir(heliograph))


def test_the_same_name_is_the_same_instrument():
    program = """
import heliograph
a = heliograph.counter("a_total", "A")
assert heliograph.counter("a_total") is a
assert heliograph.collector().get_metric("a_total") is a
assert heliograph.collector() is heliograph.collector()
a.labels(rank="3").increment()
heliograph.histogram("h", "H", [1, 2], ["m"]).labels(m="x").observe(1.5)
heliograph.gauge("g", "G", {"c": "1"}).set(2)
heliograph.summary("s", "S").observe(2)
heliograph.event("x", {"a": 1}, {"l": "1"}, {"m": 2})
assert heliograph.collector().get_events()[-1].metadata == {"m": 2}
print(heliograph.collector().render().decode())
"""
    text = printed(program)

    assert 'a_total{rank="3"} 1.0' in text
    assert 'h_bucket{m="x",le="2"} 1' in text
    assert 'g{c="1"} 2' in text
    assert "s_count 1" in text
    assert "sdk_errors_total" not in text


def test_timers_and_steps():
    program = """
import heliograph
with heliograph.timer("load_seconds", "Loading"):
    pass
@heliograph.timer(heliograph.gauge("eval_seconds"))
def evaluate(): return 5
assert evaluate() == 5
with heliograph.timer("no name") as took, heliograph.timer(None), heliograph.timer(5):
    pass
assert took.seconds >= 0
for _ in range(3):
    with heliograph.track_step(tokens=4096, samples=8) as step:
        step.report(loss=2.5)
with heliograph.track_step(tokens="many"):
    pass
print(heliograph.collector().render().decode())
"""
    text = printed(program)

    for line in (
        "load_seconds_count 1", "training_steps_total 4.0", "training_tokens_total 12288.0",
        "training_loss 2.5", 'sdk_errors_total{reason="invalid_metric"} 3.0',
    ):  # fmt: skip
        assert f"\n{line}\n" in text
    assert "\neval_seconds " in text


def test_threads_get_the_same_instrument():
    program = """
import threading, heliograph
found, start = [], threading.Barrier(8)
def ask():
    start.wait()
    for index in range(200):
        found.append((index, id(heliograph.counter(f"c{index}_total"))))
        heliograph.counter(f"c{index}_total").increment()
threads = [threading.Thread(target=ask) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len(found) == 1600
assert len(set(found)) == 200
assert all(f"\\nc{index}_total 8.0\\n" in heliograph.collector().render().decode() for index in (0, 7, 199))
"""
    printed(program)


def test_the_identity_of_the_process_is_on_everything():
    program = "import heliograph; heliograph.counter('a_total').increment(); print(heliograph.collector().render().decode())"
    text = printed(program, RANK="3", WORLD_SIZE="8")

    assert 'a_total{rank="3",world_size="8"} 1.0' in text


def test_strict_by_the_environment():
    for call in (
        "counter('a').increment(-1)",
        "counter('')",
        "gauge('telemetry_events_total')",
    ):
        assert (
            "ValueError"
            in ran(f"import heliograph; heliograph.{call}", HELIOGRAPH_STRICT="1").stderr
        )
        assert ran(f"import heliograph; heliograph.{call}").stderr.count("Traceback") == 0


def test_what_is_refused_is_told_once(tmp_path):
    program = "import heliograph\nfor _ in range(50): heliograph.counter('a b').increment()"

    assert ran(program).stderr.count("metric name 'a b' must match") == 1


def test_a_log_that_raises_reaches_nobody():
    program = """
import heliograph, logging
class Broken(logging.Handler):
    def emit(self, record):
        raise OSError("the log's disk is full")
logging.getLogger().addHandler(Broken())
heliograph.counter("bad name").increment()
print(heliograph.collector().faults.counts())
"""
    assert printed(program) == "{'invalid_metric': 1, 'log_failed': 1}\n"
