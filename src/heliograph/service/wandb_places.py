"""Whose a wandb run is, and since when.

A run is the pod's whose name its host is (in a cluster the two are one), or that its config names as
`pod_uid`. Where nobody has such a pod it is a workload of its own, of kind `WandbRun`, whose one pod
has the same uid. That changes as more becomes known, and as a run is resumed elsewhere:

    pods    [[0, "wandb:acme:llm:r1"], [1795311305000000000, "6f1c…"]]      in the run's document

What is of a time before the run was the pod's stays where it is, and is the new pod's workload's as
well: the run's own workload is then one below that.
"""

from collections.abc import Sequence

from heliograph.core.owner import Pod, Workload
from heliograph.core.placement import PlacedPod, PlacedWorkload, Placements
from heliograph.enrich.records import whose
from heliograph.store.state import wandb_runs
from heliograph.store.state.wandb_runs import WandbRun
from heliograph.workloads.directory import Directory

KIND = "WandbRun"
# Pods that one run is remembered in; of more the first and the last.
PODS_MAX = 20
STATUS = {
    wandb_runs.RUNNING: "Running",
    wandb_runs.FINISHED: "Succeeded",
    wandb_runs.FAILED: "Failed",
    wandb_runs.PREEMPTED: "Preempted",
    wandb_runs.SILENT: "Silent",
}


def started_ns(run: WandbRun) -> int:
    """When *run* began, as far as we know."""
    return int(run.document.get("started_ns", run.created_ns))


def pods(run: WandbRun) -> Sequence[tuple[int, str]]:
    """(since when, pod uid) of all pods that *run* was in, in order; the first since ever."""
    told = run.document.get("pods")
    return [(int(since), str(uid)) for since, uid in told] if told else [(0, run.pod_uid)]


def pod_at(run: WandbRun, at_ns: int) -> str:
    """The uid of the pod that *run* was in at *at_ns*."""
    known = pods(run)
    return next((uid for since_ns, uid in reversed(known) if since_ns <= at_ns), known[0][1])


def moved(run: WandbRun, pod_uid: str, at_ns: int) -> WandbRun:
    """*run*, which is in the pod *pod_uid* since *at_ns*."""
    known = [*pods(run), (at_ns, pod_uid)]
    kept = [*known[:1], *known[1:][1 - PODS_MAX :]]
    return run._replace(
        pod_uid=pod_uid, own=pod_uid == run.uid, document={**run.document, "pods": kept}
    )


def found(directory: Directory, run: WandbRun, at_ns: int) -> str:
    """The uid of the pod that *run* is in at *at_ns*, where one is known; else ""."""
    said = run.document.get("config") or {}
    named = said.get("pod_uid")
    if isinstance(named, str) and named in directory.pods:
        return named
    host, namespace = run.document.get("host"), said.get("namespace")
    if not host:
        return ""
    in_namespace = namespace if isinstance(namespace, str) else ""
    return whose(directory, pod_name=host, namespace=in_namespace, at_ns=at_ns).pod_uid


def placements(directory: Directory, run: WandbRun, end_ns: int | None) -> Placements:
    """What to tell the others of *run*, which runs until *end_ns*: nothing, where it never was a
    workload of its own."""
    own = next((place for place, one in enumerate(pods(run)) if one[1] == run.uid), None)
    if own is None:
        return Placements()
    said = run.document
    began_ns = started_ns(run)
    parent_uid = None
    if not run.own:
        end_ns = pods(run)[own + 1][0]
        theirs = directory.pods.get(run.pod_uid)
        parent_uid = theirs.workload_uid if theirs else None
    given = {"name", "kind", "namespace", "status", *(["parent_uid"] if parent_uid else [])}
    workload = Workload(
        run.uid,
        said.get("name") or run.run_id,
        KIND,
        run.project,
        parent_uid,
        STATUS[run.state],
    )
    pod = Pod(run.uid, run.run_id, run.project, said.get("host", ""), run.uid)
    return Placements(
        (PlacedWorkload(workload, frozenset(given)),),
        (
            PlacedPod(
                pod,
                (),
                began_ns,
                None if end_ns is None else max(end_ns, began_ns + 1),
                frozenset({"name", "namespace", "node", "workload_uid", "end"}),
            ),
        ),
    )
