"""What agents in training processes report: `POST /v1/wandb/detection|metrics|logs|batch`."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from heliograph.core.clock import Clock
from heliograph.core.errors import HeliographError, Refused
from heliograph.receive import json_body, wandb_reports
from heliograph.receive.wandb_reports import Batch, Detected, Reported
from heliograph.service import frameworks, problem
from heliograph.service.backpressure import Backpressure
from heliograph.service.executors import Executors
from heliograph.service.frameworks import Frameworks
from heliograph.service.http import Endpoint, Surroundings, header, read_body
from heliograph.service.meters import Meters
from heliograph.service.wandb_reporting import Reporting, Whose

T = TypeVar("T")

WANDB = "wandb"
# A body as small as that is read where it came, in some 2 ms; a larger one keeps nobody waiting.
AT_ONCE_BYTES_MAX = 16 * 1024
# What an agent is told of what is kept.
MESSAGES = {
    "metrics": "metrics reported successfully",
    "logs": "training data reported successfully",
}


class Reports(NamedTuple):
    """What the endpoints of this module work with."""

    around: Surroundings
    reporting: Reporting
    frameworks: Frameworks
    executors: Executors
    backpressure: Backpressure
    meters: Meters
    clock: Clock
    decoded_bytes_max: int


def endpoints(reports: Reports) -> list[Endpoint]:
    """The four of them."""
    bound = _Bound(reports)
    told = "how many points came and are kept, and of how many workloads they are"
    return [
        _endpoint("detection", "Evidence of the framework.", bound.detection, "the framework"),
        _endpoint("metrics", "Single values of steps.", bound.metrics, told),
        _endpoint("logs", "Whole steps.", bound.logs, told),
        _endpoint("batch", "All three at once.", bound.batch, "a result for each part"),
    ]


def _endpoint(
    name: str, text: str, call: Callable[[Request], Awaitable[Response]], returns: str
) -> Endpoint:
    return Endpoint(
        "POST", f"/v1/wandb/{name}", "ingest", text, call,
        request=("application/json",), returns=returns,
    )  # fmt: skip


class _Bound:
    """The endpoints, bound to what they work with."""

    def __init__(self, reports: Reports) -> None:
        self._with = reports

    async def detection(self, request: Request) -> Response:
        """Take evidence."""
        return await self._counted(request, "detection", wandb_reports.detection, self._detect)

    async def metrics(self, request: Request) -> Response:
        """Take single values."""
        return await self._steps(request, "metrics", wandb_reports.metrics)

    async def logs(self, request: Request) -> Response:
        """Take whole steps."""
        return await self._steps(request, "logs", wandb_reports.logs)

    async def _steps(
        self, request: Request, kind: str, decode: Callable[..., Reported]
    ) -> Response:
        return await self._counted(request, kind, decode, lambda one: self._keep(one, kind))

    async def batch(self, request: Request) -> Response:
        """Take all three, each on its own."""

        async def take(parts: Batch) -> dict[str, Any]:
            results: dict[str, Any] = {}
            for kind, part in parts._asdict().items():
                if part is not None:
                    results[kind] = await self._part(kind, part)
            return {
                "success": all(one["success"] for one in results.values()),
                "results": results,
            }

        return await self._counted(request, "batch", wandb_reports.batch, take)

    async def _part(self, kind: str, part: Detected | Reported | Refused) -> dict[str, Any]:
        """What became of one part: a part that can never be taken costs the others nothing, and
        one that cannot be taken now has the whole sent again."""
        if isinstance(part, Refused):
            return {"success": False, "error": part.detail, "field": part.field}
        try:
            done = await (
                self._detect(part) if isinstance(part, Detected) else self._keep(part, kind)
            )
        except Refused as refused:
            return {"success": False, "error": refused.detail, "field": refused.field}
        return {"success": True, **done}

    async def _counted(
        self,
        request: Request,
        kind: str,
        decode: Callable[..., T],
        take: Callable[[T], Awaitable[dict[str, Any]]],
    ) -> Response:
        meters, clock = self._with.meters, self._with.clock
        started_s = clock.monotonic_s()
        meters.wandb_requests.add(1, kind)
        try:
            self._with.backpressure.check()
            body = await read_body(request, self._with.around)
            meters.received_bytes.add(len(body), WANDB)
            encoding = header(request, b"content-encoding")
            read = partial(self._read, body, encoding, decode)
            at_once = not encoding and len(body) <= AT_ONCE_BYTES_MAX
            found = read() if at_once else await self._with.executors.runs(read)
            return problem.answer(await take(found))
        except HeliographError as error:
            category = "validation" if isinstance(error, Refused) else "storage"
            meters.wandb_request_errors.add(1, kind, category)
            if isinstance(error, Refused):
                meters.rejected.add(1, WANDB, error.code)
            raise
        finally:
            meters.wandb_request_seconds.observe(clock.monotonic_s() - started_s, kind)

    def _read(self, body: bytes, encoding: str | None, decode: Callable[..., T]) -> T:
        raw = json_body.inflated(
            body, content_encoding=encoding, decoded_bytes_max=self._with.decoded_bytes_max
        )
        return decode(raw, arrival_ns=self._with.clock.now_ns())

    async def _detect(self, detected: Detected) -> dict[str, Any]:
        def take() -> dict[str, Any]:
            whose = self._with.reporting.whose(detected.target)
            if not whose.workloads:
                raise Refused("no valid workload found", field="pod_uid", code="unknown_pod")
            # The top of the ancestors: a stack is what was started, not what was made of it.
            root = whose.root_uid
            merged = self._with.frameworks.take(
                root,
                detected.source,
                detected.at_ns,
                detected.evidence,
                detected.hints,
                detected.rest,
            )
            return {
                "message": "detection reported successfully",
                **_counts(whose),
                "workload_uid": root,
                **frameworks.document(merged),
            }

        return await self._with.executors.control(take)

    async def _keep(self, reported: Reported, kind: str) -> dict[str, Any]:
        meters = self._with.meters
        whose = await self._with.executors.control(
            lambda: self._with.reporting.whose(reported.target)
        )
        name = whose.workloads[0] if whose.workloads else ""
        try:
            appended, no_room = self._with.reporting.append(reported, whose.pod_uid)
            await asyncio.wrap_future(appended)
        except HeliographError:
            meters.wandb_metrics_errors.add(len(reported.steps), name)
            raise
        points = meters.wandb_metrics_points if kind == "metrics" else meters.wandb_logs_points
        points.observe(reported.points, name)
        meters.received.add(len(reported.steps), WANDB, "steps")
        meters.wandb_metrics_stored.add(len(reported.steps), name)
        meters.dropped.add(reported.left_out, "wandb_values", "not_a_number")
        meters.dropped.add(no_room, "wandb_values", "too_many_names")
        return {
            "message": MESSAGES[kind],
            "count": reported.points,
            "steps": len(reported.steps),
            "left_out": reported.left_out + no_room,
            **_counts(whose),
        }


def _counts(whose: Whose) -> dict[str, int]:
    count = len(whose.workloads)
    return {"workloads_count": count, "success_count": count}
