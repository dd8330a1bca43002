"""The three integrations of spec 004: metrics fed by the events of coordination, messaging, health.

    setup_messaging_hooks(collector, queue_size=inbox.qsize)
    collector.record_event("message_received", {"queue_size": 12, "processing_ms": 3.5})

An event counts whatever it holds. Figures are taken from its value, or else its metadata, under
the names listed here; a name that ends in `_ms` holds milliseconds, any other duration seconds.
Set up a second time, nothing happens.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sized
from typing import TYPE_CHECKING, Any

from heliograph.core.clock import Clock, SystemClock

if TYPE_CHECKING:
    from heliograph.instruments.collector import TelemetryCollector
    from heliograph.instruments.events import TelemetryEvent

LATENCY = ("latency_seconds", "latency_s", "latency", "latency_ms", "rtt_seconds", "rtt_ms")
DURATION = (
    *("processing_duration_seconds", "processing_seconds", "processing_time", "processing_ms"),
    *(
        "duration_seconds",
        "duration_s",
        "duration",
        "duration_ms",
        "elapsed_seconds",
        "elapsed",
    ),
)
CHECK_DURATION = (
    *("check_duration_seconds", "check_duration", "duration_seconds", "duration_s", "duration"),
    *("duration_ms", "elapsed_seconds", "elapsed", "latency_seconds", "latency", "latency_ms"),
)
QUEUE = ("queue_size", "queue_length", "queue_depth", "message_queue_size", "queue", "pending")
ACTIVE = ("active_nodes", "nodes_active", "node_count", "nodes")
NODE = ("node_id", "node", "sender", "sender_id", "source", "source_node", "from")
STATUS = {"UNKNOWN": 0, "HEALTHY": 1, "DEGRADED": 2, "UNHEALTHY": 3}

# A node that was not heard of for so long is not active, where nobody says how many are.
NODE_SILENT_S = 300.0
NODES_MAX = 10_000


def setup_coordination_hooks(
    collector: "TelemetryCollector",
    *,
    active_nodes: Callable[[], float] | None = None,
    clock: Clock | None = None,
) -> None:
    """Count `coordination_message` events, their latency, and the nodes that take part.

    *active_nodes* is asked at each collection run. Without it the gauge holds what events say
    (`active_nodes`), or else how many nodes (`node_id`) were heard of within five minutes.
    """
    if collector.get_metric("coordination_messages_total") is not None:
        return
    total = collector.register_counter(
        "coordination_messages_total", "Total coordination messages"
    )
    active = collector.register_gauge(
        "coordination_active_nodes", "Number of active coordination nodes"
    )
    latency = collector.register_histogram(
        "coordination_message_latency_seconds", "Coordination message latency"
    )
    heard = _Heard(clock or SystemClock())

    def on_message(event: "TelemetryEvent") -> None:
        total.increment()
        _observe(latency.observe, event, LATENCY)
        said = _size(event, ACTIVE)
        node = next((value for _, value in _found(event, NODE) if value is not None), None)
        if node is not None and said is None:
            said = heard.of(str(node)[:256])
        if said is not None:
            active.set(said)

    def on_collection(_: object) -> None:
        if active_nodes is not None:
            active.set(active_nodes())
        elif heard.counting:
            active.set(heard.now())

    collector.add_hook("coordination_message", on_message, inline=True)
    collector.add_hook("collection", on_collection, inline=True)


def setup_messaging_hooks(
    collector: "TelemetryCollector", *, queue_size: Callable[[], float] | None = None
) -> None:
    """Count `message_sent` and `message_received` events, the queue, and the time a message took.

    *queue_size* (`queue.qsize`) is asked at each collection run and at each message; without it
    the gauge holds what events say (`queue_size`).
    """
    if collector.get_metric("messages_sent_total") is not None:
        return
    sent = collector.register_counter("messages_sent_total", "Total messages sent")
    received = collector.register_counter("messages_received_total", "Total messages received")
    queue = collector.register_gauge("message_queue_size", "Current message queue size")
    duration = collector.register_histogram(
        "message_processing_duration_seconds", "Message processing duration"
    )

    def on_sent(event: "TelemetryEvent") -> None:
        sent.increment()
        measure(event)

    def on_received(event: "TelemetryEvent") -> None:
        received.increment()
        measure(event)

    def measure(event: "TelemetryEvent") -> None:
        _observe(duration.observe, event, DURATION)
        size = _size(event, QUEUE) if queue_size is None else queue_size()
        if size is not None:
            queue.set(size)

    def on_collection(_: object) -> None:
        if queue_size is not None:
            queue.set(queue_size())

    collector.add_hook("message_sent", on_sent, inline=True)
    collector.add_hook("message_received", on_received, inline=True)
    collector.add_hook("collection", on_collection, inline=True)


def setup_health_hooks(collector: "TelemetryCollector") -> None:
    """Follow `health_check` events: `status` (UNKNOWN, HEALTHY, DEGRADED, UNHEALTHY), duration.

    Any other status is 0, unknown.
    """
    if collector.get_metric("health_status") is not None:
        return
    status = collector.register_gauge(
        "health_status",
        "Current health status (0=unknown, 1=healthy, 2=degraded, 3=unhealthy)",
    )
    total = collector.register_counter("health_checks_total", "Total health checks performed")
    duration = collector.register_histogram(
        "health_check_duration_seconds", "Health check duration"
    )

    def on_check(event: "TelemetryEvent") -> None:
        total.increment()
        said = event.value.get("status") if isinstance(event.value, Mapping) else None
        # A member of an enumeration says it by its name.
        word = said if isinstance(said, str) else getattr(said, "name", None)
        status.set(STATUS.get(word, 0) if isinstance(word, str) else 0)
        _observe(duration.observe, event, CHECK_DURATION)

    collector.add_hook("health_check", on_check, inline=True)


class _Heard:
    """Nodes by when they were last heard of, the newest last."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._nodes: OrderedDict[str, float] = OrderedDict()

    @property
    def counting(self) -> bool:
        return bool(self._nodes)

    def of(self, node: str) -> int:
        """How many are active, *node* among them."""
        self._nodes[node] = self._clock.monotonic_s()
        self._nodes.move_to_end(node)
        if len(self._nodes) > NODES_MAX:
            self._nodes.popitem(last=False)
        return self.now()

    def now(self) -> int:
        """How many are active."""
        silent_s = self._clock.monotonic_s() - NODE_SILENT_S
        return sum(1 for heard_s in list(self._nodes.values()) if heard_s > silent_s)


def _found(event: "TelemetryEvent", names: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for part in (event.value, event.metadata):
        if isinstance(part, Mapping):
            yield from ((name, part[name]) for name in names if name in part)


def _observe(
    observe: Callable[[float], None], event: "TelemetryEvent", names: tuple[str, ...]
) -> None:
    """Observe the first non-negative finite number among *names*, in seconds."""
    for name, value in _found(event, names):
        if isinstance(value, int | float) and not isinstance(value, bool):
            seconds = value / 1000 if name.endswith("_ms") else value
            if math.isfinite(seconds) and seconds >= 0:
                observe(seconds)
                return


def _size(event: "TelemetryEvent", names: tuple[str, ...]) -> float | None:
    """The first number among *names*, or how many a collection there holds."""
    for _, value in _found(event, names):
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value
        if isinstance(value, Sized) and not isinstance(value, str | bytes):
            return len(value)
    return None
