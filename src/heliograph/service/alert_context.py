"""Whose an alert is, as of its own time: labels → context, entities, and a document of the rest.

    {alertname="GPUHot", gpu="3", node="gpu-07"}  at 10:02:11
        context    workload_uid w-1, pod_name llm-7b-worker-0, pod_id p-1, node_name gpu-07
        entities   workload:w-1  pod:p-1  node:gpu-07  device:GPU-604a…

Labels are read as those of a series are (`enrich.identity`), so that a metric and the alert about it
never have two owners. What a sender names itself (`workload_id`, `pod_id`, `node_name`, …) is kept
as it says; enrichment fills what it left out.
"""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from heliograph.alert.model import NOBODY, Context, Enriched, Post
from heliograph.core.owner import Pod, Workload
from heliograph.enrich import identity
from heliograph.enrich.attribute import Span, attribute_identity, span_at
from heliograph.enrich.identity import Identity
from heliograph.workloads.directory import Directory, alive

# Devices of a pod that an alert is correlated by; a pod holds 8 or 16.
DEVICES_MAX = 32
_POD_IDS = ("pod_id", "pod_uid", "pod_uuid", "uid")
# `instance` is where the metric was read, not always what it is about.
_NODES = ("node_name", *(name for name in identity.NODE_LABELS if name != "instance"))
_CLUSTERS = ("cluster_name", "cluster")


class AlertContext:
    """Enriches posts under the directory of the moment."""

    def __init__(self, directory: Callable[[], Directory]) -> None:
        self._directory = directory

    def __call__(self, post: Post) -> Enriched:
        """What is known of *post* at its own time."""
        directory = self._directory()
        said = dict(post.labels)
        who = _who(post, said)
        span = span_at(attribute_identity(who, directory), post.at_ns)
        pod = directory.pods.get(span.pod_uid) if span.pod_uid else None
        node = _node(post, said, who, pod, directory)
        workload = _workload(post, said, span, directory)
        known_as = post.hints.workload_id or said.get("workload_id", "")
        workload_uid = workload.uid if workload else said.get("workload_uid", "")
        context = Context(
            workload_id=known_as or workload_uid,
            workload_name=workload.name if workload else said.get("workload_name", ""),
            workload_uid=workload_uid,
            pod_name=pod.name if pod else post.hints.pod_name or who.pod_name,
            pod_id=pod.uid if pod else who.pod_uid,
            node_name=node,
            cluster_name=post.hints.cluster_name or _first(said, _CLUSTERS),
        )
        return Enriched(
            context=context,
            entities=tuple(dict.fromkeys(_entities(context, who, pod, directory, post.at_ns))),
            document=msgspec.json.encode(_document(span, pod, workload, directory)),
        )

    def of_pod(self, pod_uid: str, pod_name: str, node: str) -> Context:
        """Whose a line or a record is that names its pod so; what nobody knows is ""."""
        directory = self._directory()
        pod = directory.pods.get(pod_uid) if pod_uid else None
        owner = directory.owner(pod_uid) if pod else None
        return Context(
            workload_id=owner.workload_uid if owner else "",
            workload_name=owner.workload_name if owner else "",
            workload_uid=owner.workload_uid if owner else "",
            pod_name=pod.name if pod else pod_name,
            pod_id=pod_uid,
            node_name=node or (pod.node if pod else ""),
        )


def _who(post: Post, said: dict[str, str]) -> Identity:
    """What labels and hints say of node, device and pod."""
    who = identity.of(post.labels)
    hints = post.hints
    if hints == NOBODY and not any(name in said for name in _POD_IDS):
        return who
    return who._replace(
        pod_uid=hints.pod_id or _first(said, _POD_IDS) or who.pod_uid,
        pod_name=hints.pod_name or who.pod_name,
        nodes=(hints.node_name, *who.nodes) if hints.node_name else who.nodes,
    )


def _node(
    post: Post, said: dict[str, str], who: Identity, pod: Pod | None, directory: Directory
) -> str:
    named = post.hints.node_name or _first(said, _NODES)
    if not named:
        return pod.node if pod and pod.node else _host(who, directory)
    return directory.node_of(named) or named


def _host(who: Identity, directory: Directory) -> str:
    """The node that `instance` and its like name, if it is one that we know."""
    return next((known for name in who.nodes if (known := directory.node_of(name))), "")


def _workload(
    post: Post, said: dict[str, str], span: Span, directory: Directory
) -> Workload | None:
    """The workload whose uid the sender names; else the owner."""
    for named in (post.hints.workload_id, said.get("workload_id"), said.get("workload_uid")):
        if named and (found := directory.workloads.get(named)):
            return found
    if span.owner is not None:
        uid = span.owner.workload_uid
        return directory.workloads.get(uid) or Workload(uid, span.owner.workload_name)
    return None


def _entities(
    context: Context, who: Identity, pod: Pod | None, directory: Directory, at_ns: int
) -> Iterator[str]:
    workload = context.workload_uid or context.workload_id
    if workload:
        yield f"workload:{workload}"
        if (root := directory.root_uid(workload)) != workload:
            yield f"workload:{root}"
    if context.pod_id or context.pod_name:
        yield f"pod:{context.pod_id or f'{who.namespace}/{context.pod_name}'}"
    if context.node_name:
        yield f"node:{context.node_name}"
    if pod is not None and pod.node and pod.node != context.node_name:
        yield f"node:{pod.node}"
    if who.uuid:
        yield f"device:{who.uuid}"
    elif context.node_name and (index := who.gpu or who.link):
        yield f"device:{context.node_name}/{index}"
    if pod is not None and not who.names_device:
        holds = [hold for hold in directory.holds_of_pod(pod.uid) if alive(hold, at_ns)]
        for hold in holds[:DEVICES_MAX]:
            yield f"device:{hold.device.uuid or f'{hold.node}/{hold.device.id}'}"


def _document(
    span: Span, pod: Pod | None, workload: Workload | None, directory: Directory
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if workload is not None:
        found |= {
            "workload_name": workload.name,
            "workload_namespace": workload.namespace,
            "workload_kind": workload.kind,
            "workload_status": workload.status,
            "workload_root_uid": directory.root_uid(workload.uid),
        }
    if pod is not None:
        holds = directory.holds_of_pod(pod.uid)
        found |= {
            "pod_name": pod.name,
            "pod_namespace": pod.namespace,
            "pod_node": pod.node,
            "pod_gpu_allocated": sum(hold.device.type == "gpu" for hold in holds),
        }
    if span.by:
        found["attributed_by"] = span.by
    elif span.reason:
        found["unattributed"] = span.reason
    return found


def _first(said: dict[str, str], names: tuple[str, ...]) -> str:
    for name in names:
        if value := said.get(name):
            return value
    return ""
