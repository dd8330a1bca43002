"""What the simulated control plane says: placements, and starts and ends of containers.

Bodies of `POST /v1/placements` (the whole of a job, whenever it changes) and of
`POST /v1/container-events` (one event each, source `k8s`).
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from heliograph.simulator.cluster import (
    AMD_NODE,
    LINKS,
    LOST_GPU,
    NAMESPACE,
    Happening,
    PodRun,
    uid,
)

Document = dict[str, Any]
CHANGES = frozenset({"started", "ended"})
# What the shell makes of SIGKILL, SIGTERM, an abort.
_KILLED, _TERMINATED, _FAILED = 137, 143, 1


class Gpu(NamedTuple):
    """How a GPU is known to its exporter, its driver and the kubelet."""

    uuid: str | None
    serial: str | None


def gpu(node: str, index: int) -> Gpu:
    """GPU *index* of *node*; NVIDIA's have a UUID, AMD's a serial number."""
    if node == AMD_NODE:
        return Gpu(uuid=None, serial=f"692231000{index:03d}")
    return Gpu(uuid=f"GPU-{uid('gpu', node, index)}", serial=None)


def workload_uid(name: str) -> str:
    """The uid of the workload *name*, which outlives its pods."""
    return uid("workload", name)


def placements(happenings: Iterable[Happening]) -> Document | None:
    """The placements of the jobs that started or ended, or None when none did."""
    changed = [happening for happening in happenings if happening.kind in CHANGES]
    if not changed:
        return None
    workloads: dict[str, Document] = {}
    for happening in changed:
        workloads |= _workloads(happening)
    pods = {}
    for happening in changed:
        for pod in happening.pods:
            pods[pod.uid] = _pod(happening, pod)
    return {"workloads": list(workloads.values()), "pods": list(pods.values())}


def _workloads(happening: Happening) -> dict[str, Document]:
    job = happening.job
    status = "Running"
    if happening.kind == "ended":
        status = "Succeeded" if happening.why == "completed" else "Pending"
    own = _workload(job.name, job.kind, job.parent, status)
    if not job.parent:
        return {job.name: own}
    return {
        job.parent: _workload(job.parent, "TrainingPlan", "", "Running"),
        job.name: own,
    }


def _workload(name: str, kind: str, parent: str, status: str) -> Document:
    return {
        "uid": workload_uid(name),
        "name": name,
        "kind": kind,
        "namespace": NAMESPACE,
        "parent_uid": workload_uid(parent) if parent else None,
        "status": status,
    }


def _pod(happening: Happening, pod: PodRun) -> Document:
    gpus = [
        {"type": "gpu", "id": str(index), "partition": None, **gpu(pod.node, index)._asdict()}
        for index in pod.gpus
    ]
    return {
        "uid": pod.uid,
        "name": pod.name,
        "namespace": NAMESPACE,
        "node": pod.node,
        "workload_uid": workload_uid(happening.job.name),
        "start": _rfc3339(pod.start_ns),
        "end": _rfc3339(happening.at_ns) if happening.kind == "ended" else None,
        "devices": gpus + [{"type": "ib", "id": link} for link in _links(happening, pod)],
    }


def _links(happening: Happening, pod: PodRun) -> tuple[str, ...]:
    """Of a node that a job has for itself, each pod gets one link; shared ones get none."""
    if pod.node == AMD_NODE:
        return ()
    return (LINKS[happening.pods.index(pod)],)


def container_events(happenings: Iterable[Happening]) -> list[Document]:
    """One `task_start` or `task_stop` a pod of the jobs that started or ended."""
    return [
        _event(happening, pod)
        for happening in happenings
        if happening.kind in CHANGES
        for pod in happening.pods
    ]


def _event(happening: Happening, pod: PodRun) -> Document:
    ended = happening.kind == "ended"
    data: Document = {
        "id": pod.container_id,
        "name": "pytorch",
        "pod_name": pod.name,
        "pod_namespace": NAMESPACE,
        "pod_uuid": pod.uid,
        "status": "Exited" if ended else "Running",
        "created_at": pod.start_ns,
        "devices": {
            "gpu": [_device(pod.node, index) for index in pod.gpus],
            "infiniband": [
                {"name": link, "id": LINKS.index(link), "type": "infiniband", "serial": ""}
                for link in _links(happening, pod)
            ],
        },
    }
    if ended:
        code, oom_killed = _exit(happening, pod)
        data |= {"exit_code": code, "exit_time": happening.at_ns, "oom_killed": oom_killed}
    return {
        "type": "task_stop" if ended else "task_start",
        "source": "k8s",
        "node": pod.node,
        "container_id": pod.container_id,
        "data": data,
    }


def _device(node: str, index: int) -> Document:
    known = gpu(node, index)
    return {
        "name": f"card{index}",
        "id": index,
        "type": "gpu",
        "kind": "AMD" if node == AMD_NODE else "NVIDIA",
        "uuid": known.uuid or "",
        "serial": known.serial or "",
    }


def _exit(happening: Happening, pod: PodRun) -> tuple[int, bool]:
    """Exit code, and whether the kernel killed it: dumping the lost GPU's pod ate its memory."""
    if happening.why == "completed":
        return 0, False
    if happening.why == "preempted":
        return _TERMINATED, False
    return (_KILLED, True) if LOST_GPU in pod.gpus else (_FAILED, False)


def _rfc3339(at_ns: int) -> str:
    seconds, rest_ns = divmod(at_ns, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest_ns:09d}Z"
