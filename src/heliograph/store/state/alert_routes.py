"""Routes made over the API, in the order in which they are tried.

A route's document holds its channels' secrets and is read by `load` alone, for the engine. What
is shown is another column, which the service fills with its secrets taken out: no list and no
single look-up reads the document, so none can show it.

A route that is removed while its channels are owed something stays, at the place GONE, for `load`.
"""

from typing import Any, NamedTuple

from sqlalchemy import Column, Connection, Index, Table, func, select

from heliograph.core.errors import Refused
from heliograph.store.state.columns import Bytes, Int64, KeyText, metadata

ROUTES_MAX = 500
LIMIT_MAX = 1000
GONE = -1
DOCUMENT_BYTES_MAX = 256 * 1024

ROUTES = Table(
    "alert_routes",
    metadata,
    Column("id", KeyText, primary_key=True),
    Column("position", Int64, nullable=False),
    Column("document", Bytes, nullable=False),
    Column("shown", Bytes, nullable=False),
    Column("created_ns", Int64, nullable=False),
    Column("updated_ns", Int64, nullable=False),
    Index(None, "position", "id"),
)
_C = ROUTES.c
_ORDER = (_C.position, _C.created_ns, _C.id)


class RouteShown(NamedTuple):
    """A route as anyone may see it; *shown* is JSON without secrets."""

    id: str
    position: int
    shown: bytes
    created_ns: int
    updated_ns: int


class RouteKept(NamedTuple):
    """A route as the engine needs it; *document* is JSON with secrets: never to be answered. At GONE
    there is no such route any more."""

    id: str
    position: int
    document: bytes


def create(
    tx: Connection,
    route_id: str,
    *,
    document: bytes,
    shown: bytes,
    now_ns: int,
) -> int:
    """Keep a route, after all others, and return its position.

    Refused: `ROUTES_MAX` are there, the id is (409), or the document is too large (413).
    """
    _check(document)
    there, last = tx.execute(
        select(func.count(), func.max(_C.position)).where(_C.position > GONE)
    ).one()
    if there >= ROUTES_MAX:
        raise Refused(f"{there} routes, limit {ROUTES_MAX}", code="limit", status=409)
    if tx.execute(select(_C.id).where(_C.id == route_id)).first() is not None:
        raise Refused(f"route {route_id!r} is already there", code="conflict", status=409)
    position = 0 if last is None else int(last) + 1
    tx.execute(
        ROUTES.insert(),
        {
            "id": route_id,
            "position": position,
            "document": document,
            "shown": shown,
            "created_ns": now_ns,
            "updated_ns": now_ns,
        },
    )
    return position


def replace(
    tx: Connection,
    route_id: str,
    *,
    document: bytes,
    shown: bytes,
    now_ns: int,
) -> None:
    """Keep another document for *route_id*, where it was. Refused: 404, 413."""
    _check(document)
    values = {"document": document, "shown": shown, "updated_ns": now_ns}
    there = (_C.id == route_id) & (_C.position > GONE)
    if not tx.execute(ROUTES.update().where(there).values(values)).rowcount:
        raise _unknown(route_id)


def keep(tx: Connection, route_id: str, document: bytes, *, gone: bool) -> None:
    """Keep another document for *route_id* and nothing else; *gone*: there is no such route from now
    on. Refused (404) where there is none."""
    values: dict[str, Any] = {"document": document}
    if gone:
        values |= {"position": GONE, "shown": b"{}"}
    if not tx.execute(ROUTES.update().where(_C.id == route_id).values(values)).rowcount:
        raise _unknown(route_id)


def remove(tx: Connection, route_id: str) -> None:
    """Forget the route *route_id*. Refused (404) where there is none."""
    if not tx.execute(ROUTES.delete().where(_C.id == route_id)).rowcount:
        raise _unknown(route_id)


def one(tx: Connection, route_id: str) -> RouteShown:
    """The route *route_id*, without secrets. Refused (404) where there is none."""
    row = tx.execute(_shown().where(_C.id == route_id, _C.position > GONE)).first()
    if row is None:
        raise _unknown(route_id)
    return RouteShown(*row)


def page(tx: Connection, *, offset: int = 0, limit: int = 50) -> tuple[list[RouteShown], int]:
    """One page of the routes in the order in which they are tried, without secrets, and how many
    there are in all."""
    count = select(func.count()).select_from(ROUTES).where(_C.position > GONE)
    total = tx.execute(count).scalar_one()
    wanted = _shown().where(_C.position > GONE).order_by(*_ORDER)
    wanted = wanted.offset(offset).limit(max(0, min(limit, LIMIT_MAX)))
    return [RouteShown(*row) for row in tx.execute(wanted)], total


def load(tx: Connection) -> list[RouteKept]:
    """Every route in the order in which they are tried, with secrets: at most `ROUTES_MAX`, and
    before them those that are gone."""
    wanted = select(_C.id, _C.position, _C.document).order_by(*_ORDER)
    return [RouteKept(*row) for row in tx.execute(wanted)]


def _shown() -> Any:
    return select(_C.id, _C.position, _C.shown, _C.created_ns, _C.updated_ns)


def _check(document: bytes) -> None:
    if len(document) > DOCUMENT_BYTES_MAX:
        raise Refused(f"{len(document)} bytes, limit {DOCUMENT_BYTES_MAX}", status=413)


def _unknown(route_id: str) -> Refused:
    return Refused(f"no route {route_id!r}", code="not_found", status=404)
