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
type. How they are looked at is `monitoring`.
"""

import math
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any, Literal, NamedTuple, TypeAlias

from heliograph.core import duration
from heliograph.recorder.points import label_text
from heliograph.rules import condition

KINDS = ("threshold", "rate", "absence", "error_share", "anomaly", "change")
DIRECTIONS = ("up", "down", "both")
# The robust z-score that is too far, where nobody says.
SCORE = 6.0
# What `least` may be, by kind.
_LEASTS = {"anomaly": (3, 1_000), "error_share": (1, 1_000_000)}
_TEXTS = (
    "name",
    "kind",
    "metric",
    "event_type",
    "source",
    "aggregate",
    "op",
    "direction",
    "of",
)

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
    """The definition of *options*: `window` and `for_` are durations. Raises ValueError."""
    given = dict(options)
    for told, field in (("window", "window_ns"), ("for_", "for_ns")):
        if told in given:
            given[field] = _span_ns(told, given.pop(told))
    unknown = given.keys() - set(Definition._fields[2:])
    if unknown:
        raise ValueError(f"unknown options: {', '.join(sorted(unknown))}")
    match = given.get("match", {})
    if not isinstance(match, Mapping) or not all(isinstance(key, str) for key in match):
        raise ValueError(f"match is a mapping of texts, not {match!r}")
    given["match"] = {key: label_text(value) for key, value in match.items()}
    given["value"] = _number(given.get("value", SCORE if kind == "anomaly" else 0.0))
    made = Definition(name, kind, **given)
    no_text = [field for field in _TEXTS if not isinstance(getattr(made, field), str)]
    if no_text:
        raise ValueError(f"{no_text[0]} is a text, not {getattr(made, no_text[0])!r}")
    _check(made)
    return made


def runs_out(definition: Definition) -> bool:
    """Whether time alone can change what the monitor says, so that it wants a `tick`."""
    if definition.for_ns:
        return True
    if definition.kind == "threshold":
        return definition.aggregate != "last"
    return definition.kind != "anomaly"


def hears_silence(definition: Definition) -> bool:
    """Whether it is fulfilled where nothing comes at all: of a count or a sum, which is 0 then."""
    counted = definition.kind == "rate" and not definition.metric
    counted |= definition.kind == "threshold" and definition.aggregate in {"count", "sum"}
    return counted and condition.compare(definition.op, 0.0, definition.value)


def _span_ns(told: str, given: object) -> int:
    if not isinstance(given, str):
        raise ValueError(f"{told} is a duration such as 30s or 5m, not {given!r}")  # noqa: TRY004 - an option's fault is a ValueError
    return duration.parse(given)


def _number(given: object) -> float:
    if isinstance(given, bool) or not isinstance(given, Real):
        raise ValueError(f"value is a number, not {given!r}")  # noqa: TRY004 - as above
    try:
        value = float(given)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise ValueError(f"no value is beyond {value}")
    return value


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
    if made.kind == "anomaly" and made.value <= 0:
        raise ValueError("the score of an anomaly is above 0")
    if type(made.window_ns) is not int or type(made.for_ns) is not int:
        raise ValueError("window and for_ are durations")
    if made.window_ns <= 0 or made.for_ns < 0:
        raise ValueError("window must be above 0, for_ must not be below")
    least, most = _LEASTS.get(made.kind, (1, 1_000_000))
    if made.least is not None and not (type(made.least) is int and least <= made.least <= most):
        raise ValueError(f"least is a whole number of {least} to {most}, not {made.least!r}")
