"""Whose an alert is, as of its own time: labels → context, entities, and a document of the rest.

    {alertname="GPUHot", gpu="3", node="gpu-07"}  at 10:02:11
        context    workload_uid w-1, pod_name llm-7b-worker-0, pod_id p-1, node_name gpu-07
        entities   workload:w-1  pod:p-1  node:gpu-07  device:GPU-604a…

Labels are read as those of a series are (`enrich.identity`), so that a metric and the alert about it
never have two owners. What a sender names itself (`workload_id`, `pod_id`, `node_name`, …) is kept
as it says; enrichment fills what it left out. Where neither a pod nor a workload is found, but the
node is known, the document says what ran there.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import msgspec

from heliograph.alert.correlation.ties import WINDOW_NS
from heliograph.alert.model import NOBODY, Context, Enriched, Post
from heliograph.core.owner import Hold, Pod, Workload
from heliograph.enrich import attribute, identity
from heliograph.enrich.attribute import BY, REASONS, Case, Span
from heliograph.enrich.identity import Identity
from heliograph.kernels import alert_strangers
from heliograph.service.alert_nodes import Nodes
from heliograph.workloads.directory import Directory, alive

# Devices of a pod that an alert is correlated by; a pod holds 8 or 16.
DEVICES_MAX = 32
# Nodes of a workload that an alert about all of it is correlated by: 512 GPUs, 8 each. And pods that
# are looked at for them, those that started last first.
WORKLOAD_NODES_MAX = 32
WORKLOAD_PODS_MAX = 2000
# Documents of nodes at an instant that are remembered, at some 2 kB.
OF_NODES_MAX = 2048
POD_IDS = ("pod_id", "pod_uid", "pod_uuid", "uid")
_POD_IDS = frozenset(POD_IDS)
# `instance` is where the metric was read, not always what it is about.
NODES = ("node_name", *(name for name in identity.NODE_LABELS if name != "instance"))
_NODES = frozenset(NODES)
# What labels say that strangers have; by others, more is to be found out.
_PLACES = dict.fromkeys(
    (
        *(*POD_IDS, "exported_pod", "exported_namespace", "workload_id", "workload_uid"),
        *("workload_name", "serial_number", "GPU_I_ID", "gpu_partition_id"),
    ),
    alert_strangers.AWAY,
) | {
    name: begin + n
    for begin, names in (
        (alert_strangers.NODES, NODES),
        (alert_strangers.INSTANCE, ("instance",)),
        (alert_strangers.UUIDS, ("UUID", "uuid", "gpu_uuid")),
        (alert_strangers.INDICES, ("gpu", "gpu_id")),
        (alert_strangers.LINK, ("device",)),
        (alert_strangers.ASIC, ("asic",)),
        (alert_strangers.PODS, ("pod", "pod_name")),
        (alert_strangers.NAMESPACES, ("namespace", "pod_namespace")),
        (alert_strangers.CLUSTERS, ("cluster_name", "cluster")),
    )
    for n, name in enumerate(names)
}


class _OfNodes(NamedTuple):
    """Of one directory: its nodes, and documents by node, instant, reason and device."""

    nodes: Nodes
    documents: dict[tuple[str, int, str | None, Hold | None], bytes]


class AlertContext:
    """Enriches posts under the directory of the moment."""

    def __init__(self, directory: Callable[[], Directory]) -> None:
        self._directory = directory
        # Made where an alert asks for it, and gone with its directory.
        self._of_nodes: WeakKeyDictionary[Directory, _OfNodes] = WeakKeyDictionary()

    def __call__(self, post: Post) -> Enriched:
        """What is known of *post* at its own time."""
        return self._of(post, self._directory())

    def many(self, posts: Sequence[Post]) -> list[Enriched]:
        """The same of each of *posts*."""
        directory = self._directory()
        strangers = alert_strangers.strangers(
            posts,
            _PLACES,
            directory.pods_named if directory.pods else None,
            partial(_is_node, directory) if directory.nodes else None,
            NOBODY,
            Context,
            Enriched,
            _OF_STRANGERS,
        )
        return [
            self._of(post, directory) if found is None else found
            for post, found in zip(posts, strangers, strict=True)
        ]

    def _of(self, post: Post, directory: Directory) -> Enriched:
        hints = post.hints
        said = post.by_name()
        who = _who(hints, said)
        case = Case(who, directory)
        span = case.at(post.at_ns)
        pod = directory.pods.get(span.pod_uid) if span.pod_uid else None
        holds = directory.held_by(pod, post.at_ns) if pod else []
        if pod is not None and holds and holds[0].node:
            # It may have come to its present one later.
            pod = pod._replace(node=holds[0].node)
        workload = _workload(hints, said, span, directory)
        workload_uid = workload.uid if workload else said.get("workload_uid", "")
        context = Context(
            hints.workload_id or said.get("workload_id") or workload_uid,
            workload.name if workload else said.get("workload_name", ""),
            workload_uid,
            pod.name if pod else hints.pod_name or who.pod_name,
            pod.uid if pod else who.pod_uid,
            _node(hints, said, case.node, pod, directory),
            hints.cluster_name or said.get("cluster_name") or said.get("cluster") or "",
        )
        entities = _entities(context, who, pod, holds, directory)
        if workload is not None and not (
            context.pod_name or context.pod_id or context.node_name
        ):
            entities += _nodes_of(workload, post.at_ns, directory)
        device = _device(case, post.at_ns)
        node = context.node_name
        if node and workload is None and pod is None and node in directory.nodes:
            document = self._of_node(node, post.at_ns, span.reason, device, directory)
        else:
            document = _document(span, pod, holds, workload, device, directory)
        return Enriched(context, entities, document)

    def _of_node(
        self,
        node: str,
        at_ns: int,
        reason: str | None,
        device: Hold | None,
        directory: Directory,
    ) -> bytes:
        """The document of an alert about *node*. When a node fails, many alerts say so of one instant:
        they have one document."""
        known = self._of_nodes.get(directory)
        if known is None:
            known = self._of_nodes[directory] = _OfNodes(Nodes(directory), {})
        key = node, at_ns, reason, device
        document = known.documents.get(key)
        if document is None:
            found = _of_device(device) | known.nodes.described(node, at_ns, directory)
            document = msgspec.json.encode(found | _attributed(None, reason))
            if len(known.documents) >= OF_NODES_MAX:
                known.documents.clear()
            known.documents[key] = document
        return document

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


def _who(hints: Context, said: dict[str, str]) -> Identity:
    """What labels and hints say of node, device and pod."""
    who = identity.read(said)
    if hints is NOBODY and _POD_IDS.isdisjoint(said):
        return who
    return who._replace(
        pod_uid=hints.pod_id or _first(said, POD_IDS) or who.pod_uid,
        pod_name=hints.pod_name or who.pod_name,
        nodes=(hints.node_name, *who.nodes) if hints.node_name else who.nodes,
    )


def _node(
    hints: Context,
    said: dict[str, str],
    host: str | None,
    pod: Pod | None,
    directory: Directory,
) -> str:
    """The node that labels or hints name, else the pod's, else *host*: the one of `instance` and
    its like, if it is one that we know."""
    named = hints.node_name or ("" if _NODES.isdisjoint(said) else _first(said, NODES))
    if not named:
        return pod.node if pod and pod.node else host or ""
    return directory.node_of(named) or named


def _workload(
    hints: Context, said: dict[str, str], span: Span, directory: Directory
) -> Workload | None:
    """The workload whose uid the sender names; else the owner."""
    for named in (hints.workload_id, said.get("workload_id"), said.get("workload_uid")):
        if named and (found := directory.workloads.get(named)):
            return found
    if span.owner is not None:
        uid = span.owner.workload_uid
        return directory.workloads.get(uid) or Workload(uid, span.owner.workload_name)
    return None


def _entities(
    context: Context,
    who: Identity,
    pod: Pod | None,
    holds: Sequence[Hold],
    directory: Directory,
) -> tuple[str, ...]:
    found: list[str] = []
    if workload := context.workload_uid or context.workload_id:
        found.append(f"workload:{workload}")
        if (root := directory.root_uid(workload)) != workload:
            found.append(f"workload:{root}")
    if context.pod_id:
        found.append(f"pod:{context.pod_id}")
    elif context.pod_name:
        found.append(f"pod:{who.namespace}/{context.pod_name}")
    if node := context.node_name:
        found.append(f"node:{node}")
    if pod is not None and pod.node and pod.node != node:
        found.append(f"node:{pod.node}")
    if who.uuid:
        found.append(f"device:{who.uuid}")
    elif node and (index := who.gpu or who.link):
        found.append(f"device:{node}/{index}")
    if pod is not None and not who.names_device:
        found += [
            f"device:{hold.device.uuid or f'{hold.node}/{hold.device.id}'}"
            for hold in holds[:DEVICES_MAX]
        ]
    return tuple(dict.fromkeys(found)) if len(found) > 1 else tuple(found)


def _nodes_of(workload: Workload, at_ns: int, directory: Directory) -> tuple[str, ...]:
    """The nodes on which *workload* runs, or ran when what it may be related to began."""
    begin_ns = at_ns - WINDOW_NS
    found: set[str] = set()
    for pod in islice(reversed(directory.pods_of(workload.uid)), WORKLOAD_PODS_MAX):
        if pod.node and pod.start_ns <= at_ns and (pod.end_ns is None or pod.end_ns > begin_ns):
            found.add(f"node:{pod.node}")
            if len(found) == WORKLOAD_NODES_MAX:
                break
    return tuple(sorted(found))


def _document(
    span: Span,
    pod: Pod | None,
    holds: Sequence[Hold],
    workload: Workload | None,
    device: Hold | None,
    directory: Directory,
) -> bytes:
    if workload is None and pod is None and device is None:
        return _ALONE[span.by or "", span.reason or ""]
    found = _of_device(device)
    if workload is not None:
        found |= {
            "workload_name": workload.name,
            "workload_namespace": workload.namespace,
            "workload_kind": workload.kind,
            "workload_status": workload.status,
            "workload_root_uid": directory.root_uid(workload.uid),
        }
    if pod is not None:
        found |= {
            "pod_name": pod.name,
            "pod_namespace": pod.namespace,
            "pod_node": pod.node,
            "pod_gpu_allocated": sum(hold.device.type == "gpu" for hold in holds),
        }
    return msgspec.json.encode(found | _attributed(span.by, span.reason))


def _device(case: Case, at_ns: int) -> Hold | None:
    """The device that labels name, as it was held at *at_ns*: by the strongest identifier."""
    held = [match for match in case.matches if alive(match.hold, at_ns)]
    return min(held, key=lambda match: match.strength).hold if held else None


def _of_device(hold: Hold | None) -> dict[str, Any]:
    if hold is None:
        return {}
    device = hold.device
    found = {
        "device_type": device.type,
        "device_id": device.id,
        "device_uuid": device.uuid,
        "device_serial": device.serial,
        "device_partition": device.partition,
        "device_node": hold.node,
    }
    return {name: value for name, value in found.items() if value}


def _attributed(by: str | None, reason: str | None) -> dict[str, str]:
    if by:
        return {"attributed_by": by}
    return {"unattributed": reason} if reason else {}


# The documents of alerts of which no more is known than how, or why not.
_ALONE = {
    (by, reason): msgspec.json.encode(_attributed(by, reason))
    for by in ("", *BY)
    for reason in ("", *REASONS)
}


_OF_STRANGERS = (
    _ALONE["", attribute.UNKNOWN_NODE],
    _ALONE["", attribute.UNKNOWN_POD],
    _ALONE["", attribute.NO_IDENTITY],
)


def _is_node(directory: Directory, name: str, is_instance: bool) -> bool:
    return directory.node_of(identity.host_of(name) if is_instance else name) is not None


def _first(said: dict[str, str], names: tuple[str, ...]) -> str:
    for name in names:
        if value := said.get(name):
            return value
    return ""
