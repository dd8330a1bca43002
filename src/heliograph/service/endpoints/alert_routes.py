"""Routes made over the API: CRUD, and the path that labels would take."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from heliograph.alert import matching
from heliograph.alert.model import NOBODY
from heliograph.alert.routes import Route
from heliograph.core import instant, labels
from heliograph.core.errors import Refused
from heliograph.receive import json_body
from heliograph.service import params, problem
from heliograph.service.alerting import Alerting, Turn
from heliograph.service.executors import Executors
from heliograph.service.http import Endpoint, Parameter, Surroundings, read_document
from heliograph.service.route_book import RouteBook
from heliograph.store.state.alert_routes import RouteShown

T = TypeVar("T")

JSON = ("application/json",)
# What `_view` adds; a document that was shown is taken back.
_SHOWN = {"route_id", "position", "created_at", "updated_at"}

_document = msgspec.json.Decoder(dict[str, Any])


class Routing(NamedTuple):
    """What the endpoints of this module work with."""

    around: Surroundings
    alerting: Alerting
    book: RouteBook
    executors: Executors
    list_max: int

    async def ask(self, work: Callable[[Turn], T]) -> T:
        """Run *work* on the engine's thread, in a transaction of its own."""
        return await self.alerting.awaited(work, alone=True)


def endpoints(routing: Routing) -> list[Endpoint]:
    """`/v1/alert-routes`, and `/v1/alert-routes/test`."""
    bound = _Bound(routing)
    path = "/v1/alert-routes/{route_id}"
    return [
        Endpoint(
            "POST", "/v1/alert-routes", "edit", "Make a route.", bound.post,
            request=JSON, returns="its id and warnings", control=True,
        ),
        Endpoint(
            "GET", "/v1/alert-routes", "view",
            "Routes in the order in which they are tried; secrets are not shown.", bound.listed,
            (Parameter("offset", "items to leave out"), Parameter("limit", "items at most")),
        ),
        Endpoint("GET", path, "view", "One route, without its secrets.", bound.one),
        Endpoint(
            "PUT", path, "edit",
            "Put another document in its place; `<secret>` keeps the secret that was there.",
            bound.put, request=JSON, control=True,
        ),
        Endpoint(
            "DELETE", path, "edit", "Remove a route.", bound.delete, returns="204", control=True
        ),
        Endpoint(
            "POST", "/v1/alert-routes/test", "view", "The routes that labels take, and who is told.",
            bound.test, request=JSON, returns="receivers, and the path to each",
        ),
    ]  # fmt: skip


class _Bound:
    """The endpoints, bound to what they work with."""

    def __init__(self, have: Routing) -> None:
        self._have = have

    async def post(self, request: Request) -> Response:
        """Make a route."""
        document = await _route(request, self._have)
        route_id = str(uuid.uuid4())
        warnings = await self._edit(
            document, lambda turn: self._have.book.create(turn, route_id, document)
        )
        return problem.answer({"route_id": route_id, "warnings": warnings}, 201)

    async def put(self, request: Request) -> Response:
        """Replace a route."""
        document = await _route(request, self._have)
        route_id = request.path_params["route_id"]
        warnings = await self._edit(
            document,
            lambda turn: self._have.book.replace(turn, route_id, document),
            over=route_id,
        )
        return problem.answer({"route_id": route_id, "warnings": warnings})

    async def delete(self, request: Request) -> Response:
        """Remove a route."""
        route_id = request.path_params["route_id"]
        await self._have.ask(lambda turn: self._have.book.remove(turn, route_id))
        return Response(status_code=204)

    async def listed(self, request: Request) -> Response:
        """A page of routes."""
        params.known(request, ("offset", "limit"))
        offset, limit = params.page(request, self._have.list_max)

        def found() -> Response:
            routes, total = self._have.book.page(offset, limit)
            return problem.listing([_view(one) for one in routes], total, offset, limit)

        return await self._have.executors.read(found)

    async def one(self, request: Request) -> Response:
        """One route."""
        route_id = request.path_params["route_id"]
        book = self._have.book
        return await self._have.executors.read(
            lambda: problem.answer(_view(book.one(route_id)))
        )

    async def test(self, request: Request) -> Response:
        """The path of labels."""
        seen = _seen(await _body(request, self._have))
        return problem.answer(await self._have.alerting.ask(lambda turn: _path(turn, seen)))

    async def _edit(
        self,
        document: Mapping[str, Any],
        work: Callable[[Turn], Sequence[str]],
        *,
        over: str | None = None,
    ) -> Sequence[str]:
        # Channels are looked at first, and on a thread of their own: a name may take seconds to
        # resolve, and neither the engine nor placements may stand behind that.
        told = await self._have.executors.wait(lambda: self._have.book.check(document, over))
        return [*await self._have.ask(work), *told]


async def _route(request: Request, routing: Routing) -> dict[str, Any]:
    """The document of a route."""
    given = await _body(request, routing)
    return {key: value for key, value in given.items() if key not in _SHOWN}


async def _body(request: Request, routing: Routing) -> dict[str, Any]:
    return json_body.document(await read_document(request, routing.around), _document)


def _seen(document: Mapping[str, Any]) -> dict[str, str]:
    given = document.get("labels", document)
    if not isinstance(given, Mapping):
        raise Refused("expected an object of texts", field="labels")
    if not document:
        raise Refused("required; {} are the labels of nothing", field="labels", code="missing")
    for name, value in given.items():
        if not name:
            raise Refused("a label has a name", field="labels", code="name")
        if not isinstance(value, str):
            raise Refused("expected text", field=f"labels.{name}"[:200])
    return matching.seen(labels.of(given), NOBODY, given.get("source", ""))


def _path(turn: Turn, seen: Mapping[str, str]) -> dict[str, Any]:
    trails = turn.engine.setup.tree.paths(seen)
    return {
        "receivers": [trail[-1].receiver for trail in trails],
        "paths": [[_step(route) for route in trail] for trail in trails],
    }


def _step(route: Route) -> dict[str, Any]:
    return {
        "route_id": route.id,
        "receiver": route.receiver,
        "matchers": [matching.to_document(matching.triple(one)) for one in route.matchers],
        "group_by": ["..."] if route.group_by is None else list(route.group_by),
        "group_wait_seconds": route.group_wait_ns / 1e9,
        "group_interval_seconds": route.group_interval_ns / 1e9,
        "repeat_interval_seconds": route.repeat_interval_ns / 1e9,
        "continue": route.continue_,
    }


def _view(one: RouteShown) -> dict[str, Any]:
    return {
        **msgspec.json.decode(one.shown),
        "route_id": one.id,
        "id": one.id,
        "position": one.position,
        "created_at": instant.text_of(one.created_ns),
        "updated_at": instant.text_of(one.updated_ns),
    }
