"""A robot counts its messages also while we are away: what went before a restart is on our budget."""

import pytest
from msgspec import structs

from heliograph.alert.config import setup
from heliograph.alert.model import Integration, Outgoing, Reason, Receiver
from heliograph.core.clock import ManualClock
from heliograph.core.errors import Unavailable
from heliograph.service.alert_meters import AlertMeters
from heliograph.service.deliveries import PER_INTEGRATION, Deliveries
from heliograph.service.meters import Meters
from heliograph.store.state import alert_ledger, alert_outbox
from heliograph.store.state.lanes import Lane
from heliograph.store.state.state import State
from tests.notify.fakes import Provider, StrictRobot
from tests.service.dying import START_NS
from tests.service.dying_alerts import Site

NOBODY = frozenset()


def opened(tmp_path, clock, url):
    """A site that tells one robot, each alert by itself."""
    route = {
        "receiver": "r", "group_by": ["n"], "group_wait": "1s", "group_interval": "3s",
    }  # fmt: skip
    robot = {"webhook_url": f"{url}/robot/send?access_token=t0ken-of-robot"}
    receivers = [{"name": "r", "dingtalk_configs": [robot]}]
    site = Site(
        tmp_path / "data", clock, None, alerting={"route": route, "receivers": receivers}
    )
    site.side.deliveries._channels = site.side.channels
    return site


def test_the_rate_is_kept_over_a_restart(tmp_path):
    clock = ManualClock(START_NS)
    robot = StrictRobot(
        clock,
        check=lambda one: one.document["markdown"]["text"],
        too_long=460101,
        too_fast=130101,
    )
    with Provider(robot) as provider:
        for names in (range(18), range(18, 26)):
            site = opened(tmp_path, clock, provider.url)
            try:
                for name in names:
                    site.post(f"n{name}", severity="critical")
                    site.wait(2)
                if 25 in names:
                    assert len(robot.texts) == 20
                    site.wait(60)
                    told, _ = site.core.state.read(
                        lambda tx: alert_ledger.page(
                            tx, alert_ledger.Filters(kind="sent"), limit=1000
                        )
                    )
            finally:
                site.site.close()
    assert robot.rejections == []
    assert len({one.alert_id for one in told}) == 26


class Recalls:
    def __init__(self):
        self.recalled = []

    def recall(self, integration, answer, ago_s):
        self.recalled.append((integration.id, answer, ago_s))


@pytest.mark.parametrize(
    ("begun", "parts"), [(0, 0), (1, 1), (PER_INTEGRATION + 9, PER_INTEGRATION)]
)
def test_what_a_crash_left_in_flight_is_counted_once_for_each_place(tmp_path, begun, parts):
    clock = ManualClock(START_NS)
    robot = Integration("r/dingtalk[0]", "r", "dingtalk", {})
    rows = [
        Outgoing(f"g{n}", one, f"k{n}", Reason.FIRST, NOBODY, NOBODY, 1, 1, in_flight=n < begun)
        for n in range(begun + 1)
        for one in (robot.id, "gone/dingtalk[0]")
    ]
    receivers = {"r": Receiver("r", (robot, Integration("r/webhook[0]", "r", "webhook", {})))}
    state = State.open(None, tmp_path, clock)
    channel = Recalls()
    deliveries = Deliveries(
        {"dingtalk": channel, "webhook": object()}, None,
        AlertMeters(Meters().registry), clock, whole=lambda _: {},
    )  # fmt: skip
    try:
        state.run(lambda tx: alert_outbox.put(tx, rows), lane=Lane.ALERTS)
        deliveries.recall(structs.replace(setup.empty(), receivers=receivers), state)
    finally:
        deliveries.close()
        state.close()
    assert channel.recalled == [(robot.id, None, 0.0)] * parts


class Away:
    def read(self, work):
        raise Unavailable("not asked")


def test_who_tells_no_robot_does_not_ask():
    clock = ManualClock(START_NS)
    deliveries = Deliveries({}, None, AlertMeters(Meters().registry), clock, whole=lambda _: {})
    deliveries.recall(setup.empty(), Away())
    deliveries.close()
