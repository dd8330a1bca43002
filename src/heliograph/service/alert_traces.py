"""What a trace alert tells of an operation, as a record in the log: rules of source `trace` count it.

    {"service_name": "dataloader", "operation": "load_batch", "duration": 5000, "trace_id": "t-1", …}
      → Record(source_kind="trace", event_type="trace",
               attributes={"service_name", "operation", "duration_ms", "trace_id", "span_id"})

An operation is known by its trace and span: told again, under another rule's name too, it is the same
record, and counts once. One without a trace id is told anew with each alert.
"""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import msgspec

from heliograph.alert.model import Post
from heliograph.core.record import Record, record_id
from heliograph.receive.alert_webhook import as_text
from heliograph.service.ingest import Ingest
from heliograph.store.log.log import Log
from heliograph.wire import records as wire_records

KIND = "trace"
_OWN = ("service_name", "operation", "trace_id", "span_id")

_document = msgspec.json.Decoder(dict[str, Any])


def noting(ingest: Ingest, log: Log) -> Callable[[Post], "Future[None] | None"]:
    """A function that appends the record of a post to *log*; done when it is durable, None where
    there is nothing to append. It raises Unavailable, and so does its future."""

    def note(post: Post) -> "Future[None] | None":
        if post.status == "resolved":
            return None
        payload = wire_records.encode([record(post)])

        def append() -> None:
            log.append_records(payload, 1)

        return ingest.submit(append, urgent=True)

    return note


def record(post: Post) -> Record:
    """The operation that the trace alert *post* tells of."""
    given = _document.decode(post.raw)
    own = {key: text for key in _OWN if (text := as_text(given.get(key)))}
    duration = given.get("duration")
    hints = post.hints
    # Without an id of its own each telling is an operation.
    told = 0 if "trace_id" in own else post.received_ns
    names = (own.get(key, "") for key in _OWN)
    return Record(
        record_id=record_id(KIND, *names, as_text(duration), told),
        timestamp_ns=post.at_ns,
        observed_timestamp_ns=post.received_ns,
        session_id=hints.pod_id or hints.workload_id or own.get("trace_id", KIND),
        source_kind=KIND,
        event_type=KIND,
        severity=post.severity or None,
        body=as_text(given.get("message")) or None,
        resource={
            "pod_uid": hints.pod_id,
            "pod_name": hints.pod_name,
            "node": hints.node_name,
            "workload_id": hints.workload_id,
            "cluster_name": hints.cluster_name,
        },
        attributes={
            "service_name": "",
            "operation": "",
            **own,
            **({} if duration is None else {"duration_ms": float(duration)}),
        },
        correlation={key: own[key] for key in ("trace_id", "span_id") if key in own},
    )
