"""What an instrument costs: ours compiled and in plain Python, prometheus_client, OpenTelemetry's SDK.

    python bench/instruments.py [--rounds 5] [--series 100000] [--seconds 0.05]

Every implementation runs in a process of its own; in each round all of them do the same case one
after the other, and the best round counts. Nanoseconds a call, the loop included: CPU time of one
thread, and wall time over all calls of eight. Exposition is CPU time for all series, four labels,
every second value an integer; memory is what they took to build, and what the exposition took on
top. Without prometheus_client or opentelemetry-sdk their columns are missing.
"""

import argparse
import gc
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import threading
import time
import timeit
from pathlib import Path

KINDS = ("compiled", "plain", "prometheus_client", "opentelemetry")
CASES = ("increment", "child increment", "labels + increment", "set", "observe")
THREADS = 8
# Case → how many times prometheus_client: (compiled, one thread), (compiled, 8), (plain, one).
GOALS = {
    "increment": (15, 10, 1.5),
    "child increment": (15, 10, 1.5),
    "labels + increment": (12, None, 1.0),
    "set": (15, 10, 1.0),
    "observe": (20, None, 1.0),
    "exposition": (50, None, 10.0),
    "memory": (3, None, 1.0),
}


def heliograph_calls():
    """Case → (statement, names)."""
    from heliograph.instruments.metrics import Counter, Gauge, Histogram

    names = {"c": Counter("c_total"), "g": Gauge("g"), "h": Histogram("h")}
    names["l"] = Counter("l_total", labels=["a", "b"])
    names["k"] = names["l"].labels(a="x", b="y")
    return {
        "increment": ("c.increment()", names),
        "child increment": ("k.increment()", names),
        "labels + increment": ("l.labels(a='x', b='y').increment()", names),
        "set": ("g.set(1.5)", names),
        "observe": ("h.observe(0.3)", names),
    }


def prometheus_calls():
    """The same of prometheus_client."""
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

    home = {"registry": CollectorRegistry()}
    names = {"c": Counter("c", "c", **home), "g": Gauge("g", "g", **home)}
    names["h"] = Histogram("h", "h", **home)
    names["l"] = Counter("l", "l", ["a", "b"], **home)
    names["k"] = names["l"].labels("x", "y")
    return {
        "increment": ("c.inc()", names),
        "child increment": ("k.inc()", names),
        "labels + increment": ("l.labels(a='x', b='y').inc()", names),
        "set": ("g.set(1.5)", names),
        "observe": ("h.observe(0.3)", names),
    }


def opentelemetry_calls():
    """The same of OpenTelemetry, as far as it has it: attributes are given with every call."""
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    meter = MeterProvider([InMemoryMetricReader()]).get_meter("bench")
    names = {"c": meter.create_counter("c"), "g": meter.create_gauge("g")}
    names["h"] = meter.create_histogram("h")
    return {
        "increment": ("c.add(1)", names),
        "labels + increment": ("c.add(1, {'a': 'x', 'b': 'y'})", names),
        "set": ("g.set(1.5)", names),
        "observe": ("h.record(0.3)", names),
    }


def one_thread(statement, names, seconds):
    """CPU nanoseconds a call."""
    timer = timeit.Timer(statement, timer=time.thread_time, globals=names)
    count = 200
    while (took := timer.timeit(count)) < seconds:
        count *= 4 if took < seconds / 8 else 2
    return took / count * 1e9


def eight_threads(statement, names, seconds):
    """Wall nanoseconds a call, over the calls of all threads."""
    count = max(200, int(seconds / THREADS / (one_thread(statement, names, seconds / 4) / 1e9)))
    loops = [timeit.Timer(statement, globals=names) for _ in range(THREADS)]
    ready = threading.Barrier(THREADS + 1)

    def run(loop):
        ready.wait()
        loop.timeit(count)

    threads = [threading.Thread(target=run, args=(loop,)) for loop in loops]
    for thread in threads:
        thread.start()
    ready.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    return (time.perf_counter() - began) / (count * THREADS) * 1e9


def heliograph_series(series):
    """(build, expose) of a counter with *series* children."""
    from heliograph.instruments import exposition
    from heliograph.instruments.metrics import Counter

    counter = Counter(
        "requests_total", "Requests", ["host", "job", "code", "id"], series_max=series
    )

    def build():
        for i in range(series):
            child = counter.labels(host=f"h{i % 100}", job="train", code="200", id=f"{i}")
            child.increment(i if i % 2 else i * 1.1)

    return build, lambda: exposition.render([counter])


def prometheus_series(series):
    """The same of prometheus_client, without the samples `_created`, which nobody scrapes."""
    import prometheus_client as client

    client.disable_created_metrics()
    registry = client.CollectorRegistry()
    names = ["host", "job", "code", "id"]
    counter = client.Counter("requests", "Requests", names, registry=registry)

    def build():
        for i in range(series):
            child = counter.labels(f"h{i % 100}", "train", "200", f"{i}")
            child.inc(i if i % 2 else i * 1.1)

    return build, lambda: client.generate_latest(registry)


def rss_bytes():
    """Resident memory now, or the most there ever was."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def peak_bytes():
    """The most that was ever resident."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def exposition(kind, series, rounds):
    """CPU milliseconds of an exposition, bytes a series, bytes a series more while exposing."""
    build, expose = (prometheus_series if kind == "prometheus_client" else heliograph_series)(
        series
    )
    before = rss_bytes()
    build()
    built = rss_bytes()
    spent = []
    for _ in range(rounds):
        began = time.thread_time()
        text = expose()
        spent.append(time.thread_time() - began)
    lines = [line for line in text.splitlines() if not line.startswith(b"#") and line]
    assert len(lines) == series, len(lines)
    return {
        "exposition": min(spent) * 1e3,
        "memory": (built - before) / series,
        "exposing": max(0, peak_bytes() - built) / series,
    }


def plain_cells():
    """Import the plain twin of the compiled cells, whether or not these are here."""
    import heliograph.kernels as kernels

    path = Path(kernels.__path__[0]) / "cells.py"
    spec = importlib.util.spec_from_file_location("heliograph.kernels.cells", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = kernels.cells = module
    spec.loader.exec_module(module)


def work(kind):
    """Answer requests on the standard input: a line of JSON each."""
    if kind == "plain":
        plain_cells()
    calls = {"prometheus_client": prometheus_calls, "opentelemetry": opentelemetry_calls}
    cases = calls.get(kind, heliograph_calls)()
    for line in sys.stdin:
        request = json.loads(line)
        if request["what"] == "exposition":
            answer = exposition(kind, request["series"], request["rounds"])
        elif request["what"] not in cases:
            answer = None
        else:
            measure = one_thread if request["threads"] == 1 else eight_threads
            answer = measure(*cases[request["what"]], request["seconds"])
        print(json.dumps(answer), flush=True)


class Worker:
    """A process that measures one implementation when it is asked to."""

    def __init__(self, kind):
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--worker", kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **request):
        """The answer to *request*."""
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self):
        """End it."""
        self._process.stdin.close()
        self._process.wait()


def importing(rounds):
    """Milliseconds that `import heliograph` takes beyond a bare interpreter; median of *rounds*."""

    def took(code):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return (time.perf_counter() - began) * 1e3

    used = "import heliograph; heliograph.counter('a').increment()"
    codes = ("pass", "import heliograph", used, "import prometheus_client")
    spent = {code: [] for code in codes}
    for _ in range(rounds):
        for code in codes:
            spent[code].append(took(code))
    bare = statistics.median(spent["pass"])
    return {code: statistics.median(spent[code]) - bare for code in codes[1:]}


def here():
    """The implementations that can be measured here."""
    from heliograph.kernels import cells

    modules = {"prometheus_client": "prometheus_client", "opentelemetry": "opentelemetry"}
    found = [k for k in KINDS if k not in modules or importlib.util.find_spec(modules[k])]
    return found if cells.COMPILED else [kind for kind in found if kind != "compiled"]


def row(case, threads, figures, unit):
    """Print a row: the figures, and what ours are against prometheus_client's and the goal."""
    cells = " ".join(f"{figures[k]:>10.1f}" if figures.get(k) else f"{'-':>10}" for k in KINDS)
    theirs = figures.get("prometheus_client")
    one, eight, plain = GOALS[case]
    told = []
    for kind, goal in (("compiled", one if threads == 1 else eight), ("plain", plain)):
        if theirs and figures.get(kind):
            ratio = theirs / figures[kind]
            wanted = goal if threads == 1 or kind == "compiled" else None
            verdict = (
                ""
                if wanted is None
                else f" (goal {wanted:g}{'' if ratio >= wanted else ', MISSED'})"
            )
            told.append(f"{kind} {ratio:.1f}x{verdict}")
    print(f"{case:20} {threads:>2} {cells} {unit:9} {', '.join(told)}")


def main():
    """Measure everything and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--series", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=0.05)
    parser.add_argument("--worker", choices=KINDS)
    args = parser.parse_args()
    if args.worker:
        return work(args.worker)
    workers = {kind: Worker(kind) for kind in here()}
    print(f"{'':23} {' '.join(f'{kind[:10]:>10}' for kind in KINDS)}")
    for threads in (1, THREADS):
        for case in CASES:
            best = {}
            for _ in range(args.rounds):
                for kind, worker in workers.items():
                    ns = worker.ask(what=case, threads=threads, seconds=args.seconds)
                    if ns is not None:
                        best[kind] = min(ns, best.get(kind, ns))
            row(case, threads, best, "ns")
    answers = {
        kind: worker.ask(what="exposition", series=args.series, rounds=3)
        for kind, worker in workers.items()
        if kind != "opentelemetry"
    }
    for worker in workers.values():
        worker.close()
    for case, unit in (("exposition", "ms"), ("memory", "B/series")):
        row(case, 1, {kind: answer[case] for kind, answer in answers.items()}, unit)
    shown = ", ".join(f"{kind} {answer['exposing']:.0f}" for kind, answer in answers.items())
    print(f"while exposing, B/series more: {shown}")
    for code, ms in importing(args.rounds * 2).items():
        goal = " (goal 10)" if code == "import heliograph" else ""
        print(f"{ms:6.1f} ms over bare Python: {code}{goal}")
    return None


if __name__ == "__main__":
    main()
