"""The bound on episodes that are over: what is owed to nobody leaves, and what is owed is no burden."""

import pytest

from heliograph.alert.engine.book import Book
from heliograph.alert.engine.limits import Limits
from heliograph.alert.model import Delivery, Enriched, Status
from tests.alert.alert_runner import SENT, Runner, ns, post
from tests.alert.test_engine import setup

NAMES = [{"alertname": "OOM", "n": str(n)} for n in range(20)]


def owed(limits):
    """A run with twenty episodes that are over, of which a channel that is away was to be told."""
    away = [False]
    down = Delivery("later", "down", 503)
    run = Runner(setup(), deliver=lambda *_: down if away[0] else SENT, limits=limits)
    take(run, NAMES)
    run.until(20)
    away[0] = True
    take(run, NAMES, over=True)
    run.until(40)
    return run, away


def take(run, labels, *, over=False):
    ends_ns = run.now_ns if over else None
    run.take(
        [post(one, at_ns=run.now_ns, ends_ns=ends_ns, resolve_after_ns=0) for one in labels]
    )


def held(run):
    book = run.engine._state.book
    return [book.view(slot) for slot in book]


def ended(run):
    gauges = run.engine.gauges()
    return gauges["episodes_held"] - gauges["alerts_firing"]


def test_more_of_them_than_the_bound_are_not_looked_at_in_every_turn(monkeypatch):
    run, away = owed(Limits(ended=5))
    monkeypatch.setattr(Book, "_oldest_first", lambda _: pytest.fail("all were looked at"))
    for n in range(30):
        take(run, [{"alertname": "Other", "n": str(n)}])
    assert (ended(run), run.engine.counts["ended_forgotten"]) == (20, 0)

    away[0] = False
    run.until(400)
    # Now they are owed to nobody, and five of them may stay.
    assert (ended(run), run.engine.counts["ended_forgotten"]) == (5, 15)


def test_what_nobody_is_owed_leaves_the_longest_over_first():
    run, _ = owed(Limits(ended=22))
    for n in range(6):
        take(run, [{"alertname": "Past", "n": str(n)}], over=True)
    left = {dict(alert.labels)["n"] for alert in held(run) if alert.name == "Past"}
    assert left == {"4", "5"}
    assert (ended(run), run.engine.counts["ended_forgotten"]) == (22, 4)


def test_a_turn_that_failed_forgets_nothing():
    run, _ = owed(Limits(ended=21))
    before = {alert.id for alert in held(run)}
    take(run, [{"alertname": "Past", "n": "0"}], over=True)
    for over in (True, False):
        one = post(
            {"alertname": "Past", "n": "1"},
            at_ns=run.now_ns,
            ends_ns=run.now_ns if over else None,
        )
        run.engine.take(one, Enriched(), run.now_ns)
        run.engine.changes()
        run.engine.abort()
        run.commit()
    assert len(held(run)) == 21
    assert before <= {alert.id for alert in held(run)}
    assert run.engine.counts["ended_forgotten"] == 0


def test_after_a_start_too():
    run, away = owed(Limits(ended=30))
    take(run, [{"alertname": "Past", "n": str(n)} for n in range(3)], over=True)
    run.limits = Limits(ended=5)
    run.restart()
    assert (ended(run), run.engine.counts["ended_forgotten"]) == (20, 3)
    away[0] = False
    run.until(400)
    assert ended(run) == 5


HOUR_S = 3600
OOM = {"alertname": "OOM"}


def resolved(run, start_s, end_s, labels=OOM):
    """Post an end; the id of the episode that it was taken for."""
    return run.post(labels, starts_s=start_s, ends_s=end_s).alert_id


def test_an_end_of_long_ago_is_one_episode_however_often_it_is_told():
    run = Runner(setup())
    ids = set()
    for n in range(9):
        # Less than an hour apart, and in all for longer than that.
        run.at(n * 0.9 * HOUR_S)
        ids.add(resolved(run, -3 * HOUR_S, -2 * HOUR_S))
    assert len(ids) == len(run.store.alerts) == 1
    run.until(run.now_s + 1.1 * HOUR_S)
    assert held(run) == []


def test_an_end_before_the_hour_that_ends_what_fires_is_told_again():
    run = Runner(setup())
    fires = run.post(OOM, starts_s=-9000, resolve_after_ns=0).alert_id
    assert [resolved(run, -9000, -7000) for _ in range(4)] == [fires] * 4
    run.at(0.9 * HOUR_S)
    assert resolved(run, -9000, -6500) == fires
    again = run.post(OOM)
    assert (again.alert_id != fires, run.store.alerts[again.alert_id].episode) == (True, 2)


def test_what_is_said_of_an_episode_in_the_turn_that_would_forget_it_keeps_it():
    run = Runner(setup(), limits=Limits(ended_ns=600 * 10**9))
    first = resolved(run, -100, -50)
    run.now_ns += 600 * 10**9
    run.engine.step(run.now_ns)
    run.now_ns += 1
    assert resolved(run, -100, -50) == first
    assert [alert.id for alert in held(run)] == [first]


@pytest.mark.parametrize("known", [True, False])
def test_an_end_of_an_earlier_episode_does_not_end_this_one(known):
    run = Runner(setup())
    if known:
        run.post(OOM, starts_s=-9000)
        resolved(run, -9000, -7000)
    fires = run.post(OOM, starts_s=-100)
    resolved(run, -9000, -7000)
    (alert,) = (one for one in held(run) if one.id == fires.alert_id)
    assert (alert.status(run.now_ns), alert.starts_ns) == (Status.FIRING, ns(-100))
    assert run.engine.counts["posts_stale"] == 1
