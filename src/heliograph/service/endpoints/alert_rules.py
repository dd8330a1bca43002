"""Alert rules: CRUD, and trying one on given input without storing anything."""

from typing import Any, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from heliograph.alert.rules import trial as rule_trial
from heliograph.alert.rules.decode import TYPES_OF
from heliograph.core import instant
from heliograph.core.clock import Clock
from heliograph.receive import json_body
from heliograph.service import params, problem
from heliograph.service.executors import Executors
from heliograph.service.http import Endpoint, Parameter, Surroundings, read_document
from heliograph.service.log_patterns import PatternBook
from heliograph.service.owners import Owners
from heliograph.service.rule_book import RuleBook, Shown
from heliograph.service.rule_trial import TrialReading

JSON = ("application/json",)

_document = msgspec.json.Decoder(dict[str, Any])


class Ruling(NamedTuple):
    """What the endpoints of this module work with."""

    around: Surroundings
    book: RuleBook
    executors: Executors
    clock: Clock
    list_max: int
    owners: Owners
    patterns: PatternBook


def endpoints(ruling: Ruling) -> list[Endpoint]:
    """`/v1/alert-rules`, and `/v1/alert-rules/test`."""
    bound = _Bound(ruling)
    path = "/v1/alert-rules/{rule_id}"
    return [
        Endpoint(
            "POST", "/v1/alert-rules", "edit", "Make an alert rule.", bound.post,
            request=JSON, returns="its id", control=True,
        ),
        Endpoint(
            "GET", "/v1/alert-rules", "view", "Alert rules, newest first, built-in ones last.",
            bound.listed,
            (
                Parameter("source", "log, metric, trace or event"),
                Parameter("enabled", "true or false"),
                Parameter("offset", "items to leave out"),
                Parameter("limit", "items at most"),
            ),
        ),
        Endpoint("GET", path, "view", "One alert rule.", bound.one),
        Endpoint(
            "PUT", path, "edit",
            "Put another document in its place; one without rule_config changes a built-in rule.",
            bound.put, request=JSON, control=True,
        ),
        Endpoint(
            "DELETE", path, "edit", "Remove a rule; a built-in one is again what it was.",
            bound.delete, returns="204", control=True,
        ),
        Endpoint(
            "POST", "/v1/alert-rules/test", "view",
            "What a rule makes of given input; nothing is stored.", bound.test,
            request=JSON, returns="the alerts it would make",
        ),
    ]  # fmt: skip


class _Bound:
    """The endpoints, bound to what they work with."""

    def __init__(self, have: Ruling) -> None:
        self._have = have

    async def post(self, request: Request) -> Response:
        """Make a rule."""
        document, by = await self._given(request)
        rule = await self._have.executors.control(lambda: self._have.book.create(document, by))
        return problem.answer({"rule_id": rule.id}, 201)

    async def put(self, request: Request) -> Response:
        """Replace a rule."""
        rule_id = request.path_params["rule_id"]
        document, by = await self._given(request)
        rule = await self._have.executors.control(
            lambda: self._have.book.replace(rule_id, document, by)
        )
        return problem.answer({"rule_id": rule.id})

    async def delete(self, request: Request) -> Response:
        """Remove a rule."""
        rule_id = request.path_params["rule_id"]
        await self._have.executors.control(lambda: self._have.book.remove(rule_id))
        return Response(status_code=204)

    async def one(self, request: Request) -> Response:
        """One rule."""
        rule_id = request.path_params["rule_id"]
        book = self._have.book
        return await self._have.executors.read(lambda: problem.answer(_view(book.one(rule_id))))

    async def listed(self, request: Request) -> Response:
        """A page of rules."""
        params.known(request, ("source", "enabled", "offset", "limit"))
        source = params.choice(request, "source", ("", *TYPES_OF), "")
        enabled = params.choice(request, "enabled", ("", "true", "false"), "")
        offset, limit = params.page(request, self._have.list_max)

        def found() -> Response:
            shown = [
                one
                for one in self._have.book.shown()
                if source in {"", one.rule.source}
                and enabled in {"", "true" if one.rule.enabled else "false"}
            ]
            items = [_view(one) for one in shown[offset : offset + limit]]
            return problem.listing(items, len(shown), offset, limit)

        return await self._have.executors.read(found)

    async def test(self, request: Request) -> Response:
        """Try a rule."""
        document = await _body(request, self._have)
        now_ns = self._have.clock.now_ns()
        tried = await self._have.executors.read(
            lambda: rule_trial.trial(
                document,
                now_ns=now_ns,
                reading=TrialReading(self._have.owners, self._have.patterns),
            )
        )
        return problem.answer(tried)

    async def _given(self, request: Request) -> tuple[dict[str, Any], str]:
        """The document, and who gives it."""
        return await _body(request, self._have), _caller(request, self._have)


async def _body(request: Request, ruling: Ruling) -> dict[str, Any]:
    return json_body.document(await read_document(request, ruling.around), _document)


def _caller(request: Request, ruling: Ruling) -> str:
    """Who asks, by the id of the token."""
    return ruling.around.gate.check(request.headers.get("authorization"), "edit").id


def _view(one: Shown) -> dict[str, Any]:
    rule = one.rule
    return {
        **one.document,
        "rule_id": rule.id,
        "id": rule.id,
        "name": rule.name,
        "source": rule.source,
        "rule_type": rule.rule_type,
        "enabled": rule.enabled,
        "severity": rule.severity,
        "builtin": rule.builtin,
        "created_at": instant.text_of(one.created_ns) if one.created_ns else None,
        "updated_at": instant.text_of(one.updated_ns) if one.updated_ns else None,
        "created_by": one.created_by,
    }
