"""Lists, pages, statistics, the ledger: they agree with each other, and with a recount."""

import random
import threading
from collections import defaultdict

import pytest

from heliograph.core import instant
from heliograph.service.endpoints import alerts as endpoint
from heliograph.store.state import alert_counts
from heliograph.store.state.lanes import Lane
from tests.service.alert_site import (
    at,
    firing,
    in_ledger,
    ledger,
    listed,
    over,
    post_v2,
    telling,
)
from tests.service.hooks import Hook
from tests.service.live import until
from tests.service.running import NOW_NS, assert_problem, running

SEED = 7
SEVERITIES = ("critical", "warning", "info", "")
HOUR_S = 3600
FILTERS = (
    "source",
    "alert_name",
    "severity",
    "workload_id",
    "pod_name",
    "node_name",
    "cluster_name",
)
GROUPS = ("alert_name", "severity", "source", "workload_id", "cluster_name")


def generated():
    """(path, document) of alerts over three days, some over."""
    draw = random.Random(SEED)
    for n in range(160):
        ago_s = draw.uniform(60, 70 * HOUR_S)
        given = {
            "alert_name": f"Alert{draw.randrange(6)}",
            "severity": draw.choice(SEVERITIES[:3]),
            "workload_id": draw.choice(["w-1", "w-2", "größe/\u4e16", ""]),
            "pod_name": draw.choice(["p-1", ""]),
            "node_name": draw.choice(["n-1", "n-2", ""]),
            "cluster_name": draw.choice(["c-1", ""]),
        }
        labels = {
            "n": str(n),
            **{key: value for key, value in given.items() if value and key != "alert_name"},
        }
        ends = at(-draw.uniform(0, ago_s)) if draw.random() < 0.5 else None
        if n % 2:
            alert = {
                "labels": {"alertname": given["alert_name"], **labels},
                "startsAt": at(-ago_s),
            }
            if ends:
                alert |= {"status": "resolved", "endsAt": ends}
            yield "/v1/alerts/metric", {"alerts": [{"status": "firing", **alert}]}
        else:
            document = {**given, "labels": {"n": str(n)}, "starts_at": at(-ago_s)}
            if ends:
                document |= {"status": "resolved", "ends_at": ends}
            yield "/v1/alerts/webhook", document


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    with running(tmp_path_factory.mktemp("queries") / "data") as site:
        for path, document in generated():
            assert site.post(path, document).status in {200, 201}
        yield site
        site.assert_sound()


@pytest.fixture(scope="module")
def everything(filled):
    return listed(filled)


def test_the_newest_come_first_and_pages_join(filled, everything):
    starts = [instant.parse(alert["starts_at"]) for alert in everything]
    assert starts == sorted(starts, reverse=True)
    assert len(everything) == 160
    for limit in (1, 37, 160):
        paged = []
        for offset in range(0, 160, limit):
            document = filled.get("/v1/alerts", offset=offset, limit=limit).json()
            assert (document["total"], document["offset"], document["limit"]) == (
                160,
                offset,
                limit,
            )
            paged += document["items"]
        assert [alert["id"] for alert in paged] == [alert["id"] for alert in everything]


@pytest.mark.parametrize("name", FILTERS)
def test_each_filter_is_the_field_of_that_name(filled, everything, name):
    for value in {alert[name] for alert in everything} - {""}:
        found = listed(filled, **{name: value})
        assert found == [alert for alert in everything if alert[name] == value], (name, value)
    if name != "source":
        assert listed(filled, **{name: "none such"}) == []


CHOSEN = (
    ("/v1/alerts", "source", ("", "metric", "log", "trace", "webhook", "event")),
    ("/v1/alerts/statistics", "source", ("", "metric", "event")),
    ("/v1/alerts", "status", ("", "firing", "resolved")),
    ("/v1/notifications", "kind", ("", "sent", "failed", "dead", "held")),
    (
        "/v1/notifications",
        "stage",
        ("", "inhibit", "mute", "silence", "rate", "route", "compare"),
    ),
    ("/v1/alert-rules", "source", ("", "log", "metric", "trace", "event")),
)


@pytest.mark.parametrize(("path", "name", "values"), CHOSEN)
def test_a_value_that_nothing_can_have_is_refused(filled, path, name, values):
    for value in values:
        assert filled.get(path, **{name: value}).status == 200, value
    assert_problem(filled.get(path, **{name: "bogus"}), 400, field=name)


@pytest.mark.parametrize(
    ("path", "names"),
    [
        (
            "/v1/alerts",
            (*FILTERS, "status", "starts_after", "starts_before", "offset", "limit"),
        ),
        ("/v1/alerts/statistics", (*GROUPS, "date_from", "date_to", "offset", "limit")),
        ("/v1/notifications", (*endpoint.NOTED, "start", "end", "offset", "limit")),
        ("/v1/alert-rules", ("source", "enabled", "offset", "limit")),
        ("/v1/silences", ("state", "offset", "limit")),
    ],
)
def test_a_filter_given_twice_is_refused_by_its_name(filled, path, names):
    for name in names:
        answer = filled.ask("GET", f"{path}?{name}=1&{name}=2")
        assert_problem(answer, 400, field=name)
        assert "given 2 times" in answer.json()["detail"], name


def test_groups_may_be_named_one_by_one(filled):
    answer = filled.ask("GET", "/v1/alerts/statistics?group_by=hour&group_by=source,severity")
    assert (
        answer.json()
        == filled.get("/v1/alerts/statistics", group_by="hour,source,severity").json()
    )


def test_filters_together(filled, everything):
    found = listed(filled, status="resolved", severity="critical", source="webhook",
                   starts_after=at(-40 * HOUR_S), starts_before=at(-10 * HOUR_S))  # fmt: skip
    assert found
    assert found == [
        alert for alert in everything
        if (alert["status"], alert["severity"], alert["source"]) == ("resolved", "critical", "webhook")
        and NOW_NS - 40 * HOUR_S * 10**9 <= instant.parse(alert["starts_at"]) < NOW_NS - 10 * HOUR_S * 10**9
    ]  # fmt: skip


def test_a_wrong_filter_is_named(filled):
    for name, value in (("status", "maybe"), ("limit", "0"), ("limit", "1001"), ("offset", "-1"),
                        ("starts_after", "then"), ("alertname", "x")):  # fmt: skip
        assert_problem(filled.get("/v1/alerts", **{name: value}), 400, field=name)
    for name, value in (("group_by", "colour"), ("group_by", "hour,day"), ("group_by", "hour,hour"),
                        ("date_from", "2026-13-01"), ("date_to", "soon"), ("date_from", "1600-01-01"),
                        ("date_to", "2300-01-01"), ("date_to", "9999-12-31")):  # fmt: skip
        assert_problem(filled.get("/v1/alerts/statistics", **{name: value}), 400, field=name)
    # One name after the other is as good as a comma.
    both = "/v1/alerts/statistics?group_by=hour&group_by=day"
    assert_problem(filled.get(both), 400, field="group_by")
    assert_problem(filled.get("/v1/notifications", who="me"), 400, field="who")


def recount(alerts, group_by):
    """What statistics must say of *alerts*: {group: [firing, resolved, seconds]}."""
    found = defaultdict(lambda: [0, 0, 0.0])
    for alert in alerts:
        starts_ns = instant.parse(alert["starts_at"])
        hour = instant.text_of(starts_ns - starts_ns % (HOUR_S * 10**9))
        values = {**alert, "hour": hour, "day": hour[:10]}
        row = found[tuple(values[name] for name in group_by)]
        # An alert that came as resolved was told by nobody to fire.
        if alert["status"] == "firing" or alert["count"] > 1:
            row[0] += 1
        if alert["status"] == "resolved":
            row[1] += 1
            row[2] += (instant.parse(alert["ends_at"]) - starts_ns) / 1e9
    return found


@pytest.mark.parametrize(
    "group_by",
    [(name,) for name in (*GROUPS, "hour", "day")]
    + [("day", "severity"), ("hour", "source", "alert_name"), GROUPS, ()],
)
def test_statistics_agree_with_a_recount(filled, everything, group_by):
    query = {"group_by": ",".join(group_by)} if group_by else {}
    document = filled.get("/v1/alerts/statistics", limit=1000, **query).json()
    found = {
        tuple(item["group"][name] for name in group_by): item for item in document["items"]
    }
    wanted = recount(everything, group_by)
    assert found.keys() == wanted.keys()
    assert document["total"] == len(wanted)
    for key, (fired, resolved, seconds) in wanted.items():
        item = found[key]
        assert (item["firing_count"], item["resolved_count"]) == (fired, resolved), key
        assert item["total_duration_seconds"] == pytest.approx(seconds), key
        average = seconds / resolved if resolved else 0
        assert item["avg_duration_seconds"] == pytest.approx(average), key


def test_statistics_answer_though_more_to_count_always_waits(filled, monkeypatch):
    before = filled.get("/v1/alerts/statistics").json()
    monkeypatch.setattr(alert_counts, "waits", lambda _: True)
    assert filled.get("/v1/alerts/statistics").json() == before

    # And though each fold leaves more than it took.
    monkeypatch.setattr(endpoint, "FOLDS_MAX", 3)
    folds = []
    with monkeypatch.context() as flood:
        flood.setattr(alert_counts, "fold", lambda _: not folds.append(1) or len(folds) < 9)
        assert filled.get("/v1/alerts/statistics").json() == before
    assert len(folds) == 3

    # And though the writer is busy: then they are a little old.
    go = threading.Event()
    monkeypatch.setattr(endpoint, "COUNTED_S", 0.001)
    filled.site.core.state.write(lambda _: go.wait(10), lane=Lane.CONTROL)
    assert filled.get("/v1/alerts/statistics").json() == before
    go.set()


def test_statistics_are_filtered_by_what_they_are_grouped_by(filled, everything):
    chosen = {"alert_name": "Alert1", "date_from": "2026-11-20", "date_to": "2026-11-20"}
    (item,) = filled.get("/v1/alerts/statistics", **chosen).json()["items"]
    same = [
        a
        for a in everything
        if a["alert_name"] == "Alert1" and a["starts_at"].startswith("2026-11-20")
    ]
    assert (item["firing_count"], item["resolved_count"]) == tuple(recount(same, ())[()][:2])
    instants = {"date_from": "2026-11-20T05:00:00Z", "date_to": "2026-11-20T09:00:00Z"}
    within = [a for a in everything if "2026-11-20T05" <= a["starts_at"][:13] < "2026-11-20T09"]
    items = filled.get("/v1/alerts/statistics", group_by="hour", **instants).json()["items"]
    assert {item["group"]["hour"] for item in items} == {
        a["starts_at"][:13] + ":00:00Z" for a in within
    }
    hours = [item["group"]["hour"] for item in items]
    assert hours == sorted(hours, reverse=True)


def test_days_are_the_sums_of_their_hours(filled):
    days = filled.get("/v1/alerts/statistics", group_by="day", limit=1000).json()["items"]
    hours = filled.get("/v1/alerts/statistics", group_by="hour", limit=1000).json()["items"]
    for day in days:
        of_day = [
            hour for hour in hours if hour["group"]["hour"].startswith(day["group"]["day"])
        ]
        for name in ("firing_count", "resolved_count"):
            assert day[name] == sum(hour[name] for hour in of_day)


# The ledger: for every alert and channel, what was sent or which stage held it.


@pytest.fixture
def hook():
    opened = Hook()
    yield opened
    opened.close()


def held_setup(hook):
    """Routes whose alerts are held: by an inhibition, a mute interval, a silence, a rate."""
    return telling(
        hook,
        inhibit_rules=[
            {"source_matchers": ['alertname="NodeDown"'], "target_matchers": ['alertname="PodRestart"'],
             "equal": ["node"]}
        ],
        time_intervals=[{"name": "always", "time_intervals": [{"times": [{"start_time": "00:00", "end_time": "24:00"}]}]}],
        route={
            "receiver": "hook", "group_by": ["..."], "group_wait": "10ms", "group_interval": "50ms",
            "repeat_interval": "1h",
            "routes": [
                {"matchers": ['alertname="Muted"'], "receiver": "hook", "mute_time_intervals": ["always"]},
                {"matchers": ['alertname="Nobody"'], "receiver": "none"},
            ],
        },
        receivers=[
            {"name": "hook", "webhook_configs": [{"url": hook.url}]},
            {"name": "none"},
        ],
    )  # fmt: skip


def test_the_ledger_says_what_was_sent_and_what_held_the_rest(tmp_path, hook):
    with running(tmp_path / "data", alerting=held_setup(hook)) as site:
        post_v2(site, firing("NodeDown", node="n-1"))
        silence = {"matchers": [{"name": "alertname", "value": "Quiet"}], "starts_at": at(0),
                   "ends_at": at(3600), "comment": "c", "created_by": "me"}  # fmt: skip
        silence_id = site.post("/v1/silences", silence).json()["silence_id"]
        post_v2(site, firing("PodRestart", node="n-1"), firing("PodRestart", node="n-2"),
                firing("Muted"), firing("Quiet"), firing("Nobody"), firing("Plain"))  # fmt: skip
        by = {(a["alert_name"], a["labels"].get("node")): a for a in listed(site)}
        ids = {key: alert["id"] for key, alert in by.items()}

        sent = in_ledger(site, ids["Plain", None], "it is sent", kind="sent")
        assert sent["channel"] == "webhook"
        assert sent["receiver"] == "hook"
        assert (sent["attempt"], sent["status"], sent["stage"]) == (1, "firing", "")
        assert sent["idempotency_key"]
        inhibited = in_ledger(
            site, ids["PodRestart", "n-1"], "it is inhibited", stage="inhibit"
        )
        assert (inhibited["kind"], inhibited["cause"]) == ("held", ids["NodeDown", "n-1"])
        muted = in_ledger(site, ids["Muted", None], "it is muted", stage="mute")
        assert (muted["kind"], muted["cause"]) == ("held", "always")
        quiet = in_ledger(site, ids["Quiet", None], "it is silenced", stage="silence")
        assert (quiet["kind"], quiet["cause"]) == ("held", silence_id)
        nobody = in_ledger(site, ids["Nobody", None], "nobody is told", stage="route")
        assert nobody["kind"] == "held"
        in_ledger(site, ids["PodRestart", "n-2"], "another node's goes on", kind="sent")

        told = {alert["labels"]["alertname"] for alert in hook.alerts("firing")}
        assert told == {"NodeDown", "PodRestart", "Plain"}
        assert all(
            alert["labels"].get("node") != "n-1"
            for alert in hook.alerts()
            if alert["labels"]["alertname"] == "PodRestart"
        )

        # The alerts say the same of themselves, in both forms.
        shown = {key: site.get(f"/v1/alerts/{one}").json() for key, one in ids.items()}
        assert shown["PodRestart", "n-1"]["suppressed_by"]["inhibitors"] == [
            ids["NodeDown", "n-1"]
        ]
        assert shown["Muted", None]["suppressed_by"]["mutes"] == ["always"]
        assert shown["Quiet", None]["suppressed_by"]["silences"] == [silence_id]
        assert shown["Plain", None]["notifications"][0]["kind"] == "sent"
        states = {
            (one["labels"]["alertname"], one["labels"].get("node")): one["status"]
            for one in site.get("/api/v2/alerts").json()
        }
        assert states["PodRestart", "n-1"]["state"] == "suppressed"
        assert states["Plain", None]["state"] == "active"
        assert states["Quiet", None]["silencedBy"] == [silence_id]
        names = {
            one["labels"]["alertname"]
            for one in site.get("/api/v2/alerts", inhibited="false", silenced="false").json()
        }
        assert {"Quiet"} & names == set()

        # Pages and filters of the ledger.
        whole = ledger(site)
        assert {entry["alert_id"] for entry in whole} == set(ids.values())
        for name in ("kind", "stage", "receiver", "channel", "integration"):
            for value in {entry[name] for entry in whole} - {""}:
                assert ledger(site, **{name: value}) == [
                    e for e in whole if e[name] == value
                ], (name, value)
        paged = []
        for offset in range(0, len(whole), 2):
            paged += site.get("/v1/notifications", offset=offset, limit=2).json()["items"]
        assert paged[::-1] == whole
        assert ledger(site, end=at(-10)) == []
        assert ledger(site, start=at(-10)) == whole
        site.assert_sound()


def test_the_ledger_says_why_it_failed_and_what_was_tried_again(tmp_path, hook):
    hook.script += [503, 400]
    with running(tmp_path / "data", alerting=telling(hook)) as site:
        post_v2(site, firing("Retried"))
        (alert,) = listed(site)
        failed = in_ledger(site, alert["id"], "the first attempt fails", kind="failed")
        assert failed["attempt"] == 1
        assert "503" in failed["answer"]
        dead = in_ledger(site, alert["id"], "it is given up", kind="dead")
        assert "400" in dead["answer"]
        site.assert_sound()


def test_what_is_over_before_it_is_told_is_compared_and_held(tmp_path, hook):
    setup = telling(hook)
    setup["route"]["group_wait"] = "1s"
    with running(tmp_path / "data", alerting=setup) as site:
        post_v2(site, firing("Brief"))
        post_v2(site, over("Brief"))
        (alert,) = listed(site)
        assert alert["status"] == "resolved"
        compared = in_ledger(site, alert["id"], "held by the compare stage", stage="compare")
        assert (compared["kind"], compared["status"]) == ("held", "resolved")
        assert hook.alerts() == []


def test_a_robot_over_its_rate_is_held_by_it(tmp_path, hook):
    setup = telling(hook)
    setup["receivers"] = [
        {
            "name": "hook",
            "dingtalk_configs": [{"webhook_url": f"{hook.url}/robot?access_token=t"}],
        }
    ]
    with running(tmp_path / "data", alerting=setup) as site:
        post_v2(site, *(firing("Storm", n=str(n)) for n in range(60)))
        held = until(lambda: ledger(site, stage="rate"), "the rate holds some", timeout_s=10)
        assert {entry["channel"] for entry in held} == {"dingtalk"}
        assert {entry["kind"] for entry in held} == {"held"}
        site.assert_sound()


def test_repeats_are_counted_and_not_told(tmp_path, hook):
    with running(tmp_path / "data", alerting=telling(hook)) as site:
        post_v2(site, firing("Same"))
        (alert,) = listed(site)
        in_ledger(site, alert["id"], "told", kind="sent")
        for _ in range(3):
            post_v2(site, firing("Same"))
        until(
            lambda: site.get(f"/v1/alerts/{alert['id']}").json()["count"] == 4,
            "repeats are counted",
        )
        assert len(hook.alerts()) == 1


def test_correlations_come_and_are_read_by_all(site):
    site.place(uid="w-1", pod="p-1", node="n-1", start="2026-11-01T00:00:00Z")
    post_v2(site, {"labels": {"alertname": "NodeDown", "node": "n-1"}, "startsAt": at(-60)})
    site.post(
        "/v1/alerts/log", {"rule_name": "PodRestart", "pod_id": "p-1", "log_time": at(-30)}
    )
    alerts = listed(site)
    groups = [
        site.get(f"/v1/alerts/{alert['id']}/correlations").json()["items"] for alert in alerts
    ]
    assert len(groups) == 2
    assert groups[0] == groups[1]
    (group,) = groups[0]
    assert group["correlation_type"] == "causal"
    assert "node failure causes pod restart" in group["reason"]
    assert {one["id"] for one in group["alerts"]} == {alert["id"] for alert in alerts}
    # A third joins what is there.
    post_v2(site, {"labels": {"alertname": "XidError", "node": "n-1"}, "startsAt": at(-20)})
    for alert in listed(site):
        found = site.get(f"/v1/alerts/{alert['id']}/correlations").json()["items"]
        assert {one["id"] for group in found for one in group["alerts"]} == {
            a["id"] for a in listed(site)
        }
    post_v2(site, over("NodeDown", node="n-1"))
    for alert in listed(site):
        answer = site.get(f"/v1/alerts/{alert['id']}/correlations")
        assert answer.status == 200
