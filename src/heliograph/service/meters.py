"""The service's own metrics by name: one object that the runners are handed and count on.

Stages are silent; whoever calls them counts. Names of spec 001 are kept where they apply.
"""

from heliograph.service.measure import LATENCY_BUCKETS, Registry

PREFIX = "heliograph_"
POINTS_BUCKETS = (1, 5, 10, 20, 50, 100, 200, 500, 1000)
CONFIDENCE_BUCKETS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
CONTAINER = "primus_lens_telemetry_processor_container_event_"


class Meters:
    """Every counter and histogram of the flow; `gauges` adds what is read when asked for."""

    def __init__(self) -> None:
        registry = self.registry = Registry()
        self._requests(registry)
        self._flow(registry)
        self._logs(registry)
        self._training(registry)
        self._containers(registry)
        self._wandb(registry)
        self._detection(registry)

    def _requests(self, registry: Registry) -> None:
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

    def _flow(self, registry: Registry) -> None:
        counter, histogram = registry.counter, registry.histogram
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
        self.derived = counter(
            f"{PREFIX}derived_total", "Parts made of others and put into the log.", ("kind",)
        )

    def _logs(self, registry: Registry) -> None:
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
        self.log_plans = counter(
            "heliograph_log_lines_by_plan_total",
            "Lines read by plan, by whether a look at some of them found the plan wrong.",
            ("found",),
        )
        self.pattern_matches = counter(
            "log_pattern_match_total",
            "Lines that a rule of the grammar read.",
            ("framework", "pattern_type", "pattern_name"),
        )
        self.pattern_errors = counter(
            "log_pattern_match_error_total",
            "Lines that a pattern should have read and none did, and patterns that cannot be used.",
            ("framework", "error_type"),
        )

    def _training(self, registry: Registry) -> None:
        counter = registry.counter
        self.performance_saved = counter(
            "training_performance_save_total",
            "Training rows newly stored.",
            ("workload_uid", "source"),
        )
        self.performance_errors = counter(
            "training_performance_save_error_total",
            "Training rows that no store can hold.",
            ("workload_uid", "source"),
        )
        self.checkpoint_events = counter(
            "checkpoint_event_total", "Checkpoint events stored.", ("event_type", "framework")
        )
        self.checkpoint_errors = counter(
            "checkpoint_event_error_total",
            "Checkpoint events that no store can hold.",
            ("event_type", "framework"),
        )
        self.workload_events = counter(
            "workload_event_create_count", "Training starts and ends stored.", ()
        )
        self.workload_event_errors = counter(
            "workload_event_create_error_count",
            "Training starts and ends that no store can hold.",
            (),
        )
        self.event_streams = counter(
            "event_stream_create_count",
            "Records newly stored, by where they are from.",
            ("source",),
        )
        self.event_stream_errors = counter(
            "event_stream_create_error_count",
            "Records that no store can hold, by where they are from.",
            ("source",),
        )

    def _containers(self, registry: Registry) -> None:
        counter = registry.counter
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

    def _wandb(self, registry: Registry) -> None:
        """Spec 001's names for wandb: *type* is detection, metrics, logs or batch."""
        counter = registry.counter
        self.wandb_requests = counter("wandb_request_total", "Wandb requests.", ("type",))
        self.wandb_request_errors = counter(
            "wandb_request_error_total", "Wandb requests refused.", ("type", "error_type")
        )
        self.wandb_request_seconds = registry.histogram(
            "wandb_request_duration_seconds", "Time to answer a wandb request.", ("type",)
        )
        self.wandb_metrics_points = registry.histogram(
            "wandb_metrics_datapoint_count",
            "Values of one request of metrics.",
            ("workload_uid",),
            POINTS_BUCKETS,
        )
        self.wandb_metrics_stored = counter(
            "wandb_metrics_store_total", "Wandb steps taken.", ("workload_uid",)
        )
        self.wandb_metrics_errors = counter(
            "wandb_metrics_store_error_total", "Wandb values not taken.", ("workload_uid",)
        )
        self.wandb_logs_points = registry.histogram(
            "wandb_logs_datapoint_count",
            "Steps of one request of logs.",
            ("workload_uid",),
            POINTS_BUCKETS[:-1],
        )

    def _detection(self, registry: Registry) -> None:
        """Spec 001's names for what framework a job uses."""
        self.framework_detections = registry.counter(
            "log_framework_detection_total",
            "Frameworks detected, on lines once for each pod.",
            ("framework", "method", "source"),
        )
        self.framework_confidence = registry.histogram(
            "framework_detection_confidence",
            "Confidence of a detection, 0 to 1.",
            ("framework", "method"),
            CONFIDENCE_BUCKETS,
        )
        self.framework_detection_errors = registry.counter(
            "framework_detection_error_total",
            "Detections that named no framework.",
            ("source", "error_type"),
        )
