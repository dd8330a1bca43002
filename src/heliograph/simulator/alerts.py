"""What the cluster's Prometheus would alert about: a GPU that runs hot, and then throttles.

Bodies of `POST /api/v2/alerts`, as Prometheus sends them: every firing alert again each half a
minute with an end some minutes ahead, and once more with its true end when it is over.

    minute of every ten   0  1  2  3  4  5  6  7  8  9
    HighTemperature             ██████████
    GPUThrottling                  ███████
"""

from datetime import UTC, datetime
from typing import Any

from heliograph.simulator.cluster import NODES, SECOND_NS
from heliograph.simulator.events import gpu

MINUTE_NS = 60 * SECOND_NS
CYCLE_NS = 10 * MINUTE_NS
RESEND_NS = 30 * SECOND_NS
# An end so far ahead bridges a few lost posts.
AHEAD_NS = 4 * RESEND_NS
HOT_NODE, HOT_GPU = NODES[0], 3
# Name → (severity, first minute of the cycle, last one, summary).
RULES = {
    "HighTemperature": ("warning", 2, 7, f"GPU {HOT_GPU} of {HOT_NODE} is at 89 °C"),
    "GPUThrottling": ("critical", 3, 7, f"GPU {HOT_GPU} of {HOT_NODE} runs below its clock"),
}

Document = dict[str, Any]


def alerts(after_ns: int, at_ns: int) -> list[Document]:
    """What Prometheus posts in `(after_ns, at_ns]`: alerts that are due to be told (again)."""
    posted = []
    for name, (severity, first, last, summary) in RULES.items():
        start_ns = at_ns // CYCLE_NS * CYCLE_NS + first * MINUTE_NS
        end_ns = start_ns + (last - first) * MINUTE_NS
        if after_ns < end_ns <= at_ns:
            posted.append(_alert(name, severity, summary, start_ns, end_ns))
        elif start_ns <= at_ns < end_ns and _due(start_ns, after_ns, at_ns):
            posted.append(_alert(name, severity, summary, start_ns, at_ns + AHEAD_NS))
    return posted


def _due(start_ns: int, after_ns: int, at_ns: int) -> bool:
    """Whether a multiple of the interval since *start_ns* falls into `(after_ns, at_ns]`."""
    return after_ns < start_ns or (at_ns - start_ns) // RESEND_NS > (
        (after_ns - start_ns) // RESEND_NS
    )


def _alert(name: str, severity: str, summary: str, start_ns: int, end_ns: int) -> Document:
    uuid = gpu(HOT_NODE, HOT_GPU).uuid
    return {
        "labels": {
            "alertname": name,
            "severity": severity,
            "cluster": "demo",
            "node": HOT_NODE,
            "gpu": str(HOT_GPU),
            "UUID": uuid or "",
        },
        "annotations": {"summary": summary},
        "startsAt": _rfc3339(start_ns),
        "endsAt": _rfc3339(end_ns),
        "generatorURL": "http://prometheus.demo/graph?g0.expr=DCGM_FI_DEV_GPU_TEMP",
    }


def _rfc3339(at_ns: int) -> str:
    seconds, rest_ns = divmod(at_ns, SECOND_NS)
    whole = datetime.fromtimestamp(seconds, UTC)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{rest_ns // 1_000_000:03d}Z"
