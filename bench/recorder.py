"""The recorder against sqlite3 and DuckDB doing the same work: what a call costs, and a query.

    python bench/recorder.py [--seconds 0.6] [--samples 10000000] [--folder DIR]

Calls: what a buffered `record_metric` takes of its caller's CPU, compiled and plain, with the usual
arguments. Recording: events and metrics, one thread and eight, durable call by call and buffered, and in batches;
the rate of fdatasync on the same folder is printed beside it, since durable calls cannot be faster
than it times the threads. The others commit once per call where we do, and per 1,000 rows as `batched`.
Queries: mean and p95 of one hour out of all samples, of one metric that has them all, and of 1,000
metrics; sqlite3 holds but ten hours around the one asked for. DuckDB is left out, by name, where it is not installed (pip install duckdb).
"""

import argparse
import contextlib
import importlib.util
import os
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from heliograph.core import labels as label
from heliograph.core.clock import SystemClock
from heliograph.core.samples import SampleBatch
from heliograph.kernels import metric_rows
from heliograph.recorder import BridgeTelemetry
from heliograph.recorder.wiring import folder as wiring_folder

CLOCK = SystemClock()
THREADS = 8
BATCH = 10_000
ROWS = 1_000
SPAN_S = 100 * 3600
ROUNDS = 5
# What sqlite3 is given of the span, around the hour asked for: loading all would take a minute. Its
# index finds the hour as fast in it, or a little faster.
SQLITE_S = 10 * 3600
HAS_DUCKDB = importlib.util.find_spec("duckdb") is not None


@contextlib.contextmanager
def recorder(folder: Path, **storage: Any) -> Iterator[BridgeTelemetry]:
    """A recorder on *folder*."""
    config = {
        "logger_config": {"enable_console": False, "log_path": folder / "journal.jsonl"},
        "storage_config": {
            "backend": "timeseries_db",
            "connection_string": str(folder / "data"),
            **storage,
        },
    }
    with BridgeTelemetry(config) as telemetry:
        yield telemetry


def rate(work: Callable[[int], None], seconds: float, threads: int, each: int = 1) -> float:
    """How often *work* was done a second by *threads*, counted *each* times."""
    counts = [0] * threads
    until_s = time.perf_counter() + seconds

    def run(place: int) -> None:
        while time.perf_counter() < until_s:
            for _ in range(16 if each == 1 else 1):
                work(place)
                counts[place] += each

    begun_s = time.perf_counter()
    running = [threading.Thread(target=run, args=(n,)) for n in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return sum(counts) / (time.perf_counter() - begun_s)


def syncs(folder: Path, seconds: float) -> float:
    """fdatasync of 200 bytes, a second."""
    fd = os.open(folder / "sync", os.O_WRONLY | os.O_CREAT)

    def one(_place: int) -> None:
        os.write(fd, b"x" * 200)
        os.fdatasync(fd)

    found = rate(one, seconds, 1)
    os.close(fd)
    return found


def told(what: str, found: float, beside: str = "") -> None:
    """One line of the report."""
    print(f"  {what:<44} {found:>12,.0f}/s {beside}")


def bench_recording(folder: Path, seconds: float) -> None:
    """Calls a second, ours and theirs."""
    batch = [("m", float(n)) for n in range(BATCH)]
    for durability in ("durable", "buffered"):
        print(f"recording, {durability}")
        with recorder(folder / durability, durability=durability) as telemetry:

            def metric(place: int, telemetry: BridgeTelemetry = telemetry) -> None:
                telemetry.record_metric(f"m{place}", 1.5)

            def event(place: int, telemetry: BridgeTelemetry = telemetry) -> None:
                telemetry.record_event(
                    {"event_type": "COMMAND", "source": "b", "data": {"n": place}}
                )

            def many(_place: int, telemetry: BridgeTelemetry = telemetry) -> None:
                telemetry.record_metrics(batch)

            for threads in (1, THREADS):
                fsync = syncs(folder, seconds / 3)
                beside = f"({fsync:,.0f} fdatasync/s)"
                told(f"metrics, {threads} threads", rate(metric, seconds, threads), beside)
                told(f"events, {threads} threads", rate(event, seconds, threads))
            told(f"metrics by {BATCH:,}", rate(many, seconds, 1, BATCH))


CALLS = 30_000
_SAME = {"command_type": "EXECUTE_TASK", "rank": 3}
_AT_S = 1_767_225_600.25
# What is recorded, as (value, context, timestamp) of call n.
SHAPES: dict[str, Callable[[int], tuple[Any, ...]]] = {
    "value": lambda _n: (1.5,),
    "value, the same context": lambda _n: (1.5, _SAME),
    "value, a new equal context": lambda _n: (1.5, {"command_type": "EXECUTE_TASK", "rank": 3}),
    "value, time in seconds": lambda n: (1.5, None, _AT_S + n * 1e-3),
    "value, time as text": lambda n: (1.5, None, f"2026-01-01T00:00:{n % 60:02}.{n:06}Z"),
    "value, time as datetime": lambda n: (
        1.5, None, datetime(2026, 1, 1, 0, n // 60 % 60, n % 60, tzinfo=UTC),
    ),
}  # fmt: skip


class _Empty:
    def method(self, _name: str, *_arguments: Any) -> None:
        """Nothing, as a measure of the machine as it is now."""


def bench_calls(folder: Path) -> None:
    """CPU of the caller of a buffered `record_metric`, with the kernel and with its plain twin. The
    clock of a machine varies, so an empty call, with the same loop around it, is timed beside."""
    print("buffered record_metric, µs of the caller's CPU (best of several)")
    empty = _Empty().method
    kernels = {"compiled": metric_rows} if metric_rows.COMPILED else {}
    for name, kernel in {**kernels, "plain": plain_twin()}.items():
        wiring_folder.metric_rows = kernel
        place = folder / f"calls-{name}"
        place.mkdir()
        with recorder(place, durability="buffered") as telemetry:
            for shape, of in SHAPES.items():
                arguments = [of(n) for n in range(CALLS)]
                spent = _calls_us(telemetry.record_metric, arguments, telemetry.flush)
                idle = _calls_us(empty, arguments, int)
                print(f"  {name:<9} {shape:<28} {spent:6.2f}   an empty method call {idle:.3f}")
    wiring_folder.metric_rows = metric_rows


def _calls_us(
    call: Callable[..., object], arguments: list[tuple[Any, ...]], after: Callable[[], object]
) -> float:
    spent = []
    for _ in range(ROUNDS):
        begun_s = time.thread_time()
        for one in arguments:
            call("one", *one)
        spent.append(time.thread_time() - begun_s)
        after()
    return min(spent) / len(arguments) * 1e6


def plain_twin() -> Any:
    """The kernel as Python, whether or not it was compiled."""
    path = Path(metric_rows.__file__).with_name("metric_rows.py")
    spec = importlib.util.spec_from_file_location("plain_metric_rows", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def bench_others(folder: Path, seconds: float) -> None:
    """The same rows into sqlite3 and DuckDB, a commit each and a commit per ROWS."""
    opened: dict[str, Any] = {"sqlite3": sqlite3.connect(folder / "s.db", isolation_level=None)}
    opened["sqlite3"].executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;")
    if HAS_DUCKDB:
        import duckdb

        opened["duckdb"] = duckdb.connect(str(folder / "d.duckdb"))
    else:
        print("duckdb is not installed: left out")
    rows = [("m", n, 1.5) for n in range(ROWS)]
    for name, connection in opened.items():
        print(name)
        connection.execute("CREATE TABLE samples (name TEXT, at_ns BIGINT, value DOUBLE)")

        def single(_place: int, db: Any = connection) -> None:
            db.execute("INSERT INTO samples VALUES ('m', 1, 1.5)")

        def batched(_place: int, db: Any = connection) -> None:
            db.execute("BEGIN")
            db.executemany("INSERT INTO samples VALUES (?, ?, ?)", rows)
            db.execute("COMMIT")

        told("metrics, a commit each", _alone(single, seconds))
        told(f"metrics, batched by {ROWS:,}", _alone(batched, seconds) * ROWS)
        connection.close()


def _alone(work: Callable[[int], None], seconds: float) -> float:
    count, begun_s = 0, time.perf_counter()
    while time.perf_counter() - begun_s < seconds:
        work(0)
        count += 1
    return count / (time.perf_counter() - begun_s)


def bench_queries(folder: Path, samples: int) -> None:
    """Mean and p95 of an hour out of *samples*, of 1 and of 1,000 metrics."""
    for metrics in (1, 1000):
        print(f"queries, {samples:,} samples of {metrics:,} metrics over {SPAN_S // 3600} h")
        place = folder / f"q{metrics}"
        now_s = CLOCK.now_ns() // 10**9
        place.mkdir()
        frames = list(_filling(samples, metrics, now_s))
        names = [f"m{n}" for n in range(metrics)]
        start_s = now_s - SPAN_S // 2
        ours = {}
        with recorder(place, durability="buffered") as telemetry:
            _fill(telemetry, frames, metrics)
            for aggregation in ("MEAN", "P95"):
                for asked in {1: names[:1], metrics: names}.values():
                    ours[aggregation, len(asked)] = _median_ms(
                        partial(
                            telemetry.get_metrics, asked, (start_s, start_s + 3600), aggregation
                        )
                    )
        beside = {name: open_() for name, open_ in _databases(place, frames, start_s).items()}
        for (aggregation, count), our_ms in ours.items():
            line = f"  {aggregation:<5} 1 h of {count:>5,} metrics   ours {our_ms:8.2f} ms"
            for name, database in beside.items():
                ms = _asked_ms(database, name, aggregation, count, start_s)
                line += f"   {name} {ms:8.2f} ms (×{ms / our_ms:.2g})" if ms else ""
            print(line)
        for database in beside.values():
            database.close()


def _filling(samples: int, metrics: int, now_s: int) -> Iterator[tuple[Any, Any, Any]]:
    values = np.random.default_rng(1)
    each = samples // metrics
    step_ns = SPAN_S * 10**9 // each
    for first in range(0, each, max(1, each // 10)):
        numbers = np.arange(first, min(first + max(1, each // 10), each))
        at_ns = np.repeat((now_s - SPAN_S) * 10**9 + numbers * step_ns, metrics)
        series = np.tile(np.arange(metrics, dtype=np.uint32), len(numbers))
        yield series, at_ns, values.normal(100, 15, len(at_ns)).round(2)


def _fill(telemetry: BridgeTelemetry, frames: list[Any], metrics: int) -> None:
    """Below the API, which would take a minute: what is timed here is reading."""
    stores: Any = telemetry.storage._stores
    ids = [stores._table.intern(label.pack(((label.NAME, f"m{n}"),))) for n in range(metrics)]
    of = np.array(ids, np.uint32)
    for series, at_ns, value in frames:
        with stores._writing, stores._storing:
            seq = stores._log.append_samples(SampleBatch(of[series], at_ns, value))
            stores._log.commit()
            stores._segments.append(SampleBatch(of[series], at_ns, value), seq)
            stores._segments.seal()
    stores.maintain()


_TABLE = "CREATE TABLE s (series INTEGER, at_ns BIGINT, value DOUBLE"


def _databases(folder: Path, frames: list[Any], start_s: int) -> dict[str, Callable[[], Any]]:
    low_ns = (start_s - SQLITE_S // 2) * 10**9
    high_ns = low_ns + SQLITE_S * 10**9

    def sqlite() -> Any:
        db = sqlite3.connect(folder / "s.db", isolation_level=None)
        db.execute(f"{_TABLE}, PRIMARY KEY (series, at_ns)) WITHOUT ROWID")
        for series, at_ns, value in frames:
            near = np.flatnonzero((at_ns >= low_ns) & (at_ns < high_ns))
            order = near[np.lexsort((at_ns[near], series[near]))]
            db.execute("BEGIN")
            columns = (column[order].tolist() for column in (series, at_ns, value))
            db.executemany("INSERT INTO s VALUES (?, ?, ?)", zip(*columns, strict=True))
            db.execute("COMMIT")
        return db

    def duck() -> Any:
        import duckdb

        db = duckdb.connect(str(folder / "d.duckdb"))
        db.execute(f"{_TABLE})")
        for series, at_ns, value in frames:
            db.register("frame", {"series": series, "at_ns": at_ns, "value": value})
            db.execute("INSERT INTO s SELECT series, at_ns, value FROM frame")
        return db

    return {"sqlite3": sqlite, **({"duckdb": duck} if HAS_DUCKDB else {})}


def _asked_ms(database: Any, name: str, aggregation: str, count: int, start_s: int) -> float:
    """The same question in SQL; 0 for p95 in sqlite3, which has none."""
    what = {"MEAN": "avg(value)", "P95": "quantile_cont(value, 0.95)"}[aggregation]
    if name == "sqlite3" and aggregation == "P95":
        return 0.0
    only = "series = 0" if count == 1 else f"series < {count}"
    if name == "sqlite3":
        # It seeks each hour then; of a range of series it would read all.
        only = f"series IN ({','.join(map(str, range(count)))})"
    sql = (
        f"SELECT series, {what} FROM s WHERE {only} "
        f"AND at_ns BETWEEN {start_s * 10**9} AND {(start_s + 3600) * 10**9} GROUP BY series"
    )
    return _median_ms(lambda: database.execute(sql).fetchall())


def _median_ms(work: Callable[[], Any]) -> float:
    spent = []
    for _ in range(ROUNDS):
        begun_s = time.perf_counter()
        work()
        spent.append(time.perf_counter() - begun_s)
    return 1e3 * sorted(spent)[ROUNDS // 2]


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--seconds", type=float, default=0.6, help="of each measure of recording"
    )
    parser.add_argument(
        "--samples", type=int, default=10_000_000, help="that queries go through"
    )
    parser.add_argument(
        "--folder", type=Path, help="where to write; a temporary one by default"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        for part in ("durable", "buffered"):
            (folder / part).mkdir()
        bench_calls(folder)
        bench_recording(folder, given.seconds)
        bench_others(folder, given.seconds)
        bench_queries(folder, given.samples)


if __name__ == "__main__":
    main()
