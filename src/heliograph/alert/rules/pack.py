"""The rules that are built in: what goes wrong with training, named once.

They are documents like a user's (`decode`), so that they show in the API, may be disabled, and
say nothing that a user's rule could not. They are narrow on purpose: a healthy line of Primus says
`number of nan iterations: 0`, advice says "out of memory", and nobody wants to be woken.
"""

from functools import cache

from msgspec import structs

from heliograph.alert.rules import decode as rule_decode
from heliograph.alert.rules import pack_lines as rule_pack_lines
from heliograph.alert.rules import pack_xid as rule_pack_xid
from heliograph.alert.rules.rule import Rule
from heliograph.alert.rules.writing import Document, metric
from heliograph.core.placement import CONTAINER_ENDS

_JOB = ["workload_id|pod_name"]
# A container event is a record of its type; one that tells of a kill for memory is named for that.
_ENDS = tuple(
    f"container_{end}"
    for end in sorted({*CONTAINER_ENDS, "exit", "exited", "kill", "oom_killed"})
)
# By name where it is told: a pod's container that starts again has another id.
_CONTAINER = "container_name|container_id|node_name"
_GPU_LABELS = {"category": "gpu", "kind": "ecc"}
_OWN_LABELS = {"category": "telemetry"}

_TRAINING: tuple[Document, ...] = (
    {
        "name": "WandbNaNLoss",
        "source": "log",
        "rule_type": "field",
        "severity": "critical",
        # Lines with a NaN are NaNLoss's already.
        "rule_config": {
            "fields": ["lm_loss", "total_loss", "grad_norm"],
            "op": "nan",
            "match": ['row_source="wandb"'],
        },
        "labels": {"category": "training", "kind": "nan_loss"},
        "annotations": {"summary": "{{ $labels.field }} is not a number"},
    },
    {
        "name": "LossSpike",
        "source": "log",
        "rule_type": "anomaly",
        "severity": "warning",
        "rule_config": {
            "fields": ["lm_loss", "total_loss"],
            "z": 8,
            "least": 30,
            "size": 200,
            "by": _JOB,
        },
        "labels": {"category": "training", "kind": "loss_spike"},
        "annotations": {"summary": "The loss jumped to {{ $value }}"},
    },
    {
        "name": "StepTimeAnomaly",
        "source": "log",
        "rule_type": "anomaly",
        "severity": "info",
        "rule_config": {
            "fields": ["elapsed_time_per_iteration_ms"],
            "z": 12,
            "least": 50,
            "size": 200,
            "by": _JOB,
        },
        "labels": {"category": "training", "kind": "slowdown"},
        "annotations": {"summary": "An iteration took {{ $value }} ms"},
    },
    {
        "name": "TrainingHang",
        "source": "log",
        "rule_type": "absence",
        "severity": "critical",
        "rule_config": {
            "match": {"fields": ["current_iteration"]},
            "window": "30m",
            "by": _JOB,
            "until": {
                "event_type": ["training_end", *_ENDS],
            },
        },
        "labels": {"category": "training", "kind": "hang"},
        "annotations": {"summary": "No iteration was finished for 30 minutes"},
    },
)

_CLUSTER: tuple[Document, ...] = (
    {
        "name": "ContainerOOMKilled",
        "source": "event",
        "rule_type": "match",
        "severity": "critical",
        "rule_config": {"event_type": "container_oom_killed"},
        "labels": {"category": "training", "kind": "oom"},
        "annotations": {"summary": "The kernel killed {{ .PodName }}: out of memory"},
    },
    {
        "name": "PodRestarts",
        "source": "event",
        "rule_type": "match",
        "severity": "warning",
        "rule_config": {
            "event_type": ["container_start", "container_task_start", "container_restart"],
            "match": ['source!="docker"'],
            "threshold": {
                "count": 4,
                "window": "15m",
                # Each for itself: that a pod's several containers start is no restart.
                "by": ["workload_id", "pod_name", _CONTAINER],
            },
        },
        "labels": {"category": "kubernetes", "kind": "pod_restart"},
        "annotations": {
            "summary": "A container of {{ .PodName }} was started {{ $value }} times in 15 minutes"
        },
    },
    {
        "name": "ContainerRestarts",
        "source": "event",
        "rule_type": "match",
        "severity": "warning",
        "rule_config": {
            # Docker tells of a restart by a start, and sometimes by a `restart` after it.
            "event_type": "container_start",
            "match": ['source="docker"'],
            "threshold": {"count": 4, "window": "15m", "by": ["workload_id", _CONTAINER]},
        },
        "labels": {"category": "container", "kind": "pod_restart"},
        "annotations": {
            "summary": "A container on {{ .NodeName }} was started {{ $value }} times in 15 minutes"
        },
    },
    metric(
        "PodRestarting",
        "warning",
        {"category": "kubernetes", "kind": "pod_restart"},
        "{{ $labels.pod }} restarted {{ $value }} times in 15 minutes",
        "threshold",
        {
            "metric": "kube_pod_container_status_restarts_total",
            "agg": "increase",
            "window": "15m",
            "op": ">=",
            "value": 3,
        },
    ),
    metric(
        "GPUUncorrectableECC",
        "critical",
        _GPU_LABELS,
        "Uncorrectable memory errors",
        "threshold",
        {
            "metric": "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL",
            "agg": "increase",
            "window": "15m",
            "op": ">",
            "value": 0,
        },
    ),
    metric(
        "GPUUncorrectableECCRocm",
        "critical",
        _GPU_LABELS,
        "Uncorrectable memory errors",
        "threshold",
        {
            "metric": "gpu_ecc_uncorrect_total",
            "agg": "increase",
            "window": "15m",
            "op": ">",
            "value": 0,
        },
    ),
    metric(
        "GPURowRemapFailed",
        "critical",
        _GPU_LABELS,
        "A memory row could not be remapped",
        "threshold",
        {
            "metric": "DCGM_FI_DEV_ROW_REMAP_FAILURE",
            "agg": "max",
            "window": "5m",
            "op": ">",
            "value": 0,
        },
    ),
    metric(
        "TelemetryCollectionFailed",
        "warning",
        _OWN_LABELS,
        "Telemetry collection has stopped",
        "threshold",
        {
            "metric": "telemetry_collection_runs_total",
            "agg": "increase",
            "window": "3m",
            "op": "==",
            "value": 0,
            # Longer than what a process that is over is still seen for: the window, and lateness.
            "for": "10m",
        },
    ),
    metric(
        "HighTelemetryCollectionDuration",
        "warning",
        _OWN_LABELS,
        "Telemetry collection taking too long",
        "threshold",
        {
            "metric": "telemetry_collection_duration_seconds",
            "agg": "last",
            "op": ">",
            "value": 10,
            "for": "1m",
        },
    ),
    metric(
        "GPUPowerAnomaly",
        "info",
        {"category": "gpu"},
        "The power draw of a GPU fell to {{ $value }} W, far below its own past",
        "anomaly",
        {
            "metric": "DCGM_FI_DEV_POWER_USAGE",
            "z": 12,
            "direction": "down",
            "least": 60,
            "size": 500,
            "window": "1h",
            "for": "2m",
        },
    ),
)


def documents() -> dict[str, Document]:
    """The built-in rules as documents, by id."""
    listed = (
        *rule_pack_lines.DOCUMENTS,
        *_TRAINING,
        *rule_pack_xid.DOCUMENTS,
        *_CLUSTER,
    )
    return {f"builtin-{_slug(str(one['name']))}": one for one in listed}


@cache
def rules() -> tuple[Rule, ...]:
    """The built-in rules, decoded."""
    return tuple(
        _of(rule_decode.decode(document, rule_id=rule_id, builtin=True))
        for rule_id, document in documents().items()
    )


def _of(rule: Rule) -> Rule:
    is_xid = ("kind", "xid") in rule.labels and rule.name != "NVSwitchFatal"
    return structs.replace(rule, explain="xid") if is_xid else rule


def _slug(name: str) -> str:
    return "".join(char.lower() if char.isalnum() else "-" for char in name).strip("-")
