"""Events and metrics recorded inside a process, and what they come to (spec 002).

    from heliograph.recorder import BridgeTelemetry

    telemetry = BridgeTelemetry(config={
        "storage_config": {"backend": "timeseries_db", "connection_string": "data/telemetry"},
    })
    telemetry.record_event({"event_type": "COMMAND", "source": "core", "data": {"id": 1}})
    telemetry.record_metric("took_ms", 127, context={"command_type": "EXECUTE_TASK"})
    telemetry.get_metrics(["took_ms"], every="1m", by=["command_type"], aggregation="P95")

In memory, in a data folder on the service's own stores (`wiring`, which needs heliograph[server]),
or over HTTP (`remote`). The standard library alone where nothing else is said.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from heliograph.recorder.bridge import BridgeTelemetry as BridgeTelemetry
    from heliograph.recorder.error_answers import ErrorHandler as ErrorHandler
    from heliograph.recorder.journal import BridgeLogger as BridgeLogger
    from heliograph.recorder.monitors import Alert as Alert

_FOUND_IN = {
    "BridgeTelemetry": "bridge",
    "ErrorHandler": "error_answers",
    "BridgeLogger": "journal",
    "Alert": "monitors",
}


if not TYPE_CHECKING:
    from heliograph.core.lazy import face as _face

    __getattr__, __dir__ = _face(globals(), _FOUND_IN)
