"""Routes made over the API: stored with the engine's other changes, in force from the same turn on."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from heliograph.alert.config import channel_numbers, routing_rules, setup
from heliograph.alert.config.channel_numbers import Numbered
from heliograph.alert.config.setup import Setup
from heliograph.alert.model import Integration, Receiver
from heliograph.alert.routes import Route
from heliograph.core.errors import Refused
from heliograph.service.alerting import Turn
from heliograph.store.state import alert_routes
from heliograph.store.state.alert_routes import RouteKept, RouteShown
from heliograph.store.state.state import State

log = logging.getLogger(__name__)

Document = Mapping[str, Any]
# Beside the keys of a stored document: the numbers of its channels.
NUMBERS = "channel_numbers"


class RouteBook:
    """Keeps routes in state. *file* is the setup of the configuration; *check* raises Refused for a
    channel that may not be, as an address that the guard refuses, and warns of templates that are
    none.
    """

    def __init__(
        self, state: State, file: Setup, check: Callable[[Integration], Sequence[str]]
    ) -> None:
        self._state = state
        self._file = file
        self._check = check

    def setup(self) -> Setup:
        """The file's setup with the stored routes before its tree. A stored route that can no longer
        be read, because the file lost what it names, is left out, and a warning says so."""
        return self._with(self._state.read(alert_routes.load))

    def check(self, document: Document, route_id: str | None = None) -> Sequence[str]:
        """Look at the channels of *document*, names resolved, as it would stand over *route_id*;
        warnings for who wrote it.

        It may take seconds, so it is not done in a turn. Raises Refused.
        """
        if route_id is not None:
            before = _of(self._state.read(alert_routes.load), route_id)
            document = self._unmasked(document, before)
        _, receiver, _ = routing_rules.from_document("new", document, self._file)
        warnings: list[str] = []
        for index, integration in enumerate(receiver.integrations):
            try:
                warnings += [
                    routing_rules.place_of(document, index, told)
                    for told in self._check(integration)
                ]
            except Refused as refused:
                field = routing_rules.place_of(document, index, refused.field)
                raise _placed(refused, field) from refused
        return warnings

    def create(self, turn: Turn, route_id: str, document: Document) -> Sequence[str]:
        """Make a route, tried after all others; warnings for who wrote it. Raises Refused."""
        warnings = self._read(route_id, document)
        kept = self._state.read(alert_routes.load)
        new = RouteKept(route_id, len(kept), msgspec.json.encode(document))
        self._put_into_force(turn, [*kept, new])
        turn.also(
            lambda tx: alert_routes.create(
                tx,
                route_id,
                document=new.document,
                shown=_shown(document),
                now_ns=turn.now_ns,
            )
        )
        return warnings

    def replace(self, turn: Turn, route_id: str, document: Document) -> Sequence[str]:
        """Put *document* in place of a route. Raises Refused, 404 where there is none."""
        kept = self._state.read(alert_routes.load)
        before = _of(kept, route_id)
        document = self._unmasked(document, before)
        warnings = self._read(route_id, document)
        numbers = channel_numbers.of(document, _numbered(before))
        changed = before._replace(document=msgspec.json.encode({**document, NUMBERS: numbers}))
        self._put_into_force(turn, [changed if one is before else one for one in kept])
        turn.also(
            lambda tx: alert_routes.replace(
                tx,
                route_id,
                document=changed.document,
                shown=_shown(document),
                now_ns=turn.now_ns,
            )
        )
        return warnings

    def remove(self, turn: Turn, route_id: str) -> None:
        """Remove a route. Raises Refused, 404 where there is none."""
        kept = self._state.read(alert_routes.load)
        gone = _of(kept, route_id)
        self._put_into_force(turn, [one for one in kept if one is not gone])
        turn.also(lambda tx: alert_routes.remove(tx, route_id))

    def one(self, route_id: str) -> RouteShown:
        """A route without its secrets. Raises Refused (404)."""
        return self._state.read(lambda tx: alert_routes.one(tx, route_id))

    def page(self, offset: int, limit: int) -> tuple[list[RouteShown], int]:
        """Routes in their order, without their secrets, and how many there are."""
        return self._state.read(lambda tx: alert_routes.page(tx, offset=offset, limit=limit))

    @staticmethod
    def _unmasked(document: Document, before: RouteKept) -> Document:
        found: Document = routing_rules.unmasked(document, _numbered(before).document)
        return found

    def _read(self, route_id: str, document: Document) -> Sequence[str]:
        """Warnings for who wrote *document*. Raises Refused."""
        _, _, warnings = routing_rules.from_document(route_id, document, self._file)
        return warnings

    def _put_into_force(self, turn: Turn, kept: Sequence[RouteKept]) -> None:
        turn.engine.reload(self._with(kept), turn.now_ns)

    def _with(self, kept: Sequence[RouteKept]) -> Setup:
        """The file's setup with those of *kept* that can be read: one that cannot is no reason to
        refuse an edit of another, and what is new was read before (`_read`)."""
        routes: list[Route] = []
        receivers: list[Receiver] = []
        for one in kept:
            document, numbers = _numbered(one)
            try:
                route, receiver, _ = routing_rules.from_document(
                    one.id, document, self._file, numbers
                )
            except Refused as refused:
                # It stays in the list, and nobody who looks there would know.
                log.warning(
                    "a stored route is not in force",
                    extra={"route": one.id, "why": refused.detail},
                )
                continue
            routes.append(route)
            receivers.append(receiver)
        return setup.with_api_routes(self._file, routes, receivers)


def _numbered(kept: RouteKept) -> Numbered:
    """The document of *kept*, and the numbers of its channels: those of places, where it was never
    edited."""
    document = msgspec.json.decode(kept.document)
    numbers = document.pop(NUMBERS, None)
    return Numbered(document, numbers or channel_numbers.first(document))


def _of(kept: Sequence[RouteKept], route_id: str) -> RouteKept:
    """The one of *kept*. Raises Refused (404)."""
    for one in kept:
        if one.id == route_id:
            return one
    raise Refused(f"no route {route_id[:100]!r}", code="not_found", status=404)


def _shown(document: Document) -> bytes:
    return msgspec.json.encode(routing_rules.masked(document))


def _placed(refused: Refused, field: str) -> Refused:
    """*refused* of a channel, at its place in the document."""
    return Refused(
        f"{field}: {refused.detail}", field=field, code=refused.code, status=refused.status
    )
