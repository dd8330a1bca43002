"""Routes made over the API: stored with the engine's other changes, in force from the same turn on."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from heliograph.alert.config import routing_rules, setup
from heliograph.alert.config.setup import Setup
from heliograph.alert.model import Integration, Receiver
from heliograph.alert.routes import Route
from heliograph.core.errors import Refused
from heliograph.service import route_stored
from heliograph.service.alerting import Turn
from heliograph.service.route_stored import Stored
from heliograph.store.state import alert_routes
from heliograph.store.state.alert_routes import RouteKept, RouteShown
from heliograph.store.state.state import State

log = logging.getLogger(__name__)

Document = Mapping[str, Any]
# Routes that are gone and owe their channels an end still.
GONE_MAX = alert_routes.ROUTES_MAX


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
        kept = self.sweep(turn)
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
        kept = self.sweep(turn)
        before = _of(kept, route_id)
        document = self._unmasked(document, before)
        warnings = self._read(route_id, document)
        edited = self._owing(turn, route_stored.read(before).edited(document))
        changed = before._replace(document=edited.encoded())
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
        """Remove a route; what its channels were told to fire, they are still told the end of. Raises
        Refused, 404 where there is none."""
        kept = self.sweep(turn)
        before = _of(kept, route_id)
        rest = [one for one in kept if one is not before]
        left = self._owing(turn, route_stored.read(before).edited({}))
        if not left.retired or sum(map(_is_gone, kept)) >= GONE_MAX:
            self._put_into_force(turn, rest)
            turn.also(lambda tx: alert_routes.remove(tx, route_id))
            return
        gone = RouteKept(route_id, alert_routes.GONE, left.encoded())
        self._put_into_force(turn, [gone, *rest])
        turn.also(lambda tx: alert_routes.keep(tx, route_id, gone.document, gone=True))

    def sweep(self, turn: Turn) -> list[RouteKept]:
        """Forget the retired channels that are owed nothing any more, and the routes that are gone
        with all of theirs: what is kept then."""
        found: list[RouteKept] = []
        loaded = self._state.read(alert_routes.load)
        read = [route_stored.read(one) for one in loaded]
        # All that was told is looked through for it: once, however many routes there are.
        owed = turn.engine.owed() if any(one.retired for one in read) else frozenset()
        for one, stored in zip(loaded, read, strict=True):
            left = stored.owing(owed, self._file)
            if _is_gone(one) and not left.retired:
                turn.also(partial(alert_routes.remove, route_id=one.id))
                continue
            if len(left.retired) < len(stored.retired):
                one = one._replace(document=left.encoded())  # noqa: PLW2901 - the one that is kept
                keep = partial(alert_routes.keep, route_id=one.id, document=one.document)
                turn.also(partial(keep, gone=_is_gone(one)))
            found.append(one)
        return found

    def _owing(self, turn: Turn, stored: Stored) -> Stored:
        if not stored.retired:
            return stored
        return stored.owing(turn.engine.owed(), self._file)

    def one(self, route_id: str) -> RouteShown:
        """A route without its secrets. Raises Refused (404)."""
        return self._state.read(lambda tx: alert_routes.one(tx, route_id))

    def page(self, offset: int, limit: int) -> tuple[list[RouteShown], int]:
        """Routes in their order, without their secrets, and how many there are."""
        return self._state.read(lambda tx: alert_routes.page(tx, offset=offset, limit=limit))

    @staticmethod
    def _unmasked(document: Document, before: RouteKept) -> Document:
        stored = route_stored.read(before)
        found: Document = routing_rules.unmasked(document, stored.document)
        return found

    def _read(self, route_id: str, document: Document) -> Sequence[str]:
        """Warnings for who wrote *document*. Raises Refused."""
        routing_rules.check_words(document)
        _, _, warnings = routing_rules.from_document(route_id, document, self._file)
        return warnings

    def _put_into_force(self, turn: Turn, kept: Sequence[RouteKept]) -> None:
        turn.engine.reload(self._with(kept), turn.now_ns)

    def _with(self, kept: Sequence[RouteKept]) -> Setup:
        """The file's setup with those of *kept* that can be read: one that cannot is no reason to
        refuse an edit of another, and what is new was read before (`_read`)."""
        routes: list[Route] = []
        receivers: list[Receiver] = []
        retired: list[Integration] = []
        for one in kept:
            stored = route_stored.read(one)
            retired += stored.integrations(self._file)
            if _is_gone(one):
                continue
            try:
                route, receiver, _ = routing_rules.from_document(
                    one.id, stored.document, self._file, stored.numbers
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
        return setup.with_api_routes(self._file, routes, receivers, retired)


def _is_gone(kept: RouteKept) -> bool:
    return kept.position == alert_routes.GONE


def _of(kept: Sequence[RouteKept], route_id: str) -> RouteKept:
    """The one of *kept*. Raises Refused (404)."""
    for one in kept:
        if one.id == route_id and not _is_gone(one):
            return one
    raise Refused(f"no route {route_id[:100]!r}", code="not_found", status=404)


def _shown(document: Document) -> bytes:
    return msgspec.json.encode(routing_rules.masked(document))


def _placed(refused: Refused, field: str) -> Refused:
    """*refused* of a channel, at its place in the document."""
    return Refused(
        f"{field}: {refused.detail}", field=field, code=refused.code, status=refused.status
    )
