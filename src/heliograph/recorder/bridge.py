"""BridgeTelemetry: what a program records events and metrics with. It answers; it never raises, but
when it is made with a configuration that cannot be used (ConfigError).

    {"status": "success", "event_id": "f47ac10b-…", "timestamp": "2025-05-21T14:32:17.123000"}
    {"status": "error", "error": {"code": "INVALID_EVENT", "message": "…", "details": {…}}}

Source: spec 002, whose interface (§2.1: an event id) and implementation (§3.1: a dict) differ; this
answers the dict.
"""

import atexit
import threading
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Self

from heliograph.core.clock import Clock, SystemClock
from heliograph.core.errors import HeliographError
from heliograph.recorder import aggregation as aggregations
from heliograph.recorder import (
    asking,
    batch,
    checks,
    forking,
    ids,
    moments,
    monitors,
    query,
    settings,
)
from heliograph.recorder.error_answers import SOURCE, ErrorHandler
from heliograph.recorder.error_rate import ErrorRate
from heliograph.recorder.faults import Faults
from heliograph.recorder.journal import BridgeLogger
from heliograph.recorder.memory import MemoryStore
from heliograph.recorder.monitors import Callback
from heliograph.recorder.store import Policy, RecorderStore
from heliograph.recorder.subscription import ITEMS_MAX, Subscription
from heliograph.recorder.watching import Watching

VERSION = "0.8.0"
EVERY = "1m"
# How often a recorder in use looks whether something is too old.
RETAIN_EVERY_S = 300.0


class BridgeTelemetry:
    """Records events and metrics and answers what they came to. Thread-safe."""

    def __init__(
        self, config: Mapping[str, Any] | None = None, *, clock: Clock | None = None
    ) -> None:
        self.config = config or {}
        self._clock = clock or SystemClock()
        self.logger = BridgeLogger(settings.section(self.config, "logger_config"), self._clock)
        self.error_handler = ErrorHandler(self.logger)
        self._policy = settings.policy(self.config)
        self.storage: RecorderStore = settings.open_store(
            self.config, self._clock, ids.event_id()
        )
        self._faults = Faults(self._callback_raised)
        rows = self.storage.rows
        self._watching = Watching(
            self._faults, ErrorRate(self.logger, self.config), self._clock, self.storage
        )
        # What is usual, where calls return at once.
        self._record = _never if rows is None else rows.record
        self._own: dict[str, aggregations.Own] = {}
        self._stamps = moments.Stamps()
        self.begin_again()
        forking.watch(self)
        self._events = self._metrics = self._unread = 0
        self._started_s = self._clock.monotonic_s()
        # A folder sees to it by itself, a service too.
        self._retains = isinstance(self.storage, MemoryStore) and self._policy != Policy()
        self._retain_due_s = self._started_s + RETAIN_EVERY_S
        self._now_ns = self._clock.now_ns
        self._add_point = self.storage.add_point
        self._at_exit = _close_at_exit(self)

    def begin_again(self) -> None:
        """In the child of a fork: with a lock of its own. Nobody else needs to call it."""
        # Re-entrant, here and in the stores: a signal handler may record while its thread does.
        self._counting = threading.RLock()

    # -- recording -----------------------------------------------------------------------

    def record_event(self, event_data: dict[str, Any]) -> dict[str, Any]:
        """Record *event_data*, which gets an `event_id` and a `timestamp` where it has none."""
        try:
            if "event_id" not in event_data or event_data["event_id"] is None:
                event_data["event_id"] = ids.event_id()
            now_ns = self._now_ns()
            ours = event_data.get("timestamp") is None
            if ours:
                event_data["timestamp"] = self._stamps.text(now_ns)
            event = asking.event_of(event_data, now_ns, ours=ours)
            if isinstance(event, checks.Fault):
                return self._refused(event, event_data)
            if self.logger.detect_infinite_loop(event_data):
                words = "Event appears to be in an infinite loop"
                return self._no("LOOP_DETECTED", words, event_data)
            self.storage.add_event(event)
            with self._counting:
                self._events += 1
                self._unread += asking.TOLD in event.extra
            self._watching.take_event(event)
            if self._retains:
                self._keep_policy()
        except HeliographError as error:
            return self._no("STORAGE_FAILURE", str(error), event_data)
        except Exception as error:
            return self.error_handler.handle_exception(error, {"event_data": event_data})
        else:
            told = moments.again_of(event_data["timestamp"])
            return {"status": "success", "event_id": event_data["event_id"], "timestamp": told}

    def record_metric(
        self,
        metric_name: str,
        metric_value: float | str,
        context: Mapping[str, Any] | None = None,
        timestamp: moments.Moment | None = None,
    ) -> dict[str, Any]:
        """Record *metric_value*; every call counts, also two of one metric at one instant."""
        try:
            answer = self._record(metric_name, metric_value, context, timestamp)
            if answer is None:
                answer = self._record_with_care(metric_name, metric_value, context, timestamp)
        except HeliographError as error:
            return self._no("STORAGE_FAILURE", str(error), {"metric_name": metric_name})
        except Exception as error:
            return self.error_handler.handle_exception(
                error,
                {
                    "metric_name": metric_name,
                    "metric_value": metric_value,
                    "context": context,
                },
            )
        return answer

    def record_metrics(self, metrics: Collection[Any]) -> dict[str, Any]:
        """Record many at once, durable together: (name, value[, context[, timestamp]]) each, or a
        mapping of `metric_name`, `metric_value`, `context`, `timestamp`.

        {"status": "success", "recorded": n}; what is wrong with single ones is under `errors`, each
        with its `index`, and does not cost the others.
        """

        def work() -> dict[str, Any]:
            read = batch.read(metrics, self._now_ns(), self._stamps)
            self.storage.add_points(read.points)
            with self._counting:
                self._metrics += len(read.points)
            if self._watching.points:
                self._watching.take_points(read.points)
            if self._retains:
                self._keep_policy()
            answer: dict[str, Any] = {"status": "success", "recorded": len(read.points)}
            return {**answer, "errors": read.errors} if read.errors else answer

        return self._answered("STORAGE_FAILURE", {}, work)

    # -- asking --------------------------------------------------------------------------

    def get_metrics(
        self,
        metric_names: Sequence[str] | None = None,
        time_range: Sequence[moments.Moment] | None = None,
        aggregation: str = "MEAN",
        *,
        every: str | float | None = None,
        by: Collection[str] = (),
    ) -> dict[str, Any]:
        """What *metric_names* (None: all) come to in *time_range*, both ends included.

        aggregation  MEAN, SUM, MIN, MAX, COUNT, a percentile such as P95, or one that was added
        every        width of buckets, `1m`: each metric's answer has them too
        by           keys of the context: each metric's answer has a group for each of their values
        """

        def work() -> dict[str, Any]:
            found = aggregations.of(aggregation, self._own)
            if found is None:
                return self._no_aggregation(aggregation)
            asked = asking.asked(metric_names, time_range, found, every, by, self._now_ns())
            return {"status": "success", "metrics": self.storage.metrics(asked)}

        context = {
            "metric_names": metric_names,
            "time_range": time_range,
            "aggregation": aggregation,
        }
        return self._answered("RETRIEVAL_FAILURE", context, work)

    def correlate(
        self,
        first: str,
        second: str,
        time_range: Sequence[moments.Moment] | None = None,
        *,
        every: str | float = EVERY,
        aggregation: str = "MEAN",
        ranked: bool = False,
    ) -> dict[str, Any]:
        """How metrics *first* and *second* move together over buckets of *every*: Pearson's r, or
        Spearman's of ranks; None where there are fewer than three buckets of both, or one stands
        still."""

        def work() -> dict[str, Any]:
            found = aggregations.of(aggregation, self._own)
            if found is None:
                return self._no_aggregation(aggregation)
            names = (first, second)
            asked = asking.asked(names, time_range, found, every, (), self._now_ns())
            came = self.storage.metrics(asked)
            pair = query.correlation(came.get(first, {}), came.get(second, {}), ranked=ranked)
            start, end = asked.told
            return {
                "status": "success",
                "correlation": {
                    "value": pair.value,
                    "buckets": pair.pairs,
                    "metrics": [first, second],
                    "method": "spearman" if ranked else "pearson",
                    "time_range": {"start": start, "end": end},
                },
            }

        return self._answered("RETRIEVAL_FAILURE", {"metric_names": [first, second]}, work)

    def health_check(self) -> dict[str, Any]:
        """How the recorder is; `degraded`, with the reason, while the store cannot keep things."""
        return self._answered("RETRIEVAL_FAILURE", {}, self._health)

    # -- watching ------------------------------------------------------------------------

    def add_monitor(
        self, name: str, *, callback: Callback, kind: str = "threshold", **options: Any
    ) -> None:
        """Call *callback* with an Alert when a condition begins and ends; see `monitors`.

        Over HTTP it becomes an alert rule of the service too, as soon as that answers. Raises
        ValueError for what makes no sense, or the service refuses; nothing is watched then.
        """
        self._watching.add(monitors.define(name, kind, options), callback)

    def remove_monitor(self, name: str) -> bool:
        """Watch no longer by the monitor *name*; whether there was one."""
        return self._watching.remove(name)

    def add_aggregation(self, name: str, function: aggregations.Own) -> None:
        """Let get_metrics aggregate by *name*: *function* gets the numbers in the order of time."""
        if not name or not callable(function):
            raise ValueError("an aggregation needs a name and a function")
        self._own[name] = function

    def subscribe(
        self,
        *,
        metrics: Collection[str] | None = None,
        events: Collection[str] | None = None,
        items_max: int = ITEMS_MAX,
    ) -> Subscription:
        """A stream of what is recorded from now on; see `subscription`."""
        return self._watching.subscribe(metrics=metrics, events=events, items_max=items_max)

    # -- keeping -------------------------------------------------------------------------

    def retain(self, *, dry_run: bool = False) -> dict[str, Any]:
        """Remove what the retention policy no longer keeps; with *dry_run* only say what that is."""

        def work() -> dict[str, Any]:
            gone = self.storage.retain(self._policy, self._now_ns(), dry_run=dry_run)
            return {"status": "success", "dry_run": dry_run, "removed": gone._asdict()}

        return self._answered("STORAGE_FAILURE", {}, work)

    def flush(self) -> dict[str, Any]:
        """Return when all that was recorded is durable, or with the reason why it is not."""

        def work() -> dict[str, Any]:
            self.storage.flush()
            return {"status": "success"}

        return self._answered("STORAGE_FAILURE", {}, work)

    def close(self) -> None:
        """Flush, and let go of the store. May be called again; also done at exit."""
        atexit.unregister(self._at_exit)
        self._watching.close()
        self.storage.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _record_with_care(
        self, name: object, value: object, context: object, when: object
    ) -> dict[str, Any]:
        """Record a metric of which nothing is known yet."""
        one = batch.one(name, value, context, when, self._now_ns(), self._stamps)
        if isinstance(one, checks.Fault):
            return self._refused(one, {"metric_name": name})
        point = one.point
        self._add_point(point)
        with self._counting:
            self._metrics += 1
            self._unread += not one.is_instant
        if self._watching.points:
            self._watching.take_points((point,))
        if self._retains:
            self._keep_policy()
        return {"status": "success", "event_id": point.event_id, "timestamp": one.again}

    def _answered(
        self, code: str, context: dict[str, Any], work: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        """What *work* answers; *code* where the store cannot or will not."""
        try:
            return work()
        except HeliographError as error:
            return self._no(code, str(error), {})
        except Exception as error:
            return self.error_handler.handle_exception(error, context)

    def _health(self) -> dict[str, Any]:
        usage = self.storage.usage()
        rows = self.storage.rows
        with self._counting:
            events, metrics = self._events, self._metrics
        metrics += 0 if rows is None else rows.recorded
        stats: dict[str, Any] = {
            "events_recorded": events,
            "metrics_recorded": metrics,
            "data_retention_days": settings.days_told(self.config),
            "storage_usage_percentage": usage.percentage,
        }
        counts = {
            **usage.counts,
            **self._watching.counts(),
            "timestamps_unread": self._unread,
            "callbacks_raised": self._faults.raised,
            "journal_entries_lost": self.logger.lost,
        }
        stats.update({name: count for name, count in counts.items() if count})
        health = {
            "status": "degraded" if usage.failing else "healthy",
            "version": self.config.get("version", VERSION),
            "uptime_seconds": int(self._clock.monotonic_s() - self._started_s),
            "stats": stats,
        }
        return {**health, "reason": usage.failing} if usage.failing else health

    def _keep_policy(self) -> None:
        now_s = self._clock.monotonic_s()
        if now_s < self._retain_due_s:
            return
        self._retain_due_s = now_s + RETAIN_EVERY_S
        self.retain()

    def _refused(self, fault: checks.Fault, payload: Any) -> dict[str, Any]:
        return self.error_handler.create_error_response(
            fault.code, fault.message, fault.details, payload=payload
        )

    def _no(self, code: str, message: str, payload: Any) -> dict[str, Any]:
        return self.error_handler.create_error_response(code, message, payload=payload)

    def _no_aggregation(self, name: object) -> dict[str, Any]:
        return self._no("INVALID_AGGREGATION", f"Unsupported aggregation method: {name}", {})

    def _callback_raised(self, what: str, error: Exception) -> None:
        words = f"{what}: {type(error).__name__}: {error}"
        self.logger.log(
            {"source": SOURCE, "status": "ERROR", "message": words}, log_level="ERROR"
        )


def _never(*_: object) -> dict[str, Any] | None:
    return None


def _close_at_exit(telemetry: BridgeTelemetry) -> Any:
    """Registered without keeping *telemetry* alive."""
    weak = weakref.ref(telemetry)

    def close() -> None:
        alive = weak()
        if alive is not None:
            alive.close()

    return atexit.register(close)
