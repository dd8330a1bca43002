"""One monitor at work: what a point, an event, and time alone lead to.

`at` is event time, which a point does not move that is further ahead than its window is long;
silence is ours to notice, by a clock that nobody sets. `tick` notices what time alone brings: what
fires over a window and is heard of no more is over when the window has run out; what must hold for
a while may have done so by now; and where nothing at all, 0, fulfils the condition on a count or a
sum, silence does, from when a whole window was listened to.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

from heliograph.core import duration
from heliograph.recorder.monitors import Alert, Callback, Definition, State, hears_silence
from heliograph.recorder.points import Event, Point, is_error, label_text
from heliograph.recorder.windows import Window
from heliograph.rules import condition, pending
from heliograph.rules.absence import Absences
from heliograph.rules.pending import Pending

# Series of one monitor, the longest unheard given up first.
KEYS_MAX = 1_000
# Of the robust z-score: how much past, and how much of it is needed.
PAST = 200
PAST_LEAST = 20
# Events below which a share says nothing.
EVENTS_LEAST = 20


class Now(NamedTuple):
    """An instant: UTC, which may be set, and a clock from any start that only goes on."""

    wall_ns: int
    steady_ns: int


class _Series:
    """What is held of one series, or of the events of one type.

    since_ns, heard_ns   by the steady clock: since when it is listened to, and when it was heard
    newest_ns            the newest of its points
    """

    __slots__ = ("heard_ns", "labels", "newest_ns", "past", "since_ns", "state", "window")

    def __init__(self, labels: Mapping[str, str], now: Now, window: Window | None) -> None:
        self.labels = labels
        self.window = window
        self.newest_ns: int | None = None
        self.since_ns = self.heard_ns = now.steady_ns
        self.state: Pending | None = None
        self.past: Any = None


class Monitor:
    """One monitor and its state. For one thread at a time.

    evicted    series given up for room
    over       whether it is no more, and says nothing any more
    """

    def __init__(self, definition: Definition, callback: Callback, since: Now) -> None:
        self.definition = definition
        self.callback = callback
        self.evicted = 0
        self.over = False
        self._left_out = 0
        self._hears_silence = hears_silence(definition)
        self._series: OrderedDict[str, _Series] = OrderedDict()
        self._absences = Absences(
            window_ns=definition.window_ns,
            forget_ns=2**62,
            since_ns=since.steady_ns,
            keys_max=KEYS_MAX,
        )
        if definition.kind == "absence":
            # What was never heard is missing too, from when we began to listen.
            self._absences.put(self._what, since.steady_ns, overdue=False)
        elif self._hears_silence and not definition.metric:
            self._held(definition.event_type, self._labels, since)

    @property
    def left_out(self) -> int:
        """Points that windows had no room for."""
        held = (series.window for series in self._series.values() if series.window)
        return self._left_out + sum(window.left_out for window in held)

    @property
    def _what(self) -> str:
        return self.definition.metric or self.definition.event_type or "events"

    @property
    def _labels(self) -> Mapping[str, str]:
        """Of events."""
        type_ = self.definition.event_type
        return {"event_type": type_} if type_ else {}

    def take_point(self, point: Point, now: Now) -> list[Alert]:
        """What *point* of the watched metric leads to."""
        definition = self.definition
        if self.over or isinstance(point.value, str):
            return []
        if not _fits(definition.match, point.context or {}):
            return []
        if definition.kind == "absence":
            return self._heard(now)
        labels = {key: label_text(value) for key, value in (point.context or {}).items()}
        key = repr(sorted(labels.items())) if labels else ""
        return self._take(key, labels, point.at_ns, float(point.value), now)

    def take_event(self, event: Event, now: Now) -> list[Alert]:
        """What *event* leads to."""
        definition = self.definition
        if self.over or definition.event_type not in {"", event.event_type}:
            return []
        if definition.source not in {"", event.source}:
            return []
        if not _fits(definition.match, event.data):
            return []
        if definition.kind == "absence":
            return self._heard(now)
        failed = float(is_error(event.event_type, event.data))
        return self._take(definition.event_type, self._labels, event.at_ns, failed, now)

    def tick(self, now: Now) -> list[Alert]:
        """What is missing at *now*, what held for long enough, and what is over by now."""
        if self.definition.kind != "absence":
            asked = [one for one in self._series.values() if one.state or self._hears_silence]
            return [alert for series in asked for alert in self._aged(series, now)]
        began = self._absences.tick(now.steady_ns).began
        return [self._absent("firing", now, now.steady_ns - last_ns) for _, last_ns in began]

    def end(self, now: Now, why: str) -> list[Alert]:
        """The monitor is no more, since *why*: what ends what it said."""
        self.over = True
        if self.definition.kind == "absence":
            is_firing = self._absences.gone(self._what)
            return [self._alert("resolved", 0.0, now.wall_ns, {}, why)] if is_firing else []
        return [alert for one in self._series.values() for alert in self._over(one, now, why)]

    def _over(self, series: _Series, now: Now, why: str) -> list[Alert]:
        state, series.state = series.state, None
        if state is None or not state.firing:
            return []
        return [self._alert("resolved", state.value, now.wall_ns, series.labels, why)]

    def _alert(
        self, state: State, value: float, at_ns: int, labels: Mapping[str, str], words: str
    ) -> Alert:
        told = f"{self._what}: {words}"
        return Alert(self.definition.name, state, value, at_ns, labels, told)

    def _heard(self, now: Now) -> list[Alert]:
        if self._absences.heard(self._what, now.steady_ns):
            return [self._absent("resolved", now, 0)]
        return []

    def _absent(self, state: State, now: Now, silent_ns: int) -> Alert:
        silent_s = silent_ns / duration.SECOND_NS
        words = f"nothing for {silent_s:.0f} s" if silent_ns else "heard again"
        return self._alert(state, silent_s, now.wall_ns, {}, words)

    def _held(
        self, key: str, labels: Mapping[str, str], now: Now
    ) -> tuple[_Series, list[Alert]]:
        """The series of *key*, and what the one leads to that went for it."""
        series, alerts = self._series.get(key), []
        if series is None:
            if len(self._series) >= KEYS_MAX:
                _, gone = self._series.popitem(last=False)
                alerts = self._over(gone, now, "given up for newer series")
                self._left_out += gone.window.left_out if gone.window else 0
                self.evicted += 1
            series = self._series[key] = _Series(labels, now, _window(self.definition))
        self._series.move_to_end(key)
        series.heard_ns = now.steady_ns
        return series, alerts

    def _take(
        self, key: str, labels: Mapping[str, str], at_ns: int, value: float, now: Now
    ) -> list[Alert]:
        series, alerts = self._held(key, labels, now)
        at_ns = self._in_time(series, at_ns, now)
        found = self._figure(series, at_ns, value, now)
        return alerts if found is None else [*alerts, *self._judged(series, at_ns, found)]

    def _in_time(self, series: _Series, at_ns: int, now: Now) -> int:
        """*at_ns*, if it is to be believed; else the clock's own.

        Points may be a window ahead of the clock, or of the one before. Where such an earlier one, or
        a clock that was set back, would make this one late, what is held is let go of.
        """
        window_ns, newest_ns = self.definition.window_ns, series.newest_ns
        if at_ns > max(now.wall_ns, newest_ns or 0) + window_ns:
            at_ns = now.wall_ns
        # Of the score of an anomaly whatever is not the newest is late.
        late_ns = 0 if self.definition.kind == "anomaly" else window_ns
        if newest_ns is None or newest_ns - late_ns > max(at_ns, now.wall_ns):
            newest_ns = at_ns
            _forget_time(series)
        series.newest_ns = max(newest_ns, at_ns)
        return at_ns

    def _aged(self, series: _Series, now: Now) -> list[Alert]:
        """What the time since *series* was last heard leads to; it goes on from its event time."""
        definition, window, state = self.definition, series.window, series.state
        silent_ns = now.steady_ns - series.heard_ns
        if silent_ns <= 0:
            return []
        at_ns = now.wall_ns if series.newest_ns is None else series.newest_ns + silent_ns
        if window is not None and (self._hears_silence or _slides(definition)):
            window.trim(at_ns)
            found = self._counted(series, now)
            return [] if found is None else self._judged(series, at_ns, found)
        if window is not None and silent_ns >= definition.window_ns:
            window.clear()
            return self._judged(series, at_ns, None)
        return [] if state is None else self._judged(series, at_ns, state.value)

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
        return [self._alert(state, found, at_ns, series.labels, f"{told} ({limit})")]

    def _figure(self, series: _Series, at_ns: int, value: float, now: Now) -> float | None:
        """What the condition is asked of; None where there is no telling."""
        if self.definition.kind == "anomaly":
            return _score(series, at_ns, value, self.definition)
        if series.window is None:
            return value
        series.window.add(at_ns, value)
        return self._counted(series, now)

    def _counted(self, series: _Series, now: Now) -> float | None:
        """What the window of *series* comes to."""
        definition, window = self.definition, series.window
        assert window is not None
        if definition.kind == "error_share":
            least = EVENTS_LEAST if definition.least is None else definition.least
            share = window.figure()
            return None if share is None or window.points < least else 100 * share
        if not self._hears_silence:
            return window.figure()
        if now.steady_ns - series.since_ns < definition.window_ns:
            # Of a window that was not listened to from its beginning, little says nothing.
            return None
        return window.figure() or 0.0


def _window(definition: Definition) -> Window | None:
    """For the points of a series; None where only the latest is looked at."""
    if definition.kind == "anomaly":
        return None
    aggregate = definition.aggregate
    if definition.kind == "threshold" and aggregate == "last":
        return None
    if definition.kind == "rate":
        aggregate = "rate" if definition.metric else "count"
    elif definition.kind != "threshold":
        aggregate = {"change": "slope", "error_share": "mean"}[definition.kind]
    return Window(aggregate, definition.window_ns)


def _forget_time(series: _Series) -> None:
    """Begin anew with whatever time comes next; a past is of values, and stays."""
    if series.window is not None:
        series.window.clear()
    if series.past is not None:
        _, values, _ = series.past.held()
        series.past.begin(None, values, None)


def _slides(definition: Definition) -> bool:
    """Whether the window goes on while nothing comes: of what has a count at any time."""
    return definition.kind == "rate" and not definition.metric


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


def _fits(match: Mapping[str, str], values: Mapping[str, Any]) -> bool:
    return all(key in values and label_text(values[key]) == text for key, text in match.items())
