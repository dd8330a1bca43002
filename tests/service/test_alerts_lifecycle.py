"""The life of an alert: what becomes of it when it comes again, ends, is silenced, comes back; and
who is told of it."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.service.alert_site import at, body, firing, in_ledger, listed, over, post_v2, telling
from tests.service.hooks import Hook
from tests.service.live import CLOCK, until
from tests.service.running import NOW_NS, WallAt, running

NAME = "Life"
# Longer than a flush of these tests.
QUIET_S = 0.4


@pytest.fixture
def hook():
    opened = Hook()
    yield opened
    opened.close()


@pytest.fixture
def told(tmp_path, hook):
    with running(
        tmp_path / "data", alerting=telling(hook), notify={"allow_private": ["127.0.0.0/8"]}
    ) as site:
        site.hook = hook
        yield site
        site.assert_sound()


def fire(site, name=NAME):
    post_v2(site, firing(name))


def resolve(site, name=NAME):
    post_v2(site, over(name))


def statuses(site, name=NAME):
    """What the hook was told of *name*, in order."""
    return [a["status"] for a in site.hook.alerts() if a["labels"]["alertname"] == name]


def comes(site, wanted, name=NAME):
    until(
        lambda: statuses(site, name) == wanted,
        f"told {wanted}, not {statuses(site, name)}",
        timeout_s=8,
    )


def stays(site, wanted, name=NAME):
    CLOCK.sleep(QUIET_S)
    assert statuses(site, name) == wanted


def silence(site, name=NAME, **more):
    answer = site.post(
        "/v1/silences",
        {"matchers": [{"name": "alertname", "value": name}], "starts_at": at(0), "ends_at": at(3600),
         "comment": "c", "created_by": "me", **more},
    )  # fmt: skip
    assert answer.status == 201, answer.body
    return answer.json()


def unsilence(site, made):
    assert site.ask("DELETE", f"/v1/silences/{made['silence_id']}").status == 204


def test_repeats_are_one_alert_told_once(told):
    for _ in range(3):
        fire(told)
    comes(told, ["firing"])
    stays(told, ["firing"])
    (alert,) = listed(told)
    assert (alert["count"], alert["status"]) == (3, "firing")


def test_a_failed_notification_is_made_good(told):
    told.hook.script += [(429, {"Retry-After": "1"}), 503]
    fire(told)
    until(lambda: statuses(told) == ["firing"], "told at last", timeout_s=25)
    assert [one.status for one in told.hook.told] == [429, 503, 200]


def test_an_end_is_told(told):
    fire(told)
    comes(told, ["firing"])
    resolve(told)
    comes(told, ["firing", "resolved"])
    (alert,) = listed(told)
    assert alert["status"] == "resolved"
    assert alert["ends_at"] == at(-1)


def test_an_end_without_a_beginning_is_kept_and_not_told(told):
    answer = told.post(
        "/v1/alerts/metric",
        {
            "alerts": [
                {
                    "status": "resolved",
                    "labels": {"alertname": NAME},
                    "startsAt": at(-100),
                    "endsAt": at(-40),
                }
            ]
        },
    )
    assert answer.status == 200
    (alert,) = listed(told)
    assert (alert["status"], alert["ends_at"]) == ("resolved", at(-40))
    (row,) = told.get("/v1/alerts/statistics").json()["items"]
    assert (row["firing_count"], row["resolved_count"]) == (0, 1)
    stays(told, [])


def test_what_comes_back_is_another_episode_and_is_told(told):
    fire(told)
    comes(told, ["firing"])
    resolve(told)
    comes(told, ["firing", "resolved"])
    fire(told)
    comes(told, ["firing", "resolved", "firing"])
    resolve(told)
    comes(told, ["firing", "resolved", "firing", "resolved"])
    episodes = listed(told)
    assert [alert["episode"] for alert in episodes] == [2, 1]
    assert len({alert["fingerprint"] for alert in episodes}) == 1
    assert len({alert["id"] for alert in episodes}) == 2


def test_a_silenced_alert_is_told_when_the_silence_ends(told):
    made = silence(told)
    fire(told)
    stays(told, [])
    (alert,) = listed(told)
    assert (alert["status"], alert["suppressed_by"]["silences"]) == (
        "firing",
        [made["silence_id"]],
    )
    unsilence(told, made)
    comes(told, ["firing"])


def test_a_silence_that_runs_out_by_itself(told):
    now_s = (told.site.core.clock.now_ns() - NOW_NS) / 1e9
    silence(told, ends_at=at(now_s + 0.8))
    fire(told)
    assert statuses(told) == []
    comes(told, ["firing"])


def test_a_silence_made_meanwhile_keeps_repeats_back(told):
    # However slow this machine is, no attempt succeeds before the silence is there.
    told.hook.script += [503] * 1000
    fire(told)
    until(lambda: told.hook.told, "the first attempt")
    made = silence(told)
    assert made["matches_now"] == 1
    CLOCK.sleep(0.2)
    tries = len(told.hook.told)
    told.hook.script.clear()
    CLOCK.sleep(1.0)
    assert len(told.hook.told) <= tries + 1
    assert told.hook.delivered() == []
    unsilence(told, made)
    until(lambda: told.hook.alerts("firing"), "told after the silence")


def test_firing_told_is_resolved_told_though_silenced_meanwhile(told):
    fire(told)
    comes(told, ["firing"])
    silence(told)
    resolve(told)
    comes(told, ["firing", "resolved"])


def test_what_fired_and_ended_silenced_is_told_to_nobody(told):
    made = silence(told)
    fire(told)
    (alert,) = listed(told)
    in_ledger(told, alert["id"], "the silence held it", stage="silence")
    resolve(told)
    unsilence(told, made)
    stays(told, [])


def test_an_alert_without_an_end_resolves_by_itself(tmp_path, hook):
    setup = telling(hook, resolve_after="1s", **{"global": {"resolve_timeout": "1s"}})
    with running(tmp_path / "data", alerting=setup) as site:
        site.hook = hook
        post_v2(site, {"labels": {"alertname": NAME}})
        site.post("/v1/alerts/log", {"rule_name": "Logged"})
        for name in (NAME, "Logged"):
            comes(site, ["firing", "resolved"], name)
        assert {alert["status"] for alert in listed(site)} == {"resolved"}


def test_single_alerts_take_their_end_too(told):
    document = {"rule_name": NAME, "workload_id": "w"}
    first = told.post("/v1/alerts/log", document)
    comes(told, ["firing"])
    answer = told.post("/v1/alerts/log", {**document, "status": "resolved"})
    assert answer.status == 200
    assert answer.json() == {
        "alert_id": first.json()["alert_id"],
        "status": "resolved",
        "new": False,
    }
    comes(told, ["firing", "resolved"])
    again = told.post("/v1/alerts/log", document)
    assert (again.status, again.json()["new"]) == (201, True)


def test_a_route_of_the_api_tells_its_channel(told):
    other = Hook()
    try:
        route = {
            "matchers": [{"name": "team", "value": "ml-*"}], "group_by": ["alertname"],
            "group_wait": "10ms", "group_interval": "50ms",
            "channels": [{"type": "webhook", "config": {"url": f"{other.url}/x", "headers": {"X-Key": "s3cret"}}}],
        }  # fmt: skip
        made = told.post("/v1/alert-routes", route)
        assert made.status == 201, made.body
        route_id = made.json()["route_id"]
        post_v2(told, firing(NAME, team="ml-1"))
        (document,) = until(other.delivered, "the route's channel is told")
        assert document.keys() >= {"status", "receiver", "group_labels", "alerts"}
        assert (document["status"], document["receiver"]) == ("firing", f"api/{route_id}")
        assert document["group_labels"] == {"alertname": NAME}
        (alert,) = listed(told)
        # The alert of the message is the alert of the interface.
        (sent,) = document["alerts"]
        assert sent.keys() >= alert.keys() - {
            "enriched_data",
            "raw_data",
            "suppressed_by",
            "count",
            "updated_at",
        }
        for key in sent.keys() & alert.keys() - {"updated_at", "count", "suppressed_by"}:
            assert sent[key] == alert[key], key
        assert other.told[0].headers["X-Key"] == "s3cret"
        assert told.hook.alerts() == []

        shown = told.get(f"/v1/alert-routes/{route_id}")
        assert b"s3cret" not in shown.body
        changed = {**shown.json(), "group_wait": "20ms"}
        answer = told.ask(
            "PUT",
            f"/v1/alert-routes/{route_id}",
            body(changed),
            {"Content-Type": "application/json"},
        )
        assert answer.status == 200, answer.body
        again = told.get(f"/v1/alert-routes/{route_id}").json()
        assert again == {**changed, "updated_at": again["updated_at"]}
        post_v2(told, firing("After", team="ml-1"))
        until(
            lambda: [
                d for d in other.delivered() if d["group_labels"] == {"alertname": "After"}
            ],
            "told, with the old secret",
        )
        assert other.told[-1].headers["X-Key"] == "s3cret"

        assert told.ask("DELETE", f"/v1/alert-routes/{route_id}").status == 204
        assert told.get(f"/v1/alert-routes/{route_id}").status == 404
        post_v2(told, firing("Later", team="ml-1"))
        comes(told, ["firing"], "Later")
    finally:
        other.close()


def test_routes_of_the_api_are_tried_in_order_and_may_go_on(told):
    def route(value, **more):
        channel = {"type": "webhook", "config": {"url": f"{told.hook.url}/{value}"}}
        answer = told.post(
            "/v1/alert-routes",
            {"matchers": [{"name": "t", "value": value}], "channels": [channel], **more},
        )
        assert answer.status == 201, answer.body
        return f"api/{answer.json()['route_id']}"

    first, second = route("a*", **{"continue": True}), route("?b")
    labels = {"alertname": "X", "t": "ab"}
    tried = told.post("/v1/alert-routes/test", {"labels": labels}).json()
    assert tried["receivers"] == [first, second]
    listed_routes = told.get("/v1/alert-routes").json()["items"]
    assert [f"api/{one['route_id']}" for one in listed_routes] == [first, second]
    tried = told.post("/v1/alert-routes/test", {"labels": {"alertname": "X", "t": "cd"}}).json()
    assert tried["receivers"] == ["hook"]


def test_a_scheduled_silence_is_in_force_by_its_schedule(told):
    never = silence(
        told, "Never", schedule={"cron": "0 0 29 2 *", "duration": "1h", "timezone": "UTC"}
    )
    always = silence(
        told,
        "Always",
        schedule={"cron": "* * * * *", "duration": "2m", "timezone": "Europe/Berlin"},
    )
    post_v2(told, firing("Never"), firing("Always"))
    held = {a["alert_name"]: a["suppressed_by"]["silences"] for a in listed(told)}
    assert held == {"Never": [], "Always": [always["silence_id"]]}
    shown = told.get(f"/v1/silences/{never['silence_id']}").json()
    assert shown["schedule"] == {"cron": "0 0 29 2 *", "duration": "1h", "timezone": "UTC"}


def test_a_silence_is_changed_as_long_as_it_can_go_on(told):
    made = silence(told)
    path = f"/v1/silences/{made['silence_id']}"
    shown = told.get(path).json()

    def put(**change):
        answer = told.ask(
            "PUT", path, body({**shown, **change}), {"Content-Type": "application/json"}
        )
        assert answer.status == 200, answer.body
        return answer.json()["silence_id"]

    assert put(ends_at=at(7200)) == made["silence_id"]
    assert told.get(path).json()["ends_at"] == at(7200)
    other = put(matchers=[{"name": "alertname", "value": "Other"}])
    assert other != made["silence_id"]
    assert told.get(path).json()["state"] == "expired"
    assert told.get("/v1/silences").json()["items"][0]["silence_id"] == other
    states = [one["state"] for one in told.get("/v1/silences", state="all").json()["items"]]
    assert sorted(states) == ["active", "expired"]


def test_nothing_is_lost_or_told_twice_by_a_restart(tmp_path, hook):
    clock = WallAt()
    with running(tmp_path / "data", clock=clock, alerting=telling(hook)) as site:
        site.hook = hook
        made = silence(site, "Quiet")
        post_v2(site, firing(NAME), firing("Quiet"))
        comes(site, ["firing"])
    with running(tmp_path / "data", clock=clock, alerting=telling(hook)) as site:
        site.hook = hook
        stays(site, ["firing"])
        assert statuses(site, "Quiet") == []
        assert {alert["alert_name"] for alert in listed(site, status="firing")} == {
            NAME,
            "Quiet",
        }
        post_v2(site, over(NAME))
        comes(site, ["firing", "resolved"])
        unsilence(site, made)
        comes(site, ["firing"], "Quiet")


def test_a_resolver_that_hangs_holds_nobody_up(told, monkeypatch):
    asked, go_on = threading.Event(), threading.Event()

    known = socket.getaddrinfo

    def hang(host, *args, **more):
        if host != "hooks.example.com":
            return known(host, *args, **more)
        asked.set()
        go_on.wait(10)
        raise socket.gaierror(socket.EAI_AGAIN, "no answer")

    channel = {"type": "webhook", "config": {"url": "https://hooks.example.com/x"}}
    route = {"matchers": [{"name": "a", "value": "b"}], "channels": [channel]}
    with monkeypatch.context() as patch, ThreadPoolExecutor(1) as pool:
        patch.setattr("heliograph.notify.guard.socket.getaddrinfo", hang)
        made = pool.submit(told.post, "/v1/alert-routes", route)
        try:
            assert asked.wait(10)
            fire(told)
            assert told.place(uid="w-1", pod="p-1", node="n-1").status == 200
            comes(told, ["firing"])
            assert not made.done()
        finally:
            go_on.set()
        assert made.result().status == 201
