"""Over HTTP: what waits for its group in the ledger, and mutes of one group of several."""

import pytest

from tests.service.alert_site import firing, ledger, named, post_v2

SLOW = {
    "alerting": {
        "route": {"receiver": "r", "group_wait": "1h"},
        "receivers": [{"name": "r", "webhook_configs": [{"url": "http://127.0.0.1:9/"}]}],
    }
}
MUTED = {
    "alerting": {
        "route": {
            "receiver": "r",
            "routes": [
                {"matchers": ["h=c"], "mute_time_intervals": ["x"], "continue": True},
                {"matchers": ["h=c"], "receiver": "r2"},
            ],
        },
        "receivers": [{"name": "r"}, {"name": "r2"}],
        "time_intervals": [{"name": "x", "time_intervals": [{"years": ["2020:2040"]}]}],
    }
}


@pytest.mark.parametrize("site", [SLOW], indirect=True)
def test_what_waits_for_its_group_is_in_the_ledger(site):
    post_v2(site, firing("A"))
    (alert,) = named(site, "A")
    (line,) = ledger(site, alert["id"])
    assert (line["kind"], line["stage"], line["integration"]) == (
        "held", "group_wait", "r/webhook[0]",
    )  # fmt: skip
    assert line["cause"].startswith("looked at 20")
    (shown,) = site.get(f"/v1/alerts/{alert['id']}").json()["notifications"]
    assert shown | {"at": ""} == line | {"at": ""}
    page = site.get("/v1/notifications", alert_id=alert["id"], offset=1).json()
    assert (page["items"], page["total"]) == ([], 1)
    for query, lines in (
        ({"stage": "group_wait"}, 1), ({"stage": "group_interval"}, 0), ({"kind": "sent"}, 0),
    ):  # fmt: skip
        assert len(ledger(site, alert["id"], **query)) == lines
    assert ledger(site) == []


@pytest.mark.parametrize("site", [MUTED], indirect=True)
def test_what_one_group_tells_and_another_mutes_is_active(site):
    post_v2(site, firing("C", h="c"))
    (alert,) = site.get("/api/v2/alerts").json()
    assert (alert["status"]["state"], alert["status"]["mutedBy"]) == ("active", [])
    states = {
        group["receiver"]["name"]: group["alerts"][0]["status"]["mutedBy"]
        for group in site.get("/api/v2/alerts/groups").json()
    }
    assert states == {"r": ["x"], "r2": []}
