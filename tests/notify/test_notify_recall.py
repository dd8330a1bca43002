"""A robot's rate after a restart: attempts of before count as many messages as they were."""

import pytest

from heliograph.core.clock import ManualClock
from heliograph.notify import robot
from heliograph.notify.budget import Budget, Rate
from heliograph.notify.protocol import Paced
from tests.notify.fakes import (
    NEW_YEAR_NS,
    Provider,
    Reply,
    alert,
    channels,
    in_turn,
    integration,
    message,
)

OK = Reply(200, {"errcode": 0, "errmsg": "ok"})
LONG = [alert(f"A{n}", annotations={"summary": "很长" * 500}, n=str(n)) for n in range(4)]


def test_a_budget_knows_what_went_before_it():
    budget = Budget(Rate(5, 60.0))
    budget.recall("r", 90.0, parts=1)
    budget.recall("r", 70.0, parts=3)
    budget.recall("r", 30.0, parts=9)
    assert budget.take("r", 100.0) == 0
    assert budget.take("r", 100.0) == pytest.approx(30.0)
    assert budget.take("r", 131.0, parts=3) == 0


@pytest.mark.parametrize(
    ("answer", "messages"),
    [
        ("", 1),
        ("errcode -1: busy", 1),
        # In the provider's words it is no count of ours.
        ("errcode -1: 20 messages", 1),
        ("4 messages", 4),
        ("2 messages; errcode -1: busy", 2),
        ("3 messages; template text: the value has no Nope", 3),
        ("held by the provider's rate", 0),
        ("in the digest of another", 0),
        ("in the digest of another; 3 messages; HTTP 503", 0),
    ],
)
def test_the_ledger_says_how_many_messages_an_attempt_was(answer, messages):
    assert robot.posted(answer) == messages


@pytest.mark.parametrize("kind", ["dingtalk", "wecom"])
def test_every_part_counts(kind):
    clock = ManualClock(NEW_YEAR_NS)
    with Provider(lambda _: OK) as provider:
        one = integration(kind, webhook_url=f"{provider.url}/x")
        came = channels(clock)[kind].deliver(message(*LONG), one)
    assert came.messages == len(provider.requests)
    assert robot.posted(came.answer) == came.messages > (kind == "wecom")
    after = channels(clock)[kind]
    assert isinstance(after, Paced)
    for _ in range(20 // came.messages):
        assert after.wait_s(one, urgent=True) == 0
        after.recall(one, came.answer, 11.0)
    after.recall(one, "" if 20 % came.messages else "in the digest of another", 11.0)
    assert after.wait_s(one, urgent=True) == (50.0 if not 20 % came.messages else 0.0)


def test_so_does_a_part_that_was_refused_and_what_nobody_knows():
    clock = ManualClock(NEW_YEAR_NS)
    busy = Reply(200, {"errcode": -1, "errmsg": "busy"})
    with Provider(in_turn(OK, busy)) as provider:
        one = integration("wecom", webhook_url=f"{provider.url}/x")
        came = channels(clock)["wecom"].deliver(message(*LONG), one)
    assert (came.outcome, came.answer) == ("later", "2 messages; errcode -1: busy")
    after = channels(clock)["wecom"]
    for _ in range(5):
        assert after.wait_s(one, urgent=True) == 0
        after.recall(one, None, 0.0)
    assert after.wait_s(one, urgent=True) == 61.0


def test_a_digest_counts_once():
    with Provider(lambda _: OK) as provider:
        one = integration("wecom", webhook_url=f"{provider.url}/x")
        told = [message(alert(n=str(n)), key=f"k{n}") for n in range(7)]
        came = channels()["wecom"].deliver_together(told, one)
    assert len(provider.requests) == 1
    assert sum(robot.posted(each.answer) for each in came) == 1
