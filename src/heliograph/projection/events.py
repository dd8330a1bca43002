"""Telemetry events by the names their users know; this module only gathers them.

    event = telemetry_event_from_record(json.loads(line))
    project_telemetry_event(event).attributes["memory.device.used_bytes"]
    for session in load_telemetry_sessions("run.jsonl"): …

`event` has the fields and their validation, `reading` the versions, `legacy` what was before them,
`distributed` ranks and jobs, `loading` files.
"""
# ruff: noqa: PLC0414 - by these aliases type checkers know that it is meant

from heliograph.projection.distributed import Identity as Identity
from heliograph.projection.distributed import (
    resolve_distributed_identity as resolve_distributed_identity,
)
from heliograph.projection.event import SCHEMA_VERSION_V2 as SCHEMA_VERSION_V2
from heliograph.projection.event import SCHEMA_VERSION_V3 as SCHEMA_VERSION_V3
from heliograph.projection.event import SCHEMA_VERSION_V4 as SCHEMA_VERSION_V4
from heliograph.projection.event import TelemetryEvent as TelemetryEvent
from heliograph.projection.event import validate_telemetry_record as validate_telemetry_record
from heliograph.projection.loading import LoadedTelemetrySession as LoadedTelemetrySession
from heliograph.projection.loading import load_telemetry_sessions as load_telemetry_sessions
from heliograph.projection.reading import project_telemetry_event as project_telemetry_event
from heliograph.projection.reading import project_telemetry_events as project_telemetry_events
from heliograph.projection.reading import (
    telemetry_event_from_record as telemetry_event_from_record,
)
from heliograph.projection.reading import telemetry_event_to_dict as telemetry_event_to_dict
