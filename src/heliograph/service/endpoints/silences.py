"""Silences over `/v1/silences`, and over Alertmanager's `/api/v2/silences`."""

import re
import uuid
from collections.abc import Callable
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from heliograph.alert import grammar, matching, silence_documents, silences
from heliograph.alert.model import Silence
from heliograph.alert.silences import Wanted
from heliograph.core.errors import Refused
from heliograph.receive import json_body
from heliograph.service import alert_view, params, problem
from heliograph.service.alerting import Alerting, Turn
from heliograph.service.endpoints.foreign import endpoint, require_json
from heliograph.service.http import Endpoint, Parameter, Surroundings, read_document

T = TypeVar("T")

STATES = ("pending", "active", "expired", "all")
JSON = ("application/json",)
FILTER = Parameter("filter", "a matcher; all must hold", repeated=True)

# Alerts that are counted for who makes a silence; the engine does nothing else meanwhile.
MATCHES_MAX = 10_000

_document = msgspec.json.Decoder()
_UUID = re.compile(r"[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}", re.IGNORECASE | re.ASCII)


class Silencing(NamedTuple):
    """What the endpoints of this module work with."""

    around: Surroundings
    alerting: Alerting
    list_max: int

    async def ask(self, work: Callable[[Turn], T]) -> T:
        """What *work*, which changes nothing, answers on the engine's thread."""
        return await self.alerting.ask(work)

    async def change(self, work: Callable[[Turn], T]) -> T:
        """Run *work* on the engine's thread; what it changes is on disk then."""
        return await self.alerting.awaited(work)


def endpoints(silencing: Silencing) -> list[Endpoint]:
    """CRUD of silences in both forms."""
    return [*_ours(silencing), *_foreign(silencing)]


def _ours(silencing: Silencing) -> list[Endpoint]:
    async def post(request: Request) -> Response:
        wanted, warnings = silence_documents.from_document(await _object(request, silencing))
        return await _answer_put(silencing, wanted, warnings, status=201)

    async def put(request: Request) -> Response:
        wanted, warnings = silence_documents.from_document(await _object(request, silencing))
        wanted = msgspec.structs.replace(wanted, id=request.path_params["silence_id"])
        return await _answer_put(silencing, wanted, warnings, status=200)

    async def listed(request: Request) -> Response:
        params.known(request, ("state", "offset", "limit"))
        state = params.choice(request, "state", STATES, "active")
        offset, limit = params.page(request, silencing.list_max)

        def work(turn: Turn) -> tuple[list[Silence], int]:
            some = turn.engine.silences()
            return sorted(some, key=lambda one: (-one.created_ns, one.id)), turn.now_ns

        found, now_ns = await silencing.ask(work)
        chosen = [one for one in found if state in {"all", silences.state(one, now_ns)}]
        items = [alert_view.silence(one, now_ns) for one in chosen[offset : offset + limit]]
        return problem.listing(items, len(chosen), offset, limit)

    async def one(request: Request) -> Response:
        silence_id = request.path_params["silence_id"]
        found, now_ns = await silencing.ask(
            lambda turn: (_known(turn, silence_id), turn.now_ns)
        )
        return problem.answer(alert_view.silence(found, now_ns))

    async def delete(request: Request) -> Response:
        silence_id = request.path_params["silence_id"]
        await silencing.change(lambda turn: _expire(turn, silence_id))
        return Response(status_code=204)

    listing = tuple(
        Parameter(name, text)
        for name, text in (
            ("state", "pending, active (default), expired or all"),
            ("offset", "items to leave out"),
            ("limit", "items at most"),
        )
    )
    path = "/v1/silences/{silence_id}"
    return [
        Endpoint(
            "POST", "/v1/silences", "edit", "Make a silence.", post,
            request=JSON, returns="its id, and how many alerts it matches now", control=True,
        ),
        Endpoint("GET", "/v1/silences", "view", "List silences.", listed, listing),
        Endpoint("GET", path, "view", "One silence.", one),
        Endpoint(
            "PUT", path, "edit", "Change a silence; its id where it can go on, else a new one.", put,
            request=JSON, control=True,
        ),
        Endpoint(
            "DELETE", path, "edit", "End a silence now.", delete, returns="204", control=True
        ),
    ]  # fmt: skip


def _foreign(silencing: Silencing) -> list[Endpoint]:
    async def post(request: Request) -> Response:
        require_json(request)
        wanted = silence_documents.from_v2(await _body(request, silencing))
        made = await silencing.change(lambda turn: _put(turn, wanted))
        return problem.answer({"silenceID": made.id})

    async def listed(request: Request) -> Response:
        matchers = filters(request)

        def work(turn: Turn) -> tuple[list[Silence], int]:
            return silences.listed(turn.engine.silences(), turn.now_ns), turn.now_ns

        found, now_ns = await silencing.ask(work)
        return problem.answer(
            [
                alert_view.silence_v2(one, now_ns)
                for one in found
                # As there: what a silence holds is asked for, not what it would match.
                if all(matching.triple(matcher) in one.matchers for matcher in matchers)
            ]
        )

    async def one(request: Request) -> Response:
        silence_id = _uuid(request)
        found, now_ns = await silencing.ask(
            lambda turn: (_known(turn, silence_id), turn.now_ns)
        )
        return problem.answer(alert_view.silence_v2(found, now_ns))

    async def delete(request: Request) -> Response:
        silence_id = _uuid(request)
        await silencing.change(lambda turn: _expire(turn, silence_id))
        return Response(status_code=200)

    make, of_one = "Make or change a silence (Alertmanager v2).", "silence/{silence_id}"
    return [
        endpoint("POST", "silences", "edit", make, post, request=JSON, control=True),
        endpoint(
            *("GET", "silences", "view", "List silences (Alertmanager v2).", listed),
            parameters=(FILTER,),
            control=True,
        ),
        endpoint("GET", of_one, "view", "One silence (Alertmanager v2).", one, control=True),
        endpoint(
            "DELETE", of_one, "edit", "End a silence (Alertmanager v2).", delete, control=True
        ),
    ]


def filters(request: Request) -> list[Any]:
    """The matchers of `filter=`, as Alertmanager reads them. Raises Refused."""
    found = []
    for text in request.query_params.getlist("filter"):
        if len(text) > params.MATCHER_CHARS_MAX:
            raise Refused(f"{len(text)} characters", field="filter")
        try:
            found.append(grammar.matcher(text))
        except ValueError as error:
            raise Refused(f"bad matcher format: {error}", field="filter") from error
    if len(found) > params.MATCHERS_MAX:
        raise Refused(f"{len(found)} matchers, limit {params.MATCHERS_MAX}", field="filter")
    return found


async def _body(request: Request, silencing: Silencing) -> Any:
    return json_body.document(await read_document(request, silencing.around), _document)


async def _object(request: Request, silencing: Silencing) -> Any:
    given = await _body(request, silencing)
    if not isinstance(given, dict):
        raise Refused("expected an object", field="body")
    return given


async def _answer_put(
    silencing: Silencing, wanted: Wanted, warnings: list[str], *, status: int
) -> Response:
    made, matches = await silencing.change(lambda turn: _put_and_count(turn, wanted))
    answer = {"silence_id": made.id, "matches_now": matches, "warnings": warnings}
    return problem.answer(answer, status)


def _put_and_count(turn: Turn, wanted: Wanted) -> tuple[Silence, int]:
    """As `_put`; the silence, and how many firing alerts it matches now, at most `MATCHES_MAX`."""
    made = _put(turn, wanted)
    matches = turn.engine.find(wanted.matchers, turn.now_ns)
    return made, sum(1 for _ in islice(matches, MATCHES_MAX))


def _put(turn: Turn, wanted: Wanted) -> Silence:
    """Put what is *wanted* into force. Raises Refused, 409 where there are too many."""
    existing = turn.engine.silence(wanted.id) if wanted.id else None
    changed = silences.update(existing, wanted, now_ns=turn.now_ns, new_id=str(uuid.uuid4()))
    try:
        silences.check_room(turn.engine.silences(), changed, turn.now_ns)
    except Refused:
        turn.engine.counts["silences_full"] += 1
        raise
    for silence in changed:
        turn.engine.put_silence(silence)
    return changed[-1]


def _expire(turn: Turn, silence_id: str) -> None:
    if turn.engine.expire_silence(silence_id, turn.now_ns) is None:
        raise _unknown()


def _known(turn: Turn, silence_id: str) -> Silence:
    found = turn.engine.silence(silence_id)
    if found is None:
        raise _unknown()
    return found


def _unknown() -> Refused:
    return Refused("silence not found", field="id", code="not_found", status=404)


def _uuid(request: Request) -> str:
    given = str(request.path_params["silence_id"])
    if _UUID.fullmatch(given) is None:
        words = f"silenceID in path must be of type uuid: {given[:60]!r}"
        raise Refused(words, field="silence_id", status=422)
    return given
