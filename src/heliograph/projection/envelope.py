"""Projected records as records of the house, and back.

    record_of(projected)     core.record.Record: what the log and the stores hold
    projected_of(record)     ProjectedTelemetryRecord: what users of spec 003 hold

Nothing is lost of what JSON has, NaN and integers of any size included:
`projected_of(record_of(p)) == p` (decision 0012). Sets become sorted lists, and what is neither
becomes its text.
"""

from collections.abc import Mapping
from typing import Any

from heliograph.core.record import Record
from heliograph.projection.record import ProjectedTelemetryRecord

_JSON = (str, int, float, type(None))


def record_of(projected: ProjectedTelemetryRecord) -> Record:
    """*projected* as the log and the stores hold it; its mappings are plain dicts and lists."""
    return Record(
        record_id=projected.record_id,
        timestamp_ns=projected.timestamp_ns,
        observed_timestamp_ns=projected.observed_timestamp_ns,
        session_id=projected.session_id,
        source_kind=projected.source_kind,
        event_type=projected.event_type,
        stage=projected.stage,
        severity=projected.severity,
        severity_text=projected.severity_text,
        body=projected.body,
        resource=_plain(projected.resource),
        attributes=_plain(projected.attributes),
        correlation=_plain(projected.correlation),
    )


def projected_of(record: Record) -> ProjectedTelemetryRecord:
    """*record*, of whatever kind, as a projected record."""
    return ProjectedTelemetryRecord(schema_version=record.schema_version, **record._asdict())


def _plain(value: Any) -> Any:
    if isinstance(value, _JSON):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, (set, frozenset)):
        return sorted(map(_plain, value), key=lambda each: (type(each).__name__, str(each)))
    return str(value)
