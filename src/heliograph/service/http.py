"""From a table of endpoints to an application: permission, limits, errors, measurement.

An endpoint cannot be declared without its permission, and a path that is not in the table is
answered only to those who hold a token: a new route fails closed.
"""

import http
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from heliograph.core.clock import Clock
from heliograph.core.errors import HeliographError, Refused, Unavailable
from heliograph.receive import json_body
from heliograph.service import at_once, problem
from heliograph.service.admission import Admission
from heliograph.service.auth import Denied, Gate, Permission
from heliograph.service.exchange import WHOLE
from heliograph.service.executors import Executors
from heliograph.service.meters import Meters

# With every answer, whoever gives it; the server adds them.
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}
# Where a request keeps its headers by name.
_FOUND = "heliograph.headers"
BODY_TIMEOUT_S = 60
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")
# A method or a path that is not in the table.
OTHER = "other"

Answer = Callable[[Request], Awaitable[Response]]
# What answers an error, as `problem.of_error` does.
Told = Callable[..., Response]
Guarded = Callable[[Awaitable[Response], Callable[[], Response]], Awaitable[Response]]


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
    of_error     what answers an error, for clients that read no problem documents
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
    of_error: Told = problem.of_error


class Surroundings(NamedTuple):
    """What every endpoint is wrapped in.

    guarded   gives what a work does, or what another gives where a bug ends that
    executors where what would hold up other requests runs
    hosts     names in `Host` that are answered to, None for any
    """

    gate: Gate
    admission: Admission
    meters: Meters
    clock: Clock
    body_bytes_max: int
    guarded: Guarded
    executors: Executors
    hosts: frozenset[str] | None


class Application:
    """Who answers which path. *vital* ones are answered though there are too many connections."""

    vital = frozenset({"/healthz", "/readyz"})

    def __init__(
        self, answers: Mapping[str, Answer], unknown: Answer, around: Surroundings
    ) -> None:
        """*answers* by path, which may have parameters: `/runs/{uid}`, or `{uid:path}` where there
        may be slashes in it; *unknown* answers the rest."""
        self.paths = tuple(answers)
        self._fixed = {path: answer for path, answer in answers.items() if "{" not in path}
        # In order: the longest first, because a parameter may contain slashes.
        self._others = [
            (_pattern(path), answers[path])
            for path in sorted(answers, key=lambda path: (-path.count("/"), path))
            if "{" in path
        ]
        self._unknown = unknown
        self._guarded = around.guarded
        self._meters = around.meters

    def refused(self, status: int) -> None:
        """Count what a connection refused by itself: it is no request, or there are too many."""
        _tally(self._meters, OTHER, OTHER, status)
        if status == http.HTTPStatus.SERVICE_UNAVAILABLE:
            self._meters.refused_for_now.add(1, "connections")

    def answered(self, request: Request) -> Awaitable[Response]:
        """The answer to *request*, whatever happens."""
        scope = request.scope
        answer = self._fixed.get(scope["path"])
        if answer is None:
            answer = self._found(scope)
        return self._guarded(answer(request), _after_a_bug)

    def _found(self, scope: Scope) -> Answer:
        for pattern, answer in self._others:
            if (found := pattern.fullmatch(scope["path"])) is not None:
                scope["path_params"] = found.groupdict()
                return answer
        return self._unknown


def application(
    endpoints: Sequence[Endpoint], around: Surroundings, foreign: Mapping[str, Told]
) -> Application:
    """The application of *endpoints*; below a *foreign* root, its own words say what is not there."""
    by_path: dict[str, dict[str, Endpoint]] = {}
    for endpoint in endpoints:
        for path in (endpoint.path, *endpoint.aliases):
            by_path.setdefault(path, {})[endpoint.method] = endpoint
    answers = {
        path: _dispatch(template(path), methods, around) for path, methods in by_path.items()
    }

    async def unknown(request: Request) -> Response:
        path = request.scope["path"]
        told = next((of for root, of in foreign.items() if path.startswith(root)), None)
        return _unknown_path(request, around, told or problem.of_error)

    return Application(answers, unknown, around)


def _pattern(path: str) -> re.Pattern[str]:
    """What matches *path* with anything for its parameters."""
    parts = re.split(r"\{(\w+)(:path)?\}", path)
    texts = [re.escape(text) for text in parts[::3]]
    names = [
        f"(?P<{name}>{'.*' if slashes else '[^/]+'})"
        for name, slashes in zip(parts[1::3], parts[2::3], strict=True)
    ]
    return re.compile("".join(chain.from_iterable(zip(texts, [*names, ""], strict=True))))


def _after_a_bug() -> Response:
    return problem.problem(500, "a bug; it is in the log", code="internal")


def template(path: str) -> str:
    """*path* for people: without what a parameter may be made of."""
    return path.replace(":path}", "}")


def headers(request: Request) -> Mapping[bytes, bytes]:
    """The headers by their names in small letters; of several of a name, the first.

    Starlette goes through all of them for each question, which for a small request is much of it.
    """
    found: dict[bytes, bytes] | None = request.scope.get(_FOUND)
    if found is None:
        found = request.scope[_FOUND] = dict(reversed(request.scope["headers"]))
    return found


def header(request: Request, name: bytes) -> str | None:
    """The header *name*, in small letters; None where there is none."""
    value = headers(request).get(name)
    return None if value is None else value.decode("latin-1")


async def read_body(request: Request, around: Surroundings) -> bytes:
    """The whole body. Raises Refused 413 beyond the limit, 400 when the sender hung up."""
    limit = around.body_bytes_max
    whole: bytes | None = request.scope.pop(WHOLE, None)
    if whole is not None:
        if len(whole) > limit:
            raise _too_large(len(whole), limit)
        return whole
    declared = _content_length(headers(request))
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
    return await read_inflated(request, around, around.body_bytes_max)


async def read_inflated(
    request: Request, around: Surroundings, decoded_bytes_max: int
) -> bytes:
    """The same, of at most *decoded_bytes_max*."""
    inflated = await read_encoded(request, around, decoded_bytes_max)
    # Of few bytes may come very many: not here, where all other requests wait.
    is_encoded = header(request, b"content-encoding")
    return await around.executors.bodies(inflated) if is_encoded else inflated()


async def read_encoded(
    request: Request, around: Surroundings, decoded_bytes_max: int
) -> Callable[[], bytes]:
    """What gives the same, on another thread than the event loop's. It raises Refused as
    `json_body.inflated` does."""
    return partial(
        json_body.inflated,
        await read_body(request, around),
        content_encoding=header(request, b"content-encoding"),
        decoded_bytes_max=decoded_bytes_max,
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
    now_s, meters = around.clock.monotonic_s, around.meters

    async def respond(request: Request) -> Response:
        started_s = now_s()
        method = request.scope["method"]
        endpoint = methods.get("GET" if method == "HEAD" else method)
        status = 500
        try:
            if endpoint is None:
                response = _wrong_method(request, methods, around)
            else:
                response = await _answered(request, endpoint, around)
            status = response.status_code
        finally:
            # Also where a bug goes by: a 500 that is not counted is one that nobody looks for.
            _count(meters, method, path, status, now_s() - started_s)
        return response

    return respond


def _count(meters: Meters, method: str, path: str, status: int, spent_s: float) -> None:
    known = method if method in METHODS else OTHER
    _tally(meters, known, path, status)
    meters.request_seconds.observe(spent_s, known, path)


def _tally(meters: Meters, method: str, path: str, status: int) -> None:
    meters.requests.add(1, method, path, str(status))
    if status >= 400:
        meters.request_errors.add(1, method, path, str(status))


async def _answered(request: Request, endpoint: Endpoint, around: Surroundings) -> Response:
    try:
        found = headers(request)
        _known_host(found, around)
        around.gate.check(header(request, b"authorization"), endpoint.permission)
        if endpoint.method == "GET":
            return await endpoint.answer(request)
        _same_origin(found)
        size_bytes = _declared_bytes(found, around.body_bytes_max)
        with around.admission.admit(size_bytes, control=endpoint.control):
            return await endpoint.answer(request)
    except HeliographError as error:
        if isinstance(error, Unavailable):
            around.meters.refused_for_now.add(1, error.code)
        return endpoint.of_error(error, busy_status=endpoint.busy_status)


def _declared_bytes(found: Mapping[bytes, bytes], limit: int) -> int:
    """How much the body will be, at most *limit*; a chunked one may turn out to be anything."""
    declared = _content_length(found)
    if declared is not None:
        return min(declared, limit)
    return limit if b"transfer-encoding" in found else 0


def _content_length(found: Mapping[bytes, bytes]) -> int | None:
    declared = found.get(b"content-length", b"")
    return int(declared) if declared.isdigit() else None


def _known_host(found: Mapping[bytes, bytes], around: Surroundings) -> None:
    """A name that an attacker made resolve to us is not ours: DNS rebinding."""
    if around.hosts is None:
        return
    given = found.get(b"host", b"").decode("latin-1")
    is_ipv6 = given.startswith("[")
    name = given[1:].partition("]")[0] if is_ipv6 else given.partition(":")[0]
    if name and name.lower() not in around.hosts:
        known = ", ".join(sorted(around.hosts))
        raise Denied(403, f"without tokens only these hosts are answered to: {known}")


def _same_origin(found: Mapping[bytes, bytes]) -> None:
    """A page of another site must not make a browser write here."""
    origin = found.get(b"origin")
    # Compared as text, not taken apart: what is no URL is another site's, too.
    if origin and origin.partition(b"://")[2] != found.get(b"host"):
        told = origin[:200].decode("latin-1")
        raise Denied(403, f"requests from pages of {told} are not taken")


def _unknown_path(request: Request, around: Surroundings, of_error: Told) -> Response:
    try:
        around.gate.check(header(request, b"authorization"), "view")
    except Denied as error:
        if error.status == 401:
            _tally(around.meters, OTHER, OTHER, error.status)
            return of_error(error)
    _tally(around.meters, OTHER, OTHER, 404)
    words = f"path {request.url.path[:200]} was not found"
    return of_error(Refused(words, code="not_found", status=404))


def _wrong_method(
    request: Request, methods: dict[str, Endpoint], around: Surroundings
) -> Response:
    any_of_them = next(iter(methods.values()))
    try:
        around.gate.check(header(request, b"authorization"), any_of_them.permission)
    except Denied as error:
        return any_of_them.of_error(error)
    allowed = ", ".join(sorted(methods))
    words = f"method {request.method[:20]} is not allowed, but [{allowed}] are"
    response = any_of_them.of_error(Refused(words, code="method_not_allowed", status=405))
    response.headers["Allow"] = allowed
    return response


def _too_large(size_bytes: int, limit: int) -> Refused:
    return Refused(
        f"body of {size_bytes} bytes, limit {limit}",
        field="body",
        code="too_large",
        status=413,
    )
