"""The pasts of one anomaly rule, one for each key and client, and what must be written down.

A client is part of what a past is of: one whose clock is ahead must not make all others late.
"""

from collections.abc import Iterator

import msgspec

from heliograph.alert.rules.rule import StateRow
from heliograph.core.labels import Labels, fingerprint
from heliograph.rules.anomaly import OF, Past

PASTS_MAX = 2_000
# Values between two writes of a past: after a restart it may lack so many of its last ones, which
# moves no median far.
VALUES_PER_WRITE = 10
_DECODER = msgspec.msgpack.Decoder(tuple[tuple[tuple[str, str], ...], str, bytes])


class _Held:
    """A past, and how many of its values were not told to be written."""

    __slots__ = ("past", "unwritten")

    def __init__(self, past: Past) -> None:
        self.past = past
        self.unwritten = 0


class Pasts:
    """Pasts by key and client; those not heard of for longest are given up.

    late, evicted    values that came out of order; pasts given up for room
    """

    __slots__ = (
        "_dirty",
        "_least",
        "_of",
        "_pasts",
        "_rule_id",
        "_size",
        "evicted",
        "late",
    )

    def __init__(self, rule_id: str, *, size: int, least: int, of: str = OF[0]) -> None:
        self._rule_id = rule_id
        self._size = size
        self._least = least
        self._of = of
        self._pasts: dict[tuple[Labels, str], _Held] = {}
        self._dirty: dict[tuple[Labels, str], bool] = {}
        self.late = 0
        self.evicted = 0

    def score(
        self, key: Labels, client: str, at_ns: int, value: float, *, limit: float
    ) -> float | None:
        """Take *value*; its score against its own past, or None where there is none yet.

        One that is certain to be within *limit* may be told as 0.
        """
        name = key, client
        held = self._pasts.pop(name, None)
        if held is None:
            held = _Held(Past(size=self._size, least=self._least, of=self._of))
        self._pasts[name] = held
        if len(self._pasts) > PASTS_MAX:
            oldest = next(iter(self._pasts))
            del self._pasts[oldest]
            self._dirty[oldest] = False
            self.evicted += 1
        past = held.past
        late = past.late
        z = past.score(at_ns, value, limit=limit)
        self.late += past.late - late
        held.unwritten += 1
        if held.unwritten >= VALUES_PER_WRITE:
            held.unwritten = 0
            self._dirty[name] = True
        return z

    def load(self, state: bytes) -> None:
        """Take up a row's *state*. Raises ValueError when `drain` did not write it."""
        try:
            key, client, held = _DECODER.decode(state)
        except msgspec.MsgspecError as error:
            raise ValueError(f"not a rule's state: {error}") from error
        past = Past(size=self._size, least=self._least, of=self._of)
        past.load(held)
        self._pasts[key, client] = _Held(past)

    def drain(self) -> Iterator[StateRow]:
        """The rows that changed since the last time."""
        for name, kept in self._dirty.items():
            key, client = name
            state = None
            if kept:
                state = msgspec.msgpack.encode((key, client, self._pasts[name].past.dump()))
            row = fingerprint((*key, ("\x00client", client)))
            yield StateRow(self._rule_id, row, state)
        self._dirty.clear()

    def everything(self) -> Iterator[StateRow]:
        """The rows of all pasts."""
        self._dirty.update(dict.fromkeys(self._pasts, True))
        return self.drain()
