"""What streams in: remote write, made durable on the ingest thread, and logs (`line_intake`)."""

from typing import NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from heliograph.core.clock import Clock
from heliograph.core.errors import Refused
from heliograph.receive import logs, remote_write
from heliograph.service import problem
from heliograph.service.backpressure import Backpressure
from heliograph.service.http import Endpoint, Surroundings, header, read_body
from heliograph.service.ingest import Ingest
from heliograph.service.line_intake import LineIntake
from heliograph.service.line_parses import Read, told
from heliograph.service.meters import Meters
from heliograph.service.negatives import Negatives
from heliograph.store.log.log import Log
from heliograph.wire import snappy

REMOTE_WRITE = "remote_write"
LOGS = "logs"
REJECTED_SHOWN_MAX = 20


class Intake(NamedTuple):
    """What the endpoints of this module work with."""

    around: Surroundings
    ingest: Ingest
    lines: LineIntake
    log: Log
    decoder: remote_write.Decoder
    decoded_bytes_max: int
    negatives: Negatives
    backpressure: Backpressure
    clock: Clock
    meters: Meters


class _Written(NamedTuple):
    """What a remote-write request came to."""

    samples: int
    received: remote_write.Received


def endpoints(intake: Intake) -> list[Endpoint]:
    """`POST /v1/prometheus` with its aliases, `POST /v1/logs`."""

    async def write(request: Request) -> Response:
        return await _remote_write(request, intake)

    async def post_logs(request: Request) -> Response:
        return await _logs(request, intake)

    return [
        Endpoint(
            "POST",
            "/v1/prometheus",
            "ingest",
            "Prometheus remote write 1.0.",
            write,
            request=("application/x-protobuf",),
            returns="204; 400 says how many parts were refused, the rest is stored",
            busy_status=429,
            aliases=("/v1/prometheus/api/v1/write", "/api/v1/write"),
        ),
        Endpoint(
            "POST",
            "/v1/logs",
            "ingest",
            "Container logs as Fluent Bit sends them.",
            post_logs,
            request=("application/json", "application/x-ndjson"),
            returns="how many entries were taken, which were refused, and what was read off them",
        ),
    ]


async def _remote_write(request: Request, intake: Intake) -> Response:
    meters = intake.meters
    try:
        remote_write.require_content(
            header(request, b"content-type"), header(request, b"content-encoding")
        )
        intake.backpressure.check()
        body = await read_body(request, intake.around)
        meters.received_bytes.add(len(body), REMOTE_WRITE)
        done = await intake.ingest.awaited(lambda: _write(body, intake))
    except Refused as error:
        meters.rejected.add(1, REMOTE_WRITE, error.code)
        raise
    received = done.received
    meters.received.add(done.samples + received.samples_rejected, REMOTE_WRITE, "samples")
    meters.received.add(received.exemplars, REMOTE_WRITE, "exemplars")
    meters.received.add(received.metadata, REMOTE_WRITE, "metadata")
    meters.received.add(received.ahead, REMOTE_WRITE, "samples_of_the_future")
    meters.received.add(received.behind, REMOTE_WRITE, "samples_of_the_past")
    for reason, count in received.rejected_by_reason.items():
        meters.rejected.add(count, REMOTE_WRITE, reason)
    if not received.rejected:
        return Response(status_code=204)
    return _partial_write(done)


def _write(body: bytes, intake: Intake) -> _Written:
    """On the ingest thread."""
    started_s = intake.clock.monotonic_s()
    raw = snappy.decompress(body, decoded_bytes_max=intake.decoded_bytes_max)
    received = intake.decoder.decode(raw, arrival_ns=intake.clock.now_ns())
    batch = intake.negatives.without(received.batch)
    dropped = received.batch.count - batch.count
    intake.meters.dropped.add(dropped, "samples", "drop_negative")
    if batch.count:
        intake.log.append_samples(batch)
    intake.meters.stage_seconds.observe(intake.clock.monotonic_s() - started_s, "decode")
    return _Written(batch.count, received)


def _partial_write(done: _Written) -> Response:
    received = done.received
    errors = [
        {"field": f"timeseries[{one.index}]", "message": one.detail, "code": one.reason}
        for one in received.rejected[:REJECTED_SHOWN_MAX]
    ]
    return problem.problem(
        400,
        f"{done.samples} samples stored; {received.shortfall}",
        code="partly_refused",
        errors=errors,
        extra={
            "stored_samples": done.samples,
            "refused_samples": received.samples_rejected,
            "refused_series": received.series_rejected,
            "refused_by_reason": received.rejected_by_reason,
        },
    )


async def _logs(request: Request, intake: Intake) -> Response:
    meters = intake.meters
    sender = request.client.host if request.client else ""
    encoding = header(request, b"content-encoding")
    try:
        intake.backpressure.check()
        body = await read_body(request, intake.around)
        meters.received_bytes.add(len(body), LOGS)
        read = await intake.lines.submit(body, encoding, sender)
    except Refused as error:
        meters.rejected.add(1, LOGS, error.code)
        raise
    _count_logs(read.batch, meters)
    return problem.encoded(_logs_answer(read.batch, read.read))


def _count_logs(batch: logs.LogBatch, meters: Meters) -> None:
    meters.received.add(batch.received, LOGS, "entries")
    meters.received.add(len(batch.lines), LOGS, "lines")
    for one in batch.rejected:
        meters.rejected.add(1, LOGS, one.reason)
    meters.rejected.add(batch.rejected_total - len(batch.rejected), LOGS, "unlisted")
    meters.rejected.add(batch.counts.blank, LOGS, "blank_line")
    for name in ("time_missing", "future", "cut", "invalid_utf8"):
        meters.received.add(getattr(batch.counts, name), LOGS, name)
    meters.log_latency.observe_each(batch.latencies)
    meters.log_latency_histogram.observe_each(batch.latencies)


def _logs_answer(batch: logs.LogBatch, read: Read) -> bytes:
    counts = told(read.parsed)
    return msgspec.json.encode(
        {
            "received": batch.received,
            "accepted": batch.accepted,
            "rejected": [
                {"index": one.index, "reason": one.reason, "detail": one.detail}
                for one in batch.rejected
            ],
            "performance": counts.performance,
            "events": counts.events,
        }
    )
