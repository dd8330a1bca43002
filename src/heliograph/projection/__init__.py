"""Memory telemetry as records (spec 003); the standard library, and a kernel where there is one.

    from heliograph.projection import project_telemetry_mapping

    record = project_telemetry_mapping({
        "session_id": "run-7", "timestamp_ns": 1, "event_type": "sample", "metadata": {}})
    record.record_id == "telemetry-…32 hexadecimal digits…"

The names of the document are found here, each loaded when it is first used. Modules: `events` (what
is projected: telemetry events, their validation and upgrades), `loading` (files of them), `sink` (an
append-only folder of them), `session`, `phases`, `collector_health`, `envelope` (records of the house).
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from heliograph.projection.mapping import (
        project_telemetry_mapping as project_telemetry_mapping,
    )
    from heliograph.projection.record import (
        TELEMETRY_PROJECTION_SCHEMA_VERSION as TELEMETRY_PROJECTION_SCHEMA_VERSION,
    )
    from heliograph.projection.record import (
        ProjectedTelemetryRecord as ProjectedTelemetryRecord,
    )
    from heliograph.projection.record import (
        projected_record_to_dict as projected_record_to_dict,
    )
    from heliograph.projection.record import (
        unique_projected_correlations as unique_projected_correlations,
    )
    from heliograph.projection.record import (
        unique_projected_resources as unique_projected_resources,
    )

_FOUND_IN = {
    "project_telemetry_mapping": "mapping",
    **dict.fromkeys(
        (
            *("TELEMETRY_PROJECTION_SCHEMA_VERSION", "ProjectedTelemetryRecord"),
            *("projected_record_to_dict", "unique_projected_correlations"),
            "unique_projected_resources",
        ),
        "record",
    ),
}


if not TYPE_CHECKING:
    from heliograph.core.lazy import face as _face

    __getattr__, __dir__ = _face(globals(), _FOUND_IN)
