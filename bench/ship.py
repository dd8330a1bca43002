"""What shipping costs a training: a step of the loop with and without it, its receiver up or down.

    python bench/ship.py [--series 1000] [--seconds 3] [--every 0.5]

The loop counts, observes and sets some dozen instruments a step and otherwise computes in Python,
which is the worst case: a step on a device holds the interpreter hardly at all. Every figure is of
the loop's own thread: microseconds of wall clock and of CPU a step, medians over steps, and the
99.9th percentile; then CPU seconds of the whole process, the shipper's threads among them. The
shipper reads more often here than the 15 s of its default, so that its part can be seen at all.
Receivers: a process that answers 204 at once; one that takes the connection and never answers;
none.
"""

import argparse
import contextlib
import http.server
import multiprocessing
import socket
import statistics
import tempfile
import time
from pathlib import Path

import heliograph.ship
from _shared import free_port, machine
from heliograph.instruments.collector import TelemetryCollector
from heliograph.instruments.steps import track_step
from heliograph.ship import block, write_request

LOOP = 400


class Answer(http.server.BaseHTTPRequestHandler):
    """204 to whatever is posted."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def receive(port):
    """The body of the receiver's process."""
    http.server.ThreadingHTTPServer(("127.0.0.1", port), Answer).serve_forever()


@contextlib.contextmanager
def receiver(kind):
    """The URL of a receiver of *kind*: up, down, silent."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/api/v1/write"
    if kind == "up":
        process = multiprocessing.get_context("spawn").Process(target=receive, args=(port,))
        process.start()
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
        yield url
        process.kill()
        process.join()
    elif kind == "silent":
        with socket.create_server(("127.0.0.1", port)):
            yield url
    else:
        yield url


def filled(series):
    """A collector with *series* series, and the instruments of the loop."""
    collector = TelemetryCollector(labels={"rank": "3", "job_id": "917", "node": "gpu-04"})
    many = collector.register_gauge("expert_load", "Load of an expert")
    for n in range(series):
        many.labels(layer=str(n // 64), expert=str(n % 64)).set(n / 7)
    return collector


def steps(collector, seconds):
    """(wall, CPU) microseconds of every step of a loop of *seconds*."""
    counter = collector.register_counter("batches_total")
    histogram = collector.register_histogram("load_seconds")
    gauge = collector.register_gauge("queue_size")
    wall_us, cpu_us = [], []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        began, began_cpu = time.perf_counter(), time.thread_time()
        with track_step(collector, tokens=4096, samples=8) as step:
            total = 0.0
            for n in range(LOOP):
                total += n * 0.5
            counter.increment()
            histogram.observe(total / 1e6)
            gauge.set(total)
            step.report(loss=total, grad_norm=1.0)
        cpu_us.append((time.thread_time() - began_cpu) * 1e6)
        wall_us.append((time.perf_counter() - began) * 1e6)
    return wall_us, cpu_us


def measure(name, series, seconds, every, kind):
    """One line of the table."""
    with tempfile.TemporaryDirectory() as folder, receiver(kind) as url:
        collector = filled(series)
        shipper = None
        if kind != "off":
            shipper = heliograph.ship.to(
                url, collector=collector, every_s=every, spool_dir=Path(folder), timeout_s=2
            )
        cpu_s = time.process_time()
        wall_us, cpu_us = steps(collector, seconds)
        cpu_s = time.process_time() - cpu_s - sum(cpu_us) / 1e6
        tail = sorted(wall_us)[int(len(wall_us) * 0.999)]
        told = ""
        if shipper is not None:
            counts = shipper.counts
            told = (
                f"{counts.collections:4} readings of {1000 * counts.collect_s:.1f} ms, "
                f"{counts.collected:,} samples read, {counts.delivered:,} delivered"
            )
            began = time.perf_counter()
            shipper.close(2)
            told += f", closed in {time.perf_counter() - began:.2f} s"
        print(
            f"  {name:18}{statistics.median(wall_us):8.2f}{statistics.median(cpu_us):8.2f}"
            f"{tail:9.1f}{len(wall_us) / seconds:10.0f}{cpu_s:9.3f}  {told}"
        )


def encoding(series):
    """What one reading costs, by part."""
    collector = filled(series)
    encoder = write_request.Encoder({"rank": "3"})
    now_ms = 1_795_311_305_000
    for name in ("first", "later"):
        began = time.perf_counter()
        families = collector.families()
        read = time.perf_counter()
        requests = list(encoder.encode(families, now_ms))
        encoded = time.perf_counter()
        raw = sum(len(request.raw) for request in requests)
        bodies = [block.literally(request.raw) for request in requests]
        packed = time.perf_counter()
        print(
            f"  {name}: read {1e3 * (read - began):.2f} ms, encoded {1e3 * (encoded - read):.2f} ms, "
            f"as literals {1e3 * (packed - encoded):.2f} ms; {raw / 1e3:,.0f} kB, "
            f"{sum(map(len, bodies)) - raw} more as literals"
        )
        now_ms += 15_000


def main():
    """All of it."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--series", type=int, default=1000)
    arguments.add_argument("--seconds", type=float, default=3)
    arguments.add_argument("--every", type=float, default=0.5)
    given = arguments.parse_args()
    print(machine())
    print(f"one reading of {given.series} series")
    encoding(given.series)
    print(f"a step of the loop, shipping every {given.every} s")
    print("                     wall µs  CPU µs  p99.9 µs  steps/s  other CPU s")
    for name, kind in (
        ("not shipped", "off"),
        ("receiver up", "up"),
        ("receiver down", "down"),
        ("receiver silent", "silent"),
    ):
        measure(name, given.series, given.seconds, given.every, kind)


if __name__ == "__main__":
    main()
