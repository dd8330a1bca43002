"""The ledger: one line where something changes, none where it stays as it was."""

from heliograph.alert.engine.flush import Hold
from heliograph.alert.engine.ledger import Ledger
from heliograph.alert.model import Delivery, Group, Integration, Outgoing, Reason, Status
from tests.alert.alert_runner import ns

GROUP = Group("g", "file", "all", (), 0, 0)
ONE = Integration("all/webhook[0]", "all", "webhook", {})
OTHER = Integration("all/email[0]", "all", "email", {})
SILENCED = Hold("silence", "s1")
ROW = Outgoing(
    "g", ONE.id, "key", Reason.FIRST, frozenset(["b", "a"]), frozenset("c"), 0, 0, attempts=2
)


def shown(ledger):
    return [(e.alert_id, e.channel, e.kind, e.stage, e.cause, e.status) for e in ledger.entries]


def test_what_holds_is_written_once_for_each_channel_and_again_when_it_changes():
    ledger = Ledger()
    for integration in (ONE, ONE, OTHER):
        ledger.held("a", GROUP, integration, SILENCED, Status.FIRING, ns(0))
    ledger.held("a", GROUP, ONE, Hold("inhibit", "z"), Status.FIRING, ns(1))
    ledger.held("a", GROUP, OTHER, SILENCED, Status.FIRING, ns(1))

    assert shown(ledger) == [
        ("a", "webhook", "held", "silence", "s1", Status.FIRING),
        ("a", "email", "held", "silence", "s1", Status.FIRING),
        ("a", "webhook", "held", "inhibit", "z", Status.FIRING),
    ]


def test_an_attempt_is_a_line_of_every_alert_within_the_bound():
    ledger = Ledger()
    left = ledger.attempted(
        ROW, "failed", GROUP, ONE, Delivery("later", "502"), ns(3), entries_max=2
    )

    assert left == 1
    assert [(e.alert_id, e.attempt, e.answer, e.key, e.cause) for e in ledger.entries] == [
        ("a", 2, "502", "key", "first notification"),
        ("b", 2, "502", "key", "first notification"),
    ]


def test_after_something_was_sent_the_same_hold_is_news():
    ledger = Ledger()
    ledger.held("a", GROUP, ONE, SILENCED, Status.FIRING, ns(0))
    ledger.commit()
    ledger.attempted(ROW, "sent", GROUP, ONE, Delivery("sent"), ns(1))
    assert ledger.stage("a", ONE.id) == ""
    ledger.abort()
    assert ledger.stage("a", ONE.id) == "silence"
    ledger.attempted(ROW, "sent", GROUP, ONE, Delivery("sent"), ns(1))
    ledger.commit()
    ledger.held("a", GROUP, ONE, SILENCED, Status.FIRING, ns(2))

    assert shown(ledger) == [("a", "webhook", "held", "silence", "s1", Status.FIRING)]
    ledger.forget(["a"])
    assert ledger.stage("a", ONE.id) == ""


def test_what_was_noted_before_is_a_hold_without_a_line_until_something_else_is_noted():
    ledger = Ledger()
    ledger.assume("a", ONE.id, Hold("compare", ""))
    assert (ledger.stage("a", ONE.id), ledger.stage("a", OTHER.id)) == ("compare", "")
    assert ledger.entries == []
    ledger.held("a", GROUP, ONE, SILENCED, Status.RESOLVED, ns(1))
    assert ledger.stage("a", ONE.id) == "silence"
    assert shown(ledger) == [("a", "webhook", "held", "silence", "s1", Status.RESOLVED)]
