"""Attempts of the last minutes, as the ledger and the outbox have them."""

from msgspec import structs

from heliograph.alert.model import Entry, Outgoing, Reason, Status
from heliograph.store.state import alert_attempts, alert_ledger, alert_outbox
from heliograph.store.state.alert_attempts import Attempted
from heliograph.store.state.lanes import Lane

NOBODY = frozenset()


def line(alert, at_ns, *, robot="r/dingtalk[0]", kind="sent", attempt=1, key="k", answer=""):
    return Entry(
        alert, "g", "r", robot, robot.split("/")[1].split("[")[0], at_ns, kind, Status.FIRING,
        attempt=attempt, key=key, answer=answer,
    )  # fmt: skip


LINES = [
    # Two alerts of one message; another attempt of it; another message.
    line("a", 10),
    line("b", 10),
    line("a", 12, attempt=2, answer="2 messages"),
    line("a", 11, kind="failed", key="l", answer="errcode 1: 训练\x00\ud83d"),
    line("a", 13, kind="dead", robot="r/wecom[0]"),
    # What was not tried, too early, or on another channel.
    line("a", 14, kind="held", key="", attempt=0),
    line("a", 9, key="m"),
    line("a", 15, robot="r/webhook[0]", key="n"),
]


def test_an_attempt_is_one_however_many_alerts_it_told(state):
    state.run(lambda tx: alert_ledger.add(tx, LINES), lane=Lane.ALERTS)
    found = state.read(lambda tx: alert_attempts.since(tx, 10, {"wecom", "dingtalk"}))
    assert found == [
        Attempted("r/wecom[0]", "", 13),
        Attempted("r/dingtalk[0]", "2 messages", 12),
        Attempted("r/dingtalk[0]", "errcode 1: 训练\x00\ud83d", 11),
        Attempted("r/dingtalk[0]", "", 10),
    ]


def test_what_was_begun_and_has_no_end_is_in_flight(state):
    waits = Outgoing("g", "r/wecom[0]", "k", Reason.FIRST, NOBODY, NOBODY, 1, 1)
    begun = structs.replace(waits, integration="r/dingtalk[0]", in_flight=True, attempts=1)
    again = structs.replace(begun, group_key="h")
    state.run(lambda tx: alert_outbox.put(tx, [waits, begun, again]), lane=Lane.ALERTS)
    assert state.read(alert_attempts.in_flight) == ["r/dingtalk[0]"] * 2
