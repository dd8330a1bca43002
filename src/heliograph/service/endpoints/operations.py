"""What operators look at: health, own metrics, the OpenAPI document, the first page."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from heliograph.service import openapi, problem
from heliograph.service.auth import Gate
from heliograph.service.executors import Executors
from heliograph.service.http import Endpoint
from heliograph.service.meters import Meters
from heliograph.web import first_page
from heliograph.web.first_page import Check, FirstPage


class Operations(NamedTuple):
    """What the endpoints of this module work with.

    checks   health, one a part; any `bad` makes the service not ready
    gate     who may see more of readiness than its states
    page     the first page's values; visits stores, so it runs on a reader thread
    others   all other endpoints, for the OpenAPI document
    """

    checks: Callable[[], Sequence[Check]]
    gate: Gate
    page: Callable[[], FirstPage]
    others: Sequence[Endpoint]
    executors: Executors
    meters: Meters


def endpoints(have: Operations) -> list[Endpoint]:
    """The service's own endpoints, described with all others by the OpenAPI document."""

    @cache
    def document() -> dict[str, Any]:
        return openapi.document([*have.others, *own])

    async def healthz(_: Request) -> Response:
        return problem.answer({"status": "ok"})

    async def readyz(request: Request) -> Response:
        told = have.gate.allows(request.headers.get("authorization"), "view")
        return await have.executors.read(lambda: _readiness(have.checks(), told=told))

    async def metrics(_: Request) -> Response:
        text = await have.executors.read(have.meters.registry.exposition)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def described(_: Request) -> Response:
        return problem.answer(await have.executors.read(document))

    async def page(_: Request) -> Response:
        html = await have.executors.read(lambda: first_page.render(have.page()))
        headers = {"Content-Security-Policy": first_page.CONTENT_SECURITY_POLICY}
        return Response(html, headers=headers, media_type="text/html; charset=utf-8")

    async def stylesheet(_: Request) -> Response:
        return Response(first_page.stylesheet(), media_type="text/css; charset=utf-8")

    async def script(_: Request) -> Response:
        return Response(first_page.script(), media_type="text/javascript; charset=utf-8")

    own = [
        Endpoint("GET", "/healthz", "open", "The process is alive.", healthz),
        Endpoint("GET", "/readyz", "open", "Whether traffic should come here.", readyz),
        Endpoint(
            "GET", "/metrics", "view", "Own metrics, Prometheus text.", metrics, returns="text"
        ),
        Endpoint("GET", "/v1/openapi.json", "view", "This document.", described),
        Endpoint("GET", "/", "view", "The first page.", page, returns="HTML"),
        Endpoint("GET", "/static/heliograph.css", "open", "Styles.", stylesheet, returns="CSS"),
        Endpoint(
            "GET", "/static/heliograph.js", "open", "What keeps pages new.", script,
            returns="JavaScript",
        ),
    ]  # fmt: skip
    return own


def _readiness(checks: Sequence[Check], *, told: bool) -> Response:
    """States for everyone; in words, which may quote a remote server, only for who may view."""
    ready = all(check.state != "bad" for check in checks)
    shown = [
        {"name": check.name, "state": check.state} | ({"detail": check.text} if told else {})
        for check in checks
    ]
    content = {"status": "ready" if ready else "not ready", "checks": shown}
    return problem.answer(content, 200 if ready else 503)
