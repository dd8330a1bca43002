"""The alert tables on both engines: what is written is read, pages, restarts, the archive."""

import random

import pytest
from msgspec.structs import replace

from heliograph.alert.changes import Changes, Kept, StatDelta
from heliograph.alert.model import (
    Alert,
    Context,
    Correlation,
    Entry,
    Group,
    Outgoing,
    Reason,
    Silence,
    Status,
    Told,
)
from heliograph.core import labels
from heliograph.core.errors import Refused
from heliograph.store.state import (
    alert_correlations,
    alert_events,
    alert_ledger,
    alert_pages,
    alert_silences,
    alerts,
)
from heliograph.store.state.alert_pages import Filters, Page
from heliograph.store.state.lanes import Lane
from heliograph.store.state.state import State

S = 1_000_000_000
# Random histories that are compared with a recount.
SEEDS = 12


@pytest.fixture
def write(state):
    """Runs a function of the state's in a write transaction of its own."""

    def run(work, *args, **kwargs):
        done = state.write(lambda tx: work(tx, *args, **kwargs), lane=Lane.ALERTS)
        return done.result(timeout=20)

    return run


@pytest.fixture
def read(state):
    return lambda work, *args, **kwargs: state.read(lambda tx: work(tx, *args, **kwargs))


def alert(n, name="OOM", *, starts_ns=None, ends_ns=None, severity="critical", **more):
    context = {key: more.pop(key) for key in Context.__struct_fields__ if key in more}
    set_ = labels.of({"alertname": name, "n": str(n)})
    fingerprint = labels.fingerprint(set_)
    starts_ns = n * S if starts_ns is None else starts_ns
    given = {
        "id": f"{n:016x}{fingerprint[:12]}",
        "fingerprint": fingerprint,
        "source": "metric",
        "labels": set_,
        "annotations": (("summary", f"number {n}"),),
        "starts_ns": starts_ns,
        "ends_ns": ends_ns,
        "timed_out": False,
        "created_ns": n,
        "updated_ns": starts_ns,
        "severity": severity,
        "context": Context(**context),
        "raw": b'{"raw":1}',
        "enriched": b'{"enriched":1}',
    }
    return Alert(**{**given, **more})


def test_an_episode_is_read_as_it_was_written(write, read):
    made = alert(
        1,
        "long " * 200,
        workload_id="w\x00\ud800",
        pod_id="p" * 3000,
        generator_url="http://x",
        timed_out=True,
        ends_ns=10 * S,
        count=7,
        episode=3,
        seq=9,
        entities=("workload:w", "node:n"),
        annotations=(("a", "\ud800 and 日本"),),
    )
    write(alerts.write, Changes(alerts=[made]))
    assert read(alert_events.one, made.id) == made
    assert read(alert_events.one, "none") is None
    assert read(alert_events.many, [made.id, "none", made.id]) == [
        replace(made, raw=b"", enriched=b"")
    ]


def test_empty_documents_leave_the_stored_ones(write, read):
    first = alert(1)
    write(alerts.write, Changes(alerts=[first]))
    later = replace(first, raw=b"", enriched=b"", annotations=(("summary", "new"),), count=2)
    write(alerts.write, Changes(alerts=[later]))
    assert read(alert_events.one, first.id) == replace(
        later, raw=first.raw, enriched=first.enriched
    )
    # The same within one step, and the later document where there is one.
    other = alert(2)
    steps = [other, replace(other, raw=b"", count=5), replace(other, raw=b"{}", count=6)]
    write(
        alerts.write, Changes(alerts=[*steps, replace(other, raw=b"", enriched=b"", count=7)])
    )
    assert read(alert_events.one, other.id) == replace(other, raw=b"{}", count=7)


def test_repeats_move_what_they_move(write, read):
    made = [alert(n, ends_ns=100 * S) for n in range(3)]
    write(alerts.write, Changes(alerts=made))
    write(
        alerts.checkpoint,
        [
            (made[0].id, 50 * S, 40 * S, 2),
            (made[0].id, 500 * S, 90 * S, 3),
            (made[1].id, 80 * S, 80 * S, 2),
            (made[2].id, None, 80 * S, 2),
            ("none", 5, 5, 5),
        ],
    )
    moved = [read(alert_events.one, each.id) for each in made]
    assert [(a.ends_ns, a.updated_ns, a.count) for a in moved] == [
        (500 * S, 90 * S, 3),
        (80 * S, 80 * S, 2),
        (None, 80 * S, 2),
    ]
    assert write(alert_events.close, 90 * S) == 0
    write(alerts.checkpoint, [(made[1].id, 600 * S, 95 * S, 3)])
    page = read(alert_pages.page, Filters(status=Status.FIRING), now_ns=550 * S)
    assert [a.id for a in page.items] == [made[2].id, made[1].id]


def test_writing_again_changes_nothing_and_a_failure_leaves_nothing(state, write, read):
    changes = Changes(
        alerts=[alert(n) for n in range(5)],
        groups=[Group("g", "file/0", "r", (("a", "b"),), 1, 1)],
        told=[Told("g", "r/webhook[0]", frozenset({"x"}), frozenset(), 5)],
        outbox=[outgoing("g")],
        entries=[entry(1)],
        correlations=[correlation("c", alert(1).id, alert(2).id)],
        silences=[silence("s")],
        alive_ns=7,
    )

    def fails(tx):
        alerts.write(tx, changes)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write(fails)
    assert read(alerts.load) == Kept()
    write(alerts.write, changes)
    once = everything(read)
    write(alerts.write, changes)
    assert everything(read) == once
    assert [
        a.name for a in read(alert_pages.page, Filters(alert_name="OOM"), now_ns=0).items
    ] == ["OOM"] * 5


def everything(read):
    kept = read(alerts.load)
    return (
        sorted(kept.alerts, key=lambda a: a.id),
        kept.groups,
        kept.told,
        kept.outbox,
        kept.silences,
        read(alert_correlations.of, alert(1).id),
        kept.alive_ns,
        read(alert_ledger.page, alert_ledger.Filters()),
    )


def outgoing(group, integration="r/webhook[0]", **more):
    return Outgoing(
        *(group, integration, "key", Reason.FIRST),
        **{
            "firing": frozenset(),
            "resolved": frozenset(),
            "created_ns": 1,
            "due_ns": 2,
            **more,
        },
    )


def entry(n, **more):
    given = {"alert_id": "a", "group_key": "g", "receiver": "r", "integration": "r/webhook[0]"}
    given |= {"channel": "webhook", "at_ns": n, "kind": "sent", "status": Status.FIRING}
    return Entry(**{**given, **more})


def correlation(id_, *members, **more):
    given = {"type": "causal", "score": 0.5, "reason": "because", "created_ns": 1}
    return Correlation(id=id_, members=members, **{"updated_ns": 1, **given, **more})


def silence(id_, starts_ns=0, ends_ns=10, **more):
    given = {"created_by": "me", "comment": "why", "created_ns": 1, "updated_ns": 1}
    matchers = (("a", "=", "b"),)
    return Silence(
        id=id_, matchers=matchers, starts_ns=starts_ns, ends_ns=ends_ns, **{**given, **more}
    )


def test_a_start_finds_what_the_engine_needs(write, read, state, state_url, tmp_path, clock):
    hour = alerts.RECENT_NS
    now = 100 * hour
    firing = alert(1)
    ahead = alert(2, ends_ns=now + 5)
    recent = alert(3, ends_ns=now - 5, updated_ns=now)
    old = alert(4, ends_ns=now - hour - 5, updated_ns=now)
    came_over = alert(now - 5, starts_ns=1, ends_ns=now - hour - 5, updated_ns=now)
    told_of = alert(5, ends_ns=now - hour - 5, updated_ns=now)
    to_tell = alert(6, ends_ns=now - hour - 5, updated_ns=now)
    groups = [Group("k" * 5000, "file/0", "r", (("a", "\ud800"),), 1, 1)]
    told = [
        Told("g", "r/webhook[0]", frozenset({told_of.id, "none"}), frozenset({firing.id}), 5)
    ]
    outbox = [outgoing("g", resolved=frozenset({to_tell.id}), attempts=3, in_flight=True)]
    write(
        alerts.write,
        Changes(
            alerts=[firing, ahead, recent, old, told_of, to_tell, came_over],
            groups=groups,
            told=told,
            outbox=outbox,
            silences=[silence("s")],
            alive_ns=now,
        ),
    )
    write(alerts.write, Changes(alive_ns=now - 1))
    state.close()

    again = State.open(state_url, tmp_path, clock)
    kept = again.read(alerts.load)
    again.close()
    wanted = [firing, ahead, recent, told_of, to_tell, came_over]
    assert sorted(kept.alerts, key=lambda a: a.id) == [
        replace(a, raw=b"", enriched=b"") for a in wanted
    ]
    assert replace(kept, alerts=[]) == Kept(
        groups=groups,
        told=told,
        outbox=outbox,
        silences=[silence("s")],
        alive_ns=now,
    )


def test_what_is_gone_goes_before_what_comes(write, read):
    group = Group("g", "file/0", "r", (), 1, 1)
    told = Told("g", "i", frozenset(), frozenset(), 5)
    write(
        alerts.write,
        Changes(groups=[group], told=[told], outbox=[outgoing("g"), outgoing("h")]),
    )
    newer = outgoing("g", generation=1)
    write(
        alerts.write,
        Changes(
            groups_gone=["g", "none"],
            told_gone=[("g", "i"), ("none", "i")],
            outbox_gone=[("g", "r/webhook[0]"), ("h", "r/webhook[0]")],
            outbox=[newer],
            told=[replace(told, at_ns=6)],
        ),
    )
    kept = read(alerts.load)
    assert (kept.groups, kept.told, kept.outbox) == ([], [replace(told, at_ns=6)], [newer])


# pages


NAMES, PLACES = ("A", "B", "C"), ("", "p", "q")


def history(draw):
    """Steps up to 15: new alerts, changed ones, repeats, closings; instants collide often."""
    steps, made = [], 0
    for _ in range(draw.randint(1, 8)):
        kind = draw.choice(["new", "new", "change", "move", "close"])
        if kind == "new":
            count = draw.randint(1, 12)
            steps.append(("new", [some_alert(draw, made + n) for n in range(count)]))
            made += count
        elif kind == "close":
            steps.append(("close", draw.randint(0, 15)))
        elif made:
            ids = draw.sample(range(made), draw.randint(1, min(4, made)))
            steps.append((kind, [(n, some_end(draw), draw.randint(0, 15)) for n in ids]))
    return steps


def some_end(draw):
    return None if draw.random() < 0.3 else draw.randint(0, 30)


def some_alert(draw, n):
    return alert(
        n,
        draw.choice(NAMES),
        starts_ns=draw.randint(0, 12),
        ends_ns=some_end(draw),
        updated_ns=draw.randint(0, 15),
        severity=draw.choice(["critical", "info"]),
        source=draw.choice(["metric", "log"]),
        workload_id=draw.choice(PLACES),
        pod_name=draw.choice(PLACES),
        node_name=draw.choice(PLACES),
        cluster_name=draw.choice(["", "c"]),
    )


def some_filters(draw):
    values = {
        "source": ["metric", "log", "none"],
        "alert_name": [*NAMES, "none"],
        "severity": ["critical", "info"],
        "status": [Status.FIRING, Status.RESOLVED],
        "workload_id": PLACES,
        "pod_name": PLACES,
        "node_name": PLACES,
        "cluster_name": ["", "c"],
        "start_ns": [3, 6],
        "end_ns": [6, 9],
    }
    given = draw.sample(list(values), draw.randint(0, 4))
    return Filters(**{name: draw.choice(values[name]) for name in given})


def matches(filters, each, now_ns):
    of = each.context
    have = {
        "source": each.source,
        "alert_name": each.name,
        "severity": each.severity,
        "status": each.status(now_ns),
        "workload_id": of.workload_id,
        "pod_name": of.pod_name,
        "node_name": of.node_name,
        "cluster_name": of.cluster_name,
    }
    if any(getattr(filters, k) not in {None, v} for k, v in have.items()):
        return False
    start, end = filters.start_ns, filters.end_ns
    return (start is None or each.starts_ns >= start) and (end is None or each.starts_ns < end)


def clear(tx):
    tx.execute(alert_events.EVENTS.delete())


def apply(write, model, step):
    """One step, on the state and on *model* (alerts by number)."""
    kind, what = step
    if kind == "new":
        write(alerts.write, Changes(alerts=what))
        model |= {len(model) + n: each for n, each in enumerate(what)}
    elif kind == "close":
        write(alert_events.close, what)
    elif kind == "change":
        for n, ends_ns, at_ns in what:
            model[n] = replace(
                model[n],
                ends_ns=ends_ns,
                updated_ns=at_ns,
                severity="info",
                context=replace(model[n].context, pod_name="q"),
            )
        write(alerts.write, Changes(alerts=[model[n] for n, _, _ in what]))
    else:
        write(alerts.checkpoint, [(model[n].id, end, at, 9) for n, end, at in what])
        for n, ends_ns, at_ns in what:
            model[n] = replace(model[n], ends_ns=ends_ns, updated_ns=at_ns, count=9)


@pytest.mark.parametrize("kinds_merged", [1000, 1])
def test_pages_are_what_a_recount_says(write, read, monkeypatch, kinds_merged):
    """Whatever was stored, moved and closed, every search and every page."""
    monkeypatch.setattr(alert_pages, "KINDS_MERGED_MAX", kinds_merged)
    monkeypatch.setattr(alert_pages, "_CHUNK_MIN", 1)
    monkeypatch.setattr(alert_pages, "_STREAMS_MAX", 3)

    for seed in range(SEEDS):
        draw = random.Random(seed)
        write(clear)
        model = {}
        for step in history(draw):
            apply(write, model, step)
        newest = [model[n] for n in sorted(model, key=lambda n: (model[n].starts_ns, n))][::-1]
        for _ in range(20):
            filters, now_ns = some_filters(draw), draw.randint(15, 31)
            offset, limit = draw.randint(0, 9), draw.randint(0, 9)
            wanted = [each for each in newest if matches(filters, each, now_ns)]
            page = read(alert_pages.page, filters, now_ns=now_ns, offset=offset, limit=limit)
            expected = Page(wanted[offset : offset + limit], len(wanted))
            assert page == expected, (seed, filters, now_ns)


def test_pages_over_many_kinds_and_deep(write, read, monkeypatch):
    monkeypatch.setattr(alert_pages, "TOTAL_MAX", 250)
    draw = random.Random(1)
    made = [
        alert(
            n, f"N{draw.randrange(40)}", starts_ns=draw.randrange(60), ends_ns=5, updated_ns=9
        )
        for n in range(600)
    ]
    for each in (made[:300], made[300:]):
        write(alerts.write, Changes(alerts=each))
    newest = sorted(made, key=lambda a: (a.starts_ns, a.id), reverse=True)
    for offset, limit in ((0, 7), (240, 50), (249, 1), (250, 5), (3, 0)):
        page = read(
            alert_pages.page, Filters(source="metric"), now_ns=9, offset=offset, limit=limit
        )
        assert page == Page(newest[offset : min(offset + limit, 250)], 250)
    with pytest.raises(Refused) as told:
        read(alert_pages.page, Filters(), now_ns=9, offset=251)
    assert told.value.field == "offset"


def test_a_page_has_no_more_than_its_limit(write, read, monkeypatch):
    monkeypatch.setattr(alert_pages, "LIMIT_MAX", 2)
    write(alerts.write, Changes(alerts=[alert(n) for n in range(4)]))
    assert len(read(alert_pages.page, Filters(), now_ns=9, limit=1000).items) == 2


# what goes along with episodes


def test_correlations_are_read_from_every_member(write, read):
    made = [alert(n) for n in range(4)]
    ids = [each.id for each in made]
    first, second = correlation("c1", *ids[:3]), correlation("c2", ids[2], ids[3], updated_ns=5)
    write(alerts.write, Changes(alerts=made, correlations=[first, second]))
    bare = [replace(each, raw=b"", enriched=b"") for each in made]
    assert read(alert_correlations.of, ids[0]) == [(first, bare[:3])]
    assert read(alert_correlations.of, ids[2]) == [(second, bare[2:]), (first, bare[:3])]

    without = correlation("c1", ids[1], ids[3], updated_ns=9)
    write(alerts.write, Changes(correlations=[without]))
    assert read(alert_correlations.of, ids[0]) == []
    assert read(alert_correlations.of, ids[3]) == [
        (without, [bare[1], bare[3]]),
        (second, bare[2:]),
    ]


def test_the_ledger_has_each_line_once(write, read, monkeypatch):
    lines = [
        entry(1),
        entry(2, kind="held", stage="silence", cause="s-1", key="k"),
        entry(2, alert_id="b", receiver="x", answer="\x00\ud800 no"),
        entry(3, kind="dead", attempt=7, group_key="g" * 5000),
    ]
    for _ in range(2):
        write(alerts.write, Changes(entries=[*lines, lines[0]]))
    page = alert_ledger.page
    newest = [lines[3], lines[2], lines[1], lines[0]]
    assert read(page, alert_ledger.Filters()) == (newest, 4)
    assert read(page, alert_ledger.Filters(), offset=1, limit=2) == (newest[1:3], 4)
    of_a = alert_ledger.Filters(alert_id="a", start_ns=2, end_ns=3)
    assert read(page, of_a) == ([lines[1]], 1)
    assert read(page, alert_ledger.Filters(kind="dead", channel="webhook")) == ([lines[3]], 1)
    assert read(page, alert_ledger.Filters(stage="silence")) == ([lines[1]], 1)
    monkeypatch.setattr(alert_ledger, "TOTAL_MAX", 2)
    assert read(page, alert_ledger.Filters())[1] == 2
    with pytest.raises(Refused):
        read(page, alert_ledger.Filters(), offset=3)


def test_silences_are_kept_by_id_until_they_are_long_over(write, read):
    made = [
        silence("later", 5, 40, schedule={"cron": "0 0 * * *", "duration": "1h"}),
        silence("long over", 1, 2),
        silence("over", 1, 9),
    ]
    write(alerts.write, Changes(silences=[*made[1:], silence("later", 5, 30), made[0]]))

    def kept():
        return sorted(read(alert_silences.load), key=lambda one: one.id)

    assert kept() == made
    made[0] = replace(made[0], ends_ns=10)
    write(alerts.write, Changes(silences=made[:1]))
    assert kept() == made
    assert write(alert_silences.prune, 9) == ["long over"]
    assert write(alert_silences.prune, 9) == []
    assert kept() == [made[0], made[2]]


# the archive


def test_the_archive_takes_old_episodes_whole_and_nothing_else(write, read):
    old = [alert(n, ends_ns=n + 1, updated_ns=n + 1) for n in range(5)]
    stays = [alert(10, ends_ns=50, updated_ns=50), alert(11)]
    lines = [entry(n % 30, alert_id=old[n % 5].id, key=str(n)) for n in range(40)]
    kept_line = entry(40, alert_id=stays[1].id)
    old_line = entry(2, alert_id=stays[1].id)
    whole, part = (
        correlation("c1", old[0].id, old[1].id),
        correlation("c2", old[2].id, stays[0].id),
    )
    write(
        alerts.write,
        Changes(
            alerts=[*old, *stays],
            entries=[*lines, kept_line, old_line],
            correlations=[whole, part],
            statistics=[StatDelta(0, "OOM", "metric", "critical", "", "", firing=8)],
        ),
    )
    while write(alerts.archive, 20, 2):
        pass
    page = read(alert_pages.page, Filters(), now_ns=9)
    assert {each.id for each in page.items} == {each.id for each in stays}
    assert read(alert_ledger.page, alert_ledger.Filters()) == ([kept_line], 1)
    ((found, members),) = read(alert_correlations.of, stays[0].id)
    assert (found, [m.id for m in members]) == (part, [stays[0].id])
    assert read(alert_correlations.of, old[0].id) == []


def test_what_ended_unnoticed_is_closed_with_a_checkpoint_and_archived(write, read):
    def still_open():
        return read(lambda tx: {a.id for a in alert_events.select(tx, "is_open = 1", {})})

    made = [alert(n, ends_ns=100 + n, updated_ns=1) for n in range(3)]
    write(alerts.write, Changes(alerts=made))
    write(alerts.write, Changes(moved=[(made[0].id, 500, 2, 2)], alive_ns=101))
    assert still_open() == {made[0].id, made[2].id}
    while write(alerts.archive, 300):
        pass
    assert still_open() == {made[0].id}
    page = read(alert_pages.page, Filters(), now_ns=300)
    assert [each.id for each in page.items] == [made[0].id]


def test_the_archive_goes_in_pieces(write, read, monkeypatch):
    monkeypatch.setattr(alert_ledger, "BATCH_MAX", 10)
    made = alert(1, ends_ns=2, updated_ns=2)
    for n in range(0, 25, 5):
        lines = [entry(n + i, alert_id=made.id) for i in range(5)]
        write(alerts.write, Changes(alerts=[made], entries=lines))
    pieces = []
    while piece := write(alerts.archive, 100):
        pieces.append(piece)
        still = read(alert_events.one, made.id) is not None
        assert still == (sum(pieces) < 25)
    assert sum(pieces) == 26


def test_what_one_transaction_takes_is_bounded(write):
    many = alert_events.BATCH_MAX + 1
    for work, items in (
        (alert_events.put, [alert(n) for n in range(many)]),
        (alert_events.move, [(str(n), None, 1, 1) for n in range(many)]),
        (alert_ledger.add, [entry(n) for n in range(alert_ledger.BATCH_MAX + 1)]),
        (alert_silences.put, [silence(str(n)) for n in range(alert_silences.BATCH_MAX + 1)]),
    ):
        with pytest.raises(AssertionError):
            write(work, items)
    with pytest.raises(AssertionError):
        write(alerts.archive, 1, alerts.ARCHIVE_MAX + 1)


def test_a_number_outside_64_bits_is_refused(write, read):
    with pytest.raises(Refused):
        write(alerts.write, Changes(alerts=[alert(1, ends_ns=2**70)]))
    assert read(alerts.load) == Kept()
