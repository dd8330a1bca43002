"""Workloads: the list, one with its pods and runs, its training rows, checkpoints and timeline."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from heliograph.core import instant
from heliograph.core.clock import Clock
from heliograph.core.owner import Hold, Pod, Workload
from heliograph.core.record import Record
from heliograph.service import params, problem, training_page, trainings
from heliograph.service.frameworks import Frameworks
from heliograph.service.freshness import Reads
from heliograph.service.http import Endpoint, Parameter
from heliograph.service.owners import Owners
from heliograph.service.standing import standing
from heliograph.service.timeline import Timeline
from heliograph.service.trainings import Present, Row, Trainings
from heliograph.store.records.protocol import RecordStore, query_all
from heliograph.store.state import owners_list, recent_training
from heliograph.store.state.state import State
from heliograph.training.checkpoints import Checkpoint
from heliograph.training.runs import Run
from heliograph.workloads.directory import Directory, alive

T = TypeVar("T")

PODS_SHOWN_MAX = 1000
# A workload that said something so lately trains.
TRAINS_NS = 15 * 60 * 10**9
# Of more workloads, those heard of first are not ordered by their age.
ORDERED_MAX = 10_000
CHECKPOINT_TYPES = ("checkpoint_save_start", "checkpoint_save_end", "checkpoint_load")
_PAGING = (Parameter("offset", "first item"), Parameter("limit", "items, at most 1000"))
_SPAN = (Parameter("start", "instant"), Parameter("end", "instant, exclusive"))


class Workloads(NamedTuple):
    """What the endpoints of this module work with."""

    owners: Owners
    trainings: Trainings
    records: RecordStore
    state: State
    reads: Reads
    clock: Clock
    list_max: int
    timeline: Timeline
    frameworks: Frameworks


def endpoints(have: Workloads) -> list[Endpoint]:
    """`/v1/workloads` and what is below it."""
    bound = _Bound(have)
    filters = tuple(
        Parameter(name, f"only of this {name}")
        for name in ("name", "namespace", "kind", "status")
    )
    # Uids are whatever the sender says, `namespace/name` too.
    one = "/v1/workloads/{uid:path}"
    return [
        Endpoint(
            "GET", "/v1/workloads", "view", "Workloads, newest first.", bound.listed,
            (*filters, *_PAGING),
        ),
        Endpoint(
            "GET", one, "view", "One workload: pods, devices, runs, present state.", bound.one
        ),
        Endpoint(
            "GET", f"{one}/training", "view", "Training rows by run and iteration.",
            bound.training,
            (
                Parameter("run", "serial or id; all runs by default"),
                Parameter("field", "rows that have it, without others; repeatable", repeated=True),
                *_SPAN,
                Parameter("every", "the last row of each N iterations, or one per duration (30s)"),
                *_PAGING,
            ),
        ),
        Endpoint(
            "GET", f"{one}/checkpoints", "view", "Saves and loads, newest first.",
            bound.checkpoints, _PAGING,
        ),
        Endpoint(
            "GET", f"{one}/timeline", "view", "Records and alerts in the order of time.",
            bound.timeline, (*_SPAN, *_PAGING),
        ),
    ]  # fmt: skip


def newest(have: Workloads) -> Callable[[int], tuple[Sequence[Mapping[str, Any]], int]]:
    """A function of a limit: workloads as the list shows them, those that train now before those
    that run and these before the rest, each newest first; and how many there are."""

    def found(limit: int) -> tuple[list[dict[str, Any]], int]:
        directory, now_ns = have.owners.directory(), have.clock.now_ns()
        newest, pods = have.state.read(
            lambda tx: (
                owners_list.newest(tx, ORDERED_MAX),
                recent_training.pods_since(tx, now_ns - TRAINS_NS),
            )
        )
        training = [directory.pods[uid] for uid in pods if uid in directory.pods]
        trains = _uids(directory, training)
        runs = _uids(directory, (pod for pod in directory.pods.values() if alive(pod, now_ns)))
        ordered = sorted(
            dict.fromkeys([*newest, *sorted(trains)]),
            key=lambda uid: 0 if uid in trains else 1 if uid in runs else 2,
        )
        known = [directory.workloads[uid] for uid in ordered if uid in directory.workloads]
        bound = _Bound(have)
        return [bound.summary(one) for one in known[:limit]], len(directory.workloads)

    return found


def _uids(directory: Directory, pods: Iterable[Pod]) -> set[str]:
    """The workloads that *pods* are of, and those above."""
    direct = {pod.workload_uid for pod in pods if pod.workload_uid}
    return {one.uid for uid in direct for one in directory.ancestors(uid)}


class _Bound:
    """The endpoints, bound to what they work with."""

    def __init__(self, have: Workloads) -> None:
        self._have = have

    def found(
        self, chosen: Mapping[str, str | None], offset: int, limit: int
    ) -> tuple[list[dict[str, Any]], int]:
        """A page of workloads, and how many there are in all."""
        items, total = self._have.state.read(
            lambda tx: owners_list.list_workloads(tx, **chosen, offset=offset, limit=limit)
        )
        return [self.summary(workload) for workload in items], total

    async def listed(self, request: Request) -> Response:
        """Workloads with their present state."""

        def found() -> Response:
            names = ("name", "namespace", "kind", "status")
            params.known(request, (*names, "offset", "limit"))
            chosen = {name: params.text(request, name) or None for name in names}
            offset, limit = params.page(request, self._have.list_max)
            items, total = self.found(chosen, offset, limit)
            return problem.listing(items, total, offset, limit)

        return await self._have.reads.answer(found)

    async def one(self, request: Request) -> Response:
        """Everything of one workload."""
        params.known(request, ())
        uid = request.path_params["uid"]
        return await self._have.reads.answer(lambda: problem.answer(self._details(uid)))

    async def training(self, request: Request) -> Response:
        """Training rows."""

        def found() -> Response:
            params.known(request, ("run", "field", "start", "end", "every", "offset", "limit"))
            uid, run = request.path_params["uid"], params.text(request, "run")
            start_ns, end_ns = _span(request)
            offset, limit = params.page(request, self._have.list_max)
            fields = training_page.names(request.query_params.getlist("field"))
            keep = training_page.every(params.text(request, "every"))
            trainings.workload_or_404(self._have.owners.directory(), uid)
            rows, more = self._have.trainings.rows(uid, run, start_ns=start_ns, end_ns=end_ns)
            rows = keep(training_page.having(rows, fields))
            content = {
                "items": [_row(row) for row in rows[offset : offset + limit]],
                "total": len(rows),
                "offset": offset,
                "limit": limit,
                "truncated": more,
            }
            return problem.answer(content)

        return await self._have.reads.answer(found)

    async def checkpoints(self, request: Request) -> Response:
        """Saves and loads."""

        def found() -> Response:
            params.known(request, ("offset", "limit"))
            offset, limit = params.page(request, self._have.list_max)
            records = self._records(request.path_params["uid"], CHECKPOINT_TYPES)
            known = trainings.checkpoints_of(records)[::-1]
            items = [_checkpoint(one) for one in known[offset : offset + limit]]
            return problem.listing(items, len(known), offset, limit)

        return await self._have.reads.answer(found)

    async def timeline(self, request: Request) -> Response:
        """Records of all pods, and alerts."""

        def found() -> Response:
            params.known(request, ("start", "end", "offset", "limit"))
            uid = request.path_params["uid"]
            start_ns, end_ns = _span(request)
            offset, limit = params.page(request, self._have.list_max)
            directory = self._have.owners.directory()
            trainings.workload_or_404(directory, uid)
            items, total = self._have.timeline.page(
                uid, directory, start_ns=start_ns, end_ns=end_ns, offset=offset, limit=limit
            )
            return problem.listing(items, total, offset, limit)

        return await self._have.reads.answer(found)

    def _records(self, uid: str, types: Sequence[str]) -> Sequence[Record]:
        trainings.workload_or_404(self._have.owners.directory(), uid)
        pods = self._have.trainings.pods(uid)
        return query_all(self._have.records, streams=[pod.uid for pod in pods], types=types)

    def summary(self, workload: Workload) -> dict[str, Any]:
        """One workload as the list has it."""
        directory = self._have.owners.directory()
        now_ns = self._have.clock.now_ns()
        pods = self._have.trainings.pods(workload.uid)
        running = [pod for pod in pods if pod.end_ns is None or pod.end_ns > now_ns]
        devices = [
            hold
            for pod in running
            for hold in directory.holds_of_pod(pod.uid)
            if hold.start_ns <= now_ns and (hold.end_ns is None or hold.end_ns > now_ns)
        ]
        present = standing(self._have.state, self._have.trainings, workload.uid)
        return {
            **workload._asdict(),
            "root_uid": directory.root_uid(workload.uid),
            "pods_running": len(running),
            "devices_held": len(devices),
            "current": None if present is None else _present(present),
        }

    def _details(self, uid: str) -> dict[str, Any]:
        directory = self._have.owners.directory()
        trainings.workload_or_404(directory, uid)
        pods = self._have.trainings.pods(uid)
        return {
            **self.summary(directory.workloads[uid]),
            # Evidence is kept with what was started, which is the top of the ancestors.
            "framework": self._have.frameworks.document(directory.root_uid(uid)),
            "ancestors": [one._asdict() for one in directory.ancestors(uid)],
            "pods": [
                _pod(pod, directory.holds_of_pod(pod.uid)) for pod in pods[:PODS_SHOWN_MAX]
            ],
            "pods_total": len(pods),
            "runs": [_run(run) for run in self._have.trainings.runs(uid)],
        }


def _present(present: Present) -> dict[str, Any]:
    return {
        "at": instant.text_of(present.row.at_ns),
        "run": present.run.serial,
        "run_id": present.run.id,
        "framework": present.row.framework,
        "iteration": present.row.iteration,
        "fields": present.row.fields,
    }


def _run(run: Run) -> dict[str, Any]:
    return {
        "run": run.serial,
        "run_id": run.id,
        "start": instant.text_of(run.start_ns),
        "end": instant.text_of(run.end_ns - 1),
        "first_iteration": run.first_iteration,
        "last_iteration": run.last_iteration,
        "rows": run.rows,
        "evidence": run.evidence,
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "at": instant.text_of(row.row.at_ns),
        "run": row.run,
        "run_id": row.run_id,
        "iteration": row.row.iteration,
        "source": row.row.source,
        "rank_group": row.row.rank_group,
        "pod_uid": row.row.pod_uid,
        "framework": row.row.framework,
        "fields": row.row.fields,
    }


def _pod(pod: Pod, holds: Sequence[Hold]) -> dict[str, Any]:
    return {
        **pod._asdict(),
        "start": instant.text_of(pod.start_ns),
        "end": None if pod.end_ns is None else instant.text_of(pod.end_ns),
        "devices": [
            {
                **hold.device._asdict(),
                "node": hold.node,
                "start": instant.text_of(hold.start_ns),
                "end": None if hold.end_ns is None else instant.text_of(hold.end_ns),
            }
            for hold in holds
        ],
    }


def _checkpoint(one: Checkpoint) -> dict[str, Any]:
    return {
        **one._asdict(),
        "start": None if one.start_ns is None else instant.text_of(one.start_ns),
        "end": None if one.end_ns is None else instant.text_of(one.end_ns),
    }


def _span(request: Request) -> tuple[int, int]:
    return (
        params.instant_ns(request, "start", instant.AT_NS_MIN),
        params.instant_ns(request, "end", instant.AT_NS_MAX),
    )
