"""Numbers on their way from whoever records them to whoever writes them: what `recorder` costs a call.

    rows = Rows(now_ns, stamp, read, prefix, number, rows_max=100_000, group_max=20_000)
    rows.put("took_ms", 1767225600000000000, 127.0)               the series is known from now on
    rows.record("took_ms", 127, None, None)
    →  {"status": "success", "event_id": "f47a…", "timestamp": "2026-01-01T00:00:00.000000"}
    rows.record("new", 127, None, None)   →  None: nothing is kept, somebody has to look closer
    rows.take()  →  Taken(["took_ms"], 2, slots, at_ns, values), the columns in 4, 8 and 8 bytes

`record` takes what is usual: a number for a series that was met before, in a context of plain values,
at an instant as text, datetime or seconds, while there is room and nobody watches the metric. A
series is known by its key: the metric's name, or (name, key, value, key, value …) with its context.
`metric_rows.pyx` is the same for machines with a compiler (decision 0010).
"""

import threading
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from json import dumps
from typing import Any, NamedTuple, TypeAlias

COMPILED = False
# Series told apart at a time; when there are more it begins anew.
KEYS_MAX = 65_536
# Of one context, and of a text in it; beyond, somebody looks closer.
CONTEXT_KEYS_MAX = 32
TEXT_CHARS_MAX = 1024
_INT_MAX = 2**63 - 1
_ID_MASK = 2**48 - 1
_TOLD = frozenset((str, int, float, datetime))

Key: TypeAlias = str | tuple[Any, ...]


class Taken(NamedTuple):
    """Rows to be written: the key of row n is `keys[slots[n]]`. *keys* may grow, and is not yours."""

    keys: list[Key]
    size: int
    slots: Any
    at_ns: Any
    values: Any


class Rows:
    """A bounded buffer of numbers. Thread-safe; one thread takes.

    now_ns, stamp, read   the clock; text of an instant; instant of a datetime, text or seconds,
                          which raises ValueError or TypeError
    prefix, number        ids are *prefix* and 12 hexadecimal digits, counting on from *number*
    open, watched         `record` takes nothing unless it is open, and none of the metrics *watched*,
                          which are all of them for None
    asleep, wake          who takes waits to be told: `wake()` is called once, after a row came
    recorded, waiting     rows that `record` took; rows, and what is held beside them, not taken yet
    """

    def __init__(
        self,
        now_ns: Callable[[], int],
        stamp: Callable[[int], str],
        read: Callable[[Any], int],
        prefix: str,
        number: int,
        *,
        rows_max: int,
        group_max: int,
    ) -> None:
        self.open = True
        self.watched: frozenset[str] | None = frozenset()
        self.asleep = False
        self.wake: Callable[[], object] = int
        self.recorded = 0
        self.waiting = 0
        self._now_ns = now_ns
        self._stamp = stamp
        self._read = read
        self._prefix = prefix
        self._number = number
        self._rows_max = rows_max
        self._group_max = group_max
        self._keys: list[Key] = []
        self._slots: dict[Key, int] = {}
        self._groups: deque[tuple[list[Key], list[tuple[int, int, float]]]] = deque()
        self._returned: list[Taken] = []
        self._lock = threading.Lock()
        self._rows: list[tuple[int, int, float]] = []

    def record(
        self, name: Any, value: Any, context: Any, timestamp: Any
    ) -> dict[str, Any] | None:
        """Keep *value*; the answer of it, or None when it is not for here."""
        if not self.open or self.waiting >= self._rows_max:
            return None
        if type(value) is not float and (
            type(value) is not int or not -_INT_MAX <= value <= _INT_MAX
        ):
            return None
        if type(name) is not str or (context is not None and type(context) is not dict):
            return None
        if self.watched is None or name in self.watched:
            return None
        key = key_of(name, context)
        if key is None:
            return None
        told = timestamp
        if timestamp is None or (type(timestamp) is str and not timestamp):
            at_ns = self._now_ns()
            told = self._stamp(at_ns)
        elif type(timestamp) in _TOLD:
            try:
                at_ns = self._read(timestamp)
            except (ValueError, TypeError, OverflowError):
                return None
            if type(timestamp) is datetime:
                told = timestamp.isoformat()
        else:
            return None
        with self._lock:
            slot = self._slots.get(key)
            if slot is None or not self.open:
                return None
            self._append(slot, at_ns, float(value))
            self.recorded += 1
            number = self._number = self._number + 1
        if self.asleep:
            self.asleep = False
            self.wake()
        event_id = f"{self._prefix}{number & _ID_MASK:012x}"
        return {"status": "success", "event_id": event_id, "timestamp": told}

    def put(self, key: Key, at_ns: int, value: float) -> None:
        """Keep *value* for the series of *key*, which is known then; whoever calls saw to the room."""
        with self._lock:
            slot = self._slots.get(key)
            if slot is None:
                if len(self._keys) >= KEYS_MAX:
                    self._begin_anew()
                slot = self._slots[key] = len(self._keys)
                self._keys.append(key)
            self._append(slot, at_ns, value)
        if self.asleep:
            self.asleep = False
            self.wake()

    def put_all(self, rows: Iterable[tuple[Key, int, float]]) -> None:
        """Put each of *rows*."""
        for key, at_ns, value in rows:
            self.put(key, at_ns, value)

    def hold(self, count: int) -> None:
        """Count *count* things more (fewer below 0) that wait elsewhere, but share the room."""
        with self._lock:
            self.waiting += count

    def take(self) -> Taken | None:
        """The oldest rows, at most *group_max*; None when there are none."""
        with self._lock:
            if self._returned:
                taken = self._returned.pop()
            else:
                if self._groups:
                    keys, rows = self._groups.popleft()
                else:
                    keys, rows, self._rows = self._keys, self._rows, []
                if not rows:
                    return None
                slots, at_ns, values = zip(*rows, strict=True)
                taken = Taken(
                    keys, len(rows), array("I", slots), array("q", at_ns), array("d", values)
                )
            self.waiting -= taken.size
            return taken

    def give_back(self, taken: Taken) -> None:
        """Have *taken*, which could not be written, taken again before all else."""
        with self._lock:
            self._returned.append(taken)
            self.waiting += taken.size

    def forget(self) -> None:
        """Know no series any more: each is looked at once again."""
        with self._lock:
            self._begin_anew()

    def _append(self, slot: int, at_ns: int, value: float) -> None:
        self._rows.append((slot, at_ns, value))
        self.waiting += 1
        if len(self._rows) >= self._group_max:
            self._groups.append((self._keys, self._rows))
            self._rows = []

    def _begin_anew(self) -> None:
        if self._rows:
            self._groups.append((self._keys, self._rows))
            self._rows = []
        self._keys, self._slots = [], {}


def key_of(name: str, context: Mapping[str, Any] | None) -> Key | None:
    """The key of metric *name* in *context*, None where the context is not plain: at most
    CONTEXT_KEYS_MAX keys that are text, values that are text, numbers, booleans or None."""
    if not context:
        return name
    if type(context) is not dict or len(context) > CONTEXT_KEYS_MAX:
        return None
    parts: list[Any] = [name]
    for label, value in context.items():
        if type(label) is not str:
            return None
        kind = type(value)
        if kind is float or kind is bool or value is None:
            parts += (label, dumps(value))
        elif (kind is str and len(value) <= TEXT_CHARS_MAX) or (
            kind is int and -_INT_MAX <= value <= _INT_MAX
        ):
            parts += (label, value)
        else:
            return None
    return tuple(parts)
