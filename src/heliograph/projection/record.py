"""ProjectedTelemetryRecord: one thing that happened, as users of spec 003 know it.

    ProjectedTelemetryRecord(
        schema_version=1, record_id="telemetry-…", timestamp_ns=1, observed_timestamp_ns=1,
        session_id="run-7", source_kind="cuda", event_type="phase_enter", stage="forward",
        severity="info", severity_text=None, body="Phase entered: train / forward",
        resource={"rank": 1, …}, attributes={"memory.device.used_bytes": 4096, …},
        correlation={"session_id": "run-7", "phase.scope_id": "run-7:2", …})

Its fields are those of `core.record.Record`, the envelope of the house, and the schema's version;
`projection.envelope` converts (decision 0012). The functions here read either.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from heliograph.core.record import Record
from heliograph.kernels.canonical import canonical, thawed
from heliograph.projection import parts
from heliograph.projection.frozen import FrozenMapping, freeze
from heliograph.projection.identity_digest import json_bytes

TELEMETRY_PROJECTION_SCHEMA_VERSION: Literal[1] = 1

_MAPPINGS = ("resource", "attributes", "correlation")
_SOURCE = "_source"


@dataclass(frozen=True)
class ProjectedTelemetryRecord:
    """One thing that happened. Nothing in it can be changed; equal fields are equal records.

    The mappings are frozen when it is made, whatever was given; what the fields mean is told at
    `core.record.Record`.
    """

    schema_version: Literal[1]
    record_id: str
    timestamp_ns: int
    observed_timestamp_ns: int
    session_id: str
    source_kind: str
    event_type: str
    stage: str | None
    severity: str | None
    severity_text: str | None
    body: str | None
    resource: Mapping[str, Any] = field(default_factory=FrozenMapping)
    attributes: Mapping[str, Any] = field(default_factory=FrozenMapping)
    correlation: Mapping[str, Any] = field(default_factory=FrozenMapping)

    def __post_init__(self) -> None:
        for name in _MAPPINGS:
            object.__setattr__(self, name, freeze(getattr(self, name)))

    def __hash__(self) -> int:
        # Of the id alone, as it is a digest of the rest.
        return hash(self.record_id)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """A mapping that nobody asked for yet: `made` leaves them to be built when first needed."""
            if name in _MAPPINGS:
                fields = self.__dict__
                source = fields.get(_SOURCE)
                if source is not None:
                    # All three before the source goes: another thread finds the one or the other.
                    fields.update(parts.of(source, fields["source_kind"]))
                    fields.pop(_SOURCE, None)
                if name in fields:
                    return fields[name]
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

        def __getstate__(self) -> dict[str, Any]:
            return {name: getattr(self, name) for name in self.__dataclass_fields__}


def made(fields: dict[str, Any], source: parts.Source) -> ProjectedTelemetryRecord:
    """A record of *fields*, which are handed over, whose mappings are made of *source*."""
    record = object.__new__(ProjectedTelemetryRecord)
    fields[_SOURCE] = source
    object.__setattr__(record, "__dict__", fields)
    return record


def projected_record_to_dict(record: ProjectedTelemetryRecord | Record) -> dict[str, Any]:
    """*record* as a plain dictionary of its 14 fields, in their order; shares nothing with it."""
    return {
        "schema_version": record.schema_version,
        "record_id": record.record_id,
        "timestamp_ns": record.timestamp_ns,
        "observed_timestamp_ns": record.observed_timestamp_ns,
        "session_id": record.session_id,
        "source_kind": record.source_kind,
        "event_type": record.event_type,
        "stage": record.stage,
        "severity": record.severity,
        "severity_text": record.severity_text,
        "body": record.body,
        "resource": _plain(record.resource),
        "attributes": _plain(record.attributes),
        "correlation": _plain(record.correlation),
    }


def unique_projected_resources(
    records: Iterable[ProjectedTelemetryRecord | Record],
) -> list[dict[str, Any]]:
    """The resources of *records*, each once, in the order they are first met."""
    return _unique(records, lambda record: record.resource)


def unique_projected_correlations(
    records: Iterable[ProjectedTelemetryRecord | Record],
) -> list[dict[str, Any]]:
    """The correlations of *records*, each once, in the order they are first met."""
    return _unique(records, lambda record: record.correlation)


def _unique(
    records: Iterable[ProjectedTelemetryRecord | Record],
    part: Callable[[ProjectedTelemetryRecord | Record], Mapping[str, Any]],
) -> list[dict[str, Any]]:
    found: dict[bytes, dict[str, Any]] = {}
    for record in records:
        plain = _plain(part(record))
        # As JSON, since 1 and True are told apart there.
        found.setdefault(canonical(plain) or json_bytes(plain), plain)
    return list(found.values())


def _plain(mapping: Mapping[str, Any]) -> dict[str, Any]:
    return thawed(mapping if isinstance(mapping, dict) else dict(mapping))
