"""What was heard of, and then not for too long.

    absences = Absences(window_ns=15 * MINUTE_NS, forget_ns=DAY_NS, since_ns=start)
    absences.heard(key, at_ns); absences.overdue(now_ns)  →  [(key, last heard)]

Times are arrival times: silence is ours to notice, and a client with a wrong clock is not silent.
*since_ns* is when we began to listen; before that nobody was silent, so that a restart of ours
makes nobody overdue. A key that was silent for *forget_ns* is forgotten.
"""

from typing import NamedTuple

KEYS_MAX = 10_000


class Tick(NamedTuple):
    """What an instant finds: keys that became overdue, that are still so, that were forgotten.

    Each with the instant it was last heard. *ended* are those of the forgotten that were overdue.
    """

    began: list[tuple[str, int]]
    lasting: list[tuple[str, int]]
    forgotten: list[tuple[str, int]]
    ended: list[tuple[str, int]]


class Absences:
    """Who was heard when, of one rule; at most *keys_max*, the longest unheard given up first.

    evicted    keys given up for room
    """

    __slots__ = (
        "_heard",
        "_overdue",
        "evicted",
        "forget_ns",
        "keys_max",
        "since_ns",
        "window_ns",
    )

    def __init__(
        self, *, window_ns: int, forget_ns: int, since_ns: int, keys_max: int = KEYS_MAX
    ) -> None:
        self.window_ns = window_ns
        self.forget_ns = forget_ns
        self.since_ns = since_ns
        self.keys_max = keys_max
        self.evicted = 0
        self._heard: dict[str, int] = {}
        self._overdue: set[str] = set()

    def heard(self, key: str, at_ns: int) -> bool:
        """*key* was heard; whether that ends its being overdue."""
        before = self._heard.pop(key, at_ns)
        self._heard[key] = max(before, at_ns)
        if len(self._heard) > self.keys_max:
            oldest = next(iter(self._heard))
            del self._heard[oldest]
            self._overdue.discard(oldest)
            self.evicted += 1
        if key in self._overdue:
            self._overdue.discard(key)
            return True
        return False

    def gone(self, key: str) -> bool:
        """Nothing more is expected of *key*; whether it was overdue."""
        self._heard.pop(key, None)
        if key in self._overdue:
            self._overdue.discard(key)
            return True
        return False

    def tick(self, now_ns: int) -> Tick:
        """What is overdue at *now_ns*."""
        tick = Tick([], [], [], [])
        for key, last_ns in self._heard.items():
            silent_ns = now_ns - max(last_ns, self.since_ns)
            if silent_ns <= self.window_ns:
                continue
            if now_ns - last_ns > self.forget_ns:
                tick.forgotten.append((key, last_ns))
            elif key in self._overdue:
                tick.lasting.append((key, last_ns))
            else:
                tick.began.append((key, last_ns))
                self._overdue.add(key)
        for key, last_ns in tick.forgotten:
            del self._heard[key]
            if key in self._overdue:
                self._overdue.discard(key)
                tick.ended.append((key, last_ns))
        return tick

    def entry(self, key: str) -> tuple[int, bool] | None:
        """When *key* was last heard and whether it is overdue, or None; to be written down."""
        last_ns = self._heard.get(key)
        return None if last_ns is None else (last_ns, key in self._overdue)

    def put(self, key: str, last_ns: int, *, overdue: bool) -> None:
        """Take up what `entry` gave; the earliest heard first."""
        self._heard[key] = last_ns
        if overdue:
            self._overdue.add(key)
