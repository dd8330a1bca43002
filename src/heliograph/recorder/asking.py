"""From what callers hand in to what the stores are asked: events and queries."""

from collections.abc import Collection, Sequence
from typing import Any

from heliograph.recorder import checks, moments, query
from heliograph.recorder.aggregation import Aggregation
from heliograph.recorder.points import Event
from heliograph.recorder.store import Asked

_EVENT_KEYS = frozenset(("event_id", "event_type", "source", "data", "timestamp"))
# Where the timestamp of an event is kept that is no instant.
TOLD = "timestamp_told"
_EPOCH_TEXT = "1970-01-01T00:00:00"
# Points told at one instant lie beside each other by nanoseconds: those of now are a little ahead.
_MOVED_NS = 1_000_000_000


def event_of(given: dict[str, Any], now_ns: int, *, ours: bool) -> Event | checks.Fault:
    """The event that *given*, with an id and a timestamp, tells of, or what is wrong with it.

    *ours*: the timestamp is the one of *now_ns* that we gave it. One that is no instant is kept as
    it is as `timestamp_told`, and the event is of *now_ns*.
    """
    fault = checks.event_fault(given)
    if fault is not None:
        return fault
    when = given["timestamp"]
    at_ns, is_instant = (now_ns, True) if ours else moments.or_now(when, now_ns)
    extra = {key: value for key, value in given.items() if key not in _EVENT_KEYS}
    if not is_instant:
        extra[TOLD] = when
    return Event(
        str(given["event_id"]),
        given["event_type"],
        given["source"],
        at_ns,
        dict(given.get("data", {})),
        moments.told_of(when),
        extra,
    )


def asked(
    names: Sequence[str] | None,
    time_range: Sequence[moments.Moment] | None,
    aggregation: Aggregation,
    every: str | float | None,
    by: Collection[str],
    now_ns: int,
) -> Asked:
    """The query; without *time_range* all until now. Raises what the parts of it raise."""
    if time_range is None:
        start_ns, end_ns = 0, now_ns + _MOVED_NS
        told = (_EPOCH_TEXT, moments.text_of(now_ns))
    else:
        start, end = time_range[0], time_range[1]
        start_ns, end_ns = moments.at_ns_of(start), moments.after_ns_of(end)
        told = (moments.told_of(start), moments.told_of(end))
    wanted = [names] if isinstance(names, str) else None if names is None else list(names)
    # As `points.labels_of` has keys that are no text.
    keys = (by,) if isinstance(by, str) else tuple(map(str, by))
    return Asked(wanted, start_ns, end_ns, aggregation, query.every_ns_of(every), keys, told)
