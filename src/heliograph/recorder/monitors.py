"""Monitors: conditions on what is recorded, looked at as it is recorded; they call back.

    threshold     an aggregate of the window    metric="took_ms", aggregate="p95", op=">", value=500
    rate          so many events in the window  event_type="COMMAND", op=">", value=100, window="1m"
                  a counter's growth a second   metric="errors_total", op=">", value=5
    absence       nothing for a window          event_type="HEARTBEAT", window="5m"
    error_share   errors in percent of events   source="core", op=">", value=5
    anomaly       a robust z-score beyond value metric="loss", value=6, direction="up"
                  of how fast it changes        metric="loss", value=6, of="change"
    change        growth a second, by the slope metric="queue", op=">", value=10

Conditions, aggregates, pending times, silence and scores are those of `heliograph.rules`: the same
that alert rules are made of. A metric is watched series by series (a context each), events by
type. `at` is event time, but for absence, which is ours to notice. What fires over a window and is
heard of no more is over when the window has run out: `tick` notices that.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

from heliograph.core import duration
from heliograph.recorder.points import Event, Point, is_error, label_text
from heliograph.rules import condition, pending
from heliograph.rules.absence import Absences
from heliograph.rules.pending import Pending

KINDS = ("threshold", "rate", "absence", "error_share", "anomaly", "change")
DIRECTIONS = ("up", "down", "both")
# Series of one monitor, the longest unheard given up first; points of one series' window.
KEYS_MAX = 1_000
POINTS_MAX = 10_000
# Of the robust z-score: how much past, and how much of it is needed.
PAST = 200
PAST_LEAST = 20
# Events below which a share says nothing.
EVENTS_LEAST = 20

State: TypeAlias = Literal["firing", "resolved"]


class Alert(NamedTuple):
    """A monitor's word: it began, or ended."""

    monitor: str
    state: State
    value: float
    at_ns: int
    labels: Mapping[str, str]
    message: str


Callback: TypeAlias = Callable[[Alert], object]


class Definition(NamedTuple):
    """A monitor as it was asked for; see the module. Exactly one of *metric* and the events' fields
    says what is watched; an empty event_type means events of all types."""

    name: str
    kind: str
    metric: str = ""
    event_type: str = ""
    source: str = ""
    match: Mapping[str, str] = {}
    aggregate: str = "last"
    op: str = ">"
    value: float = 0.0
    window_ns: int = 5 * duration.MINUTE_NS
    for_ns: int = 0
    direction: str = "both"
    least: int | None = None
    of: str = "value"


def define(name: str, kind: str, options: Mapping[str, Any]) -> Definition:
    """The definition of *options*: `window` and `for_` are durations. Raises ValueError, TypeError."""
    given = dict(options)
    for told, field in (("window", "window_ns"), ("for_", "for_ns")):
        if told in given:
            given[field] = duration.parse(given.pop(told))
    unknown = given.keys() - set(Definition._fields)
    if unknown:
        raise ValueError(f"unknown options: {', '.join(sorted(unknown))}")
    given["match"] = {key: label_text(value) for key, value in given.get("match", {}).items()}
    made = Definition(name, kind, **given)
    _check(made)
    return made


def runs_out(definition: Definition) -> bool:
    """Whether time alone can change what the monitor says, so that it wants a `tick`."""
    if definition.kind == "threshold":
        return definition.aggregate != "last"
    return definition.kind != "anomaly"


def _check(made: Definition) -> None:
    if not made.name:
        raise ValueError("a monitor needs a name")
    if made.kind not in KINDS:
        raise ValueError(f"unknown kind {made.kind!r}, know {', '.join(KINDS)}")
    if made.kind in {"threshold", "anomaly", "change"} and not made.metric:
        raise ValueError(f"{made.kind} needs a metric")
    if made.kind == "error_share" and made.metric:
        raise ValueError("error_share is of events")
    if made.metric and (made.event_type or made.source):
        raise ValueError("a metric or events, not both")
    if made.aggregate not in condition.AGGREGATES:
        raise ValueError(f"unknown aggregate {made.aggregate!r}")
    if made.op not in condition.OPERATORS:
        raise ValueError(f"unknown op {made.op!r}")
    if made.direction not in DIRECTIONS:
        raise ValueError(f"unknown direction {made.direction!r}")
    if made.of not in {"value", "change"}:
        raise ValueError(f"of must be value or change, not {made.of!r}")
    if made.window_ns <= 0 or made.for_ns < 0:
        raise ValueError("window must be above 0, for_ must not be below")


class _Series:
    """What is held of one series, or of the events of one type."""

    __slots__ = ("heard_ns", "labels", "past", "points", "state", "total")

    def __init__(self, labels: Mapping[str, str]) -> None:
        self.labels = labels
        self.points: deque[tuple[int, float]] = deque(maxlen=POINTS_MAX)
        self.total = 0.0
        self.heard_ns = 0
        self.state: Pending | None = None
        self.past: Any = None


class Monitor:
    """One monitor and its state. For one thread at a time.

    evicted   series given up for room
    """

    def __init__(self, definition: Definition, callback: Callback, since_ns: int) -> None:
        self.definition = definition
        self.callback = callback
        self.evicted = 0
        self._series: OrderedDict[str, _Series] = OrderedDict()
        self._absences = Absences(
            window_ns=definition.window_ns,
            forget_ns=2**62,
            since_ns=since_ns,
            keys_max=KEYS_MAX,
        )
        if definition.kind == "absence":
            # What was never heard is missing too, from when we began to listen.
            self._absences.put(self._what, since_ns, overdue=False)

    @property
    def _what(self) -> str:
        return self.definition.metric or self.definition.event_type or "events"

    def take_point(self, point: Point, now_ns: int) -> list[Alert]:
        """What *point* of the watched metric leads to."""
        definition = self.definition
        if isinstance(point.value, str) or not _fits(definition.match, point.context or {}):
            return []
        if definition.kind == "absence":
            return self._heard(now_ns)
        labels = {key: label_text(value) for key, value in (point.context or {}).items()}
        series = self._held(repr(sorted(labels.items())), labels, now_ns)
        return self._look(series, point.at_ns, float(point.value))

    def take_event(self, event: Event, now_ns: int) -> list[Alert]:
        """What *event* leads to."""
        definition = self.definition
        if definition.event_type not in {"", event.event_type}:
            return []
        if definition.source not in {"", event.source}:
            return []
        if not _fits(definition.match, event.data):
            return []
        if definition.kind == "absence":
            return self._heard(now_ns)
        labels = {"event_type": event.event_type} if definition.event_type else {}
        series = self._held(definition.event_type, labels, now_ns)
        return self._look(series, event.at_ns, float(is_error(event.event_type, event.data)))

    def tick(self, now_ns: int) -> list[Alert]:
        """What is missing at *now_ns*, and what is over since nothing more is heard of it."""
        if self.definition.kind != "absence":
            firing = [one for one in self._series.values() if one.state and one.state.firing]
            return [alert for series in firing for alert in self._aged(series, now_ns)]
        began = self._absences.tick(now_ns).began
        return [self._absent("firing", now_ns, now_ns - last_ns) for _, last_ns in began]

    def _aged(self, series: _Series, now_ns: int) -> list[Alert]:
        """What the time since *series* was last heard leads to; it goes on from its event time."""
        definition, points = self.definition, series.points
        silent_ns = now_ns - series.heard_ns
        if not points or silent_ns <= 0:
            return []
        at_ns = points[-1][0] + silent_ns
        if definition.kind == "rate" and not definition.metric:
            while points and points[0][0] <= at_ns - definition.window_ns:
                points.popleft()
            return self._judged(series, at_ns, float(len(points)))
        if silent_ns < definition.window_ns:
            return []
        points.clear()
        return self._judged(series, at_ns, None)

    def _heard(self, now_ns: int) -> list[Alert]:
        if self._absences.heard(self._what, now_ns):
            return [self._absent("resolved", now_ns, 0)]
        return []

    def _absent(self, state: State, now_ns: int, silent_ns: int) -> Alert:
        silent_s = silent_ns / duration.SECOND_NS
        words = f"{self._what}: nothing for {silent_s:.0f} s" if silent_ns else "heard again"
        return Alert(self.definition.name, state, silent_s, now_ns, {}, words)

    def _held(self, key: str, labels: Mapping[str, str], now_ns: int) -> _Series:
        series = self._series.get(key)
        if series is None:
            if len(self._series) >= KEYS_MAX:
                self._series.popitem(last=False)
                self.evicted += 1
            series = self._series[key] = _Series(labels)
        self._series.move_to_end(key)
        series.heard_ns = now_ns
        return series

    def _look(self, series: _Series, at_ns: int, value: float) -> list[Alert]:
        found = self._figure(series, at_ns, value)
        return [] if found is None else self._judged(series, at_ns, found)

    def _judged(self, series: _Series, at_ns: int, figure: float | None) -> list[Alert]:
        """What *figure* leads to; None where there is nothing left to ask the condition of."""
        definition = self.definition
        found = 0.0 if figure is None else figure
        if figure is None:
            holds = False
        elif definition.kind == "anomaly":
            holds = _is_anomalous(found, definition)
        else:
            holds = condition.compare(definition.op, found, definition.value)
        step = pending.step(
            series.state, holds=holds, value=found, at_ns=at_ns, for_ns=definition.for_ns
        )
        series.state = step.state
        if not (step.began or step.ended):
            return []
        state: State = "firing" if step.began else "resolved"
        limit = f"{definition.op} {definition.value:g}"
        if definition.kind == "anomaly":
            limit = f"score beyond {definition.value:g}"
        told = "nothing any more" if figure is None else f"{definition.kind} {found:g}"
        words = f"{self._what}: {told} ({limit})"
        return [Alert(definition.name, state, found, at_ns, series.labels, words)]

    def _figure(self, series: _Series, at_ns: int, value: float) -> float | None:
        """What the condition is asked of; None where there is no telling."""
        definition = self.definition
        if definition.kind == "anomaly":
            return _score(series, at_ns, value, definition)
        if definition.kind == "threshold" and definition.aggregate == "last":
            return value
        points = series.points
        _insert(points, (at_ns, value))
        while points and points[0][0] <= points[-1][0] - definition.window_ns:
            points.popleft()
        if definition.kind == "threshold":
            return condition.aggregate(definition.aggregate, points)
        if definition.kind == "rate":
            return condition.aggregate("rate", points) if definition.metric else len(points)
        if definition.kind == "change":
            return condition.aggregate("slope", points)
        least = EVENTS_LEAST if definition.least is None else definition.least
        if len(points) < least:
            return None
        return 100 * sum(error for _, error in points) / len(points)


def _score(series: _Series, at_ns: int, value: float, definition: Definition) -> float | None:
    from heliograph.rules.anomaly import Past  # only who asks for scores needs it

    if series.past is None:
        least = PAST_LEAST if definition.least is None else definition.least
        series.past = Past(size=max(PAST, least), least=least, of=definition.of)
    score: float | None = series.past.score(at_ns, value)
    return score


def _is_anomalous(score: float, definition: Definition) -> bool:
    from heliograph.rules.anomaly import is_anomalous  # as above

    return is_anomalous(score, limit=definition.value, direction=definition.direction)


def _insert(points: deque[tuple[int, float]], point: tuple[int, float]) -> None:
    """Put *point* where its time is; nearly always last."""
    place = len(points)
    while place and points[place - 1][0] > point[0]:
        place -= 1
    if place == len(points):
        points.append(point)
    elif len(points) < POINTS_MAX:
        points.insert(place, point)


def _fits(match: Mapping[str, str], values: Mapping[str, Any]) -> bool:
    return all(key in values and label_text(values[key]) == text for key, text in match.items())
