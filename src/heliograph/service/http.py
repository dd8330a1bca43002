"""From a table of endpoints to an ASGI application: permission, limits, errors, measurement.

An endpoint cannot be declared without its permission, and a path that is not in the table is
answered only to those who hold a token: a new route fails closed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from heliograph.core.clock import Clock
from heliograph.core.errors import HeliographError, Refused
from heliograph.service import problem
from heliograph.service.admission import Admission
from heliograph.service.auth import Denied, Gate, Permission
from heliograph.service.meters import Meters

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}
BODY_TIMEOUT_S = 60
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")

Answer = Callable[[Request], Awaitable[Response]]


class Parameter(NamedTuple):
    """One query parameter, for the reader of the OpenAPI document."""

    name: str
    text: str
    required: bool = False
    repeated: bool = False


class Endpoint(NamedTuple):
    """One row of the table.

    control      true for requests that a flood of bulk data must not push out
    busy_status  what overload is answered with: 429 on remote write, else 503
    aliases      further paths of the same endpoint
    request      media types of the body; () for none
    returns      a text for the OpenAPI document
    """

    method: str
    path: str
    permission: Permission
    summary: str
    answer: Answer
    parameters: tuple[Parameter, ...] = ()
    request: tuple[str, ...] = ()
    returns: str = "JSON"
    control: bool = False
    busy_status: int = 503
    aliases: tuple[str, ...] = ()


class Surroundings(NamedTuple):
    """What every endpoint is wrapped in."""

    gate: Gate
    admission: Admission
    meters: Meters
    clock: Clock
    body_bytes_max: int


def application(
    endpoints: Sequence[Endpoint], around: Surroundings, **options: Any
) -> Starlette:
    """The ASGI application of *endpoints*; *options* go to Starlette."""
    by_path: dict[str, dict[str, Endpoint]] = {}
    for endpoint in endpoints:
        for path in (endpoint.path, *endpoint.aliases):
            by_path.setdefault(path, {})[endpoint.method] = endpoint
    # Starlette matches in order: fixed paths before those with parameters.
    ordered = sorted(by_path.items(), key=lambda item: ("{" in item[0], item[0]))
    routes = [
        Route(path, _dispatch(path, methods, around), methods=list(METHODS))
        for path, methods in ordered
    ]

    async def missing(request: Request, _: Exception) -> Response:
        return _with_headers(_unknown_path(request, around))

    async def bug(_: Request, __: Exception) -> Response:
        # Starlette raises it again after this answer, so that the server logs the traceback.
        around.meters.refused_for_now.add(1, "bug")
        return _with_headers(problem.problem(500, "a bug; it is in the log", code="internal"))

    handlers: dict[Any, Any] = {404: missing, Exception: bug}
    return Starlette(routes=routes, exception_handlers=handlers, **options)


async def read_body(request: Request, around: Surroundings) -> bytes:
    """The whole body. Raises Refused 413 beyond the limit, 400 when the sender hung up."""
    limit = around.body_bytes_max
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(int(declared), limit)
    chunks, size_bytes = [], 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.stream():
                size_bytes += len(chunk)
                if size_bytes > limit:
                    raise _too_large(size_bytes, limit)
                chunks.append(chunk)
    except ClientDisconnect as error:
        raise Refused("the body ended early", field="body", code="cut_short") from error
    except TimeoutError as error:
        raise Refused(
            f"the body took over {BODY_TIMEOUT_S} s", field="body", code="slow", status=408
        ) from error
    return b"".join(chunks)


def _dispatch(path: str, methods: dict[str, Endpoint], around: Surroundings) -> Answer:
    async def respond(request: Request) -> Response:
        started_s = around.clock.monotonic_s()
        method = "GET" if request.method == "HEAD" else request.method
        endpoint = methods.get(method)
        if endpoint is None:
            response = _wrong_method(request, methods, around)
        else:
            response = await _answered(request, endpoint, around)
        meters = around.meters
        known = request.method if request.method in METHODS else "other"
        meters.requests.add(1, known, path, str(response.status_code))
        if response.status_code >= 400:
            meters.request_errors.add(1, known, path, str(response.status_code))
        meters.request_seconds.observe(around.clock.monotonic_s() - started_s, known, path)
        return _with_headers(response)

    return respond


async def _answered(request: Request, endpoint: Endpoint, around: Surroundings) -> Response:
    try:
        around.gate.check(request.headers.get("authorization"), endpoint.permission)
        if endpoint.method == "GET":
            return await endpoint.answer(request)
        _same_origin(request)
        size_bytes = _declared_bytes(request, around.body_bytes_max)
        with around.admission.admit(size_bytes, control=endpoint.control):
            return await endpoint.answer(request)
    except HeliographError as error:
        return problem.of_error(error, busy_status=endpoint.busy_status)


def _declared_bytes(request: Request, limit: int) -> int:
    """How much the body will be, at most *limit*; a chunked one may turn out to be anything."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit():
        return min(int(declared), limit)
    return limit if "transfer-encoding" in request.headers else 0


def _same_origin(request: Request) -> None:
    """A page of another site must not make a browser write here."""
    origin = request.headers.get("origin")
    if origin and urlsplit(origin).netloc != request.headers.get("host"):
        raise Denied(403, f"requests from pages of {origin[:200]} are not taken")


def _unknown_path(request: Request, around: Surroundings) -> Response:
    try:
        around.gate.check(request.headers.get("authorization"), "view")
    except Denied as error:
        if error.status == 401:
            return problem.of_error(error)
    around.meters.requests.add(1, "other", "other", "404")
    return problem.problem(404, f"nothing at {request.url.path[:200]}", code="not_found")


def _wrong_method(
    request: Request, methods: dict[str, Endpoint], around: Surroundings
) -> Response:
    try:
        around.gate.check(
            request.headers.get("authorization"), next(iter(methods.values())).permission
        )
    except Denied as error:
        return problem.of_error(error)
    allowed = ", ".join(sorted(methods))
    return problem.problem(
        405,
        f"{request.method[:20]} is not taken here; use {allowed}",
        code="method_not_allowed",
        headers={"Allow": allowed},
    )


def _too_large(size_bytes: int, limit: int) -> Refused:
    return Refused(
        f"body of {size_bytes} bytes, limit {limit}",
        field="body",
        code="too_large",
        status=413,
    )


def _with_headers(response: Response) -> Response:
    response.headers.update(HEADERS)
    return response
