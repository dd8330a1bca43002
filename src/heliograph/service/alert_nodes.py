"""What ran on a node at an instant, for alerts that are about nothing nearer than the node.

{"node_name": "gpu-07", "node_pod_count": 2, "node_workload_count": 1,
 "node_pods": [{"pod_name": "llm-7b-0", "pod_namespace": "train", "pod_id": "p-1",
                "workload_uid": "w-1"}, …],
 "node_workloads": [{"workload_uid": "w-1", "workload_name": "llm-7b", …}]}
"""

from typing import Any

from heliograph.core.owner import Pod
from heliograph.workloads.directory import Directory, alive

# Pods, and workloads, that are listed; the counts are of all.
LISTED_MAX = 10


class Nodes:
    """Pods by the nodes that they were ever on, as one directory has them."""

    def __init__(self, directory: Directory) -> None:
        self._stayed: dict[str, list[Pod]] = {}
        # Pods that were on several nodes, by each.
        self._moved: dict[str, list[Pod]] = {}
        for pod in directory.pods.values():
            node = pod.node
            for hold in directory.holds_of_pod(pod.uid):
                if hold.node != node:
                    break
            else:
                self._stayed.setdefault(node, []).append(pod)
                continue
            for node in {pod.node, *(hold.node for hold in directory.holds_of_pod(pod.uid))}:
                self._moved.setdefault(node, []).append(pod)

    def described(self, node: str, at_ns: int, directory: Directory) -> dict[str, Any]:
        """What *directory*, of which this was made, says of *node* at *at_ns*. Pods of workloads are
        listed before others."""
        pods = [pod for pod in self._stayed.get(node, ()) if alive(pod, at_ns)]
        pods += [
            pod
            for pod in self._moved.get(node, ())
            if alive(pod, at_ns) and node_of(pod, at_ns, directory) == node
        ]
        pods.sort(key=lambda pod: (not pod.workload_uid, pod.namespace, pod.name, pod.uid))
        uids = dict.fromkeys(pod.workload_uid for pod in pods if pod.workload_uid)
        return {
            "node_name": node,
            "node_pod_count": len(pods),
            "node_pods": [
                {
                    "pod_name": pod.name,
                    "pod_namespace": pod.namespace,
                    "pod_id": pod.uid,
                    "workload_uid": pod.workload_uid,
                }
                for pod in pods[:LISTED_MAX]
            ],
            "node_workload_count": len(uids),
            "node_workloads": [_workload(uid, directory) for uid in [*uids][:LISTED_MAX]],
        }


def node_of(pod: Pod, at_ns: int, directory: Directory) -> str:
    """Where *pod* was at *at_ns*: it may have come to its present node later."""
    holds = directory.held_by(pod, at_ns)
    return holds[0].node if holds and holds[0].node else pod.node


def _workload(uid: str, directory: Directory) -> dict[str, str]:
    workload = directory.workloads.get(uid)
    return {
        "workload_uid": uid,
        "workload_name": workload.name if workload else "",
        "workload_namespace": workload.namespace if workload else "",
        "workload_kind": workload.kind if workload else "",
    }
