"""Alerts in: Alertmanager's v2 API on three paths, its webhook, and single alerts of three kinds.

Decoding happens where the engine is, so that what a post says and when the engine took it can never
be out of order.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from heliograph.alert.engine.taking import Taken
from heliograph.alert.model import Post
from heliograph.core.clock import Clock
from heliograph.core.errors import Refused
from heliograph.receive import alert_bodies, alert_webhook
from heliograph.receive.alerts import Posted, Times
from heliograph.service import problem
from heliograph.service.alert_bodies_v2 import BodiesV2
from heliograph.service.alert_meters import AlertMeters
from heliograph.service.alert_posts import AlertPosts
from heliograph.service.endpoints import foreign
from heliograph.service.endpoints.foreign import require_json
from heliograph.service.http import Endpoint, Surroundings, Told, read_inflated

ERRORS_SHOWN_MAX = 20
JSON = "application/json"
_KEPT = Response(status_code=200)


class Intake(NamedTuple):
    """What the endpoints of this module work with; *note* has rules see what a trace alert tells."""

    around: Surroundings
    posts: AlertPosts
    bodies: BodiesV2
    meters: AlertMeters
    clock: Clock
    decoded_bytes_max: int
    note: Callable[[Post], "Future[None] | None"]


def endpoints(intake: Intake) -> list[Endpoint]:
    """`POST /api/v2/alerts` and its kin, `/v1/alerts/metric|log|trace|webhook`."""

    async def post_v2(request: Request) -> Response:
        with _Counted(intake, "alertmanager") as counted:
            body = await _body(request, intake, strictly=True)
            posted = intake.bodies.take(body)
            if not isinstance(posted, Posted):
                posted = await posted
            counted.note(posted)
        return _v2_answer(posted)

    async def post_metric(request: Request) -> Response:
        posted, taken = await _post(request, intake, "metric", alert_webhook.decode)
        return _metric_answer(posted, taken)

    def single(source: str) -> Callable[[Request], Any]:
        async def post(request: Request) -> Response:
            posted, taken = await _post(
                request, intake, source, lambda body, times: _one(body, source, times)
            )
            (one,) = taken
            noted = intake.note(posted.posts[0]) if source == "trace" else None
            if noted is not None:
                await asyncio.wrap_future(noted)
            answer = {"alert_id": one.alert_id, "status": one.status, "new": one.new}
            return problem.answer(answer, 201 if one.new else 200)

        return post

    return [
        _endpoint(
            "/api/v2/alerts",
            "Alerts as Prometheus and vmalert post them (Alertmanager v2).",
            post_v2,
            returns="200; 400 names what was refused, the rest is kept",
            aliases=("/v1/alerts/metric/api/v2/alerts", "/v1/api/v2/alerts"),
            of_error=foreign.of_error,
        ),
        _endpoint(
            "/v1/alerts/metric",
            "Alerts as Alertmanager or Grafana hand them on (webhook version 4).",
            post_metric,
            returns="how many were taken, which were refused, and the ids",
        ),
        *(
            _endpoint(f"/v1/alerts/{source}", text, single(source), returns="the alert's id")
            for source, text in (
                ("log", "An alert from a log pattern."),
                ("trace", "An alert from a trace."),
                ("webhook", "An alert from anything else."),
            )
        ),
    ]


def _endpoint(
    path: str,
    summary: str,
    answer: Callable[[Request], Any],
    *,
    returns: str,
    aliases: tuple[str, ...] = (),
    of_error: Told = problem.of_error,
) -> Endpoint:
    return Endpoint(
        "POST",
        path,
        "ingest",
        summary,
        answer,
        request=(JSON,),
        returns=returns,
        control=True,
        aliases=aliases,
        of_error=of_error,
    )


async def _post(
    request: Request, intake: Intake, source: str, decode: Callable[[bytes, Times], Posted]
) -> tuple[Posted, list[Taken]]:
    with _Counted(intake, source) as counted:
        body = await _body(request, intake, strictly=False)
        posted, taken = await intake.posts.awaited(
            lambda times: decode(body, times), v2=source == "metric"
        )
        counted.note(posted)
    return posted, taken


async def _body(request: Request, intake: Intake, *, strictly: bool) -> bytes:
    if strictly:
        require_json(request)
    return await read_inflated(request, intake.around, intake.decoded_bytes_max)


class _Counted(AbstractContextManager["_Counted"]):
    """Counts what a body of *source* came to, of which the block tells."""

    def __init__(self, intake: Intake, source: str) -> None:
        self._meters = intake.meters
        self._clock = intake.clock
        self._source = source
        self._started_s = intake.clock.monotonic_s()

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, Refused):
            self._meters.rejected.add(1, self._source, error.code)

    def note(self, posted: Posted) -> None:
        """Count *posted*."""
        meters, source = self._meters, self._source
        meters.received.add(posted.kept, source)
        if posted.truncated:
            meters.truncated.add(posted.truncated, source)
        for one in posted.unfit:
            meters.rejected.add(1, source, one.reason)
        meters.intake_seconds.observe(self._clock.monotonic_s() - self._started_s, source)


def _one(body: bytes, source: str, times: Times) -> Posted:
    post: Post = alert_bodies.decode(body, source, times)
    return Posted([post], [0], [])


def _v2_answer(posted: Posted) -> Response:
    if not posted.unfit:
        return _KEPT
    named = [f"{one.field}: {one.detail}" for one in posted.unfit[:ERRORS_SHOWN_MAX]]
    if len(posted.unfit) > len(named):
        named.append(f"{len(posted.unfit) - len(named)} more")
    return foreign.text("; ".join(named), posted.unfit[0].status)


def _metric_answer(posted: Posted, taken: list[Taken]) -> Response:
    document = {
        "received": posted.received,
        "processed": len(taken),
        "rejected": [
            {"index": one.index, "reason": one.reason, "field": one.field, "detail": one.detail}
            for one in posted.unfit[:1000]
        ],
        "alert_ids": [one.alert_id for one in taken],
    }
    if posted.unfit and not taken:
        # Nothing was kept: a sender must not take this for success.
        first = posted.unfit[0]
        return problem.problem(
            400,
            f"{first.field}: {first.detail}",
            code=first.reason,
            errors=_errors(posted),
            extra=document,
        )
    return problem.answer(document)


def _errors(posted: Posted) -> list[dict[str, str]]:
    return [
        {"field": one.field, "message": one.detail, "code": one.reason}
        for one in posted.unfit[:ERRORS_SHOWN_MAX]
    ]
