"""What was told by a route that is no more: its end comes as its firing did."""

import pytest

from heliograph.alert.config import configuration
from heliograph.notify import facts
from tests.alert.alert_runner import Runner

CHANGES = {
    "gone": [],
    "another receiver": [{"matchers": ['team="a"'], "receiver": "b"}],
}
RECEIVERS = [
    {"name": name, "webhook_configs": [{"url": f"http://{name}"}]} for name in ("all", "b")
]


def setup(routes, receiver="b", interval="20s"):
    return configuration.parse({
        "route": {"receiver": receiver, "group_by": ["alertname"], "group_wait": "10s",
                  "group_interval": interval, "repeat_interval": "4h", "routes": routes},
        "receivers": RECEIVERS,
    })  # fmt: skip


def keys(run, receiver):
    return [
        (round(at_s), message.status.value, facts.of(message).foreign_key)
        for at_s, integration, message in run.sent
        if integration.startswith(receiver)
    ]


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_an_end_comes_with_the_key_of_its_firing_and_at_the_groups_interval(change, restarts):
    run = Runner(setup([{"matchers": ['team="a"'], "receiver": "all"}]))
    run.post(alertname="OOM", team="a", resolve_after_ns=0)
    run.until(15)
    changed = setup(change)
    if restarts:
        run.restart(15, changed)
    else:
        run.engine.reload(changed, run.now_ns)
        run.commit()
        run.setup = changed
    run.until(20)
    run.at(20).post(alertname="OOM", team="a", ends_s=20)
    run.until(200)
    key = '{}/{team="a"}:{alertname="OOM"}'
    assert keys(run, "all") == [(10, "firing", key), (35, "resolved", key)]
    assert run.engine.gauges()["groups"] == 0


def test_also_where_another_group_has_its_key_and_after_two_changes():
    run = Runner(setup([], receiver="all"))
    run.post(alertname="OOM", resolve_after_ns=0)
    run.until(15)
    run.restart(15, setup([]))
    run.restart(16, setup([]))
    run.at(20).post(alertname="OOM", ends_s=20)
    run.until(200)
    assert [(status, key) for _, status, key in keys(run, "all")] == [
        (status, '{}:{alertname="OOM"}') for status in ("firing", "resolved")
    ]
