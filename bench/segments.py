"""Segments: what a sample costs to keep and to read back.

    python bench/segments.py [--series 10000] [--points 100]

Prints samples per CPU second of append + seal, bytes a sample, roll-up and compaction speed, the
time to open, and the latency of queries over one hour of 1 and of 1000 series (head, then files).
Batches are as remote write brings them: 500 samples, all series in turn, 40 % integer gauges,
30 % two-decimal walks, 20 % counters, 10 % noise.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from heliograph.core import labels as label
from heliograph.core.clock import ManualClock
from heliograph.core.matcher import Matcher
from heliograph.core.samples import SampleBatch
from heliograph.core.series import SeriesTable
from heliograph.store.segments.store import Retention, SegmentStore

BATCH = 500
STEP_NS = 15 * 10**9
START_NS = 1_767_225_600_000_000_000


def values(rng, series, points):
    """(points, series) of values; the kind goes by the series."""
    kind = np.arange(series) % 10
    out = np.empty((points, series))
    walk = rng.normal(0, 1, (points, series)).cumsum(0)
    out[:] = np.round(50 + walk)
    out[:, (kind >= 4) & (kind < 7)] = np.round(100 + walk, 2)[:, (kind >= 4) & (kind < 7)]
    counters = (kind >= 7) & (kind < 9)
    out[:, counters] = rng.integers(0, 1000, (points, counters.sum())).cumsum(0)
    out[:, kind == 9] = rng.normal(0, 1, (points, (kind == 9).sum()))
    return out


def cpu(call):
    begun = time.process_time()
    result = call()
    return time.process_time() - begun, result


def median_ms(call, times=20):
    took = []
    for _ in range(times):
        begun = time.perf_counter()
        call()
        took.append((time.perf_counter() - begun) * 1e3)
    return statistics.median(took)


def queries(store, end_ns):
    start_ns = end_ns - 3600 * 10**9
    one = [Matcher("__name__", "=", "metric_3"), Matcher("gpu", "=", "gpu-1003")]
    many = [Matcher("__name__", "=", "metric_3")]
    for name, matchers in (("1 series", one), ("1000 series", many)):
        found = store.select(matchers, start_ns, end_ns, samples_max=10**7)
        samples = sum(len(s.at_ns) + s.rows.rows for s in found.series)
        took = median_ms(
            lambda m=matchers: store.select(m, start_ns, end_ns, samples_max=10**7)
        )
        print(
            f"  select {name:12} {took:8.2f} ms   ({len(found.series)} series, {samples} samples)"
        )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--series", type=int, default=10_000)
    parser.add_argument("--points", type=int, default=100)
    args = parser.parse_args()
    rng = np.random.default_rng(1)
    table, clock = SeriesTable(10**6), ManualClock(START_NS)
    packed = [
        label.pack(
            label.of(
                {
                    "__name__": f"metric_{n % 10}",
                    "gpu": f"gpu-{n}",
                    "node": f"node-{n // 80}",
                    "job": "dcgm",
                    "cluster": "main",
                }
            )
        )
        for n in range(args.series)
    ]
    ids = np.array([table.intern(one) for one in packed], np.uint32)
    value = values(rng, args.series, args.points)
    jitter_ns = rng.integers(0, 15_000, args.series) * 10**6
    with tempfile.TemporaryDirectory() as folder:
        store = SegmentStore(Path(folder), table, Retention(), clock)
        batches = [
            SampleBatch(
                ids[a : a + BATCH],
                START_NS + p * STEP_NS + jitter_ns[a : a + BATCH],
                value[p, a : a + BATCH],
            )
            for p in range(args.points)
            for a in range(0, args.series, BATCH)
        ]
        end_ns = START_NS + args.points * STEP_NS + STEP_NS
        clock.set_wall(end_ns)
        samples = args.series * args.points

        def append():
            for seq, batch in enumerate(batches):
                store.append(batch, seq)

        append_s, _ = cpu(append)
        print("head")
        queries(store, end_ns)
        seal_s, _ = cpu(store.seal)
        size = sum(store.stats().size_bytes.values())
        print(
            f"append {samples / append_s / 1e6:.2f} M/CPU-s, seal {samples / seal_s / 1e6:.2f} M/CPU-s, "
            f"both {samples / (append_s + seal_s) / 1e6:.2f} M/CPU-s, {size / samples:.2f} B/sample"
        )
        queries(store, end_ns)
        clock.advance(86400 * 6.9)
        took_s, done = cpu(lambda: store.maintain(cuts=lambda *_: (), dirty=()))
        print(f"roll-ups {samples / took_s / 1e6:.2f} M samples/CPU-s ({done})")
        clock.advance(86400)
        took_s, done = cpu(lambda: store.maintain(cuts=lambda *_: (), dirty=()))
        print(f"rows {store.stats().size_bytes} bytes")
        queries(store, end_ns)
        opened = median_ms(lambda: SegmentStore(Path(folder), table, Retention(), clock), 5)
        print(f"open {opened:.2f} ms")
        for n in range(500):
            at = START_NS - n * 7200 * 10**9
            (Path(folder) / f"raw-1.{at}.{at + 7200 * 10**9}.0.0.{n + 1000}.seg").write_bytes(
                b"x" * 50
            )
        opened = median_ms(lambda: SegmentStore(Path(folder), table, Retention(), clock), 5)
        print(f"open with 500 more files {opened:.2f} ms")


if __name__ == "__main__":
    main()
