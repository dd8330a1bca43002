"""The service's own metrics by name: one object that the runners are handed and count on.

Stages are silent; whoever calls them counts. Names of spec 001 are kept where they apply.
"""

from heliograph.service.measure import LATENCY_BUCKETS, Registry

PREFIX = "heliograph_"
CONTAINER = "primus_lens_telemetry_processor_container_event_"


class Meters:
    """Every counter and histogram of the flow; `gauges` adds what is read when asked for."""

    def __init__(self) -> None:
        registry = self.registry = Registry()
        counter, histogram = registry.counter, registry.histogram
        self.requests = counter(
            "http_requests_total", "Requests answered.", ("method", "path", "status")
        )
        self.request_errors = counter(
            "http_request_errors_total",
            "Requests answered 4xx or 5xx.",
            ("method", "path", "status"),
        )
        self.request_seconds = histogram(
            "http_request_duration_seconds", "Time to answer.", ("method", "path")
        )
        self.received = counter(
            f"{PREFIX}received_total", "Parts received in a request.", ("protocol", "kind")
        )
        self.received_bytes = counter(
            f"{PREFIX}received_bytes_total", "Request bytes read.", ("protocol",)
        )
        self.rejected = counter(
            f"{PREFIX}rejected_total",
            "Parts or requests refused for good.",
            ("protocol", "reason"),
        )
        self.refused_for_now = counter(
            f"{PREFIX}unavailable_total", "Requests told to come again.", ("reason",)
        )
        self.attributed = counter(
            f"{PREFIX}attributed_total",
            "Samples and lines whose owner was found.",
            ("kind", "by"),
        )
        self.unattributed = counter(
            f"{PREFIX}unattributed_total",
            "Samples and lines without an owner.",
            ("kind", "reason"),
        )
        self.stored = counter(
            f"{PREFIX}stored_total", "Parts stored by the applier.", ("kind",)
        )
        self.dropped = counter(
            f"{PREFIX}dropped_total",
            "Acknowledged parts given up, by reason.",
            ("kind", "reason"),
        )
        self.stage_seconds = histogram(
            f"{PREFIX}stage_seconds", "Time one batch spent in a stage.", ("stage",)
        )
        self.transaction_seconds = histogram(
            f"{PREFIX}transaction_seconds",
            "Time a state transaction held the writer.",
            ("lane",),
        )
        self.forwarded = counter(
            f"{PREFIX}forwarded_total",
            "Samples sent on by remote write.",
            ("target", "outcome"),
        )
        self._training(registry)

    def _training(self, registry: Registry) -> None:
        counter = registry.counter
        self.log_latency = registry.summary(
            "log_consume_latency_seconds", "From the line's own time to its arrival.", ("node",)
        )
        self.log_latency_histogram = registry.histogram(
            "log_consume_latency_histogram_seconds",
            "From the line's own time to its arrival.",
            ("node",),
            LATENCY_BUCKETS,
        )
        self.log_lines = counter(
            "log_analysis_consume_count", "Lines read, by what they were.", ("type",)
        )
        self.pattern_matches = counter(
            "log_pattern_match_total",
            "Lines that a rule of the grammar read.",
            ("framework", "pattern_type", "pattern_name"),
        )
        self.performance_saved = counter(
            "training_performance_save_total",
            "Training rows newly stored.",
            ("workload_uid", "source"),
        )
        self.checkpoint_events = counter(
            "checkpoint_event_total", "Checkpoint events stored.", ("event_type", "framework")
        )
        self.workload_events = counter(
            "workload_event_create_count", "Training starts and ends stored.", ()
        )
        self.container_events = counter(
            f"{CONTAINER}recv_total", "Container events received.", ("source", "node")
        )
        self.container_event_errors = counter(
            f"{CONTAINER}error_total",
            "Container events refused.",
            ("source", "node", "error_type"),
        )
        self.container_event_seconds = registry.histogram(
            f"{CONTAINER}processing_duration_seconds",
            "Time to keep one event.",
            ("source", "node"),
        )
        self.container_event_batch = registry.histogram(
            f"{CONTAINER}batch_size", "Events per batch.", (), (1, 6, 11, 16, 31, 61, 96)
        )
