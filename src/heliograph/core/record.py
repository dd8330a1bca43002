"""Record: the one envelope of everything that is not a sample, and never changes once made.

Log findings, training events, checkpoints, container events, bridge events, memory telemetry: all
are records. The fields are those of the projected telemetry record (`heliograph.projection`), which
`projection.envelope` makes into one of these and back; the mappings hold what JSON has: text, numbers,
booleans, None, lists and mappings of these.

A record made from a line has an id computed from the line's identity (`record_id`), so that
replaying the log changes nothing: appending a record twice is appending it once.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

SCHEMA_VERSION: Literal[1] = 1


class Record(NamedTuple):
    """One thing that happened.

    record_id               `telemetry-` and 32 hexadecimal digits; equal id, equal record
    timestamp_ns            when it happened, by its source's clock; UTC nanoseconds
    observed_timestamp_ns   when we were told
    session_id              the producer's or run's id
    source_kind             `log`, `container`, `cuda`, `bridge`, …
    event_type              `checkpoint_save_end`, `oom`, …
    stage                   phase or iteration it belongs to, where known
    severity                `critical`, `error`, `warning`, `info`, `debug`
    severity_text           severity in the source's own words
    body                    the line or message itself
    resource                who: pod, node, device, rank
    attributes              what: the event's own fields
    correlation             links: workload, run, trace
    """

    record_id: str
    timestamp_ns: int
    observed_timestamp_ns: int
    session_id: str
    source_kind: str
    event_type: str
    stage: str | None = None
    severity: str | None = None
    severity_text: str | None = None
    body: str | None = None
    resource: Mapping[str, Any] = {}
    attributes: Mapping[str, Any] = {}
    correlation: Mapping[str, Any] = {}

    @property
    def schema_version(self) -> Literal[1]:
        """The version of these fields and their meaning; told in answers, not stored."""
        return SCHEMA_VERSION


def record_id(*identity: str | int) -> str:
    """A deterministic id of *identity*; parts are length-prefixed, so they cannot run together."""
    return id_of(packed(*identity))


def packed(*identity: str | int) -> bytes:
    """Parts of an identity as bytes: those of the whole are the bytes of its parts, joined."""
    encoded = [str(part).encode("utf-8", "surrogatepass") for part in identity]
    return b"".join([b"%d:%b" % (len(part), part) for part in encoded])


def id_of(identity: bytes) -> str:
    """The id of an *identity* that is `packed`."""
    return f"telemetry-{hashlib.sha256(identity).hexdigest()[:32]}"
