"""Forked processes count in shared memory: every relative reads the sum; slots are used again."""

import pytest

from tests.instruments.both_kernels import KERNELS, run

pytestmark = pytest.mark.parametrize("kernel", KERNELS)

PRELUDE = """
import os, signal, sys, time, traceback
from heliograph.instruments import exposition, shared_memory
from heliograph.instruments.metrics import Counter, Gauge, Histogram, Summary
from heliograph.kernels import cells

def fork(work):
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)

def wait(pid):
    assert os.waitpid(pid, 0)[1] == 0

def until(condition):
    for _ in range(500):
        if condition():
            return
        time.sleep(0.01)
        shared_memory.refresh()
    raise AssertionError("not within 5 s")
"""


def test_children_join_in(kernel):
    code = """
c, h = Counter("c"), Histogram("h", buckets=[1.0])
c.increment(5); h.observe(0.5); c.labels(old="1").increment()
def child():
    assert c.value() == 5.0                   # What the parent counted is there.
    c.increment(2); h.observe(2.0)
    c.labels(old="1").increment(10); c.labels(new="1").increment(3)
    h.labels(new="1").observe(0.25)
    assert c.value() == 7.0
wait(fork(child))
assert c.get_value().value == 7.0 and h.values() == [2.5, 1.0, 1.0]
text = exposition.render([c, h]).decode()
assert 'c{old="1"} 11.0' in text and 'c{new="1"} 3.0' in text, text
assert 'h_sum{new="1"} 0.25' in text, text
c.increment(); c.labels(new="1").increment()
assert (c.value(), c.labels(new="1").value()) == (8.0, 4.0)
c.reset()
assert c.value() == 0.0
"""
    run(kernel, PRELUDE + code)


def test_gauges_by_policy(kernel):
    code = """
latest, total = Gauge("latest"), Gauge("total", forked="sum")
low, high = Gauge("low", forked="min"), Gauge("high", forked="max")
for g in (latest, total, low, high):
    g.set(10)
read, write = os.pipe()
def child():
    assert [g.value() for g in (latest, total, low, high)] == [10] * 4
    latest.increment(5); total.set(3); low.set(3); high.set(3)
    os.read(read, 1)
pid = fork(child)
until(lambda: latest.value() == 15 and high.value() == 10 and low.value() == 3 and total.value() == 13)
latest.set(1.5)                               # The latest write wins, whoever makes it.
assert latest.value() == 1.5
os.write(write, b"x")
wait(pid)
shared_memory.refresh()                       # Of these only processes count that live.
assert [g.value() for g in (latest, total, low, high)] == [1.5, 10, 10, 10]
def last():
    latest.set(7)
wait(fork(last))
shared_memory.refresh()
assert latest.value() == 7 and type(latest.value()) is int
"""
    run(kernel, PRELUDE + code)


def test_slots_are_used_again_and_memory_is_bounded(kernel):
    code = """
c = Counter("c")
c.increment()
def child(i):
    c.increment(); c.labels(worker=str(i % 8)).increment(); Counter("own").increment()
for i in range(40):
    wait(fork(lambda: child(i)))
before = int(open("/proc/self/statm").read().split()[1])
for i in range(40, 240):
    wait(fork(lambda: child(i)))
risen = (int(open("/proc/self/statm").read().split()[1]) - before) * 4096
assert risen < 2 << 20, risen
assert c.get_value().value == 241.0
assert [x.value() for x in c.children()] == [30.0] * 8
assert shared_memory.losses() == {"fork_unshared": 0, "series_undescribed": 0}
assert len(shared_memory._state.arena._free) > 500
assert len(shared_memory.relatives.metrics) < 10
"""
    run(kernel, PRELUDE + code)


def test_grandchildren_and_orphans(kernel):
    code = """
c = Counter("c")
c.increment()
def grandchild():
    time.sleep(0.05)                          # By now the one between is gone.
    c.increment(); c.labels(who="grandchild").increment()
def child():
    c.increment(); c.labels(who="child").increment()
    fork(grandchild)
for i in range(20):
    wait(fork(child))
until(lambda: c.value() == 41.0)
until(lambda: c.labels(who="grandchild").value() == 20.0)
assert c.labels(who="child").value() == 20.0
until(lambda: len(shared_memory._state.arena._free) == 511)
assert c.value() == 41.0 and c.labels(who="grandchild").value() == 20.0
"""
    run(kernel, PRELUDE + code)


def test_killed_children_keep_what_they_counted(kernel):
    code = """
c = Counter("c")
c.increment()
def child():
    while True:
        c.increment()
pids = [fork(child) for _ in range(4)]
arena = shared_memory._state.arena
until(lambda: c.value() > 10_000 and all(arena._slots[i].head[shared_memory.PID] for i, _ in arena._children))
for pid in pids:
    os.kill(pid, signal.SIGKILL)
for pid in pids:
    os.waitpid(pid, 0)
held = c.value()
shared_memory.refresh()
assert c.value() == held and len(shared_memory._state.arena._free) == 511
"""
    run(kernel, PRELUDE + code)


def test_siblings_see_each_other(kernel):
    code = """
c = Counter("c")
c.increment()
def worker(i):
    c.increment(); c.labels(worker=str(i)).increment()
    # As a server does that answers a scrape: the totals of all of them.
    def all_here():
        exposition.render([c])
        return c.value() == 5.0 and sum(x.value() for x in c.children()) == 4.0
    until(all_here)
pids = [fork(lambda: worker(i)) for i in range(4)]
for pid in pids:
    wait(pid)
"""
    run(kernel, PRELUDE + code)


def test_metrics_registered_in_a_child_appear_in_the_parent(kernel):
    code = """
from heliograph.instruments.collector import TelemetryCollector
home = TelemetryCollector()
def child(i):
    home.register_counter("made_total", "Made", labels=["x"]).labels(x=str(i)).increment(2)
    home.register_gauge("depth", "Depth", {"run": "a"}, ).set(i)
    h = home.register_histogram("wait_seconds", "Wait", [1, 2])
    h.observe(1.5)
    h.labels(a="1").observe(9)
for i in range(3):
    wait(fork(lambda: child(i)))
text = home.render().decode()
for line in ("# HELP made_total Made", 'made_total{x="0"} 2.0', 'made_total{x="2"} 2.0', 'depth{run="a"} 2',
             'wait_seconds_bucket{le="2"} 3', 'wait_seconds_count{a="1"} 3'):
    assert line in text.splitlines(), (line, text)
assert isinstance(home.get_metric("wait_seconds"), Histogram)
"""
    run(kernel, PRELUDE + code)


def test_a_name_that_a_worker_registered_first_is_free_for_the_parent(kernel):
    code = """
import heliograph
from heliograph.instruments.collector import TelemetryCollector
home, other = TelemetryCollector(), heliograph.collector()
def child():
    home.register_counter("made_total").increment(2)
    home.register_counter("of_kind")
    heliograph.counter("face_total").increment(3)
    assert home.get_metric("telemetry_metrics_count").value() == 6
wait(fork(child))
assert 'made_total 2.0' in home.render().decode().splitlines()
# The parent's own count, not that of the child that had one more.
assert home.get_metric("telemetry_metrics_count").value() == 6
kept = home.register_counter("made_total")
kept.increment()
face = heliograph.counter("face_total")
face.increment()
assert kept is home.get_metric("made_total") and kept.value() == 3.0 and face.value() == 4.0
for again in (lambda: home.register_counter("made_total"), lambda: home.register_gauge("of_kind")):
    try:
        again()
    except ValueError:
        continue
    raise AssertionError("registered twice")
def later():
    # Theirs now as the parent's: inherited, not made anew.
    assert home.get_metric("made_total") is kept and heliograph.counter("face_total") is face
    assert home.get_metric("of_kind") is None
    kept.increment(); face.increment()
wait(fork(later))
assert (kept.get_value().value, face.get_value().value) == (4.0, 5.0)
"""
    run(kernel, PRELUDE + code)


def test_workers_made_anew_see_what_their_siblings_registered(kernel):
    code = """
import gc
from heliograph.instruments.collector import TelemetryCollector
gc.disable()                                  # What the parent took over lives on in the worker.
home = TelemetryCollector()
def first():
    home.register_histogram("wait_seconds", "", [1]).labels(who="first").observe(0.5)
wait(fork(first))
home.render()
reading, writing = os.pipe()
def worker(i):
    home.register_histogram("wait_seconds", "", [1]).labels(who=str(i)).observe(0.5)
    lines = [f'wait_seconds_count{{who="{who}"}} 1' for who in range(3)]
    until(lambda: set(lines) <= set(home.render().decode().splitlines()))
    os.write(writing, b"x")
    time.sleep(5)
pids = [fork(lambda: worker(i)) for i in range(3)]
for _ in pids:
    assert os.read(reading, 1)
for pid in pids:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
"""
    run(kernel, PRELUDE + code)


def test_what_relatives_cannot_see_is_counted_for_all(kernel):
    code = """
from heliograph.instruments.collector import TelemetryCollector
shared_memory.slots.SLOTS = 2
shared_memory.slots.DIRECTORY_BYTES = 64
home = TelemetryCollector()
c = Counter("c")
read, write = os.pipe()
def child():
    for i in range(8):
        c.labels(series=str(i)).increment()
    os.read(read, 1)
pid = fork(child)
until(lambda: shared_memory.losses()["series_undescribed"] > 0)
wait(fork(lambda: None))
os.write(write, b"x")
wait(pid)
lines = home.render().decode().splitlines()
assert 'sdk_errors_total{reason="fork_unshared"} 1' in lines, lines
assert any(line.startswith('sdk_errors_total{reason="series_undescribed"} ') for line in lines)
"""
    run(kernel, PRELUDE + code)


def test_a_fork_says_nothing_and_loads_no_logging(kernel):
    code = """
import heliograph
heliograph.counter("c").increment()
def child():
    assert "logging" not in sys.modules
    heliograph.collector().add_hook("no such hook", lambda _: None)
    heliograph.counter("c").increment(-1)
    heliograph.collector().faults.tell("told", "once")
wait(fork(child))
assert "logging" not in sys.modules
"""
    run(kernel, PRELUDE + code)


def test_the_end_of_the_process_is_quiet(kernel):
    code = """
import builtins, heliograph
from heliograph.instruments.collector import TelemetryCollector
# What outlives the modules it needs, and is freed after them.
sys.kept = builtins.kept = os.kept = [
    TelemetryCollector(), heliograph.counter("c"), heliograph.gauge("g"),
    heliograph.histogram("h"), heliograph.summary("s"),
    *(kind("k") for kind in (Counter, Gauge, Histogram, Summary)),
]
for metric in sys.kept[1:]:
    metric.labels(a="1")
sys.modules["kept"] = type(sys)("kept")
vars(sys.modules["kept"]).update(zip("abcdefghi", sys.kept))
"""
    run(kernel, PRELUDE + code)


def test_without_a_slot_a_child_counts_alone(kernel):
    code = """
shared_memory.slots.SLOTS = 2
c = Counter("c")
c.increment()
read, write = os.pipe()
def child():
    os.read(read, 1)
def alone():
    assert c.value() == 0.0
    for i in range(20_000):
        c.increment(); c.labels(n=str(i)).increment()
    assert c.value() == 20_000.0
    def own():
        c.increment()
    wait(fork(own))
    assert c.value() == 20_001.0
first = fork(child)
wait(fork(alone))
assert shared_memory.losses()["fork_unshared"] == 1 and c.value() == 1.0
os.write(write, b"x")
wait(first)
"""
    run(kernel, PRELUDE + code)


def test_forks_from_threads(kernel):
    code = """
import threading
c = Counter("c")
c.increment()
def child():
    c.increment(); c.labels(a="1").increment()
def forks():
    for _ in range(25):
        wait(fork(child))
threads = [threading.Thread(target=forks) for _ in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
assert c.get_value().value == 101.0 and c.labels(a="1").value() == 100.0
"""
    run(kernel, PRELUDE + code)


def test_series_of_the_parent_reach_a_child_that_lives_on(kernel):
    code = """
c, s = Counter("c"), Summary("s")
c.increment()
read, write = os.pipe()
def child():
    os.read(read, 1)
    until(lambda: c.labels(late="1").value() == 4.0)
    s.observe(1.0)
pid = fork(child)
c.labels(late="1").increment(4)
s.observe(3.0)
os.write(write, b"x")
wait(pid)
assert s.values() == [4.0, 2.0]
"""
    run(kernel, PRELUDE + code)
