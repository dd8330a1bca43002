"""Turns of the alert engine's thread: who is answered together sends again together, and shares a
transaction; who sends alone waits for nobody."""

import threading

import pytest

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
    # One alone waits half a millisecond for the others, and then for nobody.
    assert alerting.submit(lambda _: "alone").result(10) == "alone"
    assert alerting.submit(lambda _: alerting._together).result(10) == 1
