"""Statistics: every grouping of every filter is what a recount of the deltas says, on both engines."""

import random
from collections import defaultdict

import pytest

from heliograph.alert.changes import Changes, StatDelta
from heliograph.core.errors import Refused
from heliograph.store.state import alert_counts, alert_statistics, alerts
from heliograph.store.state.alert_statistics import (
    DAY_NS,
    DURATION_MAX_NS,
    ERA_NS,
    GROUP_BY,
    HOUR_NS,
    Filters,
    Group,
)
from heliograph.store.state.lanes import Lane

ORIGIN_NS = 20_000 * DAY_NS
QUESTIONS = 60


def add(state, deltas):
    changes = Changes(statistics=deltas)
    state.write(lambda tx: alerts.write(tx, changes), lane=Lane.ALERTS).result(20)
    fold(state)


def fold(state):
    while state.write(alert_counts.fold, lane=Lane.ALERTS).result(20):
        pass


def table(state, group_by, filters=None, **page):
    return state.read(
        lambda tx: alert_statistics.table(tx, group_by, filters or Filters(), **page)
    )


def delta(hour_ns, name="OOM", workload="w", **more):
    given = {"source": "metric", "severity": "critical", "cluster_name": "c", "firing": 1}
    return StatDelta(hour_ns, name, **{"workload_id": workload, **given, **more})


def some_deltas(draw, count, hours):
    return [
        StatDelta(
            hour_ns=ORIGIN_NS + draw.randrange(hours) * HOUR_NS,
            alert_name=draw.choice(["A", "B", "C", ""]),
            source=draw.choice(["metric", "log"]),
            severity=draw.choice(["critical", "info", ""]),
            workload_id=draw.choice(["w-1", "w-2", "w-3", ""]),
            cluster_name=draw.choice(["c", ""]),
            firing=draw.randrange(3),
            resolved=draw.randrange(3),
            duration_ns=draw.randrange(10**15),
        )
        for _ in range(count)
    ]


def value(name, each):
    if name == "hour":
        return each.hour_ns
    if name == "day":
        return each.hour_ns - each.hour_ns % DAY_NS
    return getattr(each, name)


def recount(deltas, group_by, filters):
    found = defaultdict(lambda: [0, 0, 0])
    for each in deltas:
        if filters.start_ns is not None and each.hour_ns < filters.start_ns:
            continue
        if filters.end_ns is not None and each.hour_ns >= filters.end_ns:
            continue
        wanted = {k: v for k, v in filters._asdict().items() if k[-3:] != "_ns"}
        if any(v is not None and getattr(each, k) != v for k, v in wanted.items()):
            continue
        counts = found[tuple(value(name, each) for name in group_by)]
        for n, more in enumerate((each.firing, each.resolved, each.duration_ns)):
            counts[n] += more
    timed = next((n for n, name in enumerate(group_by) if name in {"hour", "day"}), None)

    def order(item):
        key, counts = item
        return (0 if timed is None else -key[timed], [-n for n in counts], key)

    return [
        Group(dict(zip(group_by, key, strict=True)), *counts)
        for key, counts in sorted(found.items(), key=order)
    ]


def some_question(draw):
    names = draw.sample(GROUP_BY, draw.randint(0, 4))
    if {"hour", "day"} <= set(names):
        names.remove("hour")
    values = {
        "alert_name": ["A", "none", ""],
        "source": ["metric"],
        "severity": ["info"],
        "workload_id": ["w-1", "", "none"],
        "cluster_name": ["c"],
        "start_ns": [ORIGIN_NS + n * HOUR_NS + 1 for n in (-9, 30, 300, 2000)],
        "end_ns": [ORIGIN_NS + n * HOUR_NS - 1 for n in (40, 500, 3500, 9999)],
    }
    given = draw.sample(list(values), draw.randint(0, 3))
    return tuple(names), Filters(**{name: draw.choice(values[name]) for name in given})


@pytest.mark.parametrize(("count", "hours"), [(40, 1), (200, 60), (300, 4000)])
def test_statistics_are_what_a_recount_says(state, count, hours):
    draw = random.Random(count)
    deltas = some_deltas(draw, count, hours)
    for start in range(0, count, 50):
        add(state, deltas[start : start + 50])
    single = [((name,), Filters()) for name in GROUP_BY]
    for group_by, filters in single + [some_question(draw) for _ in range(QUESTIONS)]:
        expected = recount(deltas, group_by, filters)
        found, total = table(state, group_by, filters, limit=1000)
        assert (found, total) == (expected[:1000], len(expected)), (group_by, filters)
        offset, limit = draw.randint(0, 9), draw.randint(0, 9)
        page, _ = table(state, group_by, filters, offset=offset, limit=limit)
        assert page == expected[offset : offset + limit]


def test_days_are_the_sums_of_their_hours(state):
    draw = random.Random(7)
    add(state, some_deltas(draw, 300, 24 * 20))
    hours, _ = table(state, ("hour", "severity"), limit=1000)
    days, _ = table(state, ("day", "severity"), limit=1000)
    summed = defaultdict(int)
    for each in hours:
        day = each.names["hour"] - each.names["hour"] % DAY_NS
        summed[day, each.names["severity"]] += each.duration_ns
    assert {(d.names["day"], d.names["severity"]): d.duration_ns for d in days} == summed


def test_nothing_is_nothing(state):
    assert table(state, ("hour",)) == ([], 0)
    add(state, [delta(ORIGIN_NS)])
    assert table(state, ("hour",), Filters(end_ns=ORIGIN_NS)) == ([], 0)
    assert table(state, (), Filters(start_ns=ORIGIN_NS + 1)) == ([], 0)
    assert table(state, (), Filters(workload_id="none")) == ([], 0)


def test_long_names_and_old_hours(state):
    name, workload = "n" * 2000 + "\x00", "\ud800"
    add(state, [delta(-5 * HOUR_NS + 7, name, workload)] * 2)
    found, total = table(state, ("hour", "day")[:1])
    assert (found, total) == ([Group({"hour": -5 * HOUR_NS}, 2, 0, 0)], 1)
    by_day, _ = table(state, ("day", "workload_id"), Filters(alert_name=name))
    assert by_day == [Group({"day": -DAY_NS, "workload_id": workload}, 2, 0, 0)]


def test_groups_are_bounded_newest_first(state, monkeypatch):
    monkeypatch.setattr(alert_statistics, "TOTAL_MAX", 30)
    add(state, [delta(ORIGIN_NS + n * HOUR_NS, workload=f"w-{n % 3}") for n in range(100)])
    found, total = table(state, ("hour",), offset=25, limit=50)
    assert total == 30
    newest = [ORIGIN_NS + n * HOUR_NS for n in range(99, -1, -1)]
    assert [each.names["hour"] for each in found] == newest[25:30]
    with pytest.raises(Refused) as told:
        table(state, ("hour",), offset=31)
    assert told.value.field == "offset"


@pytest.mark.parametrize("group_by", [("hour", "day"), ("pod",), ("day", "day"), ("start_ns",)])
def test_what_cannot_be_grouped_by_is_refused(state, group_by):
    with pytest.raises(Refused) as told:
        table(state, group_by)
    assert told.value.field == "group_by"


def test_old_eras_go_in_pieces(state):
    deltas = [delta(ORIGIN_NS + n * 8 * DAY_NS, workload=f"w-{n}") for n in range(30)]
    add(state, deltas)
    before = ORIGIN_NS + 160 * DAY_NS
    while state.write(
        lambda tx: alert_statistics.prune(tx, before, 7), lane=Lane.RETENTION
    ).result(20):
        pass
    floor = before - before % ERA_NS
    left = [each for each in deltas if each.hour_ns >= floor]
    for group_by in ((), ("day",), ("workload_id", "alert_name"), ("hour", "source")):
        assert table(state, group_by, limit=1000)[0] == recount(left, group_by, Filters())


def test_few_deltas_wait_and_are_counted_once(state):
    deltas = [delta(ORIGIN_NS + n * HOUR_NS, workload=f"w-{n % 3}") for n in range(9)]
    for one in deltas:
        state.write(lambda tx, one=one: alert_counts.note(tx, [one]), lane=Lane.ALERTS).result(
            20
        )
    assert state.read(alert_counts.waits)
    assert table(state, ()) == ([], 0)

    fold(state)
    fold(state)

    assert not state.read(alert_counts.waits)
    assert table(state, ()) == ([Group({}, 9, 0, 0)], 1)


def test_a_checkpoint_folds(state):
    one = delta(ORIGIN_NS)
    changes = Changes(statistics=[one], alive_ns=1)
    state.write(lambda tx: alerts.write(tx, changes), lane=Lane.ALERTS).result(20)

    assert table(state, ()) == ([Group({}, 1, 0, 0)], 1)


def test_what_waits_is_bounded_and_a_fold_too(state, monkeypatch):
    monkeypatch.setattr(alert_counts, "WAITING_MAX", 3)
    monkeypatch.setattr(alert_counts, "ROWS_MAX", 2)

    def note(tx):
        for n in range(5):
            alert_counts.note(tx, [delta(ORIGIN_NS, workload=f"w-{n}")])

    state.write(note, lane=Lane.ALERTS).result(20)
    # The fourth row had two folded, and the fifth is the third that waits.
    assert table(state, ()) == ([Group({}, 2, 0, 0)], 1)

    fold(state)
    assert table(state, ()) == ([Group({}, 5, 0, 0)], 1)


def test_durations_beyond_64_bits_stay_the_most_and_hold_up_nothing(state):
    long_ns = DURATION_MAX_NS - 7
    for name in ("A", "B", "A", "B"):
        one = delta(ORIGIN_NS, name, resolved=1, duration_ns=long_ns)
        changes = Changes(statistics=[one], alive_ns=1)
        state.write(lambda tx, c=changes: alerts.write(tx, c), lane=Lane.ALERTS).result(20)
    add(state, [delta(ORIGIN_NS, duration_ns=5 * HOUR_NS + 1)])
    add(state, [delta(ORIGIN_NS, firing=0, duration_ns=-HOUR_NS)])

    # Each row is bounded, and rows are added up beyond it.
    assert table(state, ("alert_name",))[0] == [
        Group({"alert_name": "A"}, 2, 2, DURATION_MAX_NS),
        Group({"alert_name": "B"}, 2, 2, DURATION_MAX_NS),
        Group({"alert_name": "OOM"}, 1, 0, 4 * HOUR_NS + 1),
    ]
    by_kind = Filters(workload_id="w", source="metric")
    assert table(state, (), by_kind)[0] == [
        Group({}, 5, 4, 2 * DURATION_MAX_NS + 4 * HOUR_NS + 1)
    ]


def test_a_fold_reads_no_more_deltas_than_fit_a_transaction(state, monkeypatch):
    monkeypatch.setattr(alert_counts, "DELTAS_MAX", 4)
    alike = [delta(ORIGIN_NS, workload=f"w-{n}") for n in range(3)]
    for _ in range(3):
        state.write(lambda tx: alert_counts.note(tx, alike), lane=Lane.ALERTS).result(20)

    assert state.write(alert_counts.fold, lane=Lane.ALERTS).result(20)
    assert table(state, ()) == ([Group({}, 6, 0, 0)], 1)

    fold(state)
    assert table(state, ()) == ([Group({}, 9, 0, 0)], 1)
