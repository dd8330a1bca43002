"""Turns that fail, at a start and after: nothing is half done, and nobody who waits is forgotten."""

import pytest

from heliograph.alert.engine.engine import Engine
from heliograph.alert.engine.limits import Limits
from heliograph.alert.model import Enriched
from heliograph.core.errors import Unavailable
from tests.alert.alert_runner import SENT, Runner, ns, post
from tests.alert.test_engine import setup


def told_after(run, now_ns, failed_turns):
    """Reasons and times told by an engine that starts at *now_ns*, its first turns failing."""
    engine = Engine.load(setup(), run.store.kept(), now_ns)
    for _ in range(failed_turns):
        engine.step(now_ns)
        for row in engine.ready(now_ns):
            engine.begin(row, now_ns)
        engine.changes()
        engine.abort()
    told = []
    for second in range(1, 400, 5):
        at_ns = now_ns + second * 10**9
        engine.step(at_ns)
        engine.changes()
        engine.commit()
        for row in engine.ready(at_ns):
            message = engine.begin(row, at_ns)
            engine.changes()
            engine.commit()
            if message is not None:
                told.append((second, message.reason.value))
                engine.settle(row, SENT, at_ns)
                engine.changes()
                engine.commit()
    return told


@pytest.mark.parametrize("told_before", [False, True])
def test_a_first_turn_that_fails_changes_nothing_of_what_is_told(told_before):
    run = Runner(setup())
    run.post(alertname="OOM")
    run.until(20 if told_before else 5)
    now_ns = run.now_ns + 10**9
    expected = told_after(run, now_ns, 0)
    assert expected
    assert told_after(run, now_ns, 3) == expected


def test_an_attempt_that_was_in_flight_is_made_again_after_a_failed_first_turn():
    run = Runner(setup())
    run.post(alertname="OOM")
    run.engine.step(ns(10))
    run.commit()
    (row,) = run.engine.ready(ns(10))
    run.engine.begin(row, ns(10))
    run.commit()
    expected = told_after(run, ns(11), 0)
    assert expected
    assert told_after(run, ns(11), 1) == expected


def test_a_severity_that_has_no_room_for_its_group_changes_nothing():
    routes = [{"matchers": ["severity=critical"], "group_by": ["node"], "continue": True}]
    run = Runner(setup(route={"routes": routes}), limits=Limits(groups=1))
    run.post(alertname="OOM", node="n1")
    words = {"alertname": "OOM", "node": "n1"}
    worse = post(words, at_ns=run.now_ns, severity="critical")
    with pytest.raises(Unavailable, match="too many groups"):
        run.engine.take(worse, Enriched(), run.now_ns)
    assert (run.engine.pending, bool(run.engine.changes())) == (0, False)


def test_routes_that_make_too_many_groups_change_nothing():
    run = Runner(setup(), limits=Limits(groups=1))
    for node in ("n1", "n2"):
        run.post(alertname="OOM", node=node)
    with pytest.raises(Unavailable, match="too many groups"):
        run.engine.reload(setup(route={"group_by": ["node"]}), run.now_ns)
    assert not run.engine.changes()
    run.commit()
    assert run.engine.setup.tree.match({})[0].group_by == setup().tree.match({})[0].group_by
    run.until(20)
    assert run.told() == [(10, ["OOM,n1", "OOM,n2"], [])]
