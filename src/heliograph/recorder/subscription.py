"""A stream of what is recorded, as it is: for who wants to see everything, not what it comes to.

    with telemetry.subscribe(metrics=["took_ms"]) as stream:
        for item in stream: …                          # Point or Event, in the order recorded

Who reads too slowly loses the oldest, which is counted: recording never waits for a reader.
"""

import threading
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from typing import Self, TypeAlias

from heliograph.recorder.points import Event, Point

ITEMS_MAX = 10_000
SUBSCRIPTIONS_MAX = 100

Item: TypeAlias = Point | Event


class Subscription:
    """Items that wait to be read, at most *items_max*. Thread-safe.

    metrics, events   names of metrics, types of events, or one; None for all of them, () for none
    dropped           items that went unread

    ValueError for what is none of these.
    """

    def __init__(
        self,
        *,
        metrics: Collection[str] | None = None,
        events: Collection[str] | None = None,
        items_max: int = ITEMS_MAX,
    ) -> None:
        if type(items_max) is not int:
            raise ValueError(f"items_max is a whole number, not {items_max!r}")
        self.dropped = 0
        self.closed = False
        self._metrics = _names(metrics)
        self._events = _names(events)
        self._items: deque[Item] = deque()
        self._items_max = max(1, items_max)
        self._changed = threading.Condition()

    def offer(self, item: Item) -> None:
        """Take *item*, if it is asked for."""
        wanted, name = (
            (self._metrics, item.name)
            if isinstance(item, Point)
            else (self._events, item.event_type)
        )
        if self.closed or (wanted is not None and name not in wanted):
            return
        with self._changed:
            if len(self._items) >= self._items_max:
                self._items.popleft()
                self.dropped += 1
            self._items.append(item)
            self._changed.notify()

    def get(self, timeout_s: float | None = None) -> Item | None:
        """The next item; None once it is closed and empty, or nothing came for *timeout_s*."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self.closed, timeout_s)
            return self._items.popleft() if self._items else None

    def close(self) -> None:
        """Take no more; what waits can still be read."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Item]:
        while (item := self.get()) is not None:
            yield item

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _names(given: object) -> frozenset[str] | None:
    if given is None:
        return None
    if isinstance(given, str):
        return frozenset((given,))
    if not isinstance(given, Iterable):
        raise ValueError(f"names of metrics or types of events, not {given!r}")  # noqa: TRY004 - an option's fault is a ValueError
    return frozenset(given)
