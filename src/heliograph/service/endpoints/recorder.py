"""Events and metrics over HTTP, as spec 002 has them: `/v1/events` and `/v1/metrics`.

    {"status": "success", "event_id": "f47a…", "timestamp": "…"}                   one, taken
    400 {…problem…, "error": {"code": "INVALID_EVENT", "message", "details"}}      one, refused
    {"status": "success" | "partial" | "error", "received": 3, "accepted": 2, "rejected": 1,
     "results": [{"status": "success", …}, {"status": "error", "index": 1, "error": {…}}, …],
     "errors": [{"field": "[1].metric_name", "message": "…"}]}

Of a list one bad item costs the others nothing, and the answer is 200. What is answered is durable.
"""

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from heliograph.core.clock import Clock
from heliograph.core.errors import Refused
from heliograph.recorder.store import Source
from heliograph.service import http, problem, recorder_queries, recorder_taking
from heliograph.service.backpressure import Backpressure
from heliograph.service.executors import Executors
from heliograph.service.freshness import Reads
from heliograph.service.http import Endpoint, Parameter, Surroundings, read_body
from heliograph.service.meters import Meters
from heliograph.service.recorder_taking import Read, Taking

_BODIES = ("application/json", "application/x-ndjson")


class Recording(NamedTuple):
    """What the endpoints of this module work with."""

    around: Surroundings
    taking: Taking
    source: Source
    executors: Executors
    reads: Reads
    backpressure: Backpressure
    meters: Meters
    clock: Clock


def endpoints(recording: Recording) -> list[Endpoint]:
    """The three of them."""
    bound = _Bound(recording)
    told = "what became of it, or of each item of a list"
    return [
        Endpoint(
            "POST", "/v1/events", "ingest", "Events: one, a list, or lines.", bound.events,
            request=_BODIES, returns=told,
        ),
        Endpoint(
            "POST", "/v1/metrics", "ingest", "Values of metrics: one, a list, or lines.",
            bound.metrics, request=_BODIES, returns=told,
        ),
        Endpoint(
            "GET", "/v1/metrics", "view", "Metrics, aggregated.", bound.aggregated,
            (
                Parameter("names", "metrics, by commas; all by default", repeated=True),
                Parameter("name", "a metric whose name has commas", repeated=True),
                Parameter("start", "instant"), Parameter("end", "instant, inclusive"),
                Parameter("aggregation", "MEAN (by default), SUM, MIN, MAX, COUNT, P95, …"),
                Parameter("every", "width of buckets, as 1m"),
                Parameter("by", "labels to group by, by commas", repeated=True),
            ),
        ),
    ]  # fmt: skip


class _Bound:
    """The endpoints, bound to what they work with."""

    def __init__(self, recording: Recording) -> None:
        self._with = recording

    async def events(self, request: Request) -> Response:
        """Take events."""
        return await self._take(request, recorder_taking.EVENTS, self._with.taking.events)

    async def metrics(self, request: Request) -> Response:
        """Take values of metrics."""
        return await self._take(request, recorder_taking.METRICS, self._with.taking.metrics)

    async def aggregated(self, request: Request) -> Response:
        """Answer what metrics come to."""

        def found() -> Response:
            try:
                wanted = recorder_queries.asked(request, self._with.clock.now_ns())
                return problem.answer(recorder_queries.answer(self._with.source, wanted))
            except Refused as refused:
                if refused.code != recorder_queries.INVALID_AGGREGATION:
                    raise
                error = {"code": refused.code, "message": refused.detail, "details": {}}
                return _fault(error, [{"field": refused.field, "message": refused.detail}])

        return await self._with.reads.answer(found)

    async def _take(
        self, request: Request, protocol: str, read: Callable[[bytes, str | None], Read]
    ) -> Response:
        have = self._with
        encoding = http.header(request, b"content-encoding")
        try:
            have.backpressure.check()
            body = await read_body(request, have.around)
            have.meters.received_bytes.add(len(body), protocol)
            taken = await have.executors.bodies(lambda: read(body, encoding))
        except Refused as refused:
            have.meters.rejected.add(1, protocol, refused.code)
            raise
        if taken.points or taken.payloads:
            beyond = await asyncio.wrap_future(have.taking.append(taken))
            if beyond:
                have.taking.beyond(taken, beyond)
        return _answered(taken)


def _answered(taken: Read) -> Response:
    results, errors = taken.results, recorder_taking.errors(taken)
    if taken.alone:
        (only,) = results
        return _fault(only["error"], errors) if errors else problem.wordy(only)
    accepted = len(results) - len(errors)
    # Nothing, all of it taken, is no error.
    whole = {0: "error", len(results): "success"}
    return problem.wordy(
        {
            "status": whole.get(accepted, "partial"),
            "received": len(results),
            "accepted": accepted,
            "rejected": len(errors),
            "results": results,
            **({"errors": errors} if errors else {}),
        }
    )


def _fault(error: dict[str, Any], errors: list[dict[str, str]]) -> Response:
    """A problem that has the error of spec 002 inside."""
    return problem.problem(
        400, error["message"], code=error["code"], errors=errors, extra={"error": error}
    )
