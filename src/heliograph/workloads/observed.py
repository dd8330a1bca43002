"""Container events over what is stored: the node's agent saw who got which devices.

* A start (`create`, `task_start`, `snapshot`, …) opens a hold for each device that the pod does
  not hold yet. It never closes one, as the pod's other containers keep theirs, and it never
  erases what a placement said of the pod.
* An end (`task_stop`, `delete`, `dead`, …) closes the pod's holds of the devices it lists. The pod
  ends with the last of its holds; an end without devices (a sidecar's) changes nothing.
* An end without an exit time, told late, leaves holds that began after its container was made:
  they are those of the container that replaced it.

An event about no pod (docker) changes nothing here. Applying one again changes nothing.
"""

from collections.abc import Iterable

from heliograph.core.owner import Device, Hold, Pod
from heliograph.core.placement import CONTAINER_ENDS, ContainerEvent
from heliograph.workloads import devices
from heliograph.workloads.change import Change, Draft, Stored

STARTS = frozenset({"create", "start", "task_create", "task_start", "restart"})
# These describe a container as it is; the container is as old as it says.
STATES = frozenset({"snapshot", "update"})
OVER = frozenset({"exited", "stopped", "dead", "removing", "container_exited"})


def apply(stored: Stored, events: Iterable[ContainerEvent], *, now_ns: int) -> Change:
    """What *events*, in their order, change in *stored*."""
    draft = Draft(stored)
    for event in events:
        if not event.pod_uid:
            continue
        over = event.status.lower() in OVER
        if event.type in CONTAINER_ENDS or (event.type in STATES and over and event.exited_ns):
            _end(draft, event)
        elif event.type in STARTS or (event.type in STATES and not over):
            _start(draft, event)
    return draft.finish(now_ns)


def _start(draft: Draft, event: ContainerEvent) -> None:
    at_ns = event.at_ns
    if event.type in STATES and event.created_ns is not None:
        at_ns = event.created_ns
    pod = draft.pod(event.pod_uid)
    if pod is None:
        pod = Pod(event.pod_uid, event.pod_name, event.namespace, event.node, start_ns=at_ns)
    else:
        pod = pod._replace(
            name=pod.name or event.pod_name,
            namespace=pod.namespace or event.namespace,
            node=pod.node or event.node,
            start_ns=min(pod.start_ns, at_ns),
            end_ns=None if pod.end_ns is not None and at_ns >= pod.end_ns else pod.end_ns,
        )
    holds = list(draft.holds(pod.uid))
    for device in event.devices:
        holds = _opened(holds, Hold(pod.uid, event.node, device, at_ns, pod.end_ns))
    draft.put_pod(pod, holds)


def _opened(holds: list[Hold], new: Hold) -> list[Hold]:
    """*holds* with *new*: known already, an earlier start of a known one, or one more."""
    mine = [i for i, hold in enumerate(holds) if _is(hold, new.node, new.device)]
    known = next((i for i in mine if _contains(holds[i], new.start_ns)), None)
    if known is None:
        later = [i for i in mine if holds[i].start_ns > new.start_ns]
        known = min(later, key=lambda i: holds[i].start_ns, default=None)
    if known is None:
        return [*holds, new]
    hold = holds[known]
    better = hold._replace(
        device=devices.merged(hold.device, new.device),
        start_ns=min(hold.start_ns, new.start_ns),
    )
    return [*holds[:known], better, *holds[known + 1 :]]


def _end(draft: Draft, event: ContainerEvent) -> None:
    at_ns = event.at_ns if event.exited_ns is None else event.exited_ns
    pod = draft.pod(event.pod_uid)
    if pod is None:
        return
    before = draft.holds(pod.uid)
    holds = [
        hold._replace(end_ns=at_ns)
        if _contains(hold, at_ns)
        and hold.start_ns < at_ns
        and not _replaced(hold, event)
        and any(_is(hold, event.node, device) for device in event.devices)
        else hold
        for hold in before
    ]
    if holds == list(before):
        return
    ends = [hold.end_ns for hold in holds if hold.end_ns is not None]
    if len(ends) == len(holds):
        pod = pod._replace(end_ns=max(ends))
    draft.put_pod(pod, holds)


def _replaced(hold: Hold, event: ContainerEvent) -> bool:
    return (
        event.exited_ns is None
        and event.created_ns is not None
        and hold.start_ns > event.created_ns
    )


def _contains(hold: Hold, at_ns: int) -> bool:
    return hold.start_ns <= at_ns and (hold.end_ns is None or at_ns < hold.end_ns)


def _is(hold: Hold, node: str, device: Device) -> bool:
    return hold.node == node and devices.alike(hold.device, device)
