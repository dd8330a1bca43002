"""The windows of one rule, a key each, and what of them must be written down.

A rule that fires at the first occurrence has no windows. Keys that were not heard of for longest
are given up when there are too many.
"""

from collections.abc import Iterator

import msgspec

from heliograph.alert.rules.rule import StateRow, Threshold
from heliograph.core.labels import Labels, fingerprint
from heliograph.rules.window import LATENESS_NS, Window

KEYS_MAX = 10_000
STATE_BYTES_MAX = 1024 * 1024

_DECODER = msgspec.msgpack.Decoder(tuple[tuple[tuple[str, str], ...], bytes])


class Counts:
    """Occurrences by key, of one rule.

    late, evicted    occurrences too late to count; keys and occurrences given up for room
    """

    __slots__ = (
        "_dirty",
        "_lateness_ns",
        "_rule_id",
        "_threshold",
        "_windows",
        "evicted",
        "late",
    )

    def __init__(
        self, rule_id: str, threshold: Threshold, *, lateness_ns: int = LATENESS_NS
    ) -> None:
        self._rule_id = rule_id
        self._threshold = threshold
        self._lateness_ns = lateness_ns
        self._windows: dict[Labels, Window] = {}
        # Keys whose row is to be written; None where it is to be deleted.
        self._dirty: dict[Labels, bool] = {}
        self.late = 0
        self.evicted = 0

    def add(
        self, key: Labels, client: str, at_ns: int, identity: int = 0, also: str = ""
    ) -> int:
        """Take one occurrence of *key*, once for each *identity* (see `Window`); how many make the
        rule fire now, or 0."""
        if self._threshold.count == 1:
            return 1
        window = self._windows.pop(key, None) or self._window()
        self._windows[key] = window
        if len(self._windows) > KEYS_MAX:
            oldest = next(iter(self._windows))
            del self._windows[oldest]
            self._dirty[oldest] = False
            self.evicted += 1
        late, evicted = window.late, window.evicted
        completed = window.add(client, at_ns, identity, also)
        self.late += window.late - late
        self.evicted += window.evicted - evicted
        self._dirty[key] = True
        return completed

    def load(self, state: bytes) -> None:
        """Take up a row's *state*. Raises ValueError when `drain` did not write it."""
        try:
            key, held = _DECODER.decode(state)
        except msgspec.MsgspecError as error:
            raise ValueError(f"not a rule's state: {error}") from error
        window = self._window()
        window.load(held)
        self._windows[key] = window

    def drain(self) -> Iterator[StateRow]:
        """The rows that changed since the last time."""
        for key, kept in self._dirty.items():
            state = msgspec.msgpack.encode((key, self._windows[key].dump())) if kept else None
            if state is not None and len(state) > STATE_BYTES_MAX:
                continue
            yield StateRow(self._rule_id, fingerprint(key), state)
        self._dirty.clear()

    def everything(self) -> Iterator[StateRow]:
        """The rows of all keys."""
        self._dirty.update(dict.fromkeys(self._windows, True))
        return self.drain()

    def _window(self) -> Window:
        return Window(
            count=self._threshold.count,
            span_ns=self._threshold.window_ns,
            lateness_ns=self._lateness_ns,
        )
