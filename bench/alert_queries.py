"""The alert tables at a million episodes: what a new alert costs, and how long a question takes.

    python bench/alert_queries.py [--episodes 1000000] [--rounds 20] [--url postgresql+psycopg://…]
    python bench/alert_queries.py --keep FOLDER      # build there once, ask again

Episodes of 90 days: 60 names, 3 severities, 5 sources, 3 clusters, 200 workloads of 100 pods on
500 nodes, spread evenly, which is the worst case for statistics (nearly every row is one
episode's). Each lasts some milliseconds up to an hour. Questions are asked in turn, each *rounds* times; wall-clock milliseconds.
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import text

from _shared import machine
from heliograph.alert.changes import Changes, StatDelta
from heliograph.alert.model import Alert, Context, Status
from heliograph.core import labels
from heliograph.core.clock import SystemClock
from heliograph.store.state import (
    alert_events,
    alert_pages,
    alert_statistics,
    alert_sums,
    alerts,
    batches,
)
from heliograph.store.state.lanes import Lane
from heliograph.store.state.state import State

DAY_NS = 86_400_000_000_000
DAYS = 90
NOW_NS = 1_790_000_000_000_000_000
OPEN = 10_000
# Alerts of one transaction as the service commits them, and while building.
BATCH = 300
BUILD_BATCH = 6000
SEVERITIES = ("critical", "warning", "info")
SOURCES = ("metric", "log", "trace", "webhook", "event")
RAW = b'{"status":"firing","labels":{"alertname":"x"},"annotations":{"summary":"x"}}' * 8


def episodes(count: int, draw: random.Random, *, start_ns: int, end_ns: int) -> Iterator[Alert]:
    """*count* episodes whose starts are spread over `[start_ns, end_ns)`, oldest first."""
    step_ns = (end_ns - start_ns) // count
    for n in range(count):
        name, workload = draw.randrange(60), draw.randrange(200)
        pod, node = (
            f"job-{workload}-worker-{draw.randrange(100)}",
            f"gpu-node-{draw.randrange(500)}",
        )
        at_ns = start_ns + n * step_ns + draw.randrange(step_ns)
        took_ns = draw.randrange(1, 3_600_000) * 1_000_000
        severity, source = SEVERITIES[name % 3], SOURCES[name % 5]
        set_ = labels.of(
            {
                "alertname": f"Alert{name}",
                "severity": severity,
                "cluster": f"c{name % 3}",
                "job": "dcgm",
                "namespace": "train",
                "pod": pod,
                "node": node,
                "gpu": str(n % 8),
                "workload_id": f"job-{workload}",
                "n": str(n),
            }
        )
        fingerprint = f"{draw.getrandbits(128):032x}"
        yield Alert(
            id=f"{at_ns:016x}{fingerprint[:12]}",
            fingerprint=fingerprint,
            source=source,
            labels=set_,
            annotations=(("description", "it is hot on " + node), ("summary", "too hot")),
            starts_ns=at_ns,
            ends_ns=at_ns + took_ns,
            timed_out=False,
            created_ns=at_ns,
            updated_ns=at_ns + took_ns,
            severity=severity,
            context=Context(
                workload_id=f"job-{workload}",
                pod_name=pod,
                node_name=node,
                cluster_name=f"c{name % 3}",
            ),
            entities=(f"workload:job-{workload}", f"node:{node}"),
            raw=RAW,
            enriched=b'{"node":"' + node.encode() + b'"}',
        )


def told(made: list[Alert]) -> Changes:
    """What the engine hands over for *made*: the episodes and what they add to the statistics."""
    deltas = []
    for each in made:
        where = (each.name, each.source, each.severity)
        whose = (each.context.workload_id, each.context.cluster_name)
        over = each.ends_ns is not None
        took_ns = each.ends_ns - each.starts_ns if over else 0
        deltas.append(StatDelta(each.starts_ns, *where, *whose, 1, int(over), took_ns))
    return Changes(alerts=made, statistics=deltas)


def write_all(state: State, made: list[Alert], size: int) -> None:
    """Commit *made*, *size* a transaction."""
    for some in batches.cut(made, size):
        changes = told(list(some))
        state.write(lambda tx, c=changes: alerts.write(tx, c), lane=Lane.ALERTS).result()


def build(state: State, count: int) -> None:
    """Fill *state*: the indexes of the history are made at the end, which is faster."""
    late = [i for i in alert_events.EVENTS.indexes if i.name != "ix_alert_events_id"]
    for index in late:
        state.write(lambda tx, i=index: i.drop(tx), lane=Lane.CONTROL).result()
    draw = random.Random(1)
    made: list[Alert] = []
    for each in episodes(count, draw, start_ns=NOW_NS - DAYS * DAY_NS, end_ns=NOW_NS - DAY_NS):
        made.append(each)
        if len(made) == BUILD_BATCH:
            write_all(state, made, BUILD_BATCH)
            made.clear()
    write_all(state, made, BUILD_BATCH)
    for index in late:
        state.write(lambda tx, i=index: i.create(tx), lane=Lane.CONTROL).result()
    roll(state)
    if not state.on_sqlite:
        state.write(lambda tx: tx.execute(text("ANALYZE")), lane=Lane.CONTROL).result()


def roll(state: State) -> None:
    """What the maintenance does every hour."""
    before_ns = NOW_NS - DAY_NS
    while state.write(lambda tx: alert_sums.roll(tx, before_ns), lane=Lane.RETENTION).result():
        pass


def costs(state: State, count: int) -> None:
    """Print what a new, a moved and a closing episode cost on the writer, in CPU microseconds."""
    draw = random.Random(2)
    made = list(episodes(count, draw, start_ns=NOW_NS - 3_600_000_000_000, end_ns=NOW_NS))
    fresh = [
        Alert(**{**{f: getattr(each, f) for f in each.__struct_fields__}, "ends_ns": None})
        for each in made
    ]
    pieces = [Changes(alerts=list(some)) for some in batches.cut(fresh, BATCH)]
    counted = [Changes(statistics=told(list(s)).statistics) for s in batches.cut(fresh, BATCH)]
    moved = [
        [(each.id, NOW_NS + 1, NOW_NS, 2) for each in some]
        for some in batches.cut(fresh, BATCH)
    ]
    for name, works in (
        ("new episode", [lambda tx, c=c: alerts.write(tx, c) for c in pieces]),
        ("  its statistics", [lambda tx, c=c: alerts.write(tx, c) for c in counted]),
        ("moved", [lambda tx, m=m: alerts.checkpoint(tx, m) for m in moved]),
        (
            "closed",
            [lambda tx: alert_events.close(tx, NOW_NS + 2)] * (count // alert_events.CLOSE_MAX),
        ),
        (
            "archived",
            [lambda tx: alerts.archive(tx, NOW_NS - 89 * DAY_NS)]
            * (5000 // alerts.ARCHIVE_MAX),
        ),
    ):
        took = []
        cpu_s = time.process_time()
        for work in works:
            began = time.perf_counter()
            state.write(work, lane=Lane.ALERTS).result()
            took.append((time.perf_counter() - began) * 1e3)
        rows = 5000 if name == "archived" else count
        cpu_us = (time.process_time() - cpu_s) / rows * 1e6
        print(f"  {name:20}{cpu_us:7.1f} CPU-us a row; transaction {shown(took)}")


def shown(took_ms: list[float]) -> str:
    """Median and 99th percentile."""
    p99 = statistics.quantiles(took_ms, n=100)[98] if len(took_ms) > 1 else took_ms[0]
    return f"p50 {statistics.median(took_ms):7.2f} ms   p99 {p99:7.2f} ms"


def questions() -> Iterator[tuple[str, dict, int]]:
    """Filters of lists, with an offset."""
    for filters in (
        {},
        {"severity": "critical"},
        {"source": "log"},
        {"alert_name": "Alert7"},
        {"cluster_name": "c1"},
        {"workload_id": "job-7"},
        {"pod_name": "job-7-worker-7"},
        {"node_name": "gpu-node-7"},
        {"status": Status.FIRING},
        {"status": Status.RESOLVED},
        {"severity": "critical", "status": Status.FIRING},
        {"severity": "critical", "status": Status.RESOLVED},
        {"workload_id": "job-7", "status": Status.FIRING},
        {"workload_id": "job-7", "severity": "info"},
        {"workload_id": "job-7", "node_name": "gpu-node-7"},
        {"source": "log", "severity": "none"},
        {"start_ns": NOW_NS - 50 * DAY_NS, "end_ns": NOW_NS - 49 * DAY_NS},
        {"start_ns": NOW_NS - 50 * DAY_NS, "end_ns": NOW_NS - 20 * DAY_NS, "severity": "info"},
        {"end_ns": NOW_NS - 80 * DAY_NS, "cluster_name": "c2"},
    ):
        for offset in (0, 9000):
            yield " ".join(f"{k}={v}" for k, v in filters.items()) or "all", filters, offset


GROUPS = (
    (),
    ("hour",),
    ("day",),
    ("alert_name",),
    ("severity",),
    ("source",),
    ("workload_id",),
    ("cluster_name",),
    ("day", "severity"),
    ("hour", "severity"),
    ("day", "workload_id"),
    ("hour", "workload_id"),
    ("workload_id", "severity"),
    ("workload_id", "alert_name"),
    ("day", "workload_id", "alert_name"),
)
STATISTICS = (
    {},
    {"workload_id": "job-7"},
    {"alert_name": "Alert7"},
    {"start_ns": NOW_NS - 47 * DAY_NS + 5, "end_ns": NOW_NS - 12 * DAY_NS + 7},
)


def ask(state: State, rounds: int) -> None:
    """Print the latency of every question; those over 50 ms are marked."""
    asked = []
    for name, filters, offset in questions():
        wanted = alert_pages.Filters(**filters)
        asked.append(
            (
                f"{name} @{offset}" if offset else name,
                lambda tx, w=wanted, o=offset: alert_pages.page(tx, w, now_ns=NOW_NS, offset=o),
            )
        )
    for filters in STATISTICS:
        for group_by in GROUPS:
            wanted = alert_statistics.Filters(**filters)
            name = f"by {','.join(group_by) or 'nothing'} of {' '.join(filters) or 'all'}"
            asked.append(
                (name, lambda tx, g=group_by, w=wanted: alert_statistics.table(tx, g, w))
            )
    worst: list[float] = []
    for name, work in asked:
        took = []
        for _ in range(rounds):
            began = time.perf_counter()
            answer = state.read(work)
            took.append((time.perf_counter() - began) * 1e3)
        worst += took
        mark = "  <-- over 50 ms" if statistics.median(took) > 50 else ""
        print(f"  {name:70}{shown(took)}   total {answer[1]:6}{mark}")
    print(f"  {'all questions':70}{shown(worst)}")


def main() -> None:
    """Build, write, ask."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--episodes", type=int, default=1_000_000)
    options.add_argument("--rounds", type=int, default=20)
    options.add_argument("--url", default=None)
    options.add_argument("--keep", type=Path, default=None)
    args = options.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        data_dir = args.keep or Path(folder)
        data_dir.mkdir(exist_ok=True)
        state = State.open(args.url, data_dir, SystemClock())
        everything = alert_pages.Filters()
        there = state.read(lambda tx: alert_pages.page(tx, everything, now_ns=NOW_NS)).total
        if not there:
            began = time.perf_counter()
            build(state, args.episodes)
            print(f"built {args.episodes} episodes in {time.perf_counter() - began:.0f} s")
            costs(state, 30_000)
            draw = random.Random(3)
            still = episodes(OPEN, draw, start_ns=NOW_NS - DAY_NS, end_ns=NOW_NS)
            write_all(
                state,
                [
                    Alert(
                        **{**{f: getattr(e, f) for f in e.__struct_fields__}, "ends_ns": None}
                    )
                    for e in still
                ],
                BATCH,
            )
        ask(state, args.rounds)
        state.close()


if __name__ == "__main__":
    sys.exit(main())
