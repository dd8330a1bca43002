"""The pasts of one anomaly rule, one for each key and client, and what must be written down.

    held = pasts.of(key, client)         looked up once for many values
    held.score(at_ns, value, limit)      each time
    pasts.write(held)                    when it has taken as many values as are `due`

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


class Held(Past):
    """The past of a key and client, *name*.

    due      of how many values it is to be written
    spared   of how many values it was when it was last looked at to be given up
    gone     it was given up; whoever holds it must ask for it anew
    """

    __slots__ = ("name", "spared")

    def __init__(self, name: tuple[Labels, str], size: int, least: int, of: str) -> None:
        super().__init__(size=size, least=least, of=of)
        self.name = name
        self.due, self.spared = VALUES_PER_WRITE, 0


class Pasts:
    """Pasts by key and client. When there are too many, one goes of which nothing was heard for
    long: each in turn is given up, or spared once for every time that it was heard since.

    late, evicted    values that came out of order; pasts given up for room
    """

    __slots__ = (
        "_dirty",
        "_gone_late",
        "_least",
        "_of",
        "_pasts",
        "_rule_id",
        "_size",
        "evicted",
    )

    def __init__(self, rule_id: str, *, size: int, least: int, of: str = OF[0]) -> None:
        self._rule_id = rule_id
        self._size = size
        self._least = least
        self._of = of
        self._pasts: dict[tuple[Labels, str], Held] = {}
        self._dirty: dict[tuple[Labels, str], bool] = {}
        self._gone_late = 0
        self.evicted = 0

    @property
    def late(self) -> int:
        """Values that came out of order. May be asked by another thread than the one that adds."""
        # All of them at once: none may come while they are gone through.
        return self._gone_late + sum(held.late for held in list(self._pasts.values()))

    def of(self, key: Labels, client: str) -> Held:
        """The past of *key* and *client*, new where there is none."""
        name = key, client
        held = self._pasts.get(name)
        if held is None:
            if len(self._pasts) >= PASTS_MAX:
                self._give_up()
            held = self._pasts[name] = Held(name, self._size, self._least, self._of)
        return held

    def write(self, held: Held) -> None:
        """Have *held* be among the next rows."""
        held.due = held.taken + VALUES_PER_WRITE
        self._dirty[held.name] = True

    def load(self, state: bytes) -> None:
        """Take up a row's *state*. Raises ValueError when `drain` did not write it."""
        try:
            key, client, kept = _DECODER.decode(state)
        except msgspec.MsgspecError as error:
            raise ValueError(f"not a rule's state: {error}") from error
        held = Held((key, client), self._size, self._least, self._of)
        held.load(kept)
        self._pasts[key, client] = held

    def drain(self) -> Iterator[StateRow]:
        """The rows that changed since the last time."""
        for name, kept in self._dirty.items():
            key, client = name
            state = None
            if kept:
                state = msgspec.msgpack.encode((key, client, self._pasts[name].dump()))
            row = fingerprint((*key, ("\x00client", client)))
            yield StateRow(self._rule_id, row, state)
        self._dirty.clear()

    def everything(self) -> Iterator[StateRow]:
        """The rows of all pasts."""
        self._dirty.update(dict.fromkeys(self._pasts, True))
        return self.drain()

    def _give_up(self) -> None:
        pasts = self._pasts
        while True:
            name = next(iter(pasts))
            held = pasts.pop(name)
            if held.taken == held.spared:
                break
            held.spared = held.taken
            pasts[name] = held
        self._dirty[name] = False
        self.evicted += 1
        self._gone_late += held.late
        held.gone = True
        # Whoever still holds it holds no values.
        held.begin(None, (), None)
