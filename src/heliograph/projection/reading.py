"""Records of any version to events, and events to dictionaries and projected records.

    event = telemetry_event_from_record(json.loads(line))
    project_telemetry_event(event).attributes["memory.device.used_bytes"]

A record of version 3 is taken as it is once it is valid, one of version 2 becomes 3, one of version 4
stays 4; one without a version is upgraded (`projection.legacy`). See `projection.event` for the fields.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from heliograph.kernels.canonical import thawed
from heliograph.projection import legacy
from heliograph.projection.event import (
    FIELDS,
    OPTIONAL,
    READ_VERSIONS,
    SCHEMA_VERSION_V2,
    SCHEMA_VERSION_V3,
    TelemetryEvent,
    ordinary,
    validate_telemetry_record,
)
from heliograph.projection.mapping import project_telemetry_mapping
from heliograph.projection.record import ProjectedTelemetryRecord


def telemetry_event_from_record(
    record: Mapping[str, Any],
    permissive_legacy: bool = True,
    *,
    default_collector: str = "legacy.unknown",
    default_sampling_interval_ms: int = 0,
    default_session_id: str | None = None,
) -> TelemetryEvent:
    """The event of *record*, of version 2, 3 or 4, or, if *permissive_legacy*, without a version.

    The defaults are for what older records leave out; *default_session_id* instead of one made from
    time, host and process. The event shares its metadata with *record*. ValueError names the field.
    """
    if not isinstance(record, Mapping):
        raise ValueError("telemetry record must be an object")  # noqa: TRY004 - as for its fields
    event = ordinary(record)
    if event is not None:
        return event
    if "schema_version" in record:
        validate_telemetry_record(record, versions=READ_VERSIONS)
        if record["schema_version"] == SCHEMA_VERSION_V2:
            session_id = legacy.session_id(record, record["metadata"], default_session_id)
            record = {**record, "schema_version": SCHEMA_VERSION_V3, "session_id": session_id}
        return TelemetryEvent(**{**OPTIONAL, **record})
    if not permissive_legacy:
        raise ValueError("Legacy record conversion is disabled")
    upgraded = legacy.upgraded(
        record,
        default_collector=default_collector,
        default_sampling_interval_ms=default_sampling_interval_ms,
        default_session_id=default_session_id,
    )
    validate_telemetry_record(upgraded)
    return TelemetryEvent(**upgraded)


def telemetry_event_to_dict(event: TelemetryEvent) -> dict[str, Any]:
    """*event* as a dictionary of plain values, its fields in their order; shares nothing with it."""
    return {**zip_fields(event), "metadata": thawed(dict(event.metadata))}


def zip_fields(event: TelemetryEvent) -> dict[str, Any]:
    """*event* as a dictionary that shares its metadata."""
    return dict(zip(FIELDS, event, strict=True))


def project_telemetry_event(
    event: TelemetryEvent | Mapping[str, Any], *, observed_timestamp_ns: int | None = None
) -> ProjectedTelemetryRecord:
    """The projected record of *event*; see `project_telemetry_mapping`."""
    return project_telemetry_mapping(
        zip_fields(event) if isinstance(event, TelemetryEvent) else event,
        observed_timestamp_ns=observed_timestamp_ns,
    )


def project_telemetry_events(
    events: Iterable[TelemetryEvent | Mapping[str, Any]],
    *,
    observed_timestamp_ns: int | None = None,
) -> list[ProjectedTelemetryRecord]:
    """The projected records of *events*, in order. One at a time: `map(project_telemetry_event, …)`."""
    return [
        project_telemetry_event(event, observed_timestamp_ns=observed_timestamp_ns)
        for event in events
    ]
