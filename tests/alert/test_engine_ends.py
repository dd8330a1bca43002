"""What an end says, and to whom: of an episode that nobody heard of, and of words that it leaves out."""

import pytest

from heliograph.alert.model import Delivery, Status
from tests.alert.alert_runner import SENT, Runner
from tests.alert.test_engine import setup

OOM = {"alertname": "OOM", "n": "1"}
WORDS = {"annotations": {"summary": "GPU 3"}, "severity": "critical", "raw": b'{"said":1}'}


def told(run):
    """[(at, [(number, status), …])] of what was delivered."""
    return [
        (at_s, sorted((dict(a.labels)["n"], a.status(m.now_ns).value) for a in m.alerts))
        for at_s, _, m in run.sent
    ]


def twice(run, **labels):
    """An alert that fires, ends and fires again."""
    run.post({**OOM, **labels})
    run.at(run.now_s + 1).post({**OOM, **labels}, ends_s=run.now_s + 1)
    run.at(run.now_s + 1).post({**OOM, **labels})


def test_what_fired_and_ended_untold_is_not_told_beside_the_one_that_fires():
    run = Runner(setup())
    twice(run)
    run.until(100)
    assert told(run) == [(10, [("1", "firing")])]
    first = min(run.store.alerts)
    assert [(one.kind, one.cause) for one in run.store.entries if one.alert_id == first] == [
        ("held", "it was over before it was told")
    ]


def test_nor_when_it_waits_for_another_attempt_meanwhile():
    answers = [Delivery("later", "refused")]
    run = Runner(setup(), deliver=lambda *_: answers.pop() if answers else SENT)
    for number in ("1", "2"):
        run.post({**OOM, "n": number}, resolve_after_ns=0)
    run.until(10)
    assert len(run.attempts) == 1
    run.post(OOM, ends_s=10)
    run.post(OOM, resolve_after_ns=0)
    run.until(200)
    assert [what for _, what in told(run)] == [
        [("2", "firing")],
        [("1", "firing"), ("2", "firing")],
    ]


def test_what_ended_untold_and_fires_no_more_is_told_beside_others_as_alertmanager_does():
    run = Runner(setup())
    run.post({**OOM, "n": "1"})
    run.at(1).post({**OOM, "n": "1"}, ends_s=1)
    run.post({**OOM, "n": "2"})
    run.until(100)
    assert told(run) == [(10, [("1", "resolved"), ("2", "firing")])]


def test_the_end_of_an_episode_that_was_told_stands_beside_the_next():
    run = Runner(setup())
    run.post(OOM)
    run.until(20)
    run.at(21).post(OOM, ends_s=21)
    run.at(22).post(OOM)
    run.until(100)
    assert told(run) == [(10, [("1", "firing")]), (70, [("1", "firing"), ("1", "resolved")])]


def test_nor_is_the_end_lost_of_what_may_have_been_told():
    answers = [Delivery("later", "time-out", unsure=True)]
    run = Runner(setup(), deliver=lambda *_: answers.pop() if answers else SENT)
    run.post(OOM, resolve_after_ns=0)
    run.until(10)
    run.post(OOM, ends_s=10)
    run.post(OOM, resolve_after_ns=0)
    run.until(100)
    first = min(run.store.alerts)
    ends = [
        one.id
        for _, _, message in run.sent
        for one in message.alerts
        if one.status(message.now_ns) is Status.RESOLVED
    ]
    assert ends == [first]


@pytest.mark.parametrize("wait_s", [0, 20], ids=["in its first turn", "told"])
def test_an_end_that_says_no_more_leaves_the_words(wait_s):
    run = Runner(setup())
    run.post(OOM, status="firing", **WORDS)
    run.until(wait_s)
    before = run.store.commits
    for _ in range(2):
        run.post(OOM, status="resolved", severity="warning", raw=b'{"over":1}')
    run.until(100)
    (alert,) = run.store.alerts.values()
    assert alert.ends_ns is not None
    assert (dict(alert.annotations), alert.severity, alert.raw) == (
        {"summary": "GPU 3"},
        "critical",
        b'{"said":1}',
    )
    # That it fired and that it is over are counted under one severity.
    assert {key[3] for key, sums in run.store.statistics.items() if any(sums)} == {"critical"}
    assert run.store.commits > before
    if wait_s:
        assert [dict(m.alerts[0].annotations) for _, _, m in run.sent] == [
            {"summary": "GPU 3"}
        ] * 2


def test_an_end_with_words_of_its_own_is_told_in_them():
    run = Runner(setup())
    run.post(OOM, status="firing", **WORDS)
    run.until(20)
    run.post(OOM, status="resolved", annotations={"summary": "well"}, raw=b'{"over":1}')
    (alert,) = run.store.alerts.values()
    assert (dict(alert.annotations), alert.raw) == ({"summary": "well"}, b'{"over":1}')


def test_on_the_v2_api_what_is_not_there_is_gone():
    run = Runner(setup())
    run.post(OOM, **WORDS)
    run.at(20).post(OOM, ends_s=20, raw=b'{"over":1}')
    (alert,) = run.store.alerts.values()
    assert (alert.annotations, alert.raw) == ((), b'{"over":1}')
