"""Who looks at what is recorded: monitors, the error rate, subscriptions. All of it after it is kept.

With a window to run out a thread looks every second; else nothing runs by itself.
"""

import threading
from collections.abc import Callable, Collection, Sequence

from heliograph.core import thread_name
from heliograph.core.clock import Clock
from heliograph.kernels.metric_rows import Rows
from heliograph.recorder import forking
from heliograph.recorder.error_rate import ErrorRate
from heliograph.recorder.faults import Faults
from heliograph.recorder.monitors import Alert, Callback, Definition, Monitor, runs_out
from heliograph.recorder.points import Event, Point
from heliograph.recorder.subscription import ITEMS_MAX, SUBSCRIPTIONS_MAX, Subscription

MONITORS_MAX = 1_000
LOOK_EVERY_S = 1.0
# For a callback in the thread that looks, which may hang: the end of a process does not wait for it.
CLOSE_S = 1.0


class Watching:
    """Hands points and events to whoever watches them. Thread-safe.

    points   whether anybody watches metrics; *rows* are told, which nobody sees otherwise
    """

    def __init__(
        self, faults: Faults, error_rate: ErrorRate, clock: Clock, rows: Rows | None = None
    ) -> None:
        self.points = False
        self._rows = rows
        self._faults = faults
        self._error_rate = error_rate
        self._clock = clock
        self._monitors: dict[str, Monitor] = {}
        self._of_metric: dict[str, tuple[Monitor, ...]] = {}
        self._of_events: tuple[Monitor, ...] = ()
        self._subscriptions: tuple[Subscription, ...] = ()
        self._begin()
        forking.watch(self)

    def add(self, definition: Definition, callback: Callback) -> None:
        """Watch by *definition*; one of the same name is replaced. ValueError beyond the bound."""
        with self._lock:
            if definition.name not in self._monitors and len(self._monitors) >= MONITORS_MAX:
                raise ValueError(f"more than {MONITORS_MAX} monitors")
            made = Monitor(definition, callback, self._clock.now_ns())
            self._monitors[definition.name] = made
            self._arrange()
            if runs_out(definition):
                self._look_now_and_then()

    def remove(self, name: str) -> bool:
        """Watch no longer by the monitor *name*; whether there was one."""
        with self._lock:
            found = self._monitors.pop(name, None)
            self._arrange()
            return found is not None

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
        now_ns = self._clock.now_ns()
        for point in points:
            for subscription in self._subscriptions:
                subscription.offer(point)
            for monitor in self._of_metric.get(point.name, ()):
                with self._lock:
                    alerts = monitor.take_point(point, now_ns)
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
        now_ns = self._clock.now_ns()
        for monitor in self._of_events:
            with self._lock:
                alerts = monitor.take_event(event, now_ns)
            self._tell(monitor, alerts)

    def look(self) -> None:
        """Look for what is missing, or over, by now."""
        now_ns = self._clock.now_ns()
        with self._lock:
            monitors = list(self._monitors.values())
            found = [(monitor, monitor.tick(now_ns)) for monitor in monitors]
        for monitor, alerts in found:
            self._tell(monitor, alerts)

    def close(self) -> None:
        """Look no more; subscriptions end. A callback that runs is waited for, for CLOSE_S at most."""
        self._closing.set()
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
