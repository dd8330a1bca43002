"""The labels of the one more series that an attributed series is readable as.

gpu_utilization{Hostname="n1", gpu="0", job="dcgm"}  owned by llm-7b-worker-0 of llm-7b
workload_gpu_utilization{Hostname="n1", gpu="0", job="dcgm", pod_name="llm-7b-worker-0", …}
"""

from heliograph.core import labels as label
from heliograph.core.labels import Labels
from heliograph.workloads.directory import Owner

PREFIX = "workload_"


def view_labels(labels: Labels, owner: Owner, *, prefix: str = PREFIX) -> Labels:
    """*labels* under the prefixed name, with *owner*'s fields set over what the sender claimed.

    A field of the owner that is "" removes the sender's label of that name.
    """
    name = label.get(labels, label.NAME)
    return label.merged(labels, {**owner._asdict(), label.NAME: prefix + name})


def owned_labels(labels: Labels, owner: Owner | None) -> Labels:
    """*labels* under their own name, with *owner*'s fields; as they are where there is no owner."""
    return labels if owner is None else view_labels(labels, owner, prefix="")
