"""What `/metrics` says of alerts: read while others count, and of each message once."""

from collections import Counter
from types import SimpleNamespace

import pytest

from heliograph.alert.changes import Changes
from heliograph.alert.correlation.ties import MEMBERS_MAX
from heliograph.alert.model import Outgoing, Reason
from heliograph.service import alert_gauges
from heliograph.service.alert_meters import AlertMeters
from heliograph.service.measure import Registry
from tests.service.alert_site import firing, post_v2, telling
from tests.service.hooks import Hook
from tests.service.live import until
from tests.service.running import running

NOW_NS = 1_800_000_000 * 10**9
PLANNED = "heliograph_alerts_notifications_planned_total"


class Counting(Counter):
    """Counts something for the first time whenever somebody goes through it, as another thread may."""

    def items(self):
        for item in super().items():
            yield item
            self[f"new-{len(self)}"] += 1


def test_what_others_count_meanwhile_is_no_fault():
    registry = Registry()
    alert_gauges.add(
        registry,
        SimpleNamespace(gauges=dict, counts=dict, waiting=2),
        SimpleNamespace(in_flight=1),
        SimpleNamespace(counts=Counting(split=3)),
        SimpleNamespace(counts=Counting(ties_evicted=2)),
        [SimpleNamespace(counts=Counting(late=4)), SimpleNamespace(counts=Counter(late=1))],
    )
    told = [one for one in registry.exposition().splitlines() if not one.startswith("#")]
    assert told == [
        "heliograph_alerts_attempts_in_flight 1",
        'heliograph_alerts_channels_tally{what="split"} 3',
        'heliograph_alerts_engine_tally{what="ties_evicted"} 2',
        'heliograph_alerts_rules_tally{what="late"} 5',
        "heliograph_alerts_waiting 2",
    ]


@pytest.mark.parametrize(
    ("created_ns", "attempts", "planned"),
    [
        pytest.param(NOW_NS, 0, 1, id="new"),
        pytest.param(NOW_NS, 1, 1, id="new, and begun in the same turn"),
        pytest.param(NOW_NS - 1, 0, 0, id="postponed, or replaced before it was sent"),
        pytest.param(NOW_NS - 1, 2, 0, id="begun again"),
    ],
)
def test_a_message_is_planned_once(created_ns, attempts, planned):
    row = Outgoing(
        "g", "r/webhook[0]", "k", Reason.FIRST, frozenset("a"), frozenset(), created_ns, NOW_NS,
        attempts=attempts,
    )  # fmt: skip
    meters = AlertMeters(Registry())
    meters.count(Changes(outbox=[row]), NOW_NS)
    assert meters.planned.value(Reason.FIRST) == planned


def test_bounds_of_what_belongs_together_are_measured(tmp_path):
    with running(tmp_path / "data") as site:
        post_v2(site, *(firing(f"A{n}") for n in range(MEMBERS_MAX + 3)))
        tally = site.measured("heliograph_alerts_engine_tally")
    assert tally['{what="members_full"}'] == 3


def test_as_many_messages_are_planned_as_are_delivered(tmp_path):
    hook = Hook()
    # Some of them need another attempt.
    hook.script += [503, 200, 503]
    try:
        with running(
            tmp_path / "data", alerting=telling(hook), notify={"allow_private": ["127.0.0.0/8"]}
        ) as site:
            post_v2(site, *(firing(f"A{n}") for n in range(10)))
            until(lambda: len(hook.alerts("firing")) == 10, "all are told")
            assert sum(site.measured(PLANNED).values()) == len(hook.delivered()) == 10
    finally:
        hook.close()
