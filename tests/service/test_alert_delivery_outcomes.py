"""What comes of attempts: retried as asked, given up with a reason, and never more than one open
message for a group and channel; and how large the transactions of all this get."""

import pytest
from msgspec import structs

from heliograph.alert.engine.limits import Limits
from heliograph.alert.model import Delivery
from heliograph.core.clock import ManualClock
from heliograph.core.duration import SECOND_NS
from heliograph.notify import alertmanager
from heliograph.service import alerting
from heliograph.store.state import alert_ledger, alerts
from tests.service.dying import START_NS
from tests.service.dying_alerts import Site
from tests.service.whole import assert_whole, quiet

# All of one message; `Limits.message_alerts`.
STORM = 2000
# Rows of all kinds that a transaction of the engine may write (20 ms).
ROWS_MAX = 3000


@pytest.fixture
def site(tmp_path):
    opened = Site(tmp_path / "data", ManualClock(START_NS), None)
    yield opened
    opened.site.close()


def limit(site, **changed):
    """Have the engine work by other bounds."""
    memory = site.side.alerting._engine._state
    memory.limits = structs.replace(memory.limits, **changed)


def ledger(site, name):
    """(kind, stage, cause, answer) of the first channel's lines about *name*, oldest first."""
    book = site.side.alerting._engine._state.book
    (alert_id,) = [book.ids[slot] for slot in book if ("n", name) in book.view(slot).labels]

    def read(tx):
        found, _ = alert_ledger.page(tx, alert_ledger.Filters(alert_id=alert_id), limit=1000)
        return found

    found = [one for one in site.core.state.read(read) if one.integration.endswith("[0]")]
    found.sort(key=lambda one: one.at_ns)
    return [(one.kind, one.stage, one.cause, one.answer) for one in found]


def answers(site, *deliveries):
    """Have the first channel answer so, in turn, and the other always take it."""
    script = list(deliveries)
    plain = site.receiver.deliver

    def deliver(message, integration):
        if integration.id.endswith("[0]") and script:
            return script.pop(0)
        return plain(message, integration)

    site.receiver.deliver = deliver


def told(site, place):
    return [one for one in site.receiver.told() if one["line"][1].endswith(f"[{place}]")]


def test_what_cannot_be_delivered_is_given_up_with_a_reason_and_tried_anew(site):
    limit(site, give_up_ns=5 * SECOND_NS)
    answers(site, *[Delivery("later", "not now", 503)] * 12)
    site.post("x")
    site.wait(20)
    lines = ledger(site, "x")
    kinds = [kind for kind, *_ in lines]
    assert kinds[0] == "failed"
    assert "dead" in kinds
    (dead, *_) = [line for line in lines if line[0] == "dead"]
    assert dead[2].startswith("given up after ")
    assert dead[3] == "not now"
    # It fires still, so it is owed: the next message is another.
    site.wait(60)
    assert ledger(site, "x")[-1][0] == "sent"
    assert len(told(site, 0)) == len(told(site, 1)) == 1
    assert_whole(site.side, site.core.state)


def test_what_is_refused_for_good_is_dead_at_once(site):
    answers(site, Delivery("refused", "no such room", 404))
    site.post("x")
    site.wait(2)
    assert ledger(site, "x") == [("dead", "", "refused", "no such room")]
    assert site.side.alerting.gauges()["outbox"] == 0


def test_a_wait_that_was_asked_for_is_kept(site):
    answers(site, Delivery("later", "slower", 429, retry_after_s=30.0))
    site.post("x")
    site.wait(2)
    site.post("y")
    site.wait(27)
    assert told(site, 0) == []
    site.wait(5)
    # What came meanwhile went with it.
    assert [[name for name, *_ in one["alerts"]] for one in told(site, 0)] == [["x", "y"]]


def test_our_own_rate_is_no_attempt(site):
    limit(site, give_up_ns=5 * SECOND_NS)
    answers(site, *[Delivery("later", "held", retry_after_s=2.0, messages=0)] * 5)
    site.post("x")
    site.wait(20)
    (held, sent) = ledger(site, "x")
    assert (held[:2], held[2].partition("T")[0]) == (
        ("held", "rate"),
        "rate, next at 2026-01-01",
    )
    assert sent == ("sent", "", "first notification", "ok")
    assert len(told(site, 0)) == 1


def test_a_channel_that_is_away_has_one_open_message_a_group(site):
    answers(site, *[Delivery("later", "not now", 503)] * 1000)
    for number in range(20):
        site.post(f"n{number}")
        site.wait(4)
        assert site.side.alerting.gauges()["outbox"] <= 1
    assert len(told(site, 1)) == 20


def test_the_channel_that_forgets_is_told_as_often_as_it_asks():
    (policy,) = Limits().resend
    assert policy.kind == "alertmanager"
    # A few may be lost before what fires ends there.
    assert 4 * policy.every_ns == alertmanager.FIRES_FOR_NS


@pytest.mark.parametrize("by", ["alertname", "n"])
def test_no_transaction_grows_with_the_storm(tmp_path, monkeypatch, by):
    route = {
        "receiver": "r", "group_by": [by], "group_wait": "1s", "group_interval": "3s",
    }  # fmt: skip
    count = STORM if by == "alertname" else STORM // 8
    site = Site(tmp_path / "data", ManualClock(START_NS), None, alerting={"route": route})
    sizes = []
    plain, note = alerts.write, alerts.note

    def write(tx, changes):
        lists = (getattr(changes, name) for name in changes.__struct_fields__)
        sizes.append(sum(len(one) for one in lists if isinstance(one, list)))
        plain(tx, changes)

    def noted(tx, entries):
        sizes.append(len(entries))
        note(tx, entries)

    monkeypatch.setattr(alerts, "write", write)
    monkeypatch.setattr(alerts, "note", noted)
    try:
        names = [f"n{n}" for n in range(count)]
        site.post(*names)
        site.wait(3)
        site.post(*names)
        # All end at once, by themselves.
        site.clock.advance(3600)
        quiet(site.side, site.clock)
        site.wait(4)
        statuses = {
            status: {name for one in told(site, 0) for name, _, now in one["alerts"] if now == status}
            for status in ("firing", "resolved")
        }  # fmt: skip
        assert statuses == {"firing": set(names), "resolved": set(names)}
        assert max(sizes) <= ROWS_MAX, sorted(sizes)[-5:]
        assert site.side.alerting.gauges()["groups"] == 0
        assert_whole(site.side, site.core.state)
        assert alerting.ENTRIES_PER_TRANSACTION + 2 * alerting.MOVED_PER_TRANSACTION <= ROWS_MAX
    finally:
        site.site.close()


def test_alerts_that_a_message_only_counts_are_in_a_counter(site):
    limit(site, message_alerts=2)
    site.post(*"abcde")
    site.wait(2)
    (first, *_) = told(site, 0)
    assert len(first["alerts"]) == 2
    counted = site.core.meters.registry.exposition()
    assert 'heliograph_alerts_unnamed_total{channel="webhook"} 6' in counted
