"""The engine's time: forwards with the wall clock, never back, and what senders say is moved by it."""

import json
import threading

from heliograph.alert.engine.engine import Engine
from heliograph.alert.model import Enriched, Status
from heliograph.core import instant
from heliograph.core.clock import ManualClock, SystemClock
from heliograph.receive import alert_webhook, alerts
from heliograph.receive.alerts import Times
from heliograph.service.engine_time import EngineTime
from tests import looped
from tests.alert.test_engine import setup
from tests.service.dying import START_NS
from tests.service.dying_alerts import Site

HOUR_S = 3600
S_NS = 10**9


def test_time_follows_forwards_and_slows_down_until_a_clock_set_back_has_caught_up():
    clock = ManualClock(START_NS)
    time = EngineTime(clock)
    clock.set_wall(START_NS + HOUR_S * S_NS)
    assert time.read() == (START_NS + HOUR_S * S_NS, 0)
    clock.set_wall(START_NS)
    assert time.read() == (START_NS + HOUR_S * S_NS, HOUR_S * S_NS)
    clock.advance(HOUR_S)
    assert time.read().ahead_ns == HOUR_S * S_NS * 3 // 4
    before_ns = 0
    for _ in range(4 * 60):
        clock.advance(60)
        assert time.now_ns() > before_ns
        before_ns = time.now_ns()
    assert time.read() == (clock.now_ns(), 0)


def test_two_threads_never_see_it_go_back():
    time, went_back = EngineTime(SystemClock()), []

    def look():
        before = 0
        for _ in range(5000):
            now = time.now_ns()
            if now < before:
                went_back.append(before - now)
            before = now

    threads = [threading.Thread(target=look) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert went_back == []


def test_an_alert_that_fires_is_told_while_the_engine_is_ahead_of_the_wall():
    clock = ManualClock(START_NS + HOUR_S * S_NS)
    time = EngineTime(clock)
    engine = Engine(setup(), now_ns=time.now_ns())
    clock.set_wall(START_NS)
    sent = []
    for _ in range(20):
        clock.advance(15)
        now_ns, ahead_ns = time.read()
        body = json.dumps([fires(clock, 240)]).encode()
        (post,) = alerts.decode(body, Times(now_ns, 300 * S_NS, ahead_ns)).posts
        taken = engine.take(post, Enriched(), now_ns)
        engine.step(now_ns)
        engine.changes()
        engine.commit()
        sent += engine.ready(now_ns)
    assert taken.status is Status.FIRING
    assert (len(engine), bool(sent)) == (1, True)
    # What repeats is a repeat: it is not written each time.
    assert engine.counts["repeats"] == 19


def fires(clock, seconds):
    end = instant.text_of(clock.now_ns() + seconds * S_NS)
    start = instant.text_of(START_NS - 2 * HOUR_S * S_NS)
    return {"labels": {"alertname": "A", "n": "x"}, "startsAt": start, "endsAt": end}


def test_bodies_of_the_v2_api_fire_and_end_by_the_senders_clock(tmp_path):
    clock = ManualClock(START_NS)
    site = Site(tmp_path / "data", clock, None)
    try:
        site.post("early")
        clock.set_wall(START_NS - HOUR_S * S_NS)
        bodies = site.side.bodies

        def post(seconds):
            body = json.dumps([fires(clock, seconds)]).encode()

            async def taken():
                found = bodies.take(body)
                return found if isinstance(found, tuple) else await found

            return looped.run(taken())

        post(240)
        clock.advance(1)
        assert post(240).repeats == 1
        book = site.side.alerting._engine._state.book
        (slot,) = [s for s in book if ("n", "x") in book.view(s).labels]
        assert not book.over(slot)
        assert book.ends[slot] > START_NS + 200 * S_NS
        post(-1)
        assert book.over(slot)
    finally:
        site.site.close()


def test_the_end_of_a_webhook_without_a_status_is_moved_too():
    times = Times(START_NS, 0, HOUR_S * S_NS)
    alert = {"endsAt": instant.text_of(START_NS - 60 * S_NS)}
    assert alert_webhook._span(alert, None, "", times)[1] == START_NS + 59 * 60 * S_NS
