"""Many metrics at once: from what callers write to points, with what is wrong beside them.

[("loss", 0.5),
 ("loss", 0.4, {"rank": 1}, "2025-05-21T14:00:00Z"),
 {"metric_name": "lr", "metric_value": 1e-4}]
"""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from heliograph.core.errors import Refused
from heliograph.recorder import checks, ids, moments
from heliograph.recorder.moments import Stamps
from heliograph.recorder.points import Point

POINTS_MAX = 1_000_000
_NO_POINT: tuple[Any, ...] = (None, None)


class Read(NamedTuple):
    """Points, and `{"index", "code", "message"}` of each that is none."""

    points: list[Point]
    errors: list[dict[str, Any]]


class One(NamedTuple):
    """A point, what the answer repeats of its time, and whether that was an instant."""

    point: Point
    again: Any
    is_instant: bool


# What `Point(…)` comes to, without the way there.
_point = tuple.__new__


def one(
    name: Any, value: Any, context: Any, when: Any, now_ns: int, stamps: Stamps
) -> One | checks.Fault:
    """The point of one call; at *now_ns* where *when* is None, empty or no instant."""
    if not _is_plain((name, value)):
        fault = checks.metric_fault(name, value)
        if fault is not None:
            return fault
    kept = context_of(context) if context else None
    if when is None or when == "":
        told = stamps.text(now_ns)
        point = _point(Point, (name, value, kept, now_ns, ids.event_id(), told))
        return One(point, told, True)
    at_ns, is_instant = moments.or_now(when, now_ns)
    point = Point(name, value, kept, at_ns, ids.event_id(), moments.told_of(when))
    return One(point, moments.again_of(when), is_instant)


def read(metrics: Collection[Any], now_ns: int, stamps: Stamps) -> Read:
    """The points of *metrics*; those without a time have *now_ns*. Refused beyond POINTS_MAX."""
    if len(metrics) > POINTS_MAX:
        raise Refused(f"{len(metrics)} metrics, limit {POINTS_MAX}", code="too_large")
    told_now = stamps.text(now_ns)
    new_id = ids.event_id
    points: list[Point] = []
    errors: list[dict[str, Any]] = []
    for index, one in enumerate(metrics):
        if type(one) is tuple and len(one) == 2 and _is_plain(one):
            # Nearly always.
            points.append(Point(one[0], one[1], None, now_ns, new_id(), told_now))
            continue
        name, value, context, when = _fields(one)
        fault = checks.metric_fault(name, value)
        if fault is not None:
            errors.append({"index": index, "code": fault.code, "message": fault.message})
            continue
        at_ns, told = now_ns, told_now
        if when is not None and when != "":
            try:
                at_ns, told = moments.at_ns_of(when), moments.told_of(when)
            except (ValueError, TypeError) as error:
                errors.append({"index": index, "code": "INVALID_VALUE", "message": str(error)})
                continue
        points.append(Point(name, value, context_of(context), at_ns, new_id(), told))
    return Read(points, errors)


def context_of(context: Any) -> Mapping[str, Any] | None:
    """A copy of *context*, which its owner may change; what is no mapping is kept under `context`."""
    if not context:
        return None
    return dict(context) if isinstance(context, Mapping) else {"context": context}


def _is_plain(one: tuple[Any, ...]) -> bool:
    name, value = one
    if type(value) is not float and not (
        type(value) is int and -checks.INT_MAX <= value <= checks.INT_MAX
    ):
        return False
    return type(name) is str and name != ""


def _fields(one: Any) -> tuple[Any, Any, Any, Any]:
    if isinstance(one, Mapping):
        keys = ("metric_name", "metric_value", "context", "timestamp")
        name, value, context, when = (one.get(key) for key in keys)
        return name, value, context, when
    given = tuple(one) if isinstance(one, list | tuple) else _NO_POINT
    if not 2 <= len(given) <= 4:
        given = _NO_POINT
    name, value, context, when = (*given, None, None)[:4]
    return name, value, context, when
