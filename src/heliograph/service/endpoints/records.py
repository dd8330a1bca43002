"""Records out, and lines tried out: `GET /v1/records`, `POST /v1/parse`."""

from typing import Any, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from heliograph.core import instant
from heliograph.core.errors import Refused
from heliograph.service import params, problem
from heliograph.service.executors import Executors
from heliograph.service.freshness import Reads
from heliograph.service.http import Endpoint, Parameter, Surroundings, read_body
from heliograph.store.records.protocol import RecordStore
from heliograph.training.parse import Parsed, parse_line
from heliograph.wire import records as wire_records

PARSE_LINES_MAX = 10_000
FILTERS = ("session_id", "source_kind", "event_type", "severity")


class Reading(NamedTuple):
    """What the endpoints of this module work with."""

    around: Surroundings
    records: RecordStore
    executors: Executors
    reads: Reads
    list_max: int


class ParseRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /v1/parse`."""

    lines: list[str]
    framework: str | None = None


def endpoints(reading: Reading) -> list[Endpoint]:
    """The two of them."""

    async def listed(request: Request) -> Response:
        def found() -> Response:
            params.known(request, (*FILTERS, "start", "end", "offset", "limit"))
            chosen = {name: request.query_params.getlist(name) for name in FILTERS}
            offset, limit = params.page(request, reading.list_max)
            page = reading.records.query(
                streams=chosen["session_id"] or None,
                types=chosen["event_type"] or None,
                severities=chosen["severity"] or None,
                source_kinds=chosen["source_kind"] or None,
                start_ns=params.instant_ns(request, "start", instant.AT_NS_MIN),
                end_ns=params.instant_ns(request, "end", instant.AT_NS_MAX),
                offset=offset,
                limit=limit,
            )
            items = [wire_records.document(one) for one in page.items]
            return problem.listing(items, page.total, offset, limit)

        return await reading.reads.answer(found)

    async def parse(request: Request) -> Response:
        body = await read_body(request, reading.around)

        def parsed() -> Response:
            asked = _asked(body)
            items = [
                _parsed(index, parse_line(line, asked.framework))
                for index, line in enumerate(asked.lines)
            ]
            return problem.answer({"items": items})

        return await reading.executors.read(parsed)

    filters = tuple(Parameter(name, f"only of this {name}", repeated=True) for name in FILTERS)
    return [
        Endpoint(
            "GET", "/v1/records", "view", "Records, newest first.", listed,
            (
                *filters, Parameter("start", "instant"), Parameter("end", "instant, exclusive"),
                Parameter("offset", "first item"), Parameter("limit", "items, at most 1000"),
            ),
        ),
        Endpoint(
            "POST", "/v1/parse", "view", "What lines say; nothing is stored.", parse,
            request=("application/json",),
        ),
    ]  # fmt: skip


def _asked(body: bytes) -> ParseRequest:
    try:
        asked = msgspec.json.decode(body, type=ParseRequest)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$.")
        raise Refused(text, field=path.rstrip("`") or "body") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(f"not JSON: {error}", field="body") from error
    if len(asked.lines) > PARSE_LINES_MAX:
        raise Refused(
            f"{len(asked.lines)} lines, limit {PARSE_LINES_MAX}", field="lines", status=413
        )
    return asked


def _parsed(index: int, one: Parsed) -> dict[str, Any]:
    return {
        "index": index,
        "kind": one.kind,
        "framework": one.framework,
        "fields": one.fields,
        "events": [event._asdict() for event in one.events],
        "rule": one.rule,
    }
