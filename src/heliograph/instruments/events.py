"""Events: what happened, kept newest last in a ring that has an end.

    TelemetryEvent("user_login", {"user_id": "1"}, timestamp=1767225600.0, labels={"source": "web"})

What is kept is a copy made harmless (`cleaned`): plain types only, secrets crossed out by the name
of their key, long texts cut with a mark, no cycles. Our own events have a ring of their own, so
they can never push out the user's.
"""

import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any

from heliograph.core.clock import SystemClock

EVENTS_MAX = 1000
# Ours are kept apart, and shown only as far as the user's leave room.
OWN_EVENTS_MAX = 100
# Of one event, all its texts together; a ring of the largest stays near 32 MiB.
EVENT_CHARS_MAX = 16_384
EVENT_ITEMS_MAX = 1_000
DEPTH_MAX = 16
KEY_CHARS_MAX = 256
REDACTED = "[redacted]"
_SECRET = re.compile(
    r"passw(?:or)?d|passphrase|secret|api[-_ ]?key|access[-_ ]?key|private[-_ ]?key|"
    r"credential|authorization|cookie|bearer",
    re.IGNORECASE,
)
# A number is what a language model counts (`loss_per_token`), text is what it hides.
_TOKEN = re.compile(r"(?:^|[-_ .])token$", re.IGNORECASE)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class TelemetryEvent:
    """One event. `sequence` is its place in the order of recording, whatever the wall clock did.

    timestamp   seconds since 1970 UTC by the wall clock; now, where none is given
    """

    __slots__ = ("labels", "metadata", "name", "sequence", "timestamp", "value")

    def __init__(
        self,
        name: str,
        value: Any,
        timestamp: float | None = None,
        labels: Mapping[str, str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        sequence: int = 0,
    ) -> None:
        self.name = name
        self.value = value
        self.timestamp = SystemClock().now_ns() / 1e9 if timestamp is None else timestamp
        self.labels: dict[str, str] = dict(labels or {})
        self.metadata: dict[str, Any] = dict(metadata or {})
        self.sequence = sequence

    def __repr__(self) -> str:
        return (
            f"TelemetryEvent(name={self.name!r}, value={self.value!r}, "
            f"timestamp={self.timestamp!r}, labels={self.labels!r}, metadata={self.metadata!r})"
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TelemetryEvent):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment]  # its parts are dicts


class Events:
    """The newest events of a collector. Every method is thread-safe and takes no lock."""

    def __init__(self) -> None:
        self._user: deque[TelemetryEvent] = deque(maxlen=EVENTS_MAX)
        self._own: deque[TelemetryEvent] = deque(maxlen=OWN_EVENTS_MAX)
        self._next = count(1).__next__

    def sequence(self) -> int:
        """The next place in the order of recording."""
        return self._next()

    def append(self, event: TelemetryEvent, *, own: bool = False) -> None:
        """Keep *event*; the oldest of its kind goes when there are too many."""
        (self._own if own else self._user).append(event)

    def newest(self) -> list[TelemetryEvent]:
        """At most `EVENTS_MAX` events in the order of recording; ours leave room first."""
        kept = _copied(self._user)
        room = EVENTS_MAX - len(kept)
        own = _copied(self._own)[-room:] if room else []
        return sorted([*kept, *own], key=lambda event: event.sequence)

    def clear(self) -> None:
        """Forget all events."""
        self._user.clear()
        self._own.clear()

    def __iter__(self) -> Iterator[TelemetryEvent]:
        return iter(self.newest())

    def __len__(self) -> int:
        return min(EVENTS_MAX, len(self._user) + len(self._own))


def _copied(ring: deque[TelemetryEvent]) -> list[TelemetryEvent]:
    while True:
        try:
            return list(ring)
        except RuntimeError:  # Another thread appended meanwhile: no lock is worth that.
            continue


class Budget:
    """What one event may still take, and why something of it was changed, if it was."""

    __slots__ = ("_open", "chars", "items", "marks", "shown")

    def __init__(self, shown: Callable[[Any], str]) -> None:
        self.chars = EVENT_CHARS_MAX
        self.items = EVENT_ITEMS_MAX
        self.marks: set[str] = set()
        self.shown = shown
        self._open: set[int] = set()

    def enter(self, container: object) -> bool:
        """False where *container* is inside itself or too deep; `leave` it afterwards if not."""
        if id(container) in self._open or len(self._open) >= DEPTH_MAX:
            self.marks.add("event_cut")
            return False
        self._open.add(id(container))
        return True

    def leave(self, container: object) -> None:
        """*container* is done."""
        self._open.discard(id(container))


def cleaned(value: Any, budget: Budget) -> Any:
    """*value* as plain types that no one else holds, within *budget*; NaN stays NaN.

    Objects become their `repr`, sets lists, bytes their `repr`. May raise what the methods of a
    user's own mapping raise.
    """
    kind = type(value)
    if value is None or kind is bool or kind is float:
        return value
    if kind is int:
        return value if value.bit_length() <= 1024 else _cut(hex(value), budget)
    if kind is str:
        return _cut(value, budget)
    if isinstance(value, Mapping):
        return _mapping(value, budget)
    if isinstance(value, list | tuple | set | frozenset | deque):
        return _sequence(value, budget)
    if isinstance(value, bytes | bytearray | memoryview):
        return _cut(repr(bytes(value[: EVENT_CHARS_MAX + 1])), budget)
    if isinstance(value, int | float | str):
        # A subclass may do anything in its methods: its plain part is what we keep.
        plain = next(base for base in (int, float, str) if isinstance(value, base))
        return cleaned(plain.__str__(value) if plain is str else plain(value), budget)
    return _cut(budget.shown(value), budget)


def _mapping(value: Mapping[Any, Any], budget: Budget) -> Any:
    if not budget.enter(value):
        return "[cycle]"
    result: dict[str, Any] = {}
    for key, inner in value.items():
        if not _room(budget):
            result["…"] = "[cut]"
            break
        name = key if type(key) is str else budget.shown(key)
        name = name[:KEY_CHARS_MAX]
        if is_secret(name, inner):
            budget.marks.add("event_redacted")
            result[name] = REDACTED
        else:
            result[name] = cleaned(inner, budget)
    budget.leave(value)
    return result


def _sequence(value: Any, budget: Budget) -> Any:
    if not budget.enter(value):
        return "[cycle]"
    result: list[Any] = []
    for inner in value:
        if not _room(budget):
            result.append("[cut]")
            break
        result.append(cleaned(inner, budget))
    budget.leave(value)
    return tuple(result) if isinstance(value, tuple) else result


def _room(budget: Budget) -> bool:
    budget.items -= 1
    if budget.items < 0 or budget.chars <= 0:
        budget.marks.add("event_cut")
        return False
    return True


def _cut(text: str, budget: Budget) -> str:
    kept = text[: max(0, budget.chars)]
    budget.chars -= len(kept)
    if len(kept) == len(text):
        return text
    budget.marks.add("event_cut")
    return f"{kept}… [cut, {len(text)} characters]"


def is_secret(name: str, value: Any) -> bool:
    """Whether *value* under *name* is for nobody's eyes: `api_key`, `authToken`, `password`."""
    if value is None or isinstance(value, bool):
        return False
    words = _CAMEL.sub("_", name)
    if _SECRET.search(words):
        return True
    return not isinstance(value, int | float) and _TOKEN.search(words) is not None
