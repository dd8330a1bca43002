"""Statistics: every grouping of every filter is what a recount of the deltas says, on both engines."""

import random
from collections import defaultdict

import pytest
from alembic import command
from alembic.config import Config
from msgspec import structs
from sqlalchemy import select, text

from heliograph.alert.changes import Changes, StatDelta
from heliograph.core.duration import DAY_NS, HOUR_NS
from heliograph.core.errors import Refused
from heliograph.store.state import (
    alert_counts,
    alert_kinds,
    alert_statistics,
    alert_sums,
    alerts,
    revisions,
)
from heliograph.store.state.alert_statistics import GROUP_BY, Filters, Group
from heliograph.store.state.alert_sums import ERA_NS
from heliograph.store.state.columns import INT64_MAX
from heliograph.store.state.lanes import Lane
from heliograph.store.state.state import State
from heliograph.store.state.sum_columns import DURATION_MAX_NS
from tests.store.test_state_schema import writer_of

ORIGIN_NS = 20_000 * DAY_NS
QUESTIONS = 40


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
        # What comes to nothing is no group.
        if any(counts)
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


def roll(state, before_ns):
    while state.write(lambda tx: alert_sums.roll(tx, before_ns), lane=Lane.RETENTION).result(
        20
    ):
        pass


@pytest.mark.parametrize(
    ("count", "hours", "rows"), [(40, 1, 9), (200, 60, 9999), (300, 60, 20), (100, 4000, 9999)]
)
def test_statistics_are_what_a_recount_says(state, monkeypatch, count, hours, rows):
    """Whatever was rolled when, taken out again, and however many parts there are."""
    monkeypatch.setattr(alert_sums, "PART_ROWS_MAX", (rows,) * 7)
    monkeypatch.setattr(alert_sums, "ROLL_ROWS_MAX", rows)
    draw = random.Random(count * rows)
    deltas = some_deltas(draw, count, hours)
    for each in draw.sample(deltas, count // 3):
        sums = {name: -getattr(each, name) for name in ("firing", "resolved", "duration_ns")}
        deltas.append(structs.replace(each, **sums))
    for start in range(0, len(deltas), 50):
        add(state, deltas[start : start + 50])
        roll(state, ORIGIN_NS + draw.randrange(2 * hours) * HOUR_NS)
    single = [((name,), Filters()) for name in GROUP_BY]
    for group_by, filters in single + [some_question(draw) for _ in range(QUESTIONS)]:
        expected = recount(deltas, group_by, filters)
        found, total = table(state, group_by, filters, limit=1000)
        assert (found, total) == (expected[:1000], len(expected)), (group_by, filters)
        offset, limit = draw.randint(0, 9), draw.randint(0, 9)
        page, _ = table(state, group_by, filters, offset=offset, limit=limit)
        assert page == expected[offset : offset + limit]


def test_who_is_long_known_is_rolled_and_what_is_late_too(state):
    """Rolled is what is over: one chunk of each grain, whatever comes late."""

    def chunks():
        wanted = select(alert_sums.SUMS.c.grain, alert_sums.SUMS.c.size)
        return sorted(tuple(row) for row in state.read(lambda tx: tx.execute(wanted).all()))

    add(state, [delta(ORIGIN_NS + n * HOUR_NS, workload=f"w-{n % 2}") for n in range(30)])
    assert chunks() == [(alert_sums.HOUR, 1)] * 30

    roll(state, ORIGIN_NS + 47 * HOUR_NS)
    wide = [
        *((alert_sums.DAY, 24), (alert_sums.DAY_KIND, 24), (alert_sums.SPAN, 2)),
        *((alert_sums.SPAN_KIND, 1), (alert_sums.ERA, 2), (alert_sums.ERA_KIND, 1)),
    ]
    assert chunks() == [(alert_sums.HOUR, 1)] * 6 + wide

    add(state, [delta(ORIGIN_NS + 7 * HOUR_NS, workload="w-1", firing=0, resolved=1)])
    assert table(state, ())[0] == [Group({}, 30, 1, 0)]
    roll(state, ORIGIN_NS + 47 * HOUR_NS)
    assert chunks() == [(alert_sums.HOUR, 1)] * 6 + wide
    assert table(state, ())[0] == [Group({}, 30, 1, 0)]


def test_what_comes_to_nothing_is_no_group(state):
    """Its severity changed, and it counts under the new one: in one fold, or after a roll."""
    old, new = delta(ORIGIN_NS, severity="warning"), delta(ORIGIN_NS, severity="critical")
    out = structs.replace(old, firing=-1)
    expected = ([Group({"severity": "critical"}, 1, 0, 0)], 1)
    add(state, [old])
    add(state, [out, new])
    assert table(state, ("severity",)) == expected

    add(state, [old])
    roll(state, ORIGIN_NS + 2 * DAY_NS)
    add(state, [out])
    by_day = [Group({"day": ORIGIN_NS, "severity": "critical"}, 1, 0, 0)]
    assert table(state, ("severity",)) == expected
    assert table(state, ("day", "severity")) == (by_day, 1)
    assert table(state, ("day", "severity"), offset=1) == ([], 1)
    roll(state, ORIGIN_NS + 2 * DAY_NS)
    assert table(state, ("day", "severity"), offset=1) == ([], 1)

    add(state, [structs.replace(new, firing=-1)])
    roll(state, ORIGIN_NS + 2 * DAY_NS)
    assert table(state, ()) == ([], 0)


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


def test_the_last_hours_that_have_64_bits(state):
    """Of the era, the span and the day of the last hour the end has more; a filter's may too."""
    last_ns = INT64_MAX - INT64_MAX % HOUR_NS
    deltas = [delta(at_ns) for at_ns in (ORIGIN_NS, last_ns - DAY_NS, last_ns)]
    add(state, deltas)
    ends = (None, ORIGIN_NS + 1, last_ns, INT64_MAX, -(2**63))
    questions = [
        (group_by, Filters(start_ns=start_ns, end_ns=end_ns))
        for group_by in ((), ("day",), ("hour",), ("workload_id", "severity"))
        for start_ns in ends
        for end_ns in ends
    ]
    # The upgrade rolls every day, this one too.
    for before_ns in (ORIGIN_NS, last_ns + DAY_NS):
        roll(state, before_ns)
        for group_by, filters in questions:
            expected = recount(deltas, group_by, filters)
            assert table(state, group_by, filters) == (expected, len(expected)), filters


def test_durations_of_few_nanoseconds(state):
    for took_ns in (0, 3, 5, 501):
        add(state, [delta(ORIGIN_NS, workload=f"w-{took_ns}", resolved=1, duration_ns=took_ns)])
    for before_ns in (ORIGIN_NS, ORIGIN_NS + 2 * DAY_NS):
        roll(state, before_ns)
        assert table(state, ("source",)) == ([Group({"source": "metric"}, 4, 4, 509)], 1)


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
    roll(state, ORIGIN_NS + 100 * DAY_NS)
    before = ORIGIN_NS + 160 * DAY_NS
    while state.write(lambda tx: alert_sums.prune(tx, before, 7), lane=Lane.RETENTION).result(
        20
    ):
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


def test_a_fold_changes_the_chunks_of_no_more_hours_than_fit_a_transaction(state, monkeypatch):
    monkeypatch.setattr(alert_counts, "HOURS_MAX", 3)
    for n in range(7):
        one = [delta(ORIGIN_NS + n * HOUR_NS)]
        state.write(lambda tx, one=one: alert_counts.note(tx, one), lane=Lane.ALERTS).result(20)

    assert state.write(alert_counts.fold, lane=Lane.ALERTS).result(20)
    assert table(state, ()) == ([Group({}, 3, 0, 0)], 1)

    fold(state)
    assert table(state, ()) == ([Group({}, 7, 0, 0)], 1)


def test_many_deltas_change_the_chunk_of_an_hour_once(state, monkeypatch):
    """Alerts of many hours end together: batches have hours in common only where they meet."""
    changed = []
    put = alert_sums.put
    monkeypatch.setattr(
        alert_sums, "put", lambda tx, wanted: [changed.extend(wanted), put(tx, wanted)]
    )
    deltas = [
        delta(ORIGIN_NS + n % 20 * HOUR_NS, workload=f"w-{n}")
        for n in range(2 * alert_sums.BATCH_MAX)
    ]
    state.write(lambda tx: alert_counts.note(tx, deltas), lane=Lane.ALERTS).result(20)

    assert len(changed) <= 20 + 1
    assert table(state, ()) == ([Group({}, len(deltas), 0, 0)], 1)


def test_many_places_are_read_a_part_at_a_time(state, monkeypatch):
    """And of each the last part is what is added to."""
    monkeypatch.setattr(alert_sums, "PLACES_MAX", 2)
    monkeypatch.setattr(alert_sums, "PART_ROWS_MAX", (3,) * 7)
    deltas = [delta(ORIGIN_NS + n % 5 * HOUR_NS, workload=f"w-{n}") for n in range(40)]
    for begin in range(0, 40, 10):
        add(state, deltas[begin : begin + 10])

    wanted = select(alert_sums.SUMS.c.part, alert_sums.SUMS.c.size)
    parts = [tuple(row) for row in state.read(lambda tx: tx.execute(wanted).all())]
    assert sorted(parts) == sorted([(n, 2) for n in range(4)] * 5)
    assert table(state, ("hour",), limit=9) == (recount(deltas, ("hour",), Filters()), 5)


def test_an_upgrade_keeps_what_was_counted(state_url, tmp_path, clock):
    """Of the rows that there were the finest say it all."""
    config = Config()
    config.set_main_option("script_location", str(revisions.MIGRATIONS))
    config.set_main_option("path_separator", "os")
    names = [("A", "critical"), ("B", "info")]
    kinds = [(alert_kinds.of("log", *name, "c"), *name) for name in names]
    rows = [
        (ORIGIN_NS + n * 30 * HOUR_NS, f"w-{n % 2}", kinds[n % 2][0], n, 1, n * HOUR_NS)
        for n in range(1, 5)
    ]
    engine = writer_of(state_url, tmp_path)
    with engine.begin() as tx:
        config.attributes["connection"] = tx
        command.upgrade(config, "0007")
        for kind, name, severity in kinds:
            values = {"k": kind, "n": name, "s": severity}
            tx.execute(text("INSERT INTO alert_kinds VALUES (:k, 'log', :n, :s, 'c')"), values)
        for row in rows:
            values = dict(zip("abcdef", row, strict=True))
            for grain in (0, 8):
                wanted = (
                    f"INSERT INTO alert_statistics VALUES ({grain}, :a, :b, :c, :d, :e, :f)"
                )
                tx.execute(text(wanted), values)
    engine.dispose()

    state = State.open(state_url, tmp_path, clock)
    by = ("hour", "alert_name", "severity", "workload_id")
    found = [
        Group(
            dict(zip(by, (at_ns, *names[n % 2], workload), strict=True)),
            firing,
            resolved,
            duration_ns,
        )
        for n, (at_ns, workload, _, firing, resolved, duration_ns) in enumerate(rows, 1)
    ]
    assert table(state, by) == (found[::-1], 4)
    assert table(state, ()) == ([Group({}, 10, 4, 10 * HOUR_NS)], 1)
    state.close()
