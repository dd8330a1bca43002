"""The same programs on prometheus_client and on ours: the same samples, and the same refusals."""

import importlib
import math
import os
import subprocess
import sys
import threading
import urllib.request

import prometheus_client as theirs
import prometheus_client.core
import prometheus_client.openmetrics.exposition as their_openmetrics
import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as read_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as read_text

from heliograph import compat_prometheus as ours
from tests.peers import free_port, peer


class Api:
    """What a program imports, of either."""

    def __init__(self, module, core):
        self.module, self.core = module, core
        self.registry = module.CollectorRegistry()

    def __getattr__(self, name):
        made = getattr(self.module, name)

        def make(*args, **kwargs):
            return made(*args, **{"registry": self.registry, **kwargs})

        return make


def counters(api):
    plain = api.Counter("jobs_total", "Jobs done")
    plain.inc()
    plain.inc(2.5)
    split = api.Counter("errors", "Errors\nof \\ all", ["kind", "queue"], namespace="app")
    split.labels("io", "gpu").inc()
    split.labels(queue="cpu", kind="net").inc(3)
    split.labels("io", "gpu").inc()
    split.labels('quo"te', "new\nline").inc()
    split.labels(1, None).inc()
    api.Counter("never", "Never counted")
    api.Counter("never_labelled", "Never counted", ["a"])
    api.Counter("sent", "With a unit", unit="bytes").inc(7)


def gauges(api):
    level = api.Gauge("level", "A level", ["tank"], subsystem="water")
    level.labels("a").set(42)
    level.labels("b").inc()
    level.labels("b").inc(4)
    level.labels("b").dec(1.5)
    api.Gauge("unset", "Unset")
    api.Gauge("odd", "Not finite", ["n"]).labels("nan").set(math.nan)
    api.Gauge("odd2", "Not finite").set(-math.inf)
    asked = api.Gauge("asked", "By a function")
    asked.set_function(lambda: 17)
    busy = api.Gauge("busy", "Under way")
    with busy.track_inprogress():
        busy.inc(10)


def distributions(api):
    plain = api.Histogram("seconds", "Seconds")
    for value in (0.001, 0.5, 3, 100, 7.5):
        plain.observe(value)
    few = api.Histogram("few", "Few buckets", ["a"], buckets=(1, 2.5, 1e9))
    few.labels("x").observe(2)
    few.labels("x").observe(2.5)
    few.labels("y").observe(math.inf)
    size = api.Summary("size_bytes", "Sizes", ["a"])
    size.labels("x").observe(2)
    size.labels("x").observe(3.5)
    api.Summary("nothing", "Nothing yet")


def states(api):
    build = api.Info("build", "The build", ["part"])
    build.labels("a").info({"version": "1.2", "host": 'h"x'})
    api.Info("empty", "Nothing said")
    task = api.Enum("task_state", "Where it is", states=["starting", "running", "stopped"])
    task.state("running")
    split = api.Enum("split_state", "By worker", ["worker"], states=["up", "down"])
    split.labels("1").state("down")


def removals(api):
    split = api.Counter("jobs", "Jobs", ["a", "b"])
    for a in "xyz":
        for b in "12":
            split.labels(a, b).inc()
    kept = split.labels("x", "1")
    split.remove("x", "1")
    split.remove("not", "there")
    kept.inc(100)
    split.labels("x", "1").inc(5)
    split.remove_by_labels({"a": "y"})
    other = api.Gauge("level", "Level", ["a"])
    other.labels("x").set(1)
    other.clear()
    other.labels("y").set(2)


def custom_collectors(api):
    core = api.core

    class Queues:
        def collect(self):
            gauge = core.GaugeMetricFamily("queue_length", "Waiting", labels=["queue"])
            gauge.add_metric(["gpu"], 7)
            gauge.add_metric(["cpu"], 0.5)
            yield gauge
            yield core.GaugeMetricFamily("single", "One", value=3)
            counter = core.CounterMetricFamily("done", "Done", labels=["queue"])
            counter.add_metric(["gpu"], 11)
            yield counter
            yield core.CounterMetricFamily("once_total", "One", value=4)
            yield core.SummaryMetricFamily("wait", "Wait", count_value=3, sum_value=1.5)
            buckets = [("1.0", 2), ("+Inf", 5)]
            yield core.HistogramMetricFamily("took", "Took", buckets=buckets, sum_value=9)
            yield core.InfoMetricFamily("system", "System", value={"os": "linux"})
            yield core.StateSetMetricFamily("power", "Power", value={"on": True, "off": False})
            yield core.UntypedMetricFamily("who_knows", "Unknown", value=1)

    api.registry.register(Queues())


def timers(api):
    histogram = api.Histogram("took_seconds", "Took", ["a"])
    with histogram.labels("x").time():
        pass

    @histogram.labels("y").time()
    def work():
        return 1

    assert work() + work() == 2
    with histogram.time() as running:
        running.labels("late")
    failures = api.Counter("failures", "Raised")

    @failures.count_exceptions(ValueError)
    def fail(kind):
        raise kind

    for kind in (ValueError, KeyError):
        with pytest.raises(kind):
            fail(kind)
    with pytest.raises(RuntimeError), failures.count_exceptions():
        raise RuntimeError


PROGRAMS = [
    counters, gauges, distributions, states, removals, custom_collectors, timers,
]  # fmt: skip


def run(program):
    """What is read of *program* on either, by name: ((their api, ours))"""
    apis = Api(theirs, prometheus_client.core), Api(ours, ours)
    for api in apis:
        program(api)
    return apis


def is_of_time(sample):
    """Whether its value is how long something took here: more than a moment, where others run too."""
    if sample.name == "took_seconds_bucket":
        return sample.labels["le"] != "+Inf"
    return "seconds_sum" in sample.name


def samples(families):
    """{(sample, labels): value}, {family: (kind, help)}; times are not compared."""
    values, kinds = {}, {}
    for family in families:
        if family.name.endswith("_created"):
            continue
        kinds[family.name] = (family.type, family.documentation)
        for sample in family.samples:
            value = 0.0 if is_of_time(sample) else sample.value
            if not sample.name.endswith("_created"):
                # A bound of 1e9 is `1e+09` theirs and `1000000000.0` ours; it is the same bound.
                labels = {n: float(v) if n == "le" else v for n, v in sample.labels.items()}
                values[sample.name, tuple(sorted(labels.items()))] = repr(float(value))
    return values, kinds


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_text_says_the_same(program):
    their, our = run(program)
    text = ours.generate_latest(our.registry).decode()

    assert samples(read_text(text)) == samples(
        read_text(theirs.generate_latest(their.registry).decode())
    )


@pytest.mark.parametrize("program", PROGRAMS)
def test_openmetrics_says_the_same(program):
    their, our = run(program)
    text = ours.generate_openmetrics(our.registry).decode()

    assert samples(read_openmetrics(text)) == samples(
        read_openmetrics(their_openmetrics.generate_latest(their.registry).decode())
    )


@pytest.mark.parametrize("program", PROGRAMS)
def test_collecting_says_the_same(program):
    their, our = run(program)

    assert samples(our.registry.collect()) == samples(their.registry.collect())


def test_series_say_when_they_began_unless_told_not_to():
    _, our = run(counters)
    text = ours.generate_latest(our.registry).decode()
    assert "# TYPE jobs_created gauge" in text
    assert 'app_errors_created{kind="io",queue="gpu"} 1' in text
    ours.disable_created_metrics()
    try:
        assert "_created" not in ours.generate_latest(our.registry).decode()
    finally:
        ours.enable_created_metrics()


def test_promtool_finds_no_fault(tmp_path):
    promtool = peer("promtool")
    # Names of the programs are not all to promtool's taste; what it cannot read is the point.
    for program in (distributions, states, custom_collectors, removals):
        _, our = run(program)
        page = ours.generate_latest(our.registry)
        checked = subprocess.run(
            [promtool, "check", "metrics"], input=page, capture_output=True, check=False
        )
        assert b"error while linting" not in checked.stderr, checked.stderr


REFUSALS = {
    "no name": lambda api: api.Counter("", "d"),
    "reserved label": lambda api: api.Counter("a", "d", ["__b"]),
    "le on a histogram": lambda api: api.Histogram("a", "d", ["le"]),
    "quantile on a summary": lambda api: api.Summary("a", "d", ["quantile"]),
    "negative": lambda api: api.Counter("a", "d").inc(-1),
    "labels missing": lambda api: api.Counter("a", "d", ["b"]).inc(),
    "labels missing, gauge": lambda api: api.Gauge("a", "d", ["b"]).set(1),
    "labels missing, histogram": lambda api: api.Histogram("a", "d", ["b"]).observe(1),
    "labels missing, enum": lambda api: api.Enum("a", "d", ["b"], states=["x"]).state("x"),
    "labels where there are none": lambda api: api.Counter("a", "d").labels("x"),
    "too many labels": lambda api: api.Counter("a", "d", ["b"]).labels("x", "y"),
    "wrong names": lambda api: api.Counter("a", "d", ["b"]).labels(c="x"),
    "by place and by name": lambda api: api.Counter("a", "d", ["b"]).labels("x", b="y"),
    "labels twice": lambda api: api.Counter("a", "d", ["b"]).labels("x").labels("y"),
    "taken": lambda api: (api.Counter("a", "d"), api.Counter("a", "d")),
    "taken by a suffix": lambda api: (api.Histogram("a", "d"), api.Gauge("a_count", "d")),
    "buckets out of order": lambda api: api.Histogram("a", "d", buckets=(2, 1)),
    "no buckets": lambda api: api.Histogram("a", "d", buckets=()),
    "overlapping info": lambda api: api.Info("a", "d", ["b"]).labels("x").info({"b": "y"}),
    "none in info": lambda api: api.Info("a", "d").info({"b": None}),
    "no states": lambda api: api.Enum("a", "d"),
    "unknown state": lambda api: api.Enum("a", "d", states=["x"]).state("y"),
    "unit of an info": lambda api: api.Info("a", "d", unit="s"),
    "multiprocess mode": lambda api: api.Gauge("a", "d", multiprocess_mode="odd"),
    "remove of too few": lambda api: api.Counter("a", "d", ["b", "c"]).remove("x"),
    "remove of none": lambda api: api.Counter("a", "d").remove("x"),
    "set to text": lambda api: api.Gauge("a", "d").set("x"),
    "two values of a family": lambda api: api.core.GaugeMetricFamily("a", "d", 1, ["b"]),
    "a family's kind": lambda api: api.core.Metric("a", "d", "odd"),
    "unregister a stranger": lambda api: api.registry.unregister(object()),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_refusals_are_of_the_same_kind(what):
    kinds = []
    for api in (Api(theirs, prometheus_client.core), Api(ours, ours)):
        with pytest.raises((ValueError, TypeError, KeyError)) as refused:
            REFUSALS[what](api)
        kinds.append(
            next(k for k in (ValueError, TypeError, KeyError) if refused.errisinstance(k))
        )

    assert kinds[0] is kinds[1]


def test_names_that_prometheus_2_cannot_read_are_refused():
    """Theirs takes them since 0.22, and writes them in quotes."""
    for name, labels in (("a b", []), ("a", ["b c"]), ("ä", [])):
        with pytest.raises(ValueError, match="must match"):
            ours.Counter(name, "d", labels, registry=None)


def test_exemplars_travel_in_openmetrics():
    _, our = run(
        lambda api: api.Counter("a", "d", ["b"]).labels("x").inc(2, {"trace_id": "4bf9"})
    )
    [family] = read_openmetrics(ours.generate_openmetrics(our.registry).decode())

    exemplars = [sample.exemplar for sample in family.samples if sample.exemplar]
    assert [(one.labels, one.value) for one in exemplars] == [({"trace_id": "4bf9"}, 2.0)]


def test_the_helpers_of_tests_work():
    registry = ours.CollectorRegistry()
    counter = ours.Counter("a", "d", ["b"], registry=registry)
    counter.labels("x").inc(3)

    assert registry.get_sample_value("a_total", {"b": "x"}) == 3.0
    assert registry.get_sample_value("a_total", {"b": "y"}) is None
    assert counter.labels("x")._value.get() == 3.0
    counter.labels("x").reset()
    assert counter.labels("x")._value.get() == 0.0
    assert (str(counter), repr(counter)[-10:]) == ("counter:a", "Counter(a)")
    [restricted] = registry.restricted_registry(["a_total"]).collect()
    assert [sample.name for sample in restricted.samples] == ["a_total"]
    registry.unregister(counter)
    assert ours.generate_latest(registry) == b""


def test_target_info_and_files(tmp_path):
    registry = ours.CollectorRegistry(target_info={"env": "prod"})
    ours.write_to_textfile(str(tmp_path / "a.prom"), registry)

    assert 'target_info{env="prod"} 1' in (tmp_path / "a.prom").read_text()
    assert registry.get_target_info() == {"env": "prod"}
    registry.set_target_info(None)
    assert ours.generate_latest(registry) == b""


def test_the_default_registry_has_what_theirs_has():
    def names(module):
        found = module.REGISTRY.collect()
        return {
            family.name for family in found if family.name.startswith(("python_", "process_"))
        }

    assert names(ours) == names(theirs)


def test_threads_count_exactly():
    counter = ours.Counter("a", "d", ["b"], registry=None)
    histogram = ours.Histogram("h", "d", registry=None)

    def work():
        for n in range(20_000):
            counter.labels("x").inc()
            histogram.observe(n % 3)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert counter.labels("x")._value.get() == 160_000
    [metric] = histogram.collect()
    assert {s.value for s in metric.samples if s.name == "h_count"} == {160_000}


def test_it_is_served():
    registry = ours.CollectorRegistry()
    ours.Gauge("level", "d", registry=registry).set(4)
    server, thread = ours.start_http_server(free_port(), addr="127.0.0.1", registry=registry)
    with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics") as answer:
        assert b"level 4.0" in answer.read()
    server.shutdown()
    server.server_close()
    thread.join()


def test_wsgi_answers_it():
    registry = ours.CollectorRegistry()
    ours.Gauge("level", "d", registry=registry).set(4)
    told = []
    body = ours.make_wsgi_app(registry)(
        {"REQUEST_METHOD": "GET"}, lambda status, headers: told.append((status, dict(headers)))
    )

    assert b"level 4.0" in b"".join(body)
    assert told[0][0] == "200 OK"
    assert told[0][1]["Content-Type"].startswith("text/plain; version=0.0.4")


def test_it_is_shipped_as_any_source():
    registry = ours.CollectorRegistry()
    ours.Counter("a", "d", ["b"], registry=registry).labels("x").inc(3)
    ours.Info("build", "d", registry=registry).info({"v": "1"})

    found = {
        (family.name + point.suffix, point.labels): point.value
        for family in registry.families()
        for point in family.points
        if not family.name.endswith("_created")
    }
    assert found == {("a_total", (("b", "x"),)): 3.0, ("build_info", (("v", "1"),)): 1.0}


def test_theirs_may_be_registered_with_ours():
    registry = ours.CollectorRegistry()
    registry.register(theirs.Counter("moved_later", "d", registry=None))

    assert "moved_later_total 0.0" in ours.generate_latest(registry).decode()


def test_install_is_found_by_code_that_imports_prometheus_client():
    program = """
import heliograph.compat_prometheus
heliograph.compat_prometheus.install()
import prometheus_client
from prometheus_client import Counter, REGISTRY, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import start_http_server
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics
from prometheus_client.registry import CollectorRegistry
from prometheus_client import ProcessCollector, exposition, multiprocess
import prometheus_client.exposition as page
Counter("a", "d").inc()
# As a gunicorn's `/metrics` has it: no folder, no files, the same sums.
whole = CollectorRegistry()
multiprocess.MultiProcessCollector(whole)
ProcessCollector("own", registry=whole)
multiprocess.mark_process_dead(1)
assert page.generate_latest is exposition.generate_latest is generate_latest
text = generate_latest(whole).decode()
assert "\\na_total 1.0\\n" in text and "\\nown_process_open_fds " in text, text
assert "\\nprocess_open_fds" not in text and "python_info" not in text
assert Counter.__module__.startswith("heliograph.")
print(b"a_total 1.0" in generate_latest(), openmetrics(REGISTRY).endswith(b"# EOF\\n"))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "True True\n"


def test_forked_children_count_in_the_parent():
    counter = ours.Counter("a", "d", ["b"], registry=None)
    counter.labels("x").inc()
    children = []
    for _ in range(3):
        if (child := os.fork()) == 0:
            for _ in range(100):
                counter.labels("x").inc()
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)

    [metric] = counter.collect()
    assert [s.value for s in metric.samples if s.name == "a_total"] == [301.0]


def test_tls_is_refused():
    from heliograph.core.errors import ConfigError

    with pytest.raises(ConfigError, match="TLS"):
        ours.start_http_server(0, certfile="a", keyfile="b")
    assert importlib.import_module("heliograph.compat_prometheus") is ours
