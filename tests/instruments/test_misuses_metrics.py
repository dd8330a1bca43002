"""The misuses of the shared table that meet counters, gauges, histograms, labels and their text.

Each case is named by its id, and is tried on the instruments of spec 004, which raise as the
original does, and on lenient ones (what `heliograph.counter` gives), which count instead. Threads,
signals, the collector of cycles and fork run with both kernels.
"""

import decimal
import math
import threading

import pytest

from heliograph.core.clock import SystemClock
from heliograph.instruments import exposition
from heliograph.instruments.metrics import Counter, Gauge, Histogram
from tests.instruments.both_kernels import KERNELS, run

CLOCK = SystemClock()


class Raises:
    def __float__(self):
        raise RuntimeError("a tensor on a lost device")


class Slow:
    def __float__(self):
        CLOCK.sleep(0.3)
        return 2.0


class TensorLike:
    def __float__(self):
        return 1.5


# Id → amount, what a strict counter raises (None: it takes it, as the original's vectors say).
AMOUNTS = {
    "counter-inc-negative": (-1, ValueError),
    "counter-inc-nan": (math.nan, None),
    "counter-inc-inf": (math.inf, None),
    "counter-inc-string": ("5", TypeError),
    "counter-inc-none": (None, TypeError),
    "counter-inc-bool": (True, None),
    "counter-inc-complex": (1j, TypeError),
    "counter-inc-bigint": (10**400, OverflowError),
    "counter-inc-decimal-snan": (decimal.Decimal("sNaN"), ValueError),
    "counter-inc-numpy-array": ([1, 2], TypeError),
}


@pytest.mark.parametrize(("amount", "error"), AMOUNTS.values(), ids=AMOUNTS)
def test_an_invalid_amount_changes_nothing(amount, error):
    strict = Counter("c")
    if error is not None:
        with pytest.raises(error):
            strict.increment(amount)
        assert strict.value() == 0.0
    else:
        strict.increment(amount)

    told = []
    lenient = Counter("c", strict=False, on_error=told.append)
    lenient.increment(amount)
    lenient.labels(a="1").increment(amount)
    assert (lenient.value(), told) == (0.0, ["amount", "amount"])


def test_gauge_set_nan_and_minus_inf():
    """gauge-set-nan, gauge-set-minus-inf: kept, and shown as readers want them."""
    gauge = Gauge("g")
    gauge.set(math.nan)
    assert exposition.render([gauge]) == b"# TYPE g gauge\ng NaN\n"
    gauge.set(-math.inf)
    assert exposition.render([gauge]) == b"# TYPE g gauge\ng -Inf\n"


VALUES = {
    "gauge-set-string": ("x", TypeError),
    "gauge-set-float-raises": (Raises(), RuntimeError),
    "gauge-set-tensor-like": (TensorLike(), None),
}


@pytest.mark.parametrize(("value", "error"), VALUES.values(), ids=VALUES)
def test_what_a_gauge_is_set_to(value, error):
    gauge = Gauge("g")
    told = []
    lenient = Gauge("g", strict=False, on_error=told.append)
    lenient.set(value)
    if error is None:
        gauge.set(value)
        assert (gauge.value(), lenient.value(), told) == (1.5, 1.5, [])
        return
    with pytest.raises(error):
        gauge.set(value)
    assert (gauge.value(), lenient.value(), told) == (0.0, 0.0, ["value"])


def test_gauge_set_float_sleeps():
    """gauge-set-float-sleeps: others go on meanwhile, also with the same gauge."""
    gauge = Gauge("g")
    slow = threading.Thread(target=gauge.set, args=(Slow(),))
    began = CLOCK.monotonic_s()
    slow.start()
    for i in range(1000):
        gauge.set(float(i))
        exposition.render([gauge])
        Gauge("other")
    assert CLOCK.monotonic_s() - began < 0.3
    slow.join()
    assert gauge.value() == 2.0


BUCKETS = {
    "histogram-buckets-unsorted": ([3, 1, 2], ["1", "2", "3", "+Inf"]),
    "histogram-buckets-duplicate": ([1, 1, 2], ["1", "2", "+Inf"]),
    "histogram-buckets-empty": ([], None),
    "histogram-buckets-no-inf": ([1, 2, 3], ["1", "2", "3", "+Inf"]),
    "histogram-buckets-inf-twice": ([1, math.inf, math.inf], ["1", "+Inf"]),
    "histogram-buckets-nan": ([1, math.nan], "neither NaN nor -Inf"),
    "histogram-buckets-strings": (["1"], "'1' is no number"),
    "histogram-buckets-million": (list(range(10**6)), "1000000 buckets, limit 1024"),
}


@pytest.mark.parametrize(("buckets", "expected"), BUCKETS.values(), ids=BUCKETS)
def test_buckets(buckets, expected):
    if isinstance(expected, str):
        with pytest.raises(ValueError, match=expected):
            Histogram("h", "d", buckets)
        return
    histogram = Histogram("h", "d", buckets)
    histogram.observe(1)
    text = exposition.render([histogram]).decode()
    bounds = [line.split('"')[1] for line in text.splitlines() if "_bucket" in line]
    assert len(set(bounds)) == len(bounds)
    assert bounds[-1] == "+Inf"
    assert expected is None or bounds == expected


def test_help_newline():
    """help-newline: it stays one line."""
    text = exposition.render([Counter("a", "x\n# TYPE evil counter\nevil 1")])
    assert text == b"# HELP a x\\n# TYPE evil counter\\nevil 1\n# TYPE a counter\na 0.0\n"


def test_label_value_newline():
    """label-value-newline: escaped."""
    counter = Counter("c")
    counter.labels(x='a\nb"c\\d').increment()
    assert b'c{x="a\\nb\\"c\\\\d"} 1.0\n' in exposition.render([counter])


def test_label_value_bytes():
    """label-value-bytes: refused; and half a character, which UTF-8 has not, is replaced."""
    counter = Counter("c")
    with pytest.raises(TypeError, match="bytes"):
        counter.labels(x=b"\xff").increment()
    counter.labels(x="a\udcffb").increment()
    counter.labels(x="a\udcffb").increment()
    assert b'c{x="a?b"} 2.0\n' in exposition.render([counter])


def test_label_missing_and_label_extra():
    """label-missing, label-extra: refused where names were declared."""
    counter = Counter("c", labels=["x"])
    with pytest.raises(ValueError, match="has the labels x; got none"):
        counter.labels().increment()
    with pytest.raises(ValueError, match="has the labels x; got x, y"):
        counter.labels(x="1", y="2")
    assert exposition.render([counter]) == b"# TYPE c counter\n"


CARDINALITY = """
import resource, sys
from heliograph.instruments.metrics import Counter
c = Counter("c")
c.labels(x="0").increment()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for i in range(int(sys.argv[1])):
    c.labels(x=str(i)).increment()
risen = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
assert risen < 64 * 1024, risen
children = c.children()
print(len(children), c.labels(overflow="true").value(), sum(x.value() for x in children))
"""


@pytest.mark.parametrize("kernel", KERNELS)
def test_label_cardinality_1e6(kernel):
    """label-cardinality-1e6: as many series as are allowed, and the rest in one."""
    calls = 10**6 if kernel == "compiled" else 10**5
    assert run(kernel, CARDINALITY, calls) == f"10001 {calls - 10_000}.0 {calls + 1}.0\n"


THREADS = """
import sys, threading
from heliograph.instruments.metrics import Counter, Gauge, Histogram
sys.setswitchinterval(1e-6)
c, g, h, l = Counter("c"), Gauge("g"), Histogram("h", buckets=[1.0]), Counter("l")
n = int(sys.argv[1])
def work(k):
    inc, add, see = c.increment, g.increment, h.observe
    for i in range(n):
        inc(1)
        if i % 10 == 0:
            add(2.0); see(0.5); l.labels(x=str(i % 20), y="1").increment()
threads = [threading.Thread(target=work, args=(k,)) for k in range(16)]
[t.start() for t in threads]; [t.join() for t in threads]
print(c.value(), g.value(), h.values(), sum(x.value() for x in l.children()), len(l.children()))
"""


@pytest.mark.parametrize("kernel", KERNELS)
def test_threads_16x1e5(kernel):
    """threads-16x1e5: exact, whatever else they do."""
    counted, tenth = 1_600_000.0, 160_000.0
    expected = f"{counted} {2 * tenth} {[tenth / 2, tenth, 0.0]} {tenth} 2\n"
    assert run(kernel, THREADS, 100_000) == expected


REENTRANT = """
import gc, signal
from heliograph.instruments import exposition
from heliograph.instruments.metrics import Counter, Gauge, Histogram
c, g, h = Counter("c"), Gauge("g"), Histogram("h", buckets=[1.0])
extra = 0
def again(*_):
    global extra
    extra += 1
    c.increment(); g.increment(1.0); h.observe(0.5)
    c.labels(x=str(extra % 7), y=str(extra)).increment()
    if extra % 50 == 0:
        exposition.render([c, g, h])
class Dropped:
    def __init__(self): self.me = self
    def __del__(self): again()
gc.callbacks.append(again)
gc.set_threshold(20, 2, 2)
signal.signal(signal.SIGALRM, again)
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
class Odd:
    def __float__(self):
        again()
        return 1.0
for i in range(20_000):
    c.increment(); g.increment(1.0); h.observe(0.5)
    c.labels(x=str(i % 7), z=str(i % 1000)).increment()
    if i % 10 == 0:
        Dropped(); c.increment(Odd())
signal.setitimer(signal.ITIMER_REAL, 0)
gc.set_threshold(0); gc.callbacks.clear(); gc.collect()
want = 20_000 + extra
assert c.value() == want + 2_000, (c.value(), want)
assert g.value() == want and h.values() == [want / 2, want, 0.0], (g.value(), h.values(), want)
assert sum(x.value() for x in c.children()) == want
assert extra > 3_000, extra
"""


@pytest.mark.parametrize("kernel", KERNELS)
def test_reentrant_gc(kernel):
    """reentrant-gc: signal handlers, finalizers and callbacks of the collector count exactly."""
    run(kernel, REENTRANT)


FORK_WHILE_LOCKED = """
import os, sys, threading
from heliograph.instruments import exposition
from heliograph.instruments.metrics import Counter, Histogram, Summary
c, h, s = Counter("c"), Histogram("h"), Summary("s")
stop = False
def busy():
    i = 0
    while not stop:
        i += 1
        c.increment(); h.observe(0.5); s.observe(1.0); c.labels(x=str(i % 3000)).increment()
        if i % 100 == 0:
            exposition.render([c, h, s]); c.get_value(); s.quantiles()
threads = [threading.Thread(target=busy) for _ in range(4)]
[t.start() for t in threads]
for _ in range(30):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            for i in range(100):
                c.increment(); s.observe(2.0)
                c.labels(child="1", n=str(i % 3)).increment()
            exposition.render([c, h, s])
            assert s.quantiles()[0][1] == 2.0, s.quantiles()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
stop = True
[t.join() for t in threads]
h_count = h.get_value()[-1].value
print(c.get_value().value - h_count, [c.labels(child="1", n=str(n)).value() for n in range(3)])
"""


@pytest.mark.parametrize("kernel", KERNELS)
def test_fork_while_locked(kernel):
    """fork-while-locked: nothing is ever locked; the child's numbers join the parent's."""
    assert run(kernel, FORK_WHILE_LOCKED) == "3000.0 [1020.0, 990.0, 990.0]\n"


DATALOADER = """
import multiprocessing, threading
from heliograph.instruments.metrics import Counter, Gauge
context = multiprocessing.get_context("fork")
loaded = Counter("loaded")
busy = Gauge("busy", forked="sum")
def worker(rank):
    busy.set(1)
    for _ in range(100):
        loaded.increment()
        loaded.labels(worker=str(rank)).increment()
    assert threading.active_count() == 1
for epoch in range(20):
    workers = [context.Process(target=worker, args=(rank,)) for rank in range(8)]
    [w.start() for w in workers]; [w.join() for w in workers]
    assert not any(w.exitcode for w in workers)
from heliograph.instruments import shared_memory
shared_memory.refresh()
print(loaded.get_value().value, {c.get_value().value for c in loaded.children()}, busy.value())
print(shared_memory.losses())
"""


@pytest.mark.parametrize("kernel", KERNELS)
def test_fork_dataloader(kernel):
    """fork-dataloader: workers made anew every epoch add up, and bring no threads."""
    assert run(kernel, DATALOADER) == (
        "16000.0 {2000.0} 0.0\n{'fork_unshared': 0, 'series_undescribed': 0}\n"
    )
