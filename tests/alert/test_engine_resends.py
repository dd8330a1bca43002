"""Another Alertmanager is told again every minute what fires: after all that may come in between."""

from itertools import pairwise

import pytest

from heliograph.alert.config import configuration
from heliograph.alert.engine.limits import Limits
from heliograph.alert.model import Delivery
from tests.alert.alert_runner import SENT, Runner, ns, post

MUTED = {"time_intervals": [{"times": [{"start_time": "00:01", "end_time": "00:04"}]}]}
DOWN = Delivery("later", "connection refused")


def setup(**route):
    return configuration.parse({
        "route": {
            "receiver": "all", "group_by": ["alertname"],
            "group_wait": "10s", "group_interval": "60s", "repeat_interval": "4h",
            "routes": [{"matchers": ["alertname=~.+"], **route}],
        },
        "receivers": [{"name": "all", "alertmanager_configs": [{"url": "http://a"}]}],
        "inhibit_rules": [{"source_matchers": ["alertname=Down"],
                           "target_matchers": ["alertname=OOM"]}],
        "time_intervals": [{"name": "night", **MUTED}],
    })  # fmt: skip


def fires(run=None, **route):
    run = run or Runner(setup(**route))
    run.post(alertname="OOM", resolve_after_ns=0)
    return run


def times(run):
    return [round(at_s) for at_s, _, message in run.sent if message.alerts[0].name == "OOM"]


def test_after_a_silence():
    run = fires()
    run.until(100)
    run.silence([("alertname", "=", "OOM")], 100, 190)
    run.until(400)
    assert times(run) == [10, 70, 190, 250, 310, 370]


def test_after_an_inhibition():
    run = fires()
    run.at(100).post(alertname="Down", resolve_after_ns=0)
    run.at(185).post(alertname="Down", ends_s=185)
    run.until(400)
    assert times(run) == [10, 70, 190, 250, 310, 370]


def test_after_a_mute_interval():
    run = fires(mute_time_intervals=["night"])
    run.until(400)
    assert times(run) == [10, 250, 310, 370]


def test_not_of_what_ended_in_a_silence():
    run = fires()
    run.until(100)
    run.silence([("alertname", "=", "OOM")], 100, 10_000)
    run.at(150).post(alertname="OOM", ends_s=150)
    run.until(5000)
    told = [(at_s, resolved) for at_s, firing, resolved in run.told() if not firing]
    # It was told that it fires, so its end is told, and again for a quarter of an hour.
    assert [at_s for at_s, _ in told] == [190 + 60 * n for n in range(15)]
    state = run.engine._state
    assert (len(state.resends), len(state.lingering), len(state.groups)) == (0, 0, 0)


def test_after_a_turn_that_failed():
    run = fires()
    run.until(65)
    run.now_ns = run.engine.due_ns()
    run.engine.step(run.now_ns)
    run.engine.changes()
    run.engine.abort()
    run.until(200)
    assert times(run) == [10, 70, 130, 190]


def test_after_it_was_away_for_long_and_without_haste():
    away = [False]
    run = fires(Runner(setup(), deliver=lambda *_: DOWN if away[0] else SENT))
    run.until(100)
    away[0] = True
    run.until(1000)
    attempts = len(run.attempts)
    away[0] = False
    run.until(1600)
    after = [at_s for at_s in times(run) if at_s > 1000]
    assert after[0] <= 1000 + 450
    assert {b - a for a, b in pairwise(after)} == {60}
    # One message that waits longer each time, not one after the other.
    assert attempts < 20


def test_after_it_refused_with_each_look_and_not_every_minute_while_it_does():
    no = Delivery("refused", "no", 400)
    route = {"group_interval": "150s"}
    run = fires(
        Runner(setup(**route), deliver=lambda m, i, at_s: no if 50 < at_s < 400 else SENT)
    )
    run.until(700)
    assert [round(at_s) for at_s, *_ in run.attempts] == [
        10, 70, 160, 310, *range(460, 701, 60),
    ]  # fmt: skip
    assert [one.kind for one in run.store.entries] == ["sent", "dead"]


def test_after_a_silence_that_came_before_the_attempt():
    run = fires()
    run.until(65)
    run.now_ns = run.engine.due_ns()
    run.engine.step(run.now_ns)
    run.commit()
    (row,) = run.engine.ready(run.now_ns)
    run.silence([("alertname", "=", "OOM")], 70, 100)
    assert run.engine.begin(row, run.now_ns) is None
    run.commit()
    run.until(200)
    assert times(run) == [10, 130, 190]


def test_nothing_is_remembered_of_ends_whose_groups_are_no_more():
    run = Runner(setup())
    for n in range(50):
        run.post(alertname=f"A{n}", resolve_after_ns=0)
    run.until(60)
    for n in range(50):
        run.post(alertname=f"A{n}", ends_s=60)
    run.until(200)
    state = run.engine._state
    assert len(state.lingering) == 50
    run.engine.reload(setup(group_by=["severity"]), run.now_ns)
    run.commit()
    run.until(5000)
    assert (len(state.lingering), len(state.resends), len(state.book)) == (0, 0, 0)


@pytest.mark.parametrize("ended", [0, 3])
def test_what_is_forgotten_for_want_of_room_does_not_linger(ended):
    run = Runner(setup(), limits=Limits(ended=ended))
    run.take([post({"alertname": f"A{n}"}, at_ns=run.now_ns) for n in range(5)])
    run.until(60)
    run.take(
        [post({"alertname": f"A{n}"}, at_ns=run.now_ns, ends_ns=run.now_ns) for n in range(5)]
    )
    run.until(200)
    run.engine.reload(setup(group_by=["severity"]), run.now_ns)
    run.commit()
    assert len(run.engine._state.lingering) == len(run.engine._state.book) == ended


def test_no_step_has_more_to_tell_than_one_looks_at():
    run = Runner(setup(), limits=Limits(looks=4))
    run.take([post({"alertname": f"A{n}"}, at_ns=run.now_ns) for n in range(10)])
    run.until(60)
    assert len(run.sent) == 10
    steps = 0
    while (run.engine.due_ns() or 0) <= ns(70):
        run.now_ns = ns(70)
        run.engine.step(run.now_ns)
        for outgoing in run.engine.ready(run.now_ns):
            run.engine.begin(outgoing, run.now_ns)
        assert len(run.commit().outbox) <= 4
        steps += 1
    assert (steps, run.engine.gauges()["outbox"]) == (3, 10)
