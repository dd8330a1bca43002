"""Reports of agents in training processes: what is read, and what is refused by name."""

import json

import pytest

from heliograph.core.errors import Refused
from heliograph.receive import wandb_reports
from heliograph.receive.wandb_reports import Step, Target

NOW_NS = 1_795_311_305_000_000_000
AT_NS = 1_700_000_000_000_000_000


def metrics(**more):
    body = {"workload_uid": "w", "run_id": "r", **more}
    return wandb_reports.metrics(json.dumps(body).encode(), arrival_ns=NOW_NS)


def logs(*listed, **more):
    body = {"pod_name": "p", "run_id": "r", "logs": list(listed), **more}
    return wandb_reports.logs(json.dumps(body).encode(), arrival_ns=NOW_NS)


def test_values_of_one_step_are_one_step_of_the_firsts_time():
    found = metrics(
        metrics=[
            {"name": "loss", "value": 2.5, "step": 0, "timestamp": 1700000000.0},
            {"name": "accuracy", "value": 0.85, "step": 0, "timestamp": 1700000000.5},
            {"name": "loss", "value": "NaN", "step": 1.0},
        ]
    )
    assert found.target == Target("w", "", "", "")
    first, second = found.steps
    assert first == Step(0, AT_NS, {"loss": 2.5, "accuracy": 0.85})
    assert (second.step, second.at_ns, str(second.values["loss"])) == (1, NOW_NS, "nan")
    assert (found.points, found.left_out) == (3, 0)


def test_whole_steps_and_what_is_no_number():
    found = logs(
        {"step": 5, "timestamp": 1.0, "data": {"step": 7, "source": "x", "inf": "-inf"}},
        {"step": 6, "timestamp": "2026-01-01T00:00:00Z", "data": {"picture": {"a": 1}}},
    )
    assert found.steps == (Step(5, 10**9, {"step": 7.0, "inf": float("-inf")}),)
    assert (found.points, found.left_out) == (2, 2)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"run_id": "r", "metrics": []}, "pod_name"),
        ({"workload_uid": 7, "metrics": []}, "workload_uid"),
        ({"workload_uid": "w", "metrics": {}}, "metrics"),
        ({"workload_uid": "w", "metrics": [7]}, "metrics[0]"),
        ({"workload_uid": "w", "metrics": [{"value": 1, "step": 1}]}, "metrics[0].name"),
        ({"workload_uid": "w", "metrics": [{"name": "a", "value": 1}]}, "metrics[0].step"),
        (
            {"workload_uid": "w", "metrics": [{"name": "a", "value": 1, "step": -1}]},
            "metrics[0].step",
        ),
        (
            {"workload_uid": "w", "metrics": [{"name": "a", "value": 1, "step": 1.5}]},
            "metrics[0].step",
        ),
        (
            {
                "workload_uid": "w",
                "metrics": [{"name": "a", "value": 1, "step": 1, "timestamp": "soon"}],
            },
            "metrics[0].timestamp",
        ),
        ({"workload_uid": "w", "metrics": [{}] * 10_001}, "metrics"),
        ([], ""),
    ],
)
def test_what_is_refused_names_its_field(body, field):
    with pytest.raises(Refused) as refused:
        wandb_reports.metrics(json.dumps(body).encode(), arrival_ns=NOW_NS)
    assert (refused.value.field or "") == field


def test_one_step_has_a_bound():
    many = {f"m{n}": n for n in range(wandb_reports.VALUES_PER_STEP_MAX)}
    assert len(logs({"step": 1, "data": many}).steps[0].values) == len(many)
    with pytest.raises(Refused) as refused:
        logs({"step": 1, "data": {**many, "one more": 1}})
    assert (refused.value.field, refused.value.status) == ("logs[0].data", 413)


def test_parts_of_a_batch_stand_alone():
    body = {
        "detection": {"pod_name": "p", "evidence": {"environment": {"DS_CONFIG": ""}}},
        "metrics": {"pod_name": "p", "metrics": 7},
    }
    found = wandb_reports.batch(json.dumps(body).encode(), arrival_ns=NOW_NS)
    assert found.detection.evidence == {"environment": {"DS_CONFIG": ""}}
    assert found.detection.at_ns == NOW_NS
    assert found.metrics.field == "metrics.metrics"
    assert found.logs is None


def test_a_batch_of_nothing_is_refused():
    with pytest.raises(Refused):
        wandb_reports.batch(b"{}", arrival_ns=NOW_NS)
