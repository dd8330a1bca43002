"""The site's own patterns for log lines: CRUD, trying one, and the lines that none of them read."""

from typing import Any, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from heliograph.core import instant
from heliograph.core.errors import Refused
from heliograph.receive import json_body
from heliograph.service import params, problem
from heliograph.service.executors import Executors
from heliograph.service.freshness import Reads
from heliograph.service.http import Endpoint, Parameter, Surroundings, read_document
from heliograph.service.log_patterns import PatternBook, Shown
from heliograph.service.pattern_tally import Gap, PatternTally
from heliograph.training.parse import Parsed

JSON = ("application/json",)
TEST_LINES_MAX = 1000
KINDS = ("performance", "event", "blacklist")
_PAGING = (
    Parameter("offset", "items to leave out"),
    Parameter("limit", "items at most"),
)

# What `_view` adds; a document that was shown is taken back.
_SHOWN = {
    *("pattern_id", "in_force", "configured", "hits", "last_hit_at"),
    *("created_at", "updated_at", "created_by"),
}

_document = msgspec.json.Decoder(dict[str, Any])


class Patterning(NamedTuple):
    """What the endpoints of this module work with."""

    around: Surroundings
    book: PatternBook
    tally: PatternTally
    executors: Executors
    reads: Reads
    list_max: int


def endpoints(have: Patterning) -> list[Endpoint]:
    """`/v1/log-patterns`, `/v1/log-patterns/test`, `/v1/log-patterns/gaps`."""
    bound = _Bound(have)
    path = "/v1/log-patterns/{pattern_id}"
    return [
        Endpoint(
            "POST", "/v1/log-patterns", "edit", "Make a pattern for log lines.", bound.post,
            request=JSON, returns="its id", control=True,
        ),
        Endpoint(
            "GET", "/v1/log-patterns", "view",
            "Patterns with their hits, newest first, those of the configuration last.",
            bound.listed,
            (
                Parameter("kind", "performance, event or blacklist"),
                Parameter("enabled", "true or false"),
                *_PAGING,
            ),
        ),
        Endpoint(
            "POST", "/v1/log-patterns/test", "view",
            "What a pattern makes of given lines; nothing is stored.", bound.test,
            request=JSON, returns="what each line says, as /v1/parse does",
        ),
        Endpoint(
            "GET", "/v1/log-patterns/gaps", "view",
            "Lines that look like metrics and gave nothing, by shape, since the start.",
            bound.gaps, (Parameter("framework", "only of this framework"), *_PAGING),
        ),
        Endpoint("GET", path, "view", "One pattern.", bound.one),
        Endpoint(
            "PUT", path, "edit", "Put another document in its place.", bound.put,
            request=JSON, control=True,
        ),
        Endpoint(
            "DELETE", path, "edit", "Remove a pattern and its hits.", bound.delete,
            returns="204", control=True,
        ),
    ]  # fmt: skip


class _Bound:
    """The endpoints, bound to what they work with."""

    def __init__(self, have: Patterning) -> None:
        self._have = have

    async def post(self, request: Request) -> Response:
        """Make a pattern."""
        document, by = await self._given(request)
        made = await self._have.executors.control(lambda: self._have.book.create(document, by))
        return problem.answer({"pattern_id": made}, 201)

    async def put(self, request: Request) -> Response:
        """Replace a pattern."""
        pattern_id = request.path_params["pattern_id"]
        document, by = await self._given(request)
        await self._have.executors.control(
            lambda: self._have.book.replace(pattern_id, document, by)
        )
        return problem.answer({"pattern_id": pattern_id})

    async def delete(self, request: Request) -> Response:
        """Remove a pattern."""
        pattern_id = request.path_params["pattern_id"]
        await self._have.executors.control(lambda: self._have.book.remove(pattern_id))
        return Response(status_code=204)

    async def one(self, request: Request) -> Response:
        """One pattern."""
        params.known(request, ())
        pattern_id = request.path_params["pattern_id"]
        book = self._have.book
        return await self._have.reads.answer(
            lambda: problem.answer(_view(book.one(pattern_id)))
        )

    async def listed(self, request: Request) -> Response:
        """A page of patterns."""

        def found() -> Response:
            params.known(request, ("kind", "enabled", "offset", "limit"))
            kind = params.choice(request, "kind", ("", *KINDS), "")
            enabled = params.choice(request, "enabled", ("", "true", "false"), "")
            offset, limit = params.page(request, self._have.list_max)
            shown = [
                one
                for one in self._have.book.shown()
                if kind in {"", one.pattern.kind}
                and enabled in {"", "true" if one.pattern.enabled else "false"}
            ]
            items = [_view(one) for one in shown[offset : offset + limit]]
            return problem.listing(items, len(shown), offset, limit)

        return await self._have.reads.answer(found)

    async def test(self, request: Request) -> Response:
        """Try a pattern."""
        document = await _body(request, self._have)

        def tried() -> Response:
            pattern, lines = _asked(document)
            parse = self._have.book.trial(pattern)
            items = [_said(index, parse(line)) for index, line in enumerate(lines)]
            return problem.answer({"items": items})

        return await self._have.executors.read(tried)

    async def gaps(self, request: Request) -> Response:
        """Lines that gave nothing."""

        def found() -> Response:
            params.known(request, ("framework", "offset", "limit"))
            framework = params.text(request, "framework")
            offset, limit = params.page(request, self._have.list_max)
            all_gaps = self._have.tally.gaps()
            some = [gap for gap in all_gaps if framework in {"", gap.framework}]
            items = [_gap(gap) for gap in some[offset : offset + limit]]
            return problem.answer(
                {
                    "items": items,
                    "total": len(some),
                    "offset": offset,
                    "limit": limit,
                    "lines": sum(gap.lines for gap in some),
                    "lines_unlisted": self._have.tally.unlisted,
                }
            )

        return await self._have.reads.answer(found)

    async def _given(self, request: Request) -> tuple[dict[str, Any], str]:
        """The document, and who gives it."""
        gate = self._have.around.gate
        by = gate.check(request.headers.get("authorization"), "edit").id
        given = await _body(request, self._have)
        return {key: value for key, value in given.items() if key not in _SHOWN}, by


async def _body(request: Request, have: Patterning) -> dict[str, Any]:
    return json_body.document(await read_document(request, have.around), _document)


def _asked(document: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The pattern and the lines of a body of `test`."""
    for name in document:
        if name not in {"pattern", "lines"}:
            raise Refused(f"unknown key {name[:50]!r}; known are lines, pattern", field=name)
    pattern, lines = document.get("pattern"), document.get("lines")
    if not isinstance(pattern, dict):
        raise Refused("pattern is a document, as it is posted", field="pattern")
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise Refused("lines is a list of texts", field="lines")
    if len(lines) > TEST_LINES_MAX:
        raise Refused(f"{len(lines)} lines, limit {TEST_LINES_MAX}", field="lines", status=413)
    return pattern, lines


def _said(index: int, one: Parsed) -> dict[str, Any]:
    return {
        "index": index,
        "kind": one.kind,
        "framework": one.framework,
        "fields": one.fields,
        "events": [event._asdict() for event in one.events],
        "rule": one.rule,
    }


def _view(one: Shown) -> dict[str, Any]:
    return {
        **one.pattern._asdict(),
        "pattern_id": one.id,
        "in_force": one.in_force,
        "configured": not one.created_ns,
        "hits": one.hits.hits,
        "last_hit_at": instant.text_of(one.hits.last_ns) if one.hits.hits else None,
        "created_at": instant.text_of(one.created_ns) if one.created_ns else None,
        "updated_at": instant.text_of(one.updated_ns) if one.updated_ns else None,
        "created_by": one.created_by,
    }


def _gap(gap: Gap) -> dict[str, Any]:
    return {
        "framework": gap.framework,
        "shape": gap.shape,
        "lines": gap.lines,
        "sample": gap.sample,
        "pod_uid": gap.pod_uid,
        "first_at": instant.text_of(gap.first_ns),
        "last_at": instant.text_of(gap.last_ns),
    }
