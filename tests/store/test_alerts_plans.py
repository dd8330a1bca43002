"""No question about alerts reads a whole table, and a kill loses nothing that was committed."""

import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from heliograph.alert.changes import Changes
from heliograph.alert.model import Status
from heliograph.core.clock import SystemClock
from heliograph.store.state import (
    alert_correlations,
    alert_counts,
    alert_events,
    alert_ledger,
    alert_pages,
    alert_silences,
    alert_statistics,
    alert_sums,
    alerts,
    catalogue,
)
from heliograph.store.state.alert_pages import Filters
from heliograph.store.state.lanes import Lane
from heliograph.store.state.state import State
from tests.store.test_alerts import alert, correlation, entry, silence
from tests.store.test_alerts_statistics import delta
from tests.store.test_state_schema import plans_of

CHANGES = Changes(
    alerts=[alert(1, ends_ns=1, updated_ns=1), alert(2, severity="info"), alert(3, ends_ns=4)],
    moved=[("a", 1, 1, 1)],
    entries=[entry(1)],
    correlations=[correlation("c", alert(1).id)],
    statistics=[delta(0), delta(1, "other")],
    silences=[silence("s")],
)
KINDS = {"severity": "info"}
QUERIES = [
    lambda tx: alerts.write(tx, CHANGES),
    lambda tx: alert_events.close(tx, 1),
    lambda tx: alert_events.one(tx, "a"),
    lambda tx: alert_correlations.of(tx, alert(1).id),
    lambda tx: alert_ledger.page(tx, alert_ledger.Filters(alert_id="a")),
    lambda tx: alert_silences.prune(tx, 1),
    lambda tx: alerts.archive(tx, 50),
    lambda tx: alerts.archive(tx, 0),
    lambda tx: alert_sums.roll(tx, 10**18),
    lambda tx: alert_sums.prune(tx, 10**18),
    *(
        lambda tx, f=filters: alert_pages.page(tx, f, now_ns=9)
        for filters in (
            Filters(alert_name="OOM", status=Status.RESOLVED),
            Filters(severity="critical", start_ns=0, status=Status.RESOLVED),
            Filters(workload_id="w", status=Status.RESOLVED),
            Filters(pod_name="w", workload_id="w", severity="critical", status=Status.RESOLVED),
            Filters(node_name="w", source="metric", status=Status.RESOLVED),
        )
    ),
    *(
        lambda tx, g=group_by, f=filters: alert_statistics.table(tx, g, f)
        for group_by in ((), ("day",), ("hour", "severity"), ("workload_id", "alert_name"))
        for filters in (
            alert_statistics.Filters(),
            alert_statistics.Filters(workload_id="w", severity="critical", end_ns=10**18),
        )
    ),
]


@pytest.mark.parametrize("query", QUERIES)
def test_no_query_reads_a_whole_table(tmp_path, clock, query):
    state = State.open(None, tmp_path, clock)
    state.write(lambda tx: alerts.write(tx, CHANGES), lane=Lane.ALERTS).result(10)
    plans = plans_of(state, query)
    state.close()
    assert plans
    # There are few kinds, and a search reads no more than it may merge.
    tables = set(catalogue.metadata.tables) - {"alert_kinds"} | {"s"}
    for statement, plan in plans:
        scans = [
            step
            for step in plan
            if step.startswith("SCAN") and step.split()[1] in tables and " USING " not in step
        ]
        assert not scans, (statement, plan)


@pytest.mark.parametrize(
    ("filters", "indexes"),
    [
        (Filters(), ["open", "closed"]),
        (Filters(status=Status.FIRING), ["open"]),
        (Filters(status=Status.RESOLVED), ["closed"]),
        (Filters(alert_name="OOM"), ["open", "kind"]),
        (Filters(workload_id="w", node_name="n"), ["open", "workload_id"]),
        (Filters(pod_name="p", node_name="n", severity="critical"), ["open", "pod_name"]),
    ],
)
def test_pages_walk_indexes_newest_first(tmp_path, clock, filters, indexes):
    """Neither a sort nor a row that the page does not show."""
    state = State.open(None, tmp_path, clock)
    state.write(
        lambda tx: alerts.write(tx, Changes(alerts=[alert(1, ends_ns=1), alert(2)])),
        lane=Lane.ALERTS,
    ).result(10)
    streams, _ = state.read(lambda tx: alert_pages._streams(tx, filters, 5))
    walked = plans_of(state, lambda tx: alert_pages._newest(tx, streams, 5))
    merged = plans_of(state, lambda tx: alert_pages._merged(tx, streams, 5, 5))
    state.close()
    steps = [step for _, plan in walked for step in plan]
    used = {step.partition("ix_alert_events_")[2].split()[0] for step in steps if "ix_" in step}
    assert used == set(indexes), steps
    assert not [step for step in steps if "TEMP B-TREE" in step], steps
    steps = [step for _, plan in merged for step in plan]
    assert used == {s.partition("ix_alert_events_")[2].split()[0] for s in steps if "ix_" in s}


def test_what_was_answered_survives_a_kill(tmp_path):
    """Killed at any instant: every committed step is there whole, and none in part."""
    code = """
import os, sys
from pathlib import Path
from heliograph.alert.changes import Changes
from heliograph.core.clock import SystemClock
from heliograph.store.state import alerts
from heliograph.store.state.lanes import Lane
from heliograph.store.state.state import State
from tests.store.test_alerts import alert, entry, outgoing
from tests.store.test_alerts_statistics import delta
state = State.open(None, Path(sys.argv[1]), SystemClock())
for n in range(10_000):
    made = [alert(n * 5 + i) for i in range(5)]
    changes = Changes(
        alerts=made, entries=[entry(n, alert_id=a.id) for a in made],
        outbox=[outgoing(f"g{n}")], statistics=[delta(0, firing=5)],
    )
    state.write(lambda tx: alerts.write(tx, changes), lane=Lane.ALERTS).result()
    print(n, flush=True)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout:
            if int(line) >= 20:
                process.kill()
                break
        answered = int(line) + 1
    with closing(State.open(None, tmp_path, SystemClock())) as state:
        while state.write(alert_counts.fold, lane=Lane.ALERTS).result(10):
            pass
        counted, _ = state.read(
            lambda tx: alert_statistics.table(tx, (), alert_statistics.Filters())
        )
    with closing(sqlite3.connect(tmp_path / "state.db")) as db:

        def count(what):
            return db.execute(f"SELECT {what}").fetchone()[0]

        steps = count("count(*) FROM alert_outbox")
        assert steps >= answered
        assert count("count(*) FROM alert_events") == steps * 5
        assert count("count(*) FROM alert_notifications") == steps * 5
    assert counted == [alert_statistics.Group({}, steps * 5, 0, 0)]
