"""project_telemetry_mapping: a telemetry event, as a mapping, to a projected record.

    {"session_id": "run-7", "timestamp_ns": 1, "event_type": "sample", "collector": "x.cuda_tracker",
     "rank": 0, "device_used_bytes": 4096, "metadata": {"backend": "cuda"}, …}
      → source_kind "cuda", severity "info", resource {"rank": 0, …},
        attributes {"backend": "cuda", "memory.device.used_bytes": 4096, …}, correlation {…}

Source: spec 003 (version 0.3.9 of its package). Later versions keep any backend as the source kind,
where this one knows five and infers the kind otherwise; *any_backend* asks for the later way.
"""
# ruff: noqa: TRY004 - what is wrong with a record is a ValueError, whatever it is

from collections.abc import Mapping
from typing import Any

from heliograph.kernels.canonical import canonical
from heliograph.projection import parts
from heliograph.projection.identity_digest import json_bytes, of_bytes
from heliograph.projection.record import ProjectedTelemetryRecord, made

# In the order in which they are looked for in a collector's name.
_KINDS = ("cuda", "rocm", "mps", "cpu", "tensorflow")
_SEVERITIES = {
    "critical": "critical",
    "error": "error",
    "warning": "warning",
    "collector_degraded": "warning",
    **dict.fromkeys(
        ("collector_recovered", "start", "stop", "phase_enter", "phase_exit", "sample"), "info"
    ),
}
_REQUIRES = "projected telemetry record requires"


def project_telemetry_mapping(
    record: Mapping[str, Any],
    *,
    observed_timestamp_ns: int | None = None,
    any_backend: bool = False,
) -> ProjectedTelemetryRecord:
    """The projected record of *record*, whatever further keys it has.

    *observed_timestamp_ns* is when it was seen, by default when it happened; no part of the id.
    ValueError, in this order, without session_id, integer timestamp_ns, an integer
    observed_timestamp_ns from 0, event_type, or with metadata that is no mapping.
    """
    session_id, timestamp_ns, event_type, metadata = _checked(record, observed_timestamp_ns)
    canonical_bytes = canonical(record)
    source = parts.source_of(record, plain=canonical_bytes is not None)
    severity_text, body = metadata.get("severity_text"), record.get("context")
    return made(
        {
            "schema_version": 1,
            "record_id": of_bytes(canonical_bytes or json_bytes(record)),
            "timestamp_ns": timestamp_ns,
            "observed_timestamp_ns": timestamp_ns
            if observed_timestamp_ns is None
            else observed_timestamp_ns,
            "session_id": session_id,
            "source_kind": _source_kind(record, metadata, any_backend),
            "event_type": event_type,
            "stage": _stage(metadata.get("phase_scope")),
            "severity": _severity(event_type, metadata),
            "severity_text": None if severity_text is None else str(severity_text),
            "body": None if body is None else str(body),
        },
        source,
    )


def _checked(
    record: Mapping[str, Any], observed_timestamp_ns: object
) -> tuple[str, int, str, Mapping[str, Any]]:
    session_id, timestamp_ns = record.get("session_id"), record.get("timestamp_ns")
    if not (isinstance(session_id, str) and session_id.strip()):
        raise ValueError(f"{_REQUIRES} session_id")
    if not isinstance(timestamp_ns, int) or timestamp_ns is True or timestamp_ns is False:
        raise ValueError(f"{_REQUIRES} integer timestamp_ns")
    if observed_timestamp_ns is not None:
        _check_observed(observed_timestamp_ns)
    event_type, metadata = record.get("event_type"), record.get("metadata", {})
    if not (isinstance(event_type, str) and event_type.strip()):
        raise ValueError(f"{_REQUIRES} event_type")
    if type(metadata) is not dict and not isinstance(metadata, Mapping):
        raise ValueError("projected telemetry record metadata must be a mapping")
    return session_id, timestamp_ns, event_type, metadata


def _check_observed(observed_timestamp_ns: object) -> None:
    if not isinstance(observed_timestamp_ns, int) or isinstance(observed_timestamp_ns, bool):
        raise ValueError(f"{_REQUIRES} integer observed_timestamp_ns")
    if observed_timestamp_ns < 0:
        raise ValueError(f"{_REQUIRES} non-negative observed_timestamp_ns")


def _source_kind(
    record: Mapping[str, Any], metadata: Mapping[str, Any], any_backend: bool
) -> str:
    backend = metadata.get("backend")
    if isinstance(backend, str):
        named = backend.strip().lower()
        if named in _KINDS or (any_backend and named):
            return named
    collector = record.get("collector")
    if isinstance(collector, str):
        lowered = collector.lower()
        for kind in _KINDS:
            if kind in lowered:
                return kind
    device_id = record.get("device_id")
    return "gpu" if isinstance(device_id, int) and device_id >= 0 else "other"


def _severity(event_type: str, metadata: Mapping[str, Any]) -> str | None:
    told = metadata.get("severity")
    if isinstance(told, str) and (named := told.strip().lower()):
        return named
    return _SEVERITIES.get(event_type.strip().lower())


def _stage(scope: object) -> str | None:
    if not isinstance(scope, Mapping):
        return None
    name, path = scope.get("name"), scope.get("path")
    if isinstance(name, str) and name.strip():
        return name
    tail = path[-1] if isinstance(path, list) and path else None
    return tail if isinstance(tail, str) and tail.strip() else None
