"""Who looks at what is recorded: monitors, the error rate, subscriptions. All of it after it is kept.

With a window to run out a thread looks every second; else nothing runs by itself. Where the store is
a service, its rules follow the monitors.
"""

import threading
from collections.abc import Callable, Collection, Sequence

from heliograph.core import thread_name
from heliograph.core.clock import Clock
from heliograph.core.duration import SECOND_NS
from heliograph.recorder import forking
from heliograph.recorder.error_rate import ErrorRate
from heliograph.recorder.faults import Faults
from heliograph.recorder.monitoring import Monitor, Now
from heliograph.recorder.monitors import Alert, Callback, Definition, runs_out
from heliograph.recorder.points import Event, Point
from heliograph.recorder.registering import Registering
from heliograph.recorder.store import RecorderStore, RuleKeeper
from heliograph.recorder.subscription import ITEMS_MAX, SUBSCRIPTIONS_MAX, Subscription

MONITORS_MAX = 1_000
LOOK_EVERY_S = 1.0
# For a callback in the thread that looks, which may hang: the end of a process does not wait for it.
CLOSE_S = 1.0


class Watching:
    """Hands points and events to whoever watches them. Thread-safe.

    points   whether anybody watches metrics; the rows of *store* are told, which nobody sees otherwise
    """

    def __init__(
        self, faults: Faults, error_rate: ErrorRate, clock: Clock, store: RecorderStore
    ) -> None:
        self.points = False
        self._rows = store.rows
        self._rules = Registering(store, faults) if isinstance(store, RuleKeeper) else None
        self._faults = faults
        self._error_rate = error_rate
        self._clock = clock
        self._monitors: dict[str, Monitor] = {}
        self._of_metric: dict[str, tuple[Monitor, ...]] = {}
        self._of_events: tuple[Monitor, ...] = ()
        self._subscriptions: tuple[Subscription, ...] = ()
        # Of monitors that are no more.
        self._evicted = self._left_out = 0
        self._begin()
        forking.watch(self)

    def add(self, definition: Definition, callback: Callback) -> None:
        """Watch by *definition*; one of the same name is over. ValueError beyond the bound, and for
        what the service refuses."""
        if not callable(callback):
            raise ValueError(f"a callback is called, and {callback!r} cannot be")  # noqa: TRY004 - as other faults of a monitor
        with self._lock:
            if definition.name not in self._monitors and len(self._monitors) >= MONITORS_MAX:
                raise ValueError(f"more than {MONITORS_MAX} monitors")
        if self._rules is not None:
            self._rules.put(definition)
        with self._lock:
            now = self._now()
            before = self._monitors.get(definition.name)
            self._monitors[definition.name] = Monitor(definition, callback, now)
            self._arrange()
            if runs_out(definition):
                self._look_now_and_then()
        self._end(before, now, "another monitor took its name")

    def remove(self, name: str) -> bool:
        """Watch no longer by the monitor *name*; whether there was one. ValueError where the service
        refuses."""
        there = self._rules is not None and self._rules.remove(name)
        with self._lock:
            now = self._now()
            found = self._monitors.pop(name, None)
            self._arrange()
        self._end(found, now, "the monitor was removed")
        return there or found is not None

    def counts(self) -> dict[str, int]:
        """What was given up for room, and what the service has yet to be told."""
        with self._lock:
            monitors = list(self._monitors.values())
            return {
                "monitor_series_evicted": self._evicted + sum(one.evicted for one in monitors),
                "monitor_points_left_out": self._left_out
                + sum(one.left_out for one in monitors),
                "monitors_unregistered": 0 if self._rules is None else self._rules.waiting,
            }

    def begin_again(self) -> None:
        """In the child of a fork: with locks and a thread of its own; subscriptions stay behind."""
        looks, is_closed = self._thread is not None, self._closing.is_set()
        self._begin()
        self._subscriptions = ()
        self._arrange()
        if looks and not is_closed:
            self._look_now_and_then()

    def names(self) -> list[str]:
        """Names of the monitors."""
        with self._lock:
            return sorted(self._monitors)

    def subscribe(
        self,
        *,
        metrics: Collection[str] | None = None,
        events: Collection[str] | None = None,
        items_max: int = ITEMS_MAX,
    ) -> Subscription:
        """A new subscription. ValueError beyond the bound."""
        with self._lock:
            left = tuple(one for one in self._subscriptions if not one.closed)
            if len(left) >= SUBSCRIPTIONS_MAX:
                raise ValueError(f"more than {SUBSCRIPTIONS_MAX} subscriptions")
            made = Subscription(metrics=metrics, events=events, items_max=items_max)
            self._subscriptions = (*left, made)
            self._arrange()
            return made

    def take_points(self, points: Sequence[Point]) -> None:
        """*points* were recorded."""
        now = self._now()
        for point in points:
            for subscription in self._subscriptions:
                subscription.offer(point)
            for monitor in self._of_metric.get(point.name, ()):
                with self._lock:
                    alerts = monitor.take_point(point, now)
                self._tell(monitor, alerts)
        if any(subscription.closed for subscription in self._subscriptions):
            with self._lock:
                self._subscriptions = tuple(
                    one for one in self._subscriptions if not one.closed
                )
                self._arrange()

    def take_event(self, event: Event) -> None:
        """*event* was recorded."""
        self._error_rate.take(event)
        for subscription in self._subscriptions:
            subscription.offer(event)
        now = self._now()
        for monitor in self._of_events:
            with self._lock:
                alerts = monitor.take_event(event, now)
            self._tell(monitor, alerts)

    def look(self) -> None:
        """Look for what is missing, or over, by now."""
        with self._lock:
            now = self._now()
            monitors = list(self._monitors.values())
            found = [(monitor, monitor.tick(now)) for monitor in monitors]
        for monitor, alerts in found:
            self._tell(monitor, alerts)

    def close(self) -> None:
        """Look no more; subscriptions end. A callback that runs is waited for, for CLOSE_S at most."""
        self._closing.set()
        if self._rules is not None:
            self._rules.close()
        for subscription in self._subscriptions:
            subscription.close()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(CLOSE_S)

    def _begin(self) -> None:
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def _look_now_and_then(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name="recorder-watch", daemon=True
            )
            self._thread.start()

    def _now(self) -> Now:
        return Now(self._clock.now_ns(), int(self._clock.monotonic_s() * SECOND_NS))

    def _end(self, monitor: Monitor | None, now: Now, why: str) -> None:
        """*monitor* is no more: what it said is over."""
        if monitor is None:
            return
        with self._lock:
            alerts = monitor.end(now, why)
            self._evicted += monitor.evicted
            self._left_out += monitor.left_out
        self._tell(monitor, alerts)

    def _tell(self, monitor: Monitor, alerts: Sequence[Alert]) -> None:
        for alert in alerts:
            self._faults.run(f"monitor {alert.monitor}", _call(monitor.callback, alert))

    def _arrange(self) -> None:
        of_metric: dict[str, list[Monitor]] = {}
        of_events = []
        for monitor in self._monitors.values():
            if monitor.definition.metric:
                of_metric.setdefault(monitor.definition.metric, []).append(monitor)
            else:
                of_events.append(monitor)
        self._of_metric = {name: tuple(found) for name, found in of_metric.items()}
        self._of_events = tuple(of_events)
        self.points = bool(self._of_metric or self._subscriptions)
        if self._rows is not None:
            self._rows.watched = None if self._subscriptions else frozenset(self._of_metric)

    def _run(self) -> None:
        thread_name.show()
        while not self._closing.wait(LOOK_EVERY_S):
            self._faults.run("the look at what is missing", self.look)


def _call(callback: Callback, alert: Alert) -> Callable[[], object]:
    return lambda: callback(alert)
