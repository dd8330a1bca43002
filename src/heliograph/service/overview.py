"""The first page's values: health, flows, workloads as they stand, series without an owner."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from heliograph import __version__
from heliograph.alert.model import Alert, Suppression
from heliograph.core import instant
from heliograph.core import labels as label
from heliograph.core.clock import Clock
from heliograph.core.labels import Labels
from heliograph.service.attributing import Attributing
from heliograph.service.endpoints import foreign
from heliograph.service.meters import Meters
from heliograph.web.first_page import AlertLine, Check, FirstPage, Flow, Unowned, WorkloadLine

WORKLOADS_SHOWN = 50
ALERTS_SHOWN = 20
EXAMPLE_CHARS = 300
PROTOCOLS = {
    "remote_write": ("Prometheus remote write, samples", "samples"),
    "logs": ("JSON logs, entries", "entries"),
    "container_events": ("Container events", "events"),
    "placements": ("Placements, pods", "pods"),
    "wandb": ("wandb, steps", "steps"),
    "records": ("Memory events", "records"),
    "events": ("Events", "events"),
    "metrics": ("Metrics by name", "metrics"),
    "usage": ("Usage of training tools, payloads", "payloads"),
}
ALERT_PATHS = frozenset(
    {f"{root}alerts" for root in foreign.ROOTS}
    | {f"/v1/alerts/{source}" for source in ("metric", "log", "trace", "webhook")}
)
MEANINGS = {
    "no_identity": "no label names a device, a pod or a node that we could look up",
    "unknown_node": "the node that it names holds no device that we know of",
    "unknown_device": "nobody has said who holds this device",
    "not_held": "the device is known, and no pod holds it now",
    "shared_device": "two pods hold the device at once",
    "unknown_pod": "no pod of this uid or name is known",
    "not_running": "the pod that it names does not run now",
    "ambiguous_name": "several pods of this name run now",
    "no_workload": "the pod is known, the workload that it belongs to is not",
}


class Overview(NamedTuple):
    """Where the page's values come from.

    listed   workloads as `GET /v1/workloads` shows them, what trains first, and their total
    alerts   alerts that fire, what is urgent first, what holds each back, and how many there are
    """

    meters: Meters
    clock: Clock
    checks: Callable[[], Sequence[Check]]
    listed: Callable[[int], tuple[Sequence[Mapping[str, Any]], int]]
    attributing: Attributing
    alerts: Callable[[int], tuple[Sequence[tuple[Alert, Suppression]], int]]
    started_ns: int


def page(have: Overview) -> FirstPage:
    """The values of this moment. Visits stores: for a reader thread."""
    workloads, total = have.listed(WORKLOADS_SHOWN)
    firing, firing_total = have.alerts(ALERTS_SHOWN)
    census = have.attributing.census()
    now_ns = have.clock.now_ns()
    return FirstPage(
        version=__version__,
        up_since=_to_the_second(have.started_ns),
        now=_to_the_second(now_ns),
        checks=have.checks(),
        alerts=[_alert(alert, held, now_ns) for alert, held in firing],
        alerts_total=firing_total,
        flows=_flows(have.meters),
        workloads=[_workload(one, now_ns) for one in workloads],
        workloads_total=total,
        unowned=[
            Unowned(reason, MEANINGS.get(reason, ""), count, _example(labels))
            for reason, (count, labels) in sorted(
                census.unowned.items(), key=lambda item: -item[1][0]
            )
        ],
        attributed_series=census.owned,
    )


def _flows(meters: Meters) -> list[Flow]:
    flows = _alerts_posted(meters)
    for protocol, (text, kind) in PROTOCOLS.items():
        received = int(meters.received.value(protocol, kind))
        rejected = sum(count for (of, _), count in meters.rejected.items() if of == protocol)
        if received or rejected:
            flows.append(Flow(text, received, int(rejected)))
    return flows


def _alerts_posted(meters: Meters) -> list[Flow]:
    """Requests that posted alerts."""
    answered = [
        (int(status), count)
        for (method, path, status), count in meters.requests.items()
        if method == "POST" and path in ALERT_PATHS
    ]
    if not answered:
        return []
    refused = sum(count for status, count in answered if status >= 400)
    received = sum(count for _, count in answered)
    return [Flow("Alerts, requests", int(received), int(refused))]


def _alert(alert: Alert, held: Suppression, now_ns: int) -> AlertLine:
    noted = dict(alert.annotations)
    words = (noted.get(name, "") for name in ("summary", "message", "description", "log_line"))
    summary = next((text for text in words if text), "")
    context = alert.context
    reasons = (
        ("silenced", held.silences),
        ("inhibited", held.inhibitors),
        ("muted", held.mutes),
    )
    return AlertLine(
        id=alert.id,
        name=alert.name or alert.id,
        severity=alert.severity,
        workload=context.workload_name or context.workload_id,
        pod=context.pod_name,
        node=context.node_name,
        summary=summary if len(summary) <= EXAMPLE_CHARS else f"{summary[:EXAMPLE_CHARS]}…",
        since=_ago(instant.text_of(alert.starts_ns), now_ns),
        held=", ".join(name for name, ids in reasons if ids),
    )


def _workload(one: Mapping[str, Any], now_ns: int) -> WorkloadLine:
    current = one["current"] or {}
    fields = current.get("fields") or {}
    iteration, target = fields.get("current_iteration"), fields.get("target_iteration")
    progress = iteration / target if iteration is not None and target else None
    return WorkloadLine(
        uid=one["uid"],
        name=one["name"],
        namespace=one["namespace"],
        kind=one["kind"],
        status=one["status"],
        pods=one["pods_running"],
        devices=one["devices_held"],
        framework=current.get("framework", ""),
        run=str(current.get("run", "")),
        iteration=_iteration(iteration, target),
        progress=progress,
        loss=_number(fields.get("lm_loss", fields.get("total_loss")), ""),
        throughput=_throughput(fields),
        memory=_memory(fields),
        last_seen=_ago(current.get("at"), now_ns),
    )


def _iteration(iteration: int | None, target: int | None) -> str:
    if iteration is None:
        return ""
    return f"{iteration:,} / {target:,}" if target else f"{iteration:,}"


def _throughput(fields: Mapping[str, Any]) -> str:
    shown = [
        _number(fields.get("tflops"), " TFLOP/s/GPU"),
        _number(fields.get("tokens_per_gpu"), " tokens/s/GPU"),
        _number(fields.get("tokens_per_second"), " tokens/s"),
        _number(fields.get("samples_per_second"), " samples/s"),
        _number(fields.get("steps_per_second"), " steps/s"),
    ]
    return next((text for text in shown if text), "")


def _memory(fields: Mapping[str, Any]) -> str:
    used = _number(fields.get("mem_usage_gb", fields.get("mem_max_gb")), " GB")
    share = _number(fields.get("mem_usage_ratio"), " %")
    return " · ".join(text for text in (used, share) if text)


def _number(value: Any, unit: str) -> str:
    if not isinstance(value, int | float):
        return ""
    if value != value:  # noqa: PLR0124 - the one test of NaN that needs no import
        return f"NaN{unit}"
    return f"{value:,.5g}{unit}" if abs(value) < 1000 else f"{value:,.0f}{unit}"


def _ago(at: str | None, now_ns: int) -> str:
    if not at:
        return ""
    seconds = max(0, (now_ns - instant.parse(at)) // 1_000_000_000)
    if seconds < 120:
        return f"{seconds} s ago"
    if seconds < 7200:
        return f"{seconds // 60} min ago"
    return f"{seconds // 3600} h ago" if seconds < 172_800 else f"{seconds // 86_400} d ago"


def _example(labels: Labels) -> str:
    name = label.get(labels, label.NAME)
    rest = ", ".join(f'{key}="{value}"' for key, value in labels if key != label.NAME)
    text = f"{name}{{{rest}}}"
    return text if len(text) <= EXAMPLE_CHARS else f"{text[:EXAMPLE_CHARS]}…"


def _to_the_second(at_ns: int) -> str:
    return instant.text_of(at_ns - at_ns % 1_000_000_000)
