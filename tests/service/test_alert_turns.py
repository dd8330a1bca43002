"""Turns of the alert engine's thread: who is answered together sends again together, and shares a
transaction; who sends alone waits for nobody."""

import asyncio
import json
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from heliograph.core.errors import Unavailable
from heliograph.service import alert_jobs
from heliograph.service.alert_jobs import Job, Jobs
from heliograph.store.state import alerts
from tests import looped
from tests.service.live import until
from tests.service.running import running


@pytest.fixture
def alerting(tmp_path):
    with running(tmp_path / "data") as site:
        yield site.site.flow.alerts.alerting
        site.assert_sound()


def test_a_turn_takes_what_waits_and_the_next_waits_for_as_many(alerting):
    began, go = threading.Event(), threading.Event()
    first = alerting.submit(lambda _: (began.set(), go.wait(10)))
    began.wait(10)
    some = [alerting.submit(lambda turn: turn) for _ in range(3)]
    go.set()

    assert first.result(10) == (None, True)
    assert len({id(one.result(10)) for one in some}) == 1
    # One alone waits a moment for the others, and then for nobody.
    assert alerting.submit(lambda _: "alone").result(10) == "alone"
    assert alerting.submit(lambda _: alerting._jobs.together).result(10) == 1


def test_who_came_during_a_turn_waits_for_those_of_it(monkeypatch):
    monkeypatch.setattr(alert_jobs, "TOGETHER_S", 20)
    jobs, one = Jobs(), Job(print, Future())
    for _ in range(2):
        jobs.put(one, urgent=False)
    assert len(jobs.gather(lambda: 20)) == 2
    for _ in range(2):
        jobs.put(one, urgent=False)
    with ThreadPoolExecutor() as pool:
        turn = pool.submit(jobs.gather, lambda: 20)
        until(lambda: jobs._wanted == 4, "it waits for two more")
        # Those who were answered send again.
        for _ in range(2):
            jobs.put(one, urgent=False)
        assert len(turn.result(10)) == 4
        # What a turn had no room for fills the next, which waits for nobody.
        jobs.back([one] * 3)
        assert len(pool.submit(jobs.gather, lambda: 20).result(10)) == 3
        jobs.put(one, urgent=False)
        turn = pool.submit(jobs.gather, lambda: 20)
        until(lambda: jobs._wanted == 4, "it waits for three more")
        for _ in range(3):
            assert not turn.done()
            jobs.put(one, urgent=False)
        assert len(turn.result(10)) == 4


def test_a_turn_waits_for_no_more_than_it_takes(monkeypatch):
    monkeypatch.setattr(alert_jobs, "TOGETHER_S", 20)
    monkeypatch.setattr(alert_jobs, "JOBS_PER_TURN", 3)
    jobs, one = Jobs(), Job(print, Future())
    for _ in range(6):
        jobs.put(one, urgent=False)
    with ThreadPoolExecutor() as pool:
        assert len(pool.submit(jobs.gather, lambda: 20).result(10)) == 3
        assert len(pool.submit(jobs.gather, lambda: 20).result(10)) == 3


@pytest.fixture
def side(tmp_path):
    with running(tmp_path / "data") as site:
        yield site.site.flow.alerts
        site.assert_sound()


def body(*names, **more):
    alerts = [
        {"labels": {"alertname": name}, "endsAt": "2100-01-01T00:00:00Z", **more}
        for name in names
    ]
    return json.dumps(alerts).encode()


def posted(side, bodies):
    """What each of *bodies* came to, which one turn takes; how many of them were taken together."""
    together = []
    plain = side.bodies._together

    def counted(turn, pieces):
        found = plain(turn, pieces)
        together.append(len(pieces) if found else 0)
        return found

    async def posting():
        began, go = threading.Event(), threading.Event()
        held = side.alerting.awaited(lambda _: (began.set(), go.wait(10)))
        await asyncio.to_thread(began.wait, 10)
        side.bodies._together = counted
        some = [asyncio.ensure_future(side.bodies.take(one)) for one in bodies]
        await asyncio.sleep(0)
        go.set()
        await held
        return await asyncio.gather(*some, return_exceptions=True)

    try:
        found = looped.run(posting())
    finally:
        side.bodies._together = plain
    return found, together


def told(found):
    if isinstance(found, Exception):
        return found.code
    return [post.labels[0][1] for post in found.posts], list(found.places), len(found.unfit)


def active(side):
    return side.alerting.asked(
        lambda turn: sorted(alert.name for alert in turn.engine.find((), turn.now_ns))
    )


def test_bodies_of_new_alerts_are_taken_together(side):
    found, together = posted(side, [body("a"), body("b", "c"), body("d")])
    assert together == [3]
    assert [told(one) for one in found] == [
        (["a"], [0], 0),
        (["b", "c"], [0, 1], 0),
        (["d"], [0], 0),
    ]
    assert active(side) == ["a", "b", "c", "d"]
    # They are known again like all others.
    assert side.bodies.take(body("b", "c")).repeats == 2


CASES = [
    # case                               bodies                                       told
    ("the same alert twice", [body("a"), body("a")], [(["a"], [0], 0), (["a"], [0], 0)]),
    ("no array", [body("a"), b"{}"], [(["a"], [0], 0), "invalid"]),
    ("an empty one", [body("a"), b"[]"], [(["a"], [0], 0), ([], [], 0)]),
    (
        "an alert that is refused",
        [body("a"), body("b", startsAt="soon")],
        [(["a"], [0], 0), ([], [], 1)],
    ),
]


@pytest.mark.parametrize(
    ("bodies", "wanted"), [pytest.param(*row, id=case) for case, *row in CASES]
)
def test_bodies_that_cannot_be_taken_together_are_taken_one_by_one(side, bodies, wanted):
    found, together = posted(side, bodies)
    assert together == [0]
    assert [told(one) for one in found] == wanted
    assert active(side) == ["a"]


def test_bodies_whose_turn_fails_are_kept_none_of_and_told_to_come_again(side, monkeypatch):
    def full(*_):
        raise Unavailable("no room", code="full")

    with monkeypatch.context() as broken:
        broken.setattr(alerts, "write", full)
        found, together = posted(side, [body("a"), body("b")])
    assert (together, [told(one) for one in found]) == ([2], ["full", "full"])
    assert active(side) == []
    found, _ = posted(side, [body("a"), body("b")])
    assert [told(one)[0] for one in found] == [["a"], ["b"]]
    assert active(side) == ["a", "b"]


def bug(*_, **__):
    raise ZeroDivisionError("a bug")


@pytest.fixture
def buggy(tmp_path):
    """The alerts of a site that a bug is put into: nothing died of it, and what bugs it counted."""
    with running(tmp_path / "data") as site:
        alerts = site.site.flow.alerts
        yield alerts, lambda: site.measured("heliograph_bugs_total")
        assert not site.site.core.supervisor.failed.is_set()
        assert alerts.alerting._thread.is_alive()


@pytest.mark.parametrize("where", ["alert_changes", "alert_write"])
def test_a_bug_in_what_a_turn_writes_costs_that_turn(buggy, monkeypatch, where):
    side, bugs = buggy
    engine = side.alerting._engine
    plain = engine.changes
    with monkeypatch.context() as broken:
        if where == "alert_changes":
            broken.setattr(
                engine, "changes", lambda **how: bug() if engine.pending else plain(**how)
            )
        else:
            broken.setattr(alerts, "write", bug)
        found, _ = posted(side, [body("a"), body("b")])
    assert [told(one) for one in found] == ["turn_failed", "turn_failed"]
    assert active(side) == []
    assert list(bugs()) == [f'{{where="{where}"}}']
    found, _ = posted(side, [body("a"), body("b")])
    assert [told(one)[0] for one in found] == [["a"], ["b"]]


def test_a_bug_in_the_rest_of_the_ledger_takes_no_turn_back(buggy, monkeypatch):
    side, bugs = buggy
    with monkeypatch.context() as broken:
        broken.setattr(side.alerting._rest, "write", bug)
        found, _ = posted(side, [body("a")])
    assert told(found[0]) == (["a"], [0], 0)
    assert active(side) == ["a"]
    assert list(bugs()) == ['{where="alert_ledger"}']


def test_a_bug_in_one_of_the_bodies_that_are_taken_together_is_that_ones(buggy, monkeypatch):
    side, bugs = buggy
    enrich = side.bodies._enrich.many

    def poisoned(posts):
        if any(post.labels[0][1] == "poison" for post in posts):
            bug()
        return enrich(posts)

    with monkeypatch.context() as broken:
        broken.setattr(side.bodies._enrich, "many", poisoned)
        found, _ = posted(side, [body("a"), body("poison"), body("b")])
    # Who was before it in the turn comes again.
    assert (found[0].code, type(found[1])) == ("turn_failed", ZeroDivisionError)
    assert told(found[2]) == (["b"], [0], 0)
    assert active(side) == ["b"]
    assert bugs() == {'{where="alerts"}': 2}
