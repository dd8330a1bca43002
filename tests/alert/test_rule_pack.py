"""The built-in rules: each fires on what it is about, and not on its healthy neighbour."""

import json
import math

import pytest

from heliograph.alert.model import Context
from heliograph.alert.rules import metrics as rule_metrics
from heliograph.alert.rules import pack as rule_pack
from heliograph.alert.rules.rule import Said, Series
from heliograph.alert.rules.stream import RuleStream
from heliograph.core import labels as core_labels
from heliograph.core import xids
from heliograph.core.duration import MINUTE_NS, SECOND_NS
from heliograph.core.placement import CONTAINER_ENDS
from heliograph.core.record import Record
from heliograph.core.training import TrainingRow
from tests.calls import calls_of

S = SECOND_NS
T0 = 1_767_225_600 * S
WHO = Context(workload_id="w1", pod_name="p0", pod_id="uid-p0", node_name="n1")
HEALTHY = (
    " iteration        4/      20 | consumed samples:           64 | elapsed time per iteration (ms): "
    "654.5/735.1 | hip mem usage/free/total/usage_ratio: 153.81GB/102.17GB/255.98GB/60.09% | throughput "
    "per GPU (TFLOP/s/GPU): 1290.3/1162.8 | learning rate: 9.698463E-06 | global batch size:    16 | lm "
    "loss: 1.101008E+01 | loss scale: 1.0 | grad norm: 19.806 | number of skipped iterations:   0 | "
    "number of nan iterations:   0 |"
)
# Of all rules together, not of each.
CALLS_MAX = 12


def names_of(*texts):
    """The names of the rules that fire on lines."""
    stream = RuleStream(rule_pack.rules(), since_ns=T0)
    for text in texts:
        hits = stream.match(text)
        if hits:
            stream.line(hits, Said(T0, "c", WHO, {}, text), arrival_ns=T0)
    return [core_labels.get(post.labels, "alertname") for post in stream.drain()[0]]


LINES = [
    # rule, a line that makes it fire, one that does not
    ("OOMDetected", "RuntimeError: CUDA out of memory. Tried to allocate 304.00 MiB",
     "To avoid CUDA out of memory errors, set PYTORCH_CUDA_ALLOC_CONF"),
    ("OOMDetected", "torch.OutOfMemoryError: HIP out of memory. Tried to allocate 978.00 MiB.",
     "PYTORCH_HIP_ALLOC_CONF=expandable_segments:True to avoid fragmentation"),
    ("OOMDetected", "Out of memory: Killed process 4242 (python) total-vm:1kB", "room for memory"),
    ("NCCLError", ("[rank3]:[E ProcessGroupNCCL.cpp:523] [Rank 3] Watchdog caught collective operation "
     "timeout: WorkNCCL(SeqNum=15"), "[0] NCCL INFO Channel 15/0 : 1[c5000] -> 0[29000] via P2P/IPC/read"),
    ("NCCLError", "RuntimeError: NCCL error in: ProcessGroupNCCL.cpp:1970, unhandled system error",
     "TORCH_NCCL_ASYNC_ERROR_HANDLING=1 NCCL version 2.21.5"),
    ("NaNLoss", "{'loss': nan, 'grad_norm': nan, 'learning_rate': 2.0e-05, 'epoch': 0.27}", HEALTHY),
    ("NaNLoss", HEALTHY.replace("1.101008E+01", "NAN"), HEALTHY.replace("iterations:   0 |", "iterations: 0 |")),
    ("NaNLoss", HEALTHY.replace("nan iterations:   0", "nan iterations:   2"), "lm loss: 1.0 nanoseconds"),
    ("NaNLoss", "AssertionError: Rank 0: found NaN in local forward loss calculation.", "nan check is on"),
    ("CheckpointFailed", "ERROR: failed to save the checkpoint at iteration 100: No space left on device",
     " successfully saved checkpoint from iteration     845 to /ckpt"),
    ("CheckpointFailed", "safetensors_rust.SafetensorError: Error while serializing: IoError(Os { code: 28",
     "saving checkpoint at iteration     100 to /ckpt in torch_dist format"),
    ("ECCError", "CUDA error: uncorrectable ECC error encountered", "ECC mode is enabled, 0 errors"),
    ("XidHardware", "NVRM: Xid (PCI:0000:91:00): 79, pid='<unknown>', GPU has fallen off the bus.",
     "NVRM: Xid (PCI:0000:91:00): 43, pid=1, Ch 0"),
    ("XidFabric", "NVRM: Xid (PCI:0000:04:00): 150, MSE_WATCHDOG Fatal XC0 i0 Link 00 (0x0)",
     "NVRM: Xid (PCI:0000:04:00): 63, Row Remapper: New row marked"),
    ("XidFabricNonfatal", "NVRM: Xid (PCI:0000:04:00): 145, RLW_REMAP Nonfatal XC0 i0 Link 00",
     "NVRM: Xid (PCI:0009:01:00): 154, GPU recovery action changed from 0x0 (None) to 0x4"),
    ("XidApplication", "NVRM: Xid (PCI:0000:05:00): 31, pid=9, MMU Fault", "NVRM: Xid (PCI:0000:05:00): 45, pid=9"),
    ("XidSupport", "NVRM: Xid (PCI:0000:05:00): 61, pid=9", "NVRM: Xid (PCI:0000:05:00): 14, Channel 1"),
    ("XidSupport", "NVRM: Xid (PCI:0000:05:00): 999, new", "NVRM: Xid error: xyz, invalid data"),
    ("GPUFallenOffBus", "[6781741.548783] NVRM: GPU 0000:91:00.0: GPU has fallen off the bus.",
     "NVRM: The NVIDIA GPU invalid-bdf.0\nNVRM: fallen off the bus and is not responding to commands."),
    ("NVSwitchFatal", "nvidia-nvswitch0: SXid (PCI:0000:05:00.0): 20034, Fatal, Link 63 LTSSM Fault Up",
     "nvidia-nvswitch0: SXid (PCI:0000:05:00.0): 12028, Non-fatal, Link 32 egress"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "bad", "good"), LINES)
def test_lines(name, bad, good):
    assert names_of(bad) == [name]
    assert names_of(good) == []


def test_an_xid_says_where_what_and_what_to_do():
    stream = RuleStream(rule_pack.rules(), since_ns=T0)
    text = "NVRM: Xid (PCI:0000:91:00): 79, pid='<unknown>', GPU has fallen off the bus."
    stream.line(
        stream.match(text), Said(T0, "c", Context(node_name="n1"), {}, text), arrival_ns=T0
    )
    (post,) = stream.drain()[0]
    assert dict(post.labels) == {
        "alertname": "XidHardware", "severity": "critical", "category": "gpu", "kind": "xid",
        "verdict": "hardware", "node_name": "n1", "pci": "PCI:0000:91:00", "xid": "79",
    }  # fmt: skip
    assert dict(post.annotations)["summary"] == "GPU PCI:0000:91:00 reports Xid 79"
    assert dict(post.annotations)["meaning"] == (
        "Xid 79: GPU has fallen off the bus; drain the node and reset the GPU"
    )


def series_of(metric, value, *, step_s=15, count=100):
    return [
        Series(
            (("__name__", metric), ("pod", "p0")),
            [(T0 + n * step_s * S, float(value(n))) for n in range(count)],
        )
    ]


METRICS = [
    # rule, metric, what makes it fire, what does not
    ("PodRestarting", "kube_pod_container_status_restarts_total", lambda n: n // 10, lambda n: 7),
    ("GPUUncorrectableECC", "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL", lambda n: n > 50, lambda n: 2),
    ("GPUUncorrectableECCRocm", "gpu_ecc_uncorrect_total", lambda n: n > 50, lambda n: 2),
    ("GPURowRemapFailed", "DCGM_FI_DEV_ROW_REMAP_FAILURE", lambda n: n > 50, lambda n: 0),
    ("TelemetryCollectionFailed", "telemetry_collection_runs_total", lambda n: min(n, 20), lambda n: n),
    ("HighTelemetryCollectionDuration", "telemetry_collection_duration_seconds", lambda n: 11, lambda n: 10),
    ("GPUPowerAnomaly", "DCGM_FI_DEV_POWER_USAGE", lambda n: 690 + n % 7 if n < 80 else 90, lambda n: 690 + n % 7),
]  # fmt: skip


def fires(name, series, until_s=1500):
    """Whether the rule *name* fires on one *series*, looked at again and again."""
    (rule,) = [one for one in rule_pack.rules() if one.name == name]
    state, fired = b"", False
    for now_ns in range(T0 + 60 * S, T0 + until_s * S, 15 * S):
        asked = rule_metrics.query(rule, now_ns)
        assert asked.metric == core_labels.get(series.labels, "__name__")
        points = [p for p in series.points if asked.start_ns <= p[0] < asked.end_ns]
        there = [Series(series.labels, points)] if points else []
        answer = rule_metrics.evaluate(rule, state, there, now_ns=now_ns)
        state = answer.state
        fired = fired or any(post.status == "firing" for post in answer.posts)
    return fired


@pytest.mark.parametrize(("name", "metric", "bad", "good"), METRICS)
def test_series(name, metric, bad, good):
    assert fires(name, series_of(metric, bad)[0])
    assert not fires(name, series_of(metric, good)[0])


@pytest.mark.parametrize("count", [1, 2, 6, 12, 36, 80])
def test_a_process_that_is_over_has_not_stopped_collecting(count):
    """Read every 5 s, one run in 30 s, for as long as it lives; then nothing more is heard of it."""
    metric = "telemetry_collection_runs_total"
    (over,) = series_of(metric, lambda n: 1 + n // 6, step_s=5, count=count)
    assert not fires("TelemetryCollectionFailed", over, until_s=3600)


def rows_fired(rows, until_ns=None, ends=None):
    stream = RuleStream(rule_pack.rules(), since_ns=T0)
    for at_ns, fields, source in rows:
        row = TrainingRow("uid-p0", source, "", at_ns, None, None, "x", fields)
        stream.row(row, Said(at_ns, "uid-p0", WHO), arrival_ns=at_ns)
    if ends:
        record = Record("i", T0, T0, "s", "log", ends)
        stream.record(record, Said(T0, "uid-p0", WHO), arrival_ns=T0)
    if until_ns is not None:
        stream.tick(until_ns)
    return [core_labels.get(post.labels, "alertname") for post in stream.drain()[0]]


def losses(change=None, source="log"):
    rows = []
    for n in range(300):
        fields = {
            "lm_loss": 2 + 5 * math.exp(-n / 100) + 0.02 * (n * 7 % 5),
            "elapsed_time_per_iteration_ms": 1000.0 + n % 9,
        }
        if n == 250 and change:
            fields.update(change)
        rows.append((T0 + n * S, fields, source))
    return rows


@pytest.mark.parametrize(
    ("change", "source", "expected"),
    [
        (None, "log", []),
        ({"lm_loss": 11.0}, "log", ["LossSpike"]),
        ({"lm_loss": 1.0}, "log", []),
        ({"elapsed_time_per_iteration_ms": 9000.0}, "log", ["StepTimeAnomaly"]),
        ({"lm_loss": math.nan}, "wandb", ["WandbNaNLoss"]),
        ({"lm_loss": math.nan}, "log", []),
    ],
)
def test_rows(change, source, expected):
    assert rows_fired(losses(change, source)) == expected


@pytest.mark.parametrize(
    ("minutes", "ends", "expected"),
    [
        (29, None, []),
        (31, None, ["TrainingHang"]),
        (31, "training_end", []),
        *((31, f"container_{end}", []) for end in sorted(CONTAINER_ENDS)),
        *((31, f"container_{end}", []) for end in ("exit", "exited", "kill", "oom_killed")),
        *((31, f"container_{on}", ["TrainingHang"]) for on in ("start", "update", "snapshot")),
    ],
)
def test_a_stalled_training(minutes, ends, expected):
    rows = [(T0, {"current_iteration": 5}, "log")]
    fired = rows_fired(rows, T0 + minutes * MINUTE_NS, ends)
    assert [name for name in fired if name != "ContainerOOMKilled"] == expected


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (["container_oom_killed"], ["ContainerOOMKilled"]),
        (["container_exit"], []),
        (["container_start"] * 3, []),
        (["container_start"] * 4, ["PodRestarts"]),
        (["container_restart"] * 3, []),
        (["container_restart"] * 4, ["PodRestarts"]),
        (["container_task_start", "container_restart"] * 2, ["PodRestarts"]),
        (["container_create", "container_update", "container_snapshot"] * 4, []),
    ],
)
def test_container_events(events, expected):
    stream = RuleStream(rule_pack.rules(), since_ns=T0)
    for n, event in enumerate(events):
        record = Record(
            f"i{n}", T0 + n * MINUTE_NS, T0, "s", "container", event, severity="info"
        )
        stream.record(record, Said(record.timestamp_ns, "n1", WHO), arrival_ns=T0)
    assert [core_labels.get(post.labels, "alertname") for post in stream.drain()[0]] == expected


@pytest.mark.parametrize(("containers", "expected"), [(4, []), (1, ["PodRestarts"])])
def test_containers_of_no_pod_are_counted_each_for_itself(containers, expected):
    stream = RuleStream(rule_pack.rules(), since_ns=T0)
    for n in range(4):
        resource = {"node": "n1", "container_id": f"c{n % containers}", "pod_name": ""}
        at_ns = T0 + n * MINUTE_NS
        record = Record(
            f"i{n}", at_ns, T0, "s", "container", "container_start", resource=resource
        )
        stream.record(record, Said(at_ns, "n1", Context(node_name="n1")), arrival_ns=T0)
    assert [core_labels.get(post.labels, "alertname") for post in stream.drain()[0]] == expected


def of_pod(number, event, container, name=None):
    """An event of a container of a pod; as its agent tells it, the first start is its creation."""
    named = {} if name is None else {"container_name": name}
    return number, event, {"pod_name": "p0", "container_id": container, **named}, "k8s"


def of_docker(number, event, container="c0"):
    return number, event, {"pod_name": "", "container_id": container}, "docker"


STARTED = ("create", "task_create", "task_start")
POD = ("pause", "init", "main", "istio", "dcgm")


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([of_pod(0, event, one) for one in POD for event in STARTED], []),
        ([of_pod(0, event, f"id-{one}", one) for one in POD for event in STARTED], []),
        # One of them starts again and again, under another id each time.
        (
            [
                *[of_pod(0, "task_start", one, one) for one in POD],
                *[of_pod(n, "task_start", f"main-{n}", "main") for n in (1, 2)],
            ],
            [],
        ),
        (
            [
                *[of_pod(0, "task_start", one, one) for one in POD],
                *[of_pod(n, "task_start", f"main-{n}", "main") for n in (1, 2, 3)],
            ],
            ["PodRestarts"],
        ),
        ([of_pod(n, "start", "main") for n in range(4)], ["PodRestarts"]),
        # Docker says it twice.
        ([of_docker(n, event) for n in range(3) for event in ("start", "restart")], []),
        (
            [of_docker(n, event) for n in range(4) for event in ("start", "restart")],
            ["ContainerRestarts"],
        ),
        ([of_docker(n, "start") for n in range(4)], ["ContainerRestarts"]),
        ([of_docker(n, "start", f"c{n}") for n in range(4)], []),
    ],
)
def test_starts_are_of_one_container(events, expected):
    stream = RuleStream(rule_pack.rules(), since_ns=T0)
    for n, (minute, event, resource, source) in enumerate(events):
        at_ns = T0 + minute * MINUTE_NS + n
        record = Record(
            *(f"i{n}", at_ns, T0, "s", "container", f"container_{event}"),
            resource={"node": "n1", **resource}, attributes={"source": source},
        )  # fmt: skip
        who = Context(pod_name=resource["pod_name"], node_name="n1")
        stream.record(record, Said(at_ns, "n1", who), arrival_ns=T0 + 20 * MINUTE_NS)
    assert [core_labels.get(post.labels, "alertname") for post in stream.drain()[0]] == expected


def test_every_rule_is_tried_above():
    tried = {name for name, *_ in (*LINES, *METRICS)} | {
        *("LossSpike", "StepTimeAnomaly", "WandbNaNLoss", "TrainingHang"),
        *("ContainerOOMKilled", "PodRestarts", "ContainerRestarts"),
    }
    rules = rule_pack.rules()
    assert {rule.name for rule in rules} == tried
    assert len({rule.id for rule in rules}) == len(rules)
    assert all(rule.builtin and rule.enabled for rule in rules)


def test_the_verdicts_of_the_catalogue(shared_data):
    told = json.loads((shared_data / "tables/nvidia_xid_catalog.json").read_text())
    meant = {
        "RESTART_APP": "application", "IGNORE": "ignore", "RESET_GPU": "hardware",
        "RESTART_BM": "hardware", "CHECK_MECHANICALS": "hardware", "WORKFLOW_XID_48": "hardware",
        "WORKFLOW_NVLINK_ERR": "fabric", "WORKFLOW_NVLINK5_ERR": "fabric",
        "WORKFLOW_XID_45": "ignore", "XID_154": "ignore",
    }  # fmt: skip
    wrong = [
        case["xid"]
        for case in told["cases"]
        if xids.verdict(case["xid"]) != meant.get(case["immediate"], "support")
    ]
    # No action is stated for these: capability notices, and details of another code.
    assert wrong == [162, 163, 171, 172]


def test_the_drivers_lines(shared_data):
    told = json.loads((shared_data / "tables/nvidia_xid_log_lines.json").read_text())
    for case in told["cases"]:
        found = names_of(case["line"])
        acts = case["xid"] is not None and xids.verdict(case["xid"]) != "ignore"
        assert bool(found) is acts, (case["name"], found)


def test_watchdog_lines(shared_data):
    told = json.loads((shared_data / "tables/nccl_watchdog_lines.json").read_text())
    for case in told["cases"]:
        assert names_of(case["line"]) == (["NCCLError"] if case["expect"] else []), case["line"]


def test_real_lines_fire_by_their_kind(shared_data):
    expected = {
        "oom": {"OOMDetected"}, "nan": {"NaNLoss"}, "nccl": {"NCCLError"},
        "crash": {"ECCError", "CheckpointFailed"},
        "xid": {"XidHardware", "XidFabric", "XidFabricNonfatal", "GPUFallenOffBus", "NVSwitchFatal"},
    }  # fmt: skip
    for text in (shared_data / "loglines.jsonl").read_text().splitlines():
        case = json.loads(text)
        assert set(names_of(case["line"])) <= expected.get(case["kind"], set()), case["id"]


def test_healthy_lines_of_the_reference_say_nothing(shared_data):
    for name in ("log_performance_lines", "log_event_lines", "log_external_lines"):
        told = json.loads((shared_data / f"lens_vectors/{name}.json").read_text())
        for case in told["cases"]:
            if "nan" in str(case.get("id", "")).lower():
                continue
            text = case.get("line", "")
            found = names_of(text)
            assert not found or "nan" in text.lower().replace("nan iterations", ""), (
                found,
                text,
            )


def test_a_line_that_nobody_is_about_costs_one_search():
    stream = RuleStream(rule_pack.rules(), since_ns=T0)
    assert calls_of(lambda: stream.match(HEALTHY)) <= CALLS_MAX
