"""The moment of a payload: local and naive, as the documents of spec 000 hold it.

{"now": datetime(2025, 1, 15, 14, 30), "old_now": datetime(2025, 1, 15, 10)}
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

from heliograph.core.clock import Clock, SystemClock

_CLOCK = SystemClock()
LAST_UPDATED = "last_updated"


def now_local(kind: type[datetime] = datetime, clock: Clock = _CLOCK) -> datetime:
    """The wall clock's time in the machine's zone, without the zone.

    *kind* is `datetime` as the caller's module has it: a test that puts another there is obeyed.
    """
    if kind is not datetime:
        return kind.now()
    # Naive on purpose: `last_updated` of existing documents is, and is compared with it.
    return datetime.fromtimestamp(clock.now_ns() / 1e9)  # noqa: DTZ006


Otherwise = TypeVar("Otherwise")


def last_updated(metrics: Mapping[str, Any], otherwise: Otherwise) -> datetime | Otherwise:
    """When *metrics* were last added to. Raises ValueError for text that is no instant."""
    text = metrics.get(LAST_UPDATED)
    return datetime.fromisoformat(text) if text else otherwise


def naive(moment: datetime) -> datetime:
    """*moment* without its zone, so that it can be compared with those that never had one."""
    return moment.replace(tzinfo=None)
