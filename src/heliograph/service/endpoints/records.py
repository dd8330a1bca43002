"""Records in and out, and lines tried out: `/v1/records`, `POST /v1/parse`.

What is posted is read beside ingest, and made durable by it: the records, and with them the samples
of their memory counters, in one commit.
"""

from typing import Any, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from heliograph.core import instant
from heliograph.core.clock import Clock
from heliograph.core.errors import Refused
from heliograph.core.record import Record
from heliograph.core.series import SeriesTable
from heliograph.receive import records as received_records
from heliograph.receive.record_samples import Counters, Samples
from heliograph.receive.records import RecordBatch, RecordLimits
from heliograph.service import params, problem, record_frames
from heliograph.service.backpressure import Backpressure
from heliograph.service.executors import Executors
from heliograph.service.freshness import Reads
from heliograph.service.http import Endpoint, Parameter, Surroundings, header, read_body
from heliograph.service.ingest import Ingest
from heliograph.service.log_patterns import PatternBook
from heliograph.service.meters import Meters
from heliograph.store.log.log import Log
from heliograph.store.records.protocol import RecordStore
from heliograph.training.parse import Parsed
from heliograph.wire import records as wire_records

PARSE_LINES_MAX = 10_000
FILTERS = ("session_id", "source_kind", "event_type", "severity")
ORDERS = ("newest", "oldest")
RECORDS = "records"


class Taking(NamedTuple):
    """What posted records go through; *keep_ns* is how long records are kept."""

    ingest: Ingest
    log: Log
    table: SeriesTable
    backpressure: Backpressure
    clock: Clock
    meters: Meters
    limits: RecordLimits
    keep_ns: int


class Reading(NamedTuple):
    """What the endpoints of this module work with; *patterns* say how the site reads lines."""

    around: Surroundings
    records: RecordStore
    executors: Executors
    reads: Reads
    list_max: int
    taking: Taking
    patterns: PatternBook


class ParseRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /v1/parse`."""

    lines: list[str]
    framework: str | None = None


def endpoints(reading: Reading) -> list[Endpoint]:
    """The three of them."""

    async def post(request: Request) -> Response:
        return await _posted(request, reading)

    async def listed(request: Request) -> Response:
        def found() -> Response:
            params.known(request, (*FILTERS, "start", "end", "order", "offset", "limit"))
            offset, limit = params.page(request, reading.list_max)
            found, total = _page(request, reading.records, offset, limit)
            items = [wire_records.document(one) for one in found]
            return problem.listing(items, total, offset, limit)

        return await reading.reads.answer(found)

    async def parse(request: Request) -> Response:
        body = await read_body(request, reading.around)

        def parsed() -> Response:
            asked = _asked(body)
            read = reading.patterns.in_force().parse
            items = [
                _parsed(index, read(line), asked.framework)
                for index, line in enumerate(asked.lines)
            ]
            return problem.answer({"items": items})

        return await reading.executors.read(parsed)

    filters = tuple(Parameter(name, f"only of this {name}", repeated=True) for name in FILTERS)
    return [
        Endpoint(
            "POST", "/v1/records", "ingest", "Memory telemetry events, or projected records.",
            post, request=("application/json", "application/x-ndjson"),
            returns="how many were taken, and which were refused, with the field",
        ),
        Endpoint(
            "GET", "/v1/records", "view", "Records, newest first.", listed,
            (
                *filters, Parameter("start", "instant"), Parameter("end", "instant, exclusive"),
                Parameter("order", "newest (first), or oldest"),
                Parameter("offset", "first item"), Parameter("limit", "items, at most 1000"),
            ),
        ),
        Endpoint(
            "POST", "/v1/parse", "view", "What lines say; nothing is stored.", parse,
            request=("application/json",),
        ),
    ]  # fmt: skip


def _page(
    request: Request, records: RecordStore, offset: int, limit: int
) -> tuple[list[Record], int]:
    """The records asked for, and how many there are in all."""
    chosen = {name: request.query_params.getlist(name) for name in FILTERS}
    asked: dict[str, Any] = {
        "types": chosen["event_type"] or None,
        "severities": chosen["severity"] or None,
        "source_kinds": chosen["source_kind"] or None,
        "start_ns": params.instant_ns(request, "start", instant.AT_NS_MIN),
        "end_ns": params.instant_ns(request, "end", instant.AT_NS_MAX),
        "newest_first": params.choice(request, "order", ORDERS, ORDERS[0]) == ORDERS[0],
        "offset": offset,
        "limit": limit,
    }
    sessions = chosen["session_id"]
    page = records.query(streams=sessions or None, **asked)
    if len(sessions) == 1 and not page.total:
        # Records that say in which pod they were made lie under the pod; their session is asked for.
        page = records.query(session_id=sessions[0], **asked)
    return page.items, page.total


async def _posted(request: Request, reading: Reading) -> Response:
    taking = reading.taking
    meters = taking.meters
    encoding = header(request, b"content-encoding")
    try:
        taking.backpressure.check()
        body = await read_body(request, reading.around)
        meters.received_bytes.add(len(body), RECORDS)
        read = await reading.executors.bodies(lambda: _read(body, encoding, taking))
        if read.payloads:
            samples = await taking.ingest.awaited(lambda: _append(read, taking))
            meters.received.add(samples.batch.count, RECORDS, "samples")
            meters.rejected.add(samples.refused, RECORDS, "series_limit")
            meters.rejected.add(samples.out_of_range, RECORDS, "counter_range")
    except Refused as error:
        meters.rejected.add(1, RECORDS, error.code)
        raise
    _count(read.batch, meters)
    return problem.answer(_taken(read.batch, taking.clock.now_ns() - taking.keep_ns))


class _Read(NamedTuple):
    """A body, read: its records, and all of them for the log."""

    batch: RecordBatch
    payloads: list[tuple[bytes, int]]


def _read(body: bytes, encoding: str | None, taking: Taking) -> _Read:
    """On the thread for lines: a body of many costs seconds, which ingest must not wait for."""
    started_s = taking.clock.monotonic_s()
    batch = received_records.decode(
        body,
        content_encoding=encoding,
        arrival_ns=taking.clock.now_ns(),
        limits=taking.limits,
    )
    payloads = record_frames.payloads(batch.records)
    taking.meters.stage_seconds.observe(taking.clock.monotonic_s() - started_s, "read_records")
    return _Read(batch, payloads)


def _append(read: _Read, taking: Taking) -> Samples:
    """On the ingest thread, where nobody makes the table forget: records and samples, one commit."""
    samples = Counters(taking.table.intern).samples(read.batch.records)
    if samples.batch.count:
        taking.table.touch(list(set(samples.batch.series.tolist())), taking.clock.now_ns())
        taking.log.append_samples(samples.batch)
    for payload, count in read.payloads:
        taking.log.append_records(payload, count)
    return samples


def _count(batch: RecordBatch, meters: Meters) -> None:
    meters.received.add(batch.received, RECORDS, RECORDS)
    for one in batch.rejected:
        meters.rejected.add(1, RECORDS, one.reason)
    meters.rejected.add(batch.rejected_total - len(batch.rejected), RECORDS, "unlisted")


def _taken(batch: RecordBatch, floor_ns: int) -> dict[str, Any]:
    """The answer. `expired`: taken, but older than records are kept, so gone in a moment."""
    expired = sum(record.timestamp_ns < floor_ns for record in batch.records)
    return {
        "received": batch.received,
        "accepted": batch.received - batch.rejected_total,
        "rejected": [one._asdict() for one in batch.rejected],
        **({"expired": expired} if expired else {}),
    }


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


def _parsed(index: int, one: Parsed, framework: str | None) -> dict[str, Any]:
    return {
        "index": index,
        "kind": one.kind,
        "framework": one.framework if framework is None else framework,
        "fields": one.fields,
        "events": [event._asdict() for event in one.events],
        "rule": one.rule,
    }
