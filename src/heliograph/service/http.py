"""From a table of endpoints to an ASGI application: permission, limits, errors, measurement.

An endpoint cannot be declared without its permission, and a path that is not in the table is
answered only to those who hold a token: a new route fails closed.
"""

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from heliograph.core.clock import Clock
from heliograph.core.errors import HeliographError, Refused, Unavailable
from heliograph.receive import json_body
from heliograph.service import at_once, problem
from heliograph.service.admission import Admission
from heliograph.service.auth import Denied, Gate, Permission
from heliograph.service.meters import Meters

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}
_HEADERS = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
# Where a request keeps its headers by name.
_FOUND = "heliograph.headers"
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
    """What every endpoint is wrapped in.

    bug     told of what nobody expected, and where
    hosts   names in `Host` that are answered to, None for any
    """

    gate: Gate
    admission: Admission
    meters: Meters
    clock: Clock
    body_bytes_max: int
    bug: Callable[[Exception, str], None]
    hosts: frozenset[str] | None


class _Site(Starlette):
    """Starlette, but that paths without parameters are found in a table: going through its list of
    routes takes a third of a small request's time."""

    fixed: Mapping[str, ASGIApp]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self.fixed.get(scope["path"]) if scope["type"] == "http" else None
        if found is None:
            await super().__call__(scope, receive, send)
        else:
            scope["app"] = self
            await found(scope, receive, send)


class _Fixed:
    """An answer as an application; *bug* gives what is answered instead where that raises. It goes on
    to the server then, as Starlette has it, which logs the traceback."""

    def __init__(self, answer: Answer, bug: Callable[[Request, Exception], Response]) -> None:
        self._answer = answer
        self._bug = bug

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        response: Response | None = None
        complete = False
        try:
            response = await self._answer(request)
            await response(scope, receive, send)
            complete = True
        finally:
            # A cancellation is no bug.
            if not complete and isinstance(error := sys.exception(), Exception):
                told = self._bug(request, error)
                if response is None:
                    await told(scope, receive, send)


def application(
    endpoints: Sequence[Endpoint], around: Surroundings, **options: Any
) -> Starlette:
    """The ASGI application of *endpoints*; *options* go to Starlette."""
    by_path: dict[str, dict[str, Endpoint]] = {}
    for endpoint in endpoints:
        for path in (endpoint.path, *endpoint.aliases):
            by_path.setdefault(path, {})[endpoint.method] = endpoint
    # Starlette matches in order: fixed paths before those with parameters, and the longest of
    # these first, because a parameter may contain slashes.
    ordered = sorted(
        by_path.items(), key=lambda item: ("{" in item[0], -item[0].count("/"), item[0])
    )
    routes = [
        Route(path, _dispatch(template(path), methods, around)) for path, methods in ordered
    ]
    for route in routes:
        # All of them: what a method that is not in the table is told is ours to say.
        route.methods = None

    async def missing(request: Request, _: Exception) -> Response:
        return _with_headers(_unknown_path(request, around))

    def bug(_: Request, error: Exception) -> Response:
        around.bug(error, "request")
        return _with_headers(problem.problem(500, "a bug; it is in the log", code="internal"))

    async def any_bug(request: Request, error: Exception) -> Response:
        return bug(request, error)

    handlers: dict[Any, Any] = {404: missing, Exception: any_bug}
    site = _Site(routes=routes, exception_handlers=handlers, **options)
    site.fixed = {
        path: _Fixed(_dispatch(path, methods, around), bug)
        for path, methods in ordered
        if "{" not in path
    }
    # A redirect would tell anyone which paths there are, and go to whatever the Host header says.
    site.router.redirect_slashes = False
    return site


def template(path: str) -> str:
    """*path* for people: without what a parameter may be made of."""
    return path.replace(":path}", "}")


def header(request: Request, name: bytes) -> str | None:
    """The header *name*, in small letters; the first where there are several, None where none.

    Starlette goes through all of them for each question, which for a small request is much of it.
    """
    found: dict[bytes, bytes] | None = request.scope.get(_FOUND)
    if found is None:
        found = request.scope[_FOUND] = dict(reversed(request.scope["headers"]))
    value = found.get(name)
    return None if value is None else value.decode("latin-1")


async def read_body(request: Request, around: Surroundings) -> bytes:
    """The whole body. Raises Refused 413 beyond the limit, 400 when the sender hung up."""
    limit = around.body_bytes_max
    declared = _content_length(request)
    if declared is not None and declared > limit:
        raise _too_large(declared, limit)
    try:
        return await at_once.within(_whole_body(request, limit), limit_s=BODY_TIMEOUT_S)
    except TimeoutError as error:
        raise Refused(
            f"the body took over {BODY_TIMEOUT_S} s", field="body", code="slow", status=408
        ) from error


async def read_document(request: Request, around: Surroundings) -> bytes:
    """The whole body without its content encoding. Raises Refused as `read_body` and
    `json_body.inflated` do."""
    return json_body.inflated(
        await read_body(request, around),
        content_encoding=header(request, b"content-encoding"),
        decoded_bytes_max=around.body_bytes_max,
    )


async def _whole_body(request: Request, limit: int) -> bytes:
    chunks, size_bytes = [], 0
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise Refused("the body ended early", field="body", code="cut_short")
        chunk = message.get("body", b"")
        more = message.get("more_body", False)
        size_bytes += len(chunk)
        if size_bytes > limit:
            raise _too_large(size_bytes, limit)
        chunks.append(chunk)
    return b"".join(chunks)


def _dispatch(path: str, methods: dict[str, Endpoint], around: Surroundings) -> Answer:
    async def respond(request: Request) -> Response:
        started_s = around.clock.monotonic_s()
        method = "GET" if request.method == "HEAD" else request.method
        endpoint = methods.get(method)
        status = 500
        try:
            if endpoint is None:
                response = _wrong_method(request, methods, around)
            else:
                response = await _answered(request, endpoint, around)
            status = response.status_code
        finally:
            # Also where a bug goes by: a 500 that is not counted is one that nobody looks for.
            spent_s = around.clock.monotonic_s() - started_s
            _count(around.meters, request.method, path, status, spent_s)
        return _with_headers(response)

    return respond


def _count(meters: Meters, method: str, path: str, status: int, spent_s: float) -> None:
    known = method if method in METHODS else "other"
    meters.requests.add(1, known, path, str(status))
    if status >= 400:
        meters.request_errors.add(1, known, path, str(status))
    meters.request_seconds.observe(spent_s, known, path)


async def _answered(request: Request, endpoint: Endpoint, around: Surroundings) -> Response:
    try:
        _known_host(request, around)
        around.gate.check(header(request, b"authorization"), endpoint.permission)
        if endpoint.method == "GET":
            return await endpoint.answer(request)
        _same_origin(request)
        size_bytes = _declared_bytes(request, around.body_bytes_max)
        with around.admission.admit(size_bytes, control=endpoint.control):
            return await endpoint.answer(request)
    except HeliographError as error:
        if isinstance(error, Unavailable):
            around.meters.refused_for_now.add(1, error.code)
        return problem.of_error(error, busy_status=endpoint.busy_status)


def _declared_bytes(request: Request, limit: int) -> int:
    """How much the body will be, at most *limit*; a chunked one may turn out to be anything."""
    declared = _content_length(request)
    if declared is not None:
        return min(declared, limit)
    return limit if header(request, b"transfer-encoding") is not None else 0


def _content_length(request: Request) -> int | None:
    declared = header(request, b"content-length") or ""
    return int(declared) if declared.isascii() and declared.isdigit() else None


def _known_host(request: Request, around: Surroundings) -> None:
    """A name that an attacker made resolve to us is not ours: DNS rebinding."""
    given = header(request, b"host") or ""
    is_ipv6 = given.startswith("[")
    name = given[1:].partition("]")[0] if is_ipv6 else given.partition(":")[0]
    if name and around.hosts is not None and name.lower() not in around.hosts:
        known = ", ".join(sorted(around.hosts))
        raise Denied(403, f"without tokens only these hosts are answered to: {known}")


def _same_origin(request: Request) -> None:
    """A page of another site must not make a browser write here."""
    origin = header(request, b"origin")
    # Compared as text, not taken apart: what is no URL is another site's, too.
    if origin and origin.partition("://")[2] != header(request, b"host"):
        raise Denied(403, f"requests from pages of {origin[:200]} are not taken")


def _unknown_path(request: Request, around: Surroundings) -> Response:
    try:
        around.gate.check(header(request, b"authorization"), "view")
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
            header(request, b"authorization"), next(iter(methods.values())).permission
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
    response.raw_headers += _HEADERS
    return response
