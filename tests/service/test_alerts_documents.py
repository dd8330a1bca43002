"""The examples of the documents, word for word, and every field of what comes back."""

import json

import pytest

from heliograph.core import instant
from tests.service.alert_site import (
    GPU_MEMORY,
    OOM,
    ROUTE,
    RULE,
    SILENCE,
    SLOW,
    at,
    listed,
    post_v2,
)
from tests.service.running import assert_problem, running

FIELDS = {
    "id", "fingerprint", "source", "alert_name", "severity", "status", "suppressed_by",
    "starts_at", "ends_at", "updated_at", "labels", "annotations", "workload_id",
    "workload_name", "workload_uid", "pod_name", "pod_id", "node_name", "cluster_name",
    "enriched_data", "raw_data", "count",
}  # fmt: skip
PLACED = {
    "workloads": [
        {"uid": "w-1", "name": "llm-7b", "kind": "PyTorchJob", "namespace": "train", "status": "Running"}
    ],
    "pods": [
        {
            "uid": "p-1", "name": "llm-7b-worker-0", "namespace": "train", "node": "gpu-node-01",
            "workload_uid": "w-1", "start": "2026-11-21T00:00:00Z",
            "devices": [{"type": "gpu", "id": "0", "uuid": "GPU-aaaa"}],
        }
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    with running(tmp_path_factory.mktemp("documents") / "data") as site:
        site.metric = site.post("/v1/alerts/metric", {"alerts": [GPU_MEMORY]})
        site.oom = site.post("/v1/alerts/log", OOM)
        site.slow = site.post("/v1/alerts/trace", SLOW)
        yield site
        site.assert_sound()


def one(site, answer):
    (found,) = answer["alert_ids"] if "alert_ids" in answer else [answer["alert_id"]]
    return site.get(f"/v1/alerts/{found}").json()


def test_the_metric_example(asked):
    answer = asked.metric
    assert answer.status == 200
    document = answer.json()
    assert (document["received"], document["processed"], document["rejected"]) == (1, 1, [])
    shown = one(asked, document)
    assert shown.keys() >= FIELDS | {"notifications"}
    assert (shown["source"], shown["alert_name"], shown["severity"], shown["status"]) == (
        "metric", "GPUMemoryHigh", "warning", "firing",
    )  # fmt: skip
    assert shown["labels"] == GPU_MEMORY["labels"]
    assert shown["annotations"] == GPU_MEMORY["annotations"]
    assert (shown["starts_at"], shown["ends_at"]) == ("2026-11-22T01:30:00Z", None)
    assert shown["raw_data"] == GPU_MEMORY
    assert (shown["workload_id"], shown["pod_name"], shown["node_name"]) == (
        "training-job-123", "worker-0", "gpu-node-01",
    )  # fmt: skip
    assert shown["suppressed_by"] == {"silences": [], "inhibitors": [], "mutes": []}
    assert shown["count"] == 1


def test_the_log_example(asked):
    assert asked.oom.status == 201
    assert asked.oom.json().keys() == {"alert_id", "status", "new"}
    assert (asked.oom.json()["status"], asked.oom.json()["new"]) == ("firing", True)
    shown = one(asked, asked.oom.json())
    assert (shown["source"], shown["alert_name"], shown["severity"]) == (
        "log", "OOMDetected", "critical",
    )  # fmt: skip
    assert shown["labels"] == {
        "alertname": "OOMDetected", "source": "log", "error_type": "oom",
        "pattern": "OutOfMemoryError|CUDA out of memory",
        "workload_id": "training-job-123", "pod_name": "worker-0", "pod_id": "uuid-456",
    }  # fmt: skip
    assert shown["annotations"] == {"message": "CUDA out of memory error detected"}
    assert shown["starts_at"] == "2026-11-22T01:32:00Z"
    assert shown["raw_data"] == OOM


def test_the_trace_example(asked):
    assert asked.slow.status == 201
    shown = one(asked, asked.slow.json())
    assert shown["labels"] == {
        "alertname": "SlowOperation", "source": "trace", "service_name": "dataloader",
        "operation": "load_batch", "workload_id": "training-job-123",
    }  # fmt: skip
    assert shown["annotations"] == {
        "message": "Data loading operation exceeded threshold", "duration": "5000.00ms",
        "trace_id": "trace-789", "span_id": "span-101",
    }  # fmt: skip
    assert shown["raw_data"] == SLOW


def test_the_correlation_example_is_read_from_both_members(asked):
    metric, oom = one(asked, asked.metric.json()), one(asked, asked.oom.json())
    groups = []
    for alert in (metric, oom):
        found = asked.get(f"/v1/alerts/{alert['id']}/correlations").json()["items"]
        groups += [group for group in found if group["correlation_type"] == "causal"]
    assert len(groups) == 2
    assert groups[0] == groups[1]
    (group, _) = groups
    assert group.keys() == {
        "correlation_id", "alerts", "correlation_type", "correlation_score", "reason",
    }  # fmt: skip
    assert {"id": metric["id"], "source": "metric", "alert_name": "GPUMemoryHigh",
            "starts_at": "2026-11-22T01:30:00Z"} in group["alerts"]  # fmt: skip
    assert {"id": oom["id"], "source": "log", "alert_name": "OOMDetected",
            "starts_at": "2026-11-22T01:32:00Z"} in group["alerts"]  # fmt: skip
    assert 0 < group["correlation_score"] <= 1
    assert {
        "high GPU memory leads to OOM",
        "same workload",
        "occurred within 2 minutes",
    } <= set(group["reason"].split("; "))


def test_the_query_examples(asked):
    critical = asked.get("/v1/alerts", severity="critical", limit=20).json()
    assert [alert["alert_name"] for alert in critical["items"]] == ["OOMDetected"]
    assert (critical["total"], critical["offset"], critical["limit"]) == (1, 0, 20)
    of_workload = listed(asked, workload_id="training-job-123", status="firing")
    assert {alert["alert_name"] for alert in of_workload} == {
        "GPUMemoryHigh", "OOMDetected", "SlowOperation",
    }  # fmt: skip
    answer = asked.get(
        "/v1/alerts/statistics", date_from="2026-11-20", date_to="2026-11-22", group_by="day"
    ).json()
    (row,) = answer["items"]
    assert row["group"] == {"day": "2026-11-22"}
    assert (row["firing_count"], row["resolved_count"]) == (3, 0)
    assert answer["total"] == 1


def test_the_correlation_example_alone_has_exactly_these_reasons(tmp_path):
    with running(tmp_path / "data") as site:
        ids = site.post("/v1/alerts/metric", {"alerts": [GPU_MEMORY]}).json()["alert_ids"]
        # The example's log alert names no pod.
        plain = {
            key: OOM[key]
            for key in ("rule_name", "severity", "message", "workload_id", "log_time")
        }
        ids.append(site.post("/v1/alerts/log", plain).json()["alert_id"])
        for alert_id in ids:
            found = site.get(f"/v1/alerts/{alert_id}/correlations").json()
            assert found["total"] == 1, found
            (group,) = found["items"]
            assert [alert["id"] for alert in group["alerts"]] == ids
            assert group["correlation_type"] == "causal"
            assert set(group["reason"].split("; ")) == {
                "high GPU memory leads to OOM", "same workload", "occurred within 2 minutes",
            }  # fmt: skip
            assert 0 < group["correlation_score"] <= 1
        site.assert_sound()


def test_the_silence_example(site):
    post_v2(
        site,
        {"labels": {"alertname": "GPUMemoryHigh", "workload_id": "test-job-7"}},
        {"labels": {"alertname": "GPUMemoryHigh", "workload_id": "training-job-123"}},
    )
    answer = site.post("/v1/silences", SILENCE)
    assert answer.status == 201
    made = answer.json()
    assert made == {
        "silence_id": made["silence_id"],
        "matches_now": 1,
        "warnings": made["warnings"],
    }
    held = {a["workload_id"]: a["suppressed_by"]["silences"] for a in listed(site)}
    assert held == {"test-job-7": [made["silence_id"]], "training-job-123": []}
    (shown,) = site.get("/v1/silences").json()["items"]
    assert (shown["comment"], shown["created_by"], shown["state"]) == (
        SILENCE["comment"], "admin@example.com", "active",
    )  # fmt: skip
    assert shown["ends_at"] == SILENCE["ends_at"]
    assert site.ask("DELETE", f"/v1/silences/{made['silence_id']}").status == 204
    assert site.get("/v1/silences").json()["items"] == []
    assert site.get("/v1/silences", state="expired").json()["total"] == 1
    assert {a["workload_id"]: a["suppressed_by"]["silences"] for a in listed(site)} == {
        "test-job-7": [], "training-job-123": [],
    }  # fmt: skip


def test_silences_are_listed_newest_first(site):
    made = [
        site.post("/v1/silences", {**SILENCE, "ends_at": at(ends_s), "comment": str(n)}).json()
        for n, ends_s in enumerate((900, 300, 600))
    ]
    wanted = [one["silence_id"] for one in reversed(made)]
    assert [one["id"] for one in site.get("/v1/silences").json()["items"]] == wanted
    (newest,) = site.get("/v1/silences", limit=1).json()["items"]
    assert newest["comment"] == "2"


def test_the_routing_example(site):
    answer = site.post("/v1/alert-routes", ROUTE)
    assert answer.status == 201, answer.body
    route_id = answer.json()["route_id"]
    # `prod-*` with is_regex is the glob it was meant to be, and said to be one.
    assert len(answer.json()["warnings"]) == 1
    taken = {"severity": "critical", "workload_id": "prod-7", "alertname": "X"}
    tried = site.post("/v1/alert-routes/test", {"labels": taken}).json()
    assert tried["receivers"] == [f"api/{route_id}"]
    step = tried["paths"][0][-1]
    assert step["group_by"] == ["alertname", "workload_id"]
    assert (step["group_wait_seconds"], step["repeat_interval_seconds"]) == (30, 4 * 3600)
    tried = site.post(
        "/v1/alert-routes/test", {"labels": {**taken, "workload_id": "dev-7"}}
    ).json()
    assert tried["receivers"] != [f"api/{route_id}"]
    shown = site.get(f"/v1/alert-routes/{route_id}")
    assert b"access_token" not in shown.body
    assert shown.json()["matchers"] == ROUTE["matchers"]


def test_the_path_of_no_labels_is_the_path_of_what_has_none(site):
    answer = site.post("/v1/alert-routes/test", {"labels": {}})
    assert (answer.status, answer.json()) == (200, {"receivers": [], "paths": []})
    for wrong in ({}, {"labels": None}, {"labels": []}, {"labels": {"": "x"}}):
        assert_problem(site.post("/v1/alert-routes/test", wrong), 400, field="labels")
    wrong = {"labels": {"a": 1}}
    assert_problem(site.post("/v1/alert-routes/test", wrong), 400, field="labels.a")


def test_the_rule_example(site):
    answer = site.post("/v1/alert-rules", RULE)
    assert answer.status == 201
    rule_id = answer.json()["rule_id"]
    shown = site.get(f"/v1/alert-rules/{rule_id}").json()
    assert {key: shown[key] for key in RULE} == RULE


def test_context_is_filled_in_and_kept(site):
    assert site.post("/v1/placements", PLACED).status == 200
    post_v2(
        site, {"labels": {"alertname": "GPUHot", "UUID": "GPU-aaaa", "Hostname": "gpu-node-01"}}
    )
    (shown,) = listed(site)
    context = (
        "workload_id",
        "workload_name",
        "workload_uid",
        "pod_name",
        "pod_id",
        "node_name",
    )
    assert {key: shown[key] for key in context} == {
        "workload_id": "w-1", "workload_name": "llm-7b", "workload_uid": "w-1",
        "pod_name": "llm-7b-worker-0", "pod_id": "p-1", "node_name": "gpu-node-01",
    }  # fmt: skip
    enriched = shown["enriched_data"]
    assert (enriched["workload_kind"], enriched["pod_namespace"], enriched["pod_gpu_allocated"]) == (
        "PyTorchJob", "train", 1,
    )  # fmt: skip


def test_words_are_refreshed_by_newer_posts(site):
    for text in ("old", "new"):
        post_v2(site, {"labels": {"alertname": "A"}, "annotations": {"summary": text}})
    (shown,) = listed(site)
    assert (shown["annotations"], shown["count"]) == ({"summary": "new"}, 2)


@pytest.mark.parametrize(
    "path", ["/v1/alerts/metric/api/v2/alerts", "/v1/api/v2/alerts", "/api/v2/alerts"]
)
def test_one_alert_over_every_path(shared_site, path):
    labels = {"alertname": "Same", "gpu": "1"}
    assert shared_site.post(path, [{"labels": labels}]).status == 200
    (shown,) = listed(shared_site, alert_name="Same")
    answer = shared_site.post(
        "/v1/alerts/metric", {"alerts": [{"labels": labels, "status": "firing"}]}
    )
    assert answer.json()["alert_ids"] == [shown["id"]]
    bare = shared_site.post("/v1/alerts/metric", [{"labels": labels}])
    assert bare.json()["alert_ids"] == [shown["id"]]


def test_a_partly_bad_webhook_says_which(shared_site):
    alerts = [
        {"labels": {"alertname": "Good"}},
        {"labels": {}},
        7,
        {"status": "odd", "labels": {"a": "b"}},
    ]
    answer = shared_site.post("/v1/alerts/metric", {"alerts": alerts})
    assert answer.status == 200
    document = answer.json()
    assert (document["received"], document["processed"], len(document["alert_ids"])) == (
        4,
        1,
        1,
    )
    assert [(one["index"], one["field"]) for one in document["rejected"]] == [
        (1, "alerts[1].labels"), (2, "alerts[2]"), (3, "alerts[3].status"),
    ]  # fmt: skip


def test_alerts_of_grafana(shared_site):
    alert = {
        "status": "firing", "labels": {"alertname": "Grafana", "grafana_folder": "gpu"},
        "annotations": {"summary": "hot"}, "startsAt": "2026-11-22T09:30:00+08:00",
        "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "http://g/1", "fingerprint": "f1",
        "silenceURL": "http://g/s", "dashboardURL": "", "panelURL": "", "values": {"A": 91.5},
        "valueString": "[ var='A' value=91.5 ]",
    }  # fmt: skip
    document = {
        "receiver": "r", "status": "firing", "orgId": 1, "alerts": [alert], "groupLabels": {},
        "commonLabels": {"team": "ml"}, "commonAnnotations": {"runbook": "x"}, "version": "1",
        "externalURL": "http://g/", "groupKey": "k", "truncatedAlerts": 3, "title": "t",
        "state": "alerting", "message": "m",
    }  # fmt: skip
    answer = shared_site.post("/v1/alerts/metric", document)
    shown = one(shared_site, answer.json())
    assert shown["raw_data"]["values"] == {"A": 91.5}
    assert shown["labels"]["team"] == "ml"
    assert shown["annotations"] == {"summary": "hot", "runbook": "x"}
    assert shown["starts_at"] == "2026-11-22T01:30:00Z"
    assert sum(shared_site.measured("heliograph_alerts_truncated_total").values()) == 3


def test_a_generic_webhook(shared_site):
    answer = shared_site.post(
        "/v1/alerts/webhook",
        {"alert_name": "Custom", "severity": "high", "labels": {"n": 1, "ok": True}, "node_name": "n-9",
         "cluster_name": "c"},
    )  # fmt: skip
    assert answer.status == 201
    shown = one(shared_site, answer.json())
    assert shown["labels"] == {"alertname": "Custom", "source": "webhook", "n": "1", "ok": "true",
                               "node_name": "n-9", "cluster_name": "c"}  # fmt: skip
    assert (shown["severity"], shown["node_name"], shown["cluster_name"]) == (
        "high",
        "n-9",
        "c",
    )
    again = shared_site.post("/v1/alerts/webhook", {"labels": {"x": "y"}})
    assert one(shared_site, again.json())["alert_name"] == "generic_webhook_alert"


def test_webhooks_that_differ_in_their_labels_are_several_alerts(site):
    for label, values in (
        ("alertname", ("DiskFull", "NetDown")),
        ("source", ("nagios", "zabbix")),
    ):
        made = [
            site.post("/v1/alerts/webhook", {"labels": {label: value, "h": "1"}}).json()
            for value in values
        ]
        assert [answer["new"] for answer in made] == [True, True]
        shown = [one(site, answer) for answer in made]
        assert [alert["labels"][label] for alert in shown] == list(values)
        assert [alert["source"] for alert in shown] == ["webhook", "webhook"]
    assert {alert["alert_name"] for alert in listed(site)} == {
        "DiskFull", "NetDown", "generic_webhook_alert",
    }  # fmt: skip


def test_an_alert_without_a_status_fires_as_long_as_on_the_v2_api(site):
    post_v2(site, {"labels": {"alertname": "V2"}})
    bare = site.post("/v1/alerts/metric", [{"labels": {"alertname": "Bare"}}])
    assert bare.json()["processed"] == 1
    assert site.post("/v1/alerts/webhook", {"alert_name": "Script"}).status == 201
    minutes = {
        one["labels"]["alertname"]: round(_minutes(one["endsAt"]) - _minutes(one["startsAt"]))
        for one in site.get("/api/v2/alerts").json()
    }
    assert minutes == {"V2": 5, "Bare": 5, "Script": 60}


def _minutes(text):
    return instant.parse(text) / 60e9


def test_starts_that_are_ahead(site):
    """Refused or kept where Alertmanager does, the time of arrival elsewhere."""
    later = at(24 * 3600)
    refused = site.post("/api/v2/alerts", [{"labels": {"alertname": "A"}, "startsAt": later}])
    assert (refused.status, refused.json()) == (
        400, "[0].startsAt: start time must be before end time"
    )  # fmt: skip
    post_v2(site, {"labels": {"alertname": "Spanned"}, "startsAt": later, "endsAt": at(90000)})
    post_v2(site, {"labels": {"alertname": "Known"}})
    known = [{"labels": {"alertname": "Known"}, "startsAt": later}]
    assert site.post("/api/v2/alerts", known).status == 400
    assert (
        site.post(
            "/v1/alerts/metric", [{"labels": {"alertname": "Bare"}, "startsAt": later}]
        ).status
        == 200
    )
    for source, key in (("log", "log_time"), ("trace", "starts_at"), ("webhook", "starts_at")):
        document = {"rule_name": "Ahead", "alert_name": "Ahead", key: later}
        assert site.post(f"/v1/alerts/{source}", document).status == 201
    starts = {(one["alert_name"], one["source"]): one["starts_at"] for one in listed(site)}
    assert starts.pop(("Spanned", "metric")) == later
    assert starts.keys() == {
        ("Known", "metric"), ("Bare", "metric"),
        ("Ahead", "log"), ("Ahead", "trace"), ("Ahead", "webhook"),
    }  # fmt: skip
    assert all(text < at(60) for text in starts.values()), starts


def test_what_the_reference_was_given(shared_site, shared_data):
    """Each payload of the study is taken, or refused where it should be."""
    path = shared_data / "lens_vectors/alerts_unified.json"
    for case in json.loads(path.read_text())["cases"]:
        bodies = case.get("input_pair") or [case.get("input")]
        for given in bodies:
            if given is None or "endpoint" not in case:
                continue
            answer = shared_site.post(case["endpoint"], given)
            assert answer.status in {200, 201, 400}, (case["id"], answer.body)
            if "input_pair" in case:
                assert answer.json()["new"], case["id"]


def test_an_unknown_alert_is_404(shared_site):
    for path in ("/v1/alerts/none", "/v1/alerts/none/correlations"):
        assert_problem(shared_site.get(path), 404, code="not_found")
