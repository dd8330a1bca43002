"""Workloads: the list, one with its pods and runs, its training rows, checkpoints and timeline."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from heliograph.core import duration, instant
from heliograph.core.clock import Clock
from heliograph.core.errors import Refused
from heliograph.core.owner import Hold, Pod, Workload
from heliograph.core.record import Record
from heliograph.service import params, problem, trainings
from heliograph.service.frameworks import Frameworks
from heliograph.service.freshness import Reads
from heliograph.service.http import Endpoint, Parameter
from heliograph.service.owners import Owners
from heliograph.service.timeline import Timeline
from heliograph.service.trainings import Present, Row, Trainings
from heliograph.store.records.protocol import RecordStore, query_all
from heliograph.store.state import owners_list
from heliograph.store.state.state import State
from heliograph.training.checkpoints import Checkpoint
from heliograph.training.runs import Run

T = TypeVar("T")

PODS_SHOWN_MAX = 1000
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
                Parameter("field", "only these fields; may be repeated", repeated=True),
                *_SPAN,
                Parameter("every", "each N-th iteration, or one row per duration (30s)"),
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
    """A function of a limit: the newest workloads as the list shows them, and how many there are."""
    return lambda limit: _Bound(have).found({}, 0, limit)


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
        return [self._summary(workload) for workload in items], total

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
            given = request.query_params.getlist("field")
            fields = frozenset(name for some in given for name in some.split(","))
            keep = _every(params.text(request, "every"))
            trainings.workload_or_404(self._have.owners.directory(), uid)
            rows, more = self._have.trainings.rows(uid, run, start_ns=start_ns, end_ns=end_ns)
            rows = keep(rows)
            content = {
                "items": [_row(row, fields) for row in rows[offset : offset + limit]],
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

    def _summary(self, workload: Workload) -> dict[str, Any]:
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
        present = self._have.trainings.present(workload.uid)
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
            **self._summary(directory.workloads[uid]),
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


def _row(row: Row, fields: frozenset[str]) -> dict[str, Any]:
    values: Mapping[str, Any] = row.row.fields
    if fields:
        values = {name: value for name, value in values.items() if name in fields}
    return {
        "at": instant.text_of(row.row.at_ns),
        "run": row.run,
        "run_id": row.run_id,
        "iteration": row.row.iteration,
        "source": row.row.source,
        "rank_group": row.row.rank_group,
        "pod_uid": row.row.pod_uid,
        "framework": row.row.framework,
        "fields": values,
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


def _every(text: str) -> Callable[[list[Row]], list[Row]]:
    """What thins rows: each N-th iteration, or the first row of each window and series."""
    if not text:
        return list
    if text.isascii() and text.isdigit() and int(text[:18]) > 0:
        number = int(text[:18])
        return lambda rows: [row for row in rows if (row.row.iteration or 0) % number == 0]
    try:
        width_ns = duration.parse(text)
    except ValueError as error:
        raise Refused(str(error), field="every") from error
    if width_ns <= 0:
        raise Refused("every must be greater than 0", field="every")

    def thinned(rows: list[Row]) -> list[Row]:
        seen: set[tuple[object, ...]] = set()
        kept = []
        for row in rows:
            key = (row.run, row.row.pod_uid, row.row.source, row.row.rank_group)
            window = (*key, row.row.at_ns // width_ns)
            if window not in seen:
                seen.add(window)
                kept.append(row)
        return kept

    return thinned
