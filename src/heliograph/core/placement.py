"""What a source says about who runs where, before it is reconciled with what is known.

A placement document states what holds (`Placements`); a container event states what happened
(`ContainerEvent`). `receive` makes them of bytes, `workloads` turns them into intervals.

A document may leave things out. What it says about is in `given`: a pod without the key
`devices` keeps the devices it has, one with `devices: []` has none from now on.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from heliograph.core.owner import Device, Pod, Workload

# Types of container events after which the container no longer runs.
CONTAINER_ENDS = frozenset(
    {"delete", "dead", "task_stop", "task_exit", "task_delete", "task_deleted", "stop", "die"}
    | {"destroy"}
)


class PlacedWorkload(NamedTuple):
    """One workload of a document; of *workload* only the fields in *given* were said."""

    workload: Workload
    given: frozenset[str]


class PlacedPod(NamedTuple):
    """One pod of a document.

    pod        its `start_ns` and `end_ns` mean nothing; they are below, as they may be unsaid
    start_ns   since when, or None: since we were told
    end_ns     until when; None with `end` in *given* means that it still runs
    given      the keys that were there, in the document's words: `devices`, `end`, …
    """

    pod: Pod
    devices: tuple[Device, ...]
    start_ns: int | None
    end_ns: int | None
    given: frozenset[str]


class Placements(NamedTuple):
    """A whole document, in its order. A uid occurs once."""

    workloads: tuple[PlacedWorkload, ...] = ()
    pods: tuple[PlacedPod, ...] = ()


class ContainerEvent(NamedTuple):
    """Something that happened to a container, as the agent on its node tells it.

    type            `task_start`, `task_stop`, `snapshot`, … as sent
    source          `k8s` or `docker`; a docker container has no pod: its pod fields are ""
    at_ns           when it happened: its creation for starts, its exit for ends where the
                    agent says so, else when we were told
    created_ns      when the container was made, where the agent says so
    exited_ns       when it exited, where the agent says so
    raw             the event's own `data`, as it came
    """

    type: str
    source: str
    node: str
    container_id: str
    pod_uid: str
    pod_name: str
    namespace: str
    status: str
    at_ns: int
    created_ns: int | None
    exited_ns: int | None
    exit_code: int | None
    oom_killed: bool
    devices: tuple[Device, ...]
    raw: Mapping[str, Any]
