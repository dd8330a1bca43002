"""Agents' reports over HTTP: rows beside those of lines, the framework, and their counters."""

import pytest

from heliograph.core.errors import Unavailable
from heliograph.service.ingest import Ingest
from tests.service.running import running

STEP = {"step": 3, "timestamp": 1_795_311_300.0, "data": {"loss": 0.5, "mine": 7}}


def rows(site, uid, **query):
    answer = site.get(f"/v1/workloads/{uid}/training", **query)
    assert answer.status == 200, answer.body
    return [
        (row["source"], row["iteration"], row["rank_group"], row["fields"])
        for row in answer.json()["items"]
    ]


def counted(site, name):
    """{labels: value} of our own metric *name*."""
    text = site.get("/metrics").body.decode()
    return {
        line[len(name) :].rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if line.startswith((f"{name}{{", f"{name} "))
    }


def test_a_workload_that_nobody_placed_is_there_with_its_steps(site):
    body = {
        "workload_uid": "w1", "pod_uid": "p1", "run_id": "r1",
        "metrics": [
            {"name": "loss", "value": 2.5, "step": 0, "timestamp": 1_795_311_300.0},
            {"name": "accuracy", "value": 0.85, "step": 0, "timestamp": 1_795_311_300.5},
        ],
    }  # fmt: skip
    answer = site.post("/v1/wandb/metrics", body)
    assert answer.status == 200, answer.body
    told = answer.json()
    assert (told["message"], told["count"]) == ("metrics reported successfully", 2)
    assert (told["workloads_count"], told["success_count"]) == (1, 1)
    fields = {"current_iteration": 0, "total_loss": 2.5, "extra": {"accuracy": 0.85}}
    assert rows(site, "w1") == [("wandb", 0, "r1", fields)]
    # The same again is the same; a later word on the step is taken beside the first.
    assert site.post("/v1/wandb/metrics", body).status == 200
    assert rows(site, "w1") == [("wandb", 0, "r1", fields)]


def test_lines_and_reports_of_one_pod_stand_side_by_side(site):
    site.place(pod="p-1", namespace="train", start="2026-11-22T00:00:00Z")
    line = "iteration 3/ 9 | lm loss: 2.0E+00 | grad norm: 1.0 |"
    pod = {"pod_id": "p-1", "pod_name": "p-1", "namespace_name": "train"}
    site.log({"date": 1_795_311_300.0, "log": line, "kubernetes": pod})
    for run in ("r1", "r2"):
        report = {"pod_name": "p-1", "run_id": run, "logs": [STEP]}
        answer = site.post("/v1/wandb/logs", report)
        assert (answer.status, answer.json()["count"]) == (200, 1), answer.body
    # The step is the newest, and the line beside it says what prints it.
    assert site.get("/v1/workloads/w-1").json()["current"]["framework"] == "megatron-lm"
    kept = sorted((source, group) for source, _, group, _ in rows(site, "w-1"))
    assert kept == [("log", ""), ("wandb", "r1"), ("wandb", "r2")]


def test_what_cannot_be_taken_is_told_by_field(site):
    answer = site.post("/v1/wandb/logs", {"pod_name": "nope", "logs": []})
    assert (answer.status, answer.json()["detail"]) == (400, "no valid workload found")
    answer = site.ask("POST", "/v1/wandb/batch", b"{", {"Content-Type": "application/json"})
    assert answer.status == 400
    answer = site.post("/v1/wandb/metrics", {"metrics": []})
    assert answer.json()["errors"][0]["field"] == "pod_name"


def test_parts_of_a_batch_are_told_apart(site):
    report = {
        "detection": {
            "workload_uid": "w1", "evidence": {"environment": {"PRIMUS_CONFIG": "x"}},
        },
        "metrics": {"workload_uid": "w1", "metrics": [{"name": "a", "value": 1}]},
        "logs": {"workload_uid": "w1", "run_id": "r1", "logs": [STEP]},
    }  # fmt: skip
    answer = site.post("/v1/wandb/batch", report)
    assert answer.status == 200
    told = answer.json()
    assert told["success"] is False
    assert told["results"]["detection"]["framework"] == "primus"
    assert told["results"]["logs"]["count"] == 1
    assert told["results"]["metrics"] == {
        "success": False,
        "error": "metrics.metrics[0].step: required: a whole number",
        "field": "metrics.metrics[0].step",
    }


@pytest.mark.parametrize("state", ["sqlite"])
def test_the_framework_is_the_same_after_a_restart(tmp_path, state):
    with running(tmp_path / "data") as site:
        site.place(namespace="train", start="2026-11-22T00:00:00Z")
        line = "iteration 3/ 9 | lm loss: 2.0E+00 | grad norm: 1.0 |"
        pod = {"pod_id": "p-1", "pod_name": "p-1", "namespace_name": "train"}
        site.log({"date": 1_795_311_300.0, "log": line, "kubernetes": pod})
        evidence = {
            "wrapper_frameworks": {"primus": {"detected": True, "base_framework": "Megatron"}},
            "image": "rocm/primus:v25.9",
        }
        answer = site.post("/v1/wandb/detection", {"pod_uid": "p-1", "evidence": evidence})
        assert answer.status == 200, answer.body
        told = site.get("/v1/workloads/w-1").json()["framework"]
    assert (told["wrapper"], told["base"], told["status"]) == ("primus", "megatron", "verified")
    assert [one["source"] for one in told["sources"]] == ["wandb", "log", "image"]
    assert told["conflicts"] == []
    with running(tmp_path / "data") as site:
        assert site.get("/v1/workloads/w-1").json()["framework"] == told


def test_each_report_moves_its_counters_by_one(site):
    steps = [{**STEP, "step": n} for n in range(3)]
    site.post("/v1/wandb/logs", {"workload_uid": "w1", "run_id": "r", "logs": steps})
    site.post("/v1/wandb/metrics", {"metrics": []})
    site.post(
        "/v1/wandb/detection",
        {"workload_uid": "w1", "evidence": {"environment": {"DS_CONFIG": ""}}},
    )
    site.post("/v1/wandb/detection", {"workload_uid": "w1", "evidence": {}})
    assert counted(site, "wandb_request_total") == {
        '{type="logs"}': 1, '{type="metrics"}': 1, '{type="detection"}': 2,
    }  # fmt: skip
    assert counted(site, "wandb_request_error_total") == {
        '{type="metrics",error_type="validation"}': 1
    }
    assert counted(site, "wandb_request_duration_seconds_count") == {
        '{type="logs"}': 1, '{type="metrics"}': 1, '{type="detection"}': 2,
    }  # fmt: skip
    assert counted(site, "wandb_metrics_store_total") == {'{workload_uid="w1"}': 3}
    assert counted(site, "wandb_logs_datapoint_count_sum") == {'{workload_uid="w1"}': 3}
    assert counted(site, "log_framework_detection_total") == {
        '{framework="deepspeed",method="env_vars",source="wandb"}': 1
    }
    assert counted(site, "framework_detection_error_total") == {
        '{source="wandb",error_type="no_framework"}': 1
    }
    assert counted(site, "framework_detection_confidence_count") == {
        '{framework="deepspeed",method="env_vars"}': 1
    }


def test_steps_that_find_no_room_in_the_queue_are_counted(site, monkeypatch):
    def full(*_, **__):
        raise Unavailable("the queue is full", retry_after_s=1, code="busy")

    monkeypatch.setattr(Ingest, "submit", full)
    answer = site.post("/v1/wandb/logs", {"workload_uid": "w1", "logs": [STEP]})
    assert answer.status == 503, answer.body
    assert counted(site, "wandb_metrics_store_error_total") == {'{workload_uid="w1"}': 1}
