"""What agents report of a training process: whose it is, and where it goes.

    steps      → `training_step` records in the log → training rows, as lines of the log become
    evidence   → state: which framework

A report names its workload, its pod, or both. A workload that nobody placed yet is placed by the
report (its name is its uid until a placement tells better), for the agent starts with the process
and the placement often comes later; a pod of a name that nobody runs is refused.
"""

from collections.abc import Sequence
from concurrent.futures import Future
from typing import NamedTuple

from heliograph.core.clock import Clock
from heliograph.core.errors import Refused
from heliograph.core.owner import Pod, Workload
from heliograph.core.placement import PlacedPod, PlacedWorkload, Placements
from heliograph.receive.wandb_reports import Reported, Target
from heliograph.service import record_frames, wandb_names
from heliograph.service.ingest import Ingest
from heliograph.service.owners import Owners
from heliograph.store.log.log import Log
from heliograph.training import steps
from heliograph.workloads.directory import Directory, alive


class Whose(NamedTuple):
    """The pod that a report is of, its workload with all ancestors, nearest first, and their root."""

    pod_uid: str
    workloads: tuple[str, ...] = ()
    root_uid: str = ""


class Reporting:
    """Takes reports. Thread-safe."""

    def __init__(self, owners: Owners, ingest: Ingest, log: Log, clock: Clock) -> None:
        self._owners = owners
        self._ingest = ingest
        self._log = log
        self._clock = clock

    def whose(self, target: Target) -> Whose:
        """The pod of *target*, placed if need be; it may wait for a transaction.

        Raises Refused when nobody has such a pod.
        """
        directory = self._owners.directory()
        known = directory.pods.get(target.pod_uid) or self._named(directory, target)
        if known is not None:
            return self._of(directory, known.uid)
        if target.workload_uid:
            uid = target.pod_uid or self._pod_of(directory, target.workload_uid)
            if uid not in directory.pods:
                self._place(directory, target.workload_uid, uid, target)
                directory = self._owners.directory()
            return self._of(directory, uid)
        if target.pod_uid:
            # Whose it is will be told: rows are found by their pod at any later time.
            return Whose(target.pod_uid)
        raise Refused("no valid workload found", field="pod_name", code="unknown_pod")

    def append(self, reported: Reported, pod_uid: str) -> tuple["Future[None]", int]:
        """Make the steps of *reported* durable, as the pod's: done when they are, and how many values
        found no room in them."""
        now_ns = self._clock.now_ns()
        run = reported.run_id or pod_uid
        told = [
            wandb_names.told(one.values, wandb_names.Step(pod_uid, run, one.step, one.at_ns))
            for one in reported.steps
        ]
        left_out = sum(one.left_out for one in told)
        if not told:
            done: Future[None] = Future()
            done.set_result(None)
            return done, left_out
        records = [steps.record_of(one.row, observed_ns=now_ns) for one in told]
        payloads = record_frames.payloads(records)
        return self._ingest.submit(lambda: self._append(payloads)), left_out

    def _append(self, payloads: Sequence[tuple[bytes, int]]) -> None:
        for payload, count in payloads:
            self._log.append_records(payload, count)

    def _named(self, directory: Directory, target: Target) -> Pod | None:
        if not target.pod_name:
            return None
        pods = directory.pods_named(target.pod_name, target.namespace or None)
        return _newest(pods, self._clock.now_ns())

    def _pod_of(self, directory: Directory, workload_uid: str) -> str:
        """Whose rows a report of a workload alone is: its newest pod's, else one made for it."""
        pod = _newest(directory.pods_of(workload_uid), self._clock.now_ns())
        return f"wandb:{workload_uid}" if pod is None else pod.uid

    def _place(
        self, directory: Directory, workload_uid: str, pod_uid: str, target: Target
    ) -> None:
        workloads: tuple[PlacedWorkload, ...] = ()
        if workload_uid not in directory.workloads:
            new = Workload(workload_uid, workload_uid, namespace=target.namespace)
            workloads = (PlacedWorkload(new, frozenset()),)
        pod = Pod(
            pod_uid, target.pod_name or pod_uid, target.namespace, workload_uid=workload_uid
        )
        given = frozenset({"name", "workload_uid"})
        self._owners.place(
            Placements(workloads, (PlacedPod(pod, (), self._clock.now_ns(), None, given),))
        )

    @staticmethod
    def _of(directory: Directory, pod_uid: str) -> Whose:
        workload = directory.pods[pod_uid].workload_uid
        if not workload:
            return Whose(pod_uid)
        known = tuple(one.uid for one in directory.ancestors(workload))
        return Whose(pod_uid, known, directory.root_uid(workload))


def _newest(pods: Sequence[Pod], now_ns: int) -> Pod | None:
    """The pod that runs, of several the one that started last; else the last that ran."""
    return max(pods, key=lambda pod: (alive(pod, now_ns), pod.start_ns, pod.uid), default=None)
