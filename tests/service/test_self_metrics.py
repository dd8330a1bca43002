"""Every self-metric that earlier systems had is there, moves by the exact amount, and is bounded."""

import re

import pytest

from heliograph.core.errors import Refused
from heliograph.core.record import Record
from heliograph.core.training import TrainingRow
from heliograph.service.keeping import Keeping
from heliograph.service.measure import CHILDREN_MAX, VALUE_CHARS_MAX, Registry
from heliograph.service.meters import CONTAINER, Meters
from heliograph.training.parse import Parsed
from tests.house import ROOT
from tests.service.running import NOW_MS
from tests.service.stories import settled

DOCUMENT = ROOT / "docs" / "self-metrics.md"
# Spec 001, "Monitoring".
NAMED = [
    "log_consume_latency_seconds", "log_consume_latency_histogram_seconds",
    "log_analysis_consume_count", "event_stream_create_count", "event_stream_create_error_count",
    "workload_event_create_count", "workload_event_create_error_count",
    "wandb_request_total", "wandb_request_error_total", "wandb_request_duration_seconds",
    "wandb_metrics_datapoint_count", "wandb_metrics_store_total",
    "wandb_metrics_store_error_total", "wandb_logs_datapoint_count",
    "log_framework_detection_total", "framework_detection_confidence",
    "framework_detection_error_total", "log_pattern_match_total", "log_pattern_match_error_total",
    "training_performance_save_total", "training_performance_save_error_total",
    "checkpoint_event_total", "checkpoint_event_error_total",
    *(CONTAINER + name for name in ("recv_total", "error_total", "processing_duration_seconds", "batch_size")),
]  # fmt: skip
POD = {"pod_id": "p-1", "pod_name": "p-1", "namespace_name": "", "host": "n1"}
STEP = " iteration {:8d}/     500 | consumed samples: {:12d} | learning rate: 5.6E-05 | lm loss: 2.0E+00 | grad norm: 2.2 |"  # fmt: skip
LINES = [
    STEP.format(1, 256),
    STEP.format(2, 512),
    "saving checkpoint at iteration       2 to /ckpt",
    "  successfully saved checkpoint from iteration       2 to /ckpt",
    "[before the start of training step] datetime: 2026-11-21 22:35:05",
    "hello",
    "nothing here",
]


def rows_of(page):
    """(name, kind, labels) of the tables of the document."""
    return re.findall(r"^\| `(\w+)` \| (\w+) \| ([\w, ]*) \|", page, re.MULTILINE)


def moved(site, *names):
    """{name with labels: what it is} of what is not 0."""
    found = {}
    for name in names:
        pattern = re.compile(rf"{name}(?:_count)?(?:{{|$)")
        for key, value in site.measured(name).items():
            if pattern.match(name + key) and value and "quantile" not in key:
                found[name + key] = value
    return found


def sent(site, *texts):
    some = [{"date": NOW_MS / 1000 - 1, "log": text, "kubernetes": POD} for text in texts]
    assert site.log(*some).status == 200
    settled(site)


def test_every_name_is_documented_and_there(shared_site):
    families = shared_site.site.core.meters.registry._families
    documented = {name: (kind, labels) for name, kind, labels in rows_of(DOCUMENT.read_text())}
    assert documented.keys() >= set(NAMED)
    there = {name: (one.kind, ", ".join(one.labels)) for name, one in families.items()}
    assert [(name, one) for name, one in documented.items() if there.get(name) != one] == []
    assert sorted(there.keys() - documented.keys()) == []


def test_those_of_lines(site):
    site.place()
    sent(site, *LINES)
    assert moved(
        site, "log_analysis_consume_count", "log_framework_detection_total",
        "training_performance_save_total", "checkpoint_event_total",
        "workload_event_create_count", "event_stream_create_count",
        "log_pattern_match_error_total",
    ) == {
        'log_analysis_consume_count{type="performance"}': 2.0,
        'log_analysis_consume_count{type="event"}': 3.0,
        'log_analysis_consume_count{type="none"}': 2.0,
        'log_framework_detection_total{framework="megatron-lm",method="log_lines",source="log"}': 1.0,
        'training_performance_save_total{workload_uid="w-1",source="log"}': 2.0,
        'checkpoint_event_total{event_type="checkpoint_save_start",framework="megatron-lm"}': 1.0,
        'checkpoint_event_total{event_type="checkpoint_save_end",framework="megatron-lm"}': 1.0,
        "workload_event_create_count": 1.0,
        'event_stream_create_count{source="log"}': 3.0,
    }  # fmt: skip
    assert sum(moved(site, "log_pattern_match_total").values()) == 5.0
    for name in ("log_consume_latency_seconds", "log_consume_latency_histogram_seconds"):
        assert site.measured(f"{name}_count") == {'{node="n1"}': float(len(LINES))}


def test_the_same_lines_again_are_read_again_and_stored_once(site):
    site.place()
    sent(site, *LINES)
    once = moved(site, *NAMED)
    sent(site, *LINES)
    twice = moved(site, *NAMED)
    again = ("log_analysis", "log_pattern_match_total", "log_consume_latency")
    for name, value in once.items():
        assert twice[name] == value * (1 + name.startswith(again)), name


def test_lines_that_a_pattern_should_have_read(site):
    tally = site.site.flow.applier.tally
    tally.note(Parsed("none", "unknown", {}, (), "none", "", True), "loss is 1", "p", 1)
    tally.note(Parsed("none", "unknown", {}, (), "too_long", ""), "x", "p", 1)
    assert moved(site, "log_pattern_match_error_total") == {
        'log_pattern_match_error_total{framework="unknown",error_type="gap"}': 1.0,
        'log_pattern_match_error_total{framework="unknown",error_type="too_long"}': 1.0,
    }
    (item,) = site.get("/v1/log-patterns/gaps").json()["items"]
    assert (item["shape"], item["lines"]) == ("loss is #", 1)


def test_those_of_container_events(site):
    event = {
        "type": "create", "source": "k8s", "node": "n1", "container_id": "c1",
        "data": {"id": "c1", "pod_name": "p", "pod_namespace": "n", "pod_uuid": "u", "status": "running"},
    }  # fmt: skip
    assert site.post("/v1/container-events", event).status == 200
    assert site.post("/v1/container-events", {**event, "source": ""}).status == 400
    batch = {"events": [event, {"type": "x"}, event]}
    assert site.post("/v1/container-events/batch", batch).status == 206
    page = site.measured(CONTAINER)
    whose = '{source="k8s",node="n1"}'
    assert page[f"recv_total{whose}"] == 3.0
    assert page[f"processing_duration_seconds_count{whose}"] == 3.0
    assert page["batch_size_count"] == 1.0
    assert page["batch_size_sum"] == 3.0
    errors = {key: value for key, value in page.items() if key.startswith("error_total")}
    assert sum(errors.values()) == 2.0


def test_those_of_wandb_and_frameworks(site):
    site.place()
    point = {"name": "loss", "value": 1.0, "step": 1, "timestamp": NOW_MS / 1000}
    metrics = {"pod_uid": "p-1", "run_id": "r", "metrics": [point, {**point, "name": "lr"}]}
    step = {"step": 2, "timestamp": NOW_MS / 1000, "data": {"loss": 1.0}}
    logs = {"pod_uid": "p-1", "run_id": "r", "logs": [step]}
    detection = {
        "pod_uid": "p-1", "source": "wandb", "type": "framework_detection_raw",
        "timestamp": NOW_MS / 1000, "evidence": {"environment": {"DEEPSPEED_CONFIG": "x"}},
    }  # fmt: skip
    for path, document in (("metrics", metrics), ("logs", logs), ("detection", detection)):
        answer = site.post(f"/v1/wandb/{path}", document)
        assert answer.status == 200, answer.body
    assert site.post("/v1/wandb/metrics", {"metrics": "x"}).status == 400
    settled(site)
    assert moved(
        site, "wandb_request_total", "wandb_request_error_total", "wandb_metrics_store_total",
        "wandb_metrics_store_error_total", "log_framework_detection_total",
        "training_performance_save_total",
    ) == {
        'wandb_request_total{type="metrics"}': 2.0,
        'wandb_request_total{type="logs"}': 1.0,
        'wandb_request_total{type="detection"}': 1.0,
        'wandb_request_error_total{type="metrics",error_type="validation"}': 1.0,
        'wandb_metrics_store_total{workload_uid="w-1"}': 2.0,
        'log_framework_detection_total{framework="deepspeed",method="env_vars",source="wandb"}': 1.0,
        'training_performance_save_total{workload_uid="w-1",source="wandb"}': 2.0,
    }  # fmt: skip
    counted = {
        name: sum(site.measured(f"{name}_count").values())
        for name in (
            "wandb_metrics_datapoint_count", "wandb_logs_datapoint_count",
            "framework_detection_confidence", "wandb_request_duration_seconds",
        )
    }  # fmt: skip
    assert list(counted.values()) == [1.0, 1.0, 1.0, 4.0]
    assert site.measured("wandb_metrics_datapoint_count_sum") == {'{workload_uid="w-1"}': 2.0}


class Full:
    """A store that can hold nothing, though there is nothing wrong with it."""

    def append(self, *_):
        raise Refused("no")

    def run(self, work, *, lane):
        raise Refused("no")


def test_what_no_store_can_hold():
    meters = Meters()
    keeping = Keeping(
        Full(), Full(), meters, insist=lambda work: work(), workload_of=lambda _: "w-1"
    )
    types = ("checkpoint_load", "training_start", "oom")
    records = [
        Record(
            record_id=str(number), timestamp_ns=1, observed_timestamp_ns=1, session_id="p",
            source_kind="log", event_type=name, attributes={"framework": "nemo"},
        )
        for number, name in enumerate(types)
    ]  # fmt: skip
    rows = [
        TrainingRow("p", "log", "", 1, 1, None, "nemo", {}),
        TrainingRow("p", "log", "", 1, None, "training_start", "nemo", {}),
    ]
    keeping.take(rows, records)
    assert keeping.records() == []
    keeping.rows()
    assert meters.checkpoint_errors.items() == [(("checkpoint_load", "nemo"), 1.0)]
    assert meters.workload_event_errors.items() == [((), 1.0)]
    assert meters.event_stream_errors.items() == [(("log",), 3.0)]
    assert meters.performance_errors.items() == [(("w-1", "log"), 1.0)]
    assert dict(meters.dropped.items()) == {
        ("records", "cannot_be_stored"): 3.0,
        ("rows", "cannot_be_stored"): 2.0,
    }


@pytest.mark.parametrize("make", ["counter", "histogram", "summary"])
def test_labels_are_bounded_in_number_and_length(make):
    family = getattr(Registry(), make)("m", "Help.", ("workload_uid",))
    observe = family.add if make == "counter" else lambda n, who: family.observe_all((n,), who)
    for number in range(CHILDREN_MAX + 10):
        observe(1, f"{number:06d}" + "x" * 1000)
    labels = {line.partition('workload_uid="')[2].partition('"')[0] for line in family.lines()}
    assert len(labels) == CHILDREN_MAX + 1
    assert "other" in labels
    assert max(map(len, labels)) == VALUE_CHARS_MAX
