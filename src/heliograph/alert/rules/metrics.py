"""Rules over series, on a ticker: what to query, and what the answer comes to.

    asked = query(rule, now_ns)                     # metric, matchers, [start_ns, end_ns)
    answer = evaluate(rule, state, series, now_ns=…)
    answer.posts, answer.state                      # to be committed together

Each series has its own window, which ends at its own newest point: a sender whose samples come
late, or whose clock is behind, is judged by what it sent, and no other series moves it. A series
whose newest point is older than the window has no data: its alert is over. Points ahead of
*now_ns* are left out until their time comes.

An anomaly is looked for among all points that came since the last look, for one sample may be all
there is of it; with a time to last only the newest says that it does.

A series that a stale marker ends has no last value from then on, and is nobody's who is late: its
window goes on to *now_ns*, as that of PromQL's `…_over_time` does.
"""

import math
import struct
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Self

import msgspec
from msgspec import structs

from heliograph.alert.model import Post
from heliograph.alert.rules import posts as rule_posts
from heliograph.alert.rules.listening import Listening
from heliograph.alert.rules.rule import (
    Absence,
    Anomaly,
    MetricThreshold,
    Rule,
    Series,
    SeriesMatch,
    admitted,
    key_of,
)
from heliograph.core import duration
from heliograph.core.duration import HOUR_NS, MINUTE_NS
from heliograph.core.labels import NAME, Labels, fingerprint
from heliograph.core.matcher import Matcher
from heliograph.core.samples import STALE_BITS
from heliograph.rules.anomaly import changes, is_anomalous, robust_z
from heliograph.rules.condition import Point, aggregate, compare
from heliograph.rules.pending import Pending, step

# Whose an alert of these labels is, as of an instant: as labels, for what annotations name.
Whose = Callable[[Labels, int], Mapping[str, str]]

SERIES_MAX = 10_000
# How far back of its window a series may end and still be judged.
LATENESS_NS = 5 * MINUTE_NS
# How far back of its newest point a series is looked at the first time: what came between two looks.
FIRST_NS = MINUTE_NS
# Of the points that came since the last look, in which an anomaly is looked for.
JUDGED_MAX = 1_000
_STALE = struct.pack("<Q", STALE_BITS)


class Query(NamedTuple):
    """The raw points that a rule needs: of *metric* and *match*, in [start_ns, end_ns)."""

    metric: str
    match: tuple[Matcher, ...]
    start_ns: int
    end_ns: int


class Answer(NamedTuple):
    """What an evaluation came to.

    state     to hand in the next time; b"" when there is nothing to keep
    left_out  series beyond SERIES_MAX, which were not looked at
    """

    posts: list[Post]
    state: bytes
    left_out: int = 0


class _Kept(msgspec.Struct, array_like=True):
    """What is known of a series; where nothing *holds*, only up to where it was *seen_ns*."""

    labels: tuple[tuple[str, str], ...]
    since_ns: int
    firing: bool
    value: float
    began_ns: int = 0
    seen_ns: int = 0
    holds: bool = True


class _Found(NamedTuple):
    """Whether the condition holds, the value that it is about, None where there is no telling, and up
    to where it was looked at."""

    holds: bool
    value: float | None
    seen_ns: int = 0


_DECODER = msgspec.msgpack.Decoder(dict[str, _Kept])


def nobody(labels: Labels, at_ns: int) -> Mapping[str, str]:
    """Where nothing is known of whose *labels* are but what they say."""
    del labels, at_ns
    return {}


def query(rule: Rule, now_ns: int) -> Query | None:
    """What to ask for to evaluate *rule*; None when it is no rule over series."""
    match rule.body:
        case MetricThreshold() as body:
            span_ns = body.window_ns + LATENESS_NS
            return Query(body.metric, body.match, now_ns - span_ns, now_ns + 1)
        case Anomaly() as body if body.metric:
            span_ns = body.window_ns + LATENESS_NS
            return Query(body.metric, body.match, now_ns - span_ns, now_ns + 1)
        case Absence(what=SeriesMatch() as what, window_ns=window_ns):
            return Query(what.metric, what.match, now_ns - window_ns, now_ns + 1)
        case _:
            return None


def evaluate(
    rule: Rule,
    state: bytes,
    series: Sequence[Series],
    *,
    now_ns: int,
    since_ns: int = 0,
    resolve_after_ns: int = HOUR_NS,
    whose: Whose = nobody,
) -> Answer:
    """Look at *rule* as of *now_ns*, over the *series* that its `query` gave.

    *state* is that of the last answer, b"" the first time. *since_ns* is when we began to listen.
    While a series' condition lasts, its post is said again each time. Raises ValueError when
    *rule* is no rule over series.
    """
    if isinstance(rule.body, Absence):
        listening = _listening(rule, rule.body, state, since_ns, resolve_after_ns, whose)
        return _absence(rule.body, listening, series, now_ns)
    body = rule.body
    if not isinstance(body, MetricThreshold | Anomaly):
        raise ValueError(f"{rule.name} is no rule over series")  # noqa: TRY004 - of the rule's kind
    kept = _kept(state)
    following: dict[str, _Kept] = {}
    posts: list[Post] = []
    say = _Say.of(rule, now_ns, resolve_after_ns, whose)
    for one in series[:SERIES_MAX]:
        labels = _shown(one.labels)
        name = fingerprint(labels)
        before = kept.pop(name, None)
        seen_ns = 0 if before is None else before.seen_ns
        found = _judged(body, one.points, now_ns, seen_ns)
        after = _step(body, before, labels, found, now_ns)
        if after is not None:
            following[name] = after
        if after is not None and after.firing:
            posts.append(say.firing(after))
        elif before is not None and before.firing:
            reason = "no data" if found is None or found.value is None else "condition over"
            posts.append(say.over(before, reason))
    posts.extend(say.over(before, "no data") for before in kept.values() if before.firing)
    encoded = msgspec.msgpack.encode(following) if following else b""
    return Answer(posts, encoded, max(0, len(series) - SERIES_MAX))


def retire(rule: Rule, state: bytes, *, now_ns: int, whose: Whose = nobody) -> list[Post]:
    """*rule* is no more: the posts that end what it said."""
    if isinstance(rule.body, Absence):
        return _listening(rule, rule.body, state, 0, HOUR_NS, whose).retire(now_ns)
    say = _Say.of(rule, now_ns, HOUR_NS, whose)
    return [say.over(one, "rule removed") for one in _kept(state).values() if one.firing]


def _judged(
    body: MetricThreshold | Anomaly, points: Iterable[Point], now_ns: int, seen_ns: int
) -> _Found | None:
    """Whether the condition holds and the value that it is about; None without data."""
    known = [point for point in points if point[0] <= now_ns]
    ended = False
    while known and _is_marker(known[-1][1]):
        known.pop()
        ended = True
    if not known or known[-1][0] <= now_ns - body.window_ns - LATENESS_NS:
        return None
    if ended and (isinstance(body, Anomaly) or body.agg == "last"):
        return None
    end_ns = now_ns if ended else known[-1][0]
    window = [point for point in known if point[0] > end_ns - body.window_ns]
    if isinstance(body, MetricThreshold):
        value = aggregate(body.agg, window) if window else None
        return None if value is None else _Found(compare(body.op, value, body.value), value)
    return _of_anomaly(body, window, seen_ns)


def _of_anomaly(body: Anomaly, window: Sequence[Point], seen_ns: int) -> _Found:
    """Of the points of *window* after *seen_ns*, 0 the first time, the newest that is anomalous; else
    the newest. With a time to last the newest alone."""
    newest_ns = window[-1][0]
    seen_ns = seen_ns or newest_ns - FIRST_NS
    points = [point for point in window if math.isfinite(point[1])]
    has_newest = bool(points) and points[-1] == window[-1]
    if body.of == "change":
        instants = sorted({at_ns for at_ns, _ in points})[1:]
        points = list(zip(instants, changes(points), strict=True))
    values = [value for _, value in points]
    if body.for_ns:
        # Nothing to remember of series of which nothing is the matter.
        seen_ns, newest_ns = newest_ns, 0
    new = bisect_right(points, seen_ns, key=lambda point: point[0])
    first = max(min(new, len(points) - has_newest), len(points) - JUDGED_MAX, body.least)
    for n in range(len(points) - 1, first - 1, -1):
        z = robust_z(values[n], values[max(0, n - body.size) : n])
        if is_anomalous(z, limit=body.z, direction=body.direction):
            return _Found(holds=True, value=values[n], seen_ns=newest_ns)
    told = values[-1] if has_newest and len(values) > body.least else None
    return _Found(holds=False, value=told, seen_ns=newest_ns)


def _step(
    body: MetricThreshold | Anomaly,
    before: _Kept | None,
    labels: Labels,
    found: _Found | None,
    now_ns: int,
) -> _Kept | None:
    holds, told, seen_ns = found or _Found(holds=False, value=None)
    value = 0.0 if told is None else told
    if before is not None and not before.holds:
        before = None
    state = None if before is None else Pending(before.since_ns, before.firing, before.value)
    after = step(state, holds=holds, value=value, at_ns=now_ns, for_ns=body.for_ns)
    if after.state is None:
        unmoved = _Kept((), 0, firing=False, value=0.0, seen_ns=seen_ns, holds=False)
        return unmoved if seen_ns else None
    began_ns = now_ns if after.began or before is None else before.began_ns
    return _Kept(labels, after.state.since_ns, after.state.firing, value, began_ns, seen_ns)


class _Say(NamedTuple):
    """What *rule* says of its series at *now_ns*."""

    rule: Rule
    now_ns: int
    resolve_after_ns: int
    whose: Whose

    @classmethod
    def of(cls, rule: Rule, now_ns: int, resolve_after_ns: int, whose: Whose) -> Self:
        # Whose an alert is is looked up only where somebody wants to know.
        asked = rule_posts.asks_whose(rule)
        return cls(rule, now_ns, resolve_after_ns, whose if asked else nobody)

    def firing(self, kept: _Kept) -> Post:
        return rule_posts.firing(
            self.rule,
            kept.labels,
            at_ns=self.now_ns,
            arrival_ns=self.now_ns,
            resolve_after_ns=self.resolve_after_ns,
            values=self._values(kept),
            annotations={
                "value": rule_posts.number(kept.value),
                "match_reason": _reason(self.rule),
            },
            value=kept.value,
            starts_ns=kept.began_ns,
        )

    def over(self, kept: _Kept, reason: str) -> Post:
        return rule_posts.over(
            self.rule,
            kept.labels,
            now_ns=self.now_ns,
            resolve_after_ns=self.resolve_after_ns,
            reason=reason,
            values=self._values(kept),
            value=kept.value,
            starts_ns=kept.began_ns,
        )

    def _values(self, kept: _Kept) -> dict[str, str]:
        labels = rule_posts.labels_of(self.rule, kept.labels)
        return {**self.whose(labels, self.now_ns), **dict(kept.labels)}


def _reason(rule: Rule) -> str:
    body = rule.body
    if isinstance(body, MetricThreshold):
        span = duration.format_ns(body.window_ns)
        wanted = rule_posts.number(body.value)
        return f"{body.agg} of {body.metric} over {span} {body.op} {wanted}"
    assert isinstance(body, Anomaly)
    what = f"the change of {body.metric}" if body.of == "change" else body.metric
    return f"{what} deviates from its own past (robust z beyond {body.z:g})"


def _is_marker(value: float) -> bool:
    """Whether *value* is the stale marker, which ends a series: of all NaNs, this one."""
    return value != value and struct.pack("<d", value) == _STALE  # noqa: PLR0124 - NaN


def _shown(labels: Labels) -> Labels:
    """The labels of a series as those of an alert: without the metric's name."""
    return tuple(pair for pair in labels if pair[0] != NAME)


def _kept(state: bytes) -> dict[str, _Kept]:
    if not state:
        return {}
    try:
        return _DECODER.decode(state)
    except msgspec.MsgspecError:
        # The rule was of another kind when this was written: nothing is the matter yet.
        return {}


def _listening(
    rule: Rule,
    body: Absence,
    state: bytes,
    since_ns: int,
    resolve_after_ns: int,
    whose: Whose,
) -> Listening:
    def new() -> Listening:
        return Listening(
            rule, body, since_ns=since_ns, resolve_after_ns=resolve_after_ns, whose=whose
        )

    listening = new()
    try:
        rows = msgspec.msgpack.decode(state, type=dict[str, bytes]) if state else {}
        for row in rows.values():
            listening.load(row)
    except (msgspec.MsgspecError, ValueError):
        return new()
    return listening


def _absence(
    body: Absence, listening: Listening, series: Sequence[Series], now_ns: int
) -> Answer:
    assert isinstance(body.what, SeriesMatch)
    posts: list[Post] = []
    for one in series[:SERIES_MAX]:
        newest_ns = next(
            (at for at, v in reversed(one.points) if at <= now_ns and not _is_marker(v)), None
        )
        values = dict(one.labels)
        if newest_ns is None or not admitted(body.what.match, values):
            continue
        post = listening.heard(key_of(body.by, values), newest_ns)
        if post is not None:
            # It ends now, not at the sample's own time.
            posts.append(structs.replace(post, ends_ns=now_ns, received_ns=now_ns))
    posts.extend(listening.tick(now_ns))
    rows = {row.key: row.state for row in listening.everything()}
    return Answer(
        posts, msgspec.msgpack.encode(rows) if rows else b"", max(0, len(series) - SERIES_MAX)
    )
