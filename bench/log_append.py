"""The durable log: what appending and reading cost, and how long a sync takes.

    .venv/bin/python bench/log_append.py [folder] [frames]

Frames of 2,000 samples of 100,000 series, one commit a frame; CPU seconds are of the whole process.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from heliograph.core import labels
from heliograph.core.clock import SystemClock
from heliograph.core.samples import SampleBatch
from heliograph.core.series import SeriesTable
from heliograph.store.log.disk import Disk
from heliograph.store.log.log import Log, LogLimits

SAMPLES, SERIES = 2000, 100_000


class TimedDisk(Disk):
    """Notes how long each sync took, in milliseconds."""

    def __init__(self):
        self.sync_ms = []

    def sync(self, fd):
        began = time.perf_counter()
        super().sync(fd)
        self.sync_ms.append((time.perf_counter() - began) * 1e3)


def cpu_s():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def batches(table):
    ids = [
        table.intern(
            labels.pack((("__name__", "gpu_util"), ("instance", f"n{n}:9100"), ("gpu", "0")))
        )
        for n in range(SERIES)
    ]
    series = np.array(ids, np.uint32).reshape(-1, SAMPLES)
    value = np.random.default_rng(1).random(SAMPLES)
    return [SampleBatch(row, np.full(SAMPLES, 1), value) for row in series]


def append(log, disk, rows, frames, label):
    disk.sync_ms.clear()
    commit_ms, began, cpu = [], time.perf_counter(), cpu_s()
    for number in range(frames):
        log.append_samples(rows[number % len(rows)])
        start = time.perf_counter()
        log.commit()
        commit_ms.append((time.perf_counter() - start) * 1e3)
    cpu, wall = cpu_s() - cpu, time.perf_counter() - began
    p50, p99 = np.percentile(disk.sync_ms, [50, 99])
    c50, c99 = np.percentile(commit_ms, [50, 99])
    print(
        f"append, {label}: {frames * SAMPLES / cpu / 1e6:.1f} M samples/CPU-s, "
        f"{frames * SAMPLES / wall / 1e6:.1f} M/s wall; fsync p50 {p50:.2f} ms p99 {p99:.2f} ms; "
        f"commit p50 {c50:.2f} ms p99 {c99:.2f} ms"
    )


def read(log, label):
    reader, samples = log.reader(0), 0
    began, cpu = time.perf_counter(), cpu_s()
    while frames := reader.read(bytes_max=4 << 20):
        samples += sum(f.samples.count for f in frames)
    cpu, wall = cpu_s() - cpu, time.perf_counter() - began
    print(
        f"read, {label}: {samples / cpu / 1e6:.1f} M samples/CPU-s, {samples / wall / 1e6:.1f} M/s wall"
    )


def main():
    chosen = sys.argv[1] if len(sys.argv) > 1 else None
    frames = int(sys.argv[2]) if len(sys.argv) > 2 else 2000
    with tempfile.TemporaryDirectory(dir=chosen) as folder:
        table, disk = SeriesTable(SERIES), TimedDisk()
        limits = LogLimits(memory_bytes_max=4 << 20)
        log = Log(Path(folder), table, SystemClock(), limits, disk=disk)
        log.open()
        rows = batches(table)
        append(log, disk, rows, len(rows), "first use of each series")
        append(log, disk, rows, frames, "steady")
        read(log, "same process, from disk")
        log.close()
        again = Log(Path(folder), SeriesTable(SERIES), SystemClock())
        began = time.perf_counter()
        again.open()
        print(f"open: {time.perf_counter() - began:.3f} s for {again.disk_bytes >> 20} MiB")
        read(again, "new process, labels interned")


if __name__ == "__main__":
    main()
