"""The book: every episode that the engine holds, in columns, packed small.

A slot is a place in the book. What changes with every repeat (`ends`, `updated`, `count`) is a
number in a column; what an alert *is* (labels, annotations, context) is packed in `cold`, and read
when somebody wants to see it. 100,000 alerts take about 50 MB.

    slots = book.add(alerts, saids)      book.view(slots[0]) == alerts[0], but for its documents

What `change` was called for can be put back by `abort`; a `touch` (a repeat that moves nothing
but the end) cannot, and need not be: it is written by the next checkpoint.
"""

import sys
from array import array
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain, compress
from typing import Any, TypeAlias

import numpy as np

from heliograph.alert.engine import cold
from heliograph.alert.engine.cold import Cold
from heliograph.alert.engine.pages import Pages
from heliograph.alert.engine.pairs import Pair, Pairs
from heliograph.alert.model import Alert
from heliograph.kernels import alert_columns
from heliograph.kernels.alert_columns import Columns, Slots

FOREVER_NS = alert_columns.FOREVER_NS
_OVER, _GUESS, _FIRED = alert_columns.OVER, alert_columns.GUESS, alert_columns.FIRED
# Slots that are made at once, at least.
_GROWTH = 1024
# A book of more than that grows a column a turn while as many slots are left: all at once takes
# milliseconds that one turn's senders wait for.
_AHEAD = 8192

# Cold, groups, flags, and the numbers of one slot.
_Saved: TypeAlias = tuple[Any, ...]


class Book:
    """Episodes by slot, id and identity."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.fingerprints: list[str] = []
        self.groups: list[tuple[str, ...]] = []
        self.starts = array("q")
        self.ends = array("q")
        self.count = array("q")
        self.seq = array("q")
        self.firing = 0
        self._cold = Pages()
        self._updated = array("q")
        self._created = array("q")
        self.wake = array("q")
        self._said = array("q")
        self._episode = array("q")
        self._flags = bytearray()
        self._pairs = Pairs()
        self._by_id = Slots(self.ids)
        # The latest episode of each identity.
        self._latest = Slots(self.fingerprints)
        # The same objects, which grow where they are.
        self._into = Columns(
            *(self.starts, self.ends, self.count, self.seq, self._updated, self._created),
            *(self.wake, self._said, self._episode, self._flags, self.ids, self.fingerprints),
            *(self._by_id, self._latest),
        )
        self._free = array("I")
        # The rest of the steps of a growth.
        self._growing: Iterator[None] = iter(())
        self._next_ns = FOREVER_NS
        # Slots that `change` was called for; those that are new have the slot of the episode before.
        self._saved: dict[int, _Saved] = {}
        self._new: dict[int, int | None] = {}
        # What was over and in no group when it was committed, the longest so first.
        self.idle: dict[int, None] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[int]:
        """Every slot, oldest first."""
        return iter(self._oldest_first())

    def slot(self, alert_id: str) -> int | None:
        """The slot of *alert_id*, or None."""
        return self._by_id.get(alert_id)

    def latest(self, fingerprint: str) -> int | None:
        """The slot of the latest episode of an identity, or None."""
        return self._latest.get(fingerprint)

    def is_new(self, fingerprints: Collection[str]) -> bool:
        """Whether there is no episode of any of *fingerprints*."""
        return self._latest.lacks(fingerprints)

    def is_free(self, ids: Collection[str]) -> bool:
        """Whether no episode has one of *ids*."""
        return self._by_id.lacks(ids)

    def add(
        self,
        alerts: Sequence[Alert],
        saids: Sequence[int],
        *,
        over: Sequence[bool] | None = None,
        ended_ns: int = 0,
    ) -> list[int]:
        """Slots for *alerts*, in order, found by what matchers see of them; *saids* as of `said_of`.

        *over*: the end of which was taken note of, None: of none; those are kept for *ended_ns*.
        """
        # First of all: what cannot be packed must not be here by half.
        pieces = cold.packed_all(alerts)
        while len(self._free) < len(alerts):
            self._grow_on(to_the_end=True)
        slots = self._free[: -len(alerts) - 1 : -1].tolist()
        del self._free[len(self._free) - len(alerts) :]
        first_ns = alert_columns.keep(
            alerts, saids, over, ended_ns, slots, self._into, self._new
        )
        self._next_ns = min(self._next_ns, first_ns)
        for slot in compress(slots, over or ()):
            self.keep(slot, self._updated[slot] + ended_ns)
        self._cold.put_all(slots, pieces)
        self._pairs.put_all(alerts, slots)
        self.firing += len(alerts) - (sum(over) if over is not None else 0)
        return slots

    def view(self, slot: int) -> Alert:
        """The alert in *slot* as it is now; its documents are in the store."""
        what = self.cold(slot)
        ends_ns = self.ends[slot]
        return Alert(
            self.ids[slot],
            self.fingerprints[slot],
            what.source,
            what.labels,
            what.annotations,
            self.starts[slot],
            None if ends_ns == FOREVER_NS else ends_ns,
            bool(self._flags[slot] & _GUESS),
            self._created[slot],
            self._updated[slot],
            what.generator_url,
            what.severity,
            what.context,
            self.count[slot],
            self._episode[slot],
            self.seq[slot],
            what.entities,
            b"",
            b"",
        )

    def cold(self, slot: int) -> Cold:
        """What the alert in *slot* is."""
        return cold.unpack(self._cold.get(slot))

    def over(self, slot: int) -> bool:
        """Whether the end of the episode in *slot* was taken note of."""
        return bool(self._flags[slot] & _OVER)

    def fired(self, slot: int) -> bool:
        """Whether the episode in *slot* was seen to fire."""
        return bool(self._flags[slot] & _FIRED)

    def guessed(self, slot: int) -> bool:
        """Whether the end of the episode in *slot* is a guess."""
        return bool(self._flags[slot] & _GUESS)

    def episode(self, slot: int) -> int:
        """Which episode of its identity is in *slot*, from 1."""
        return self._episode[slot]

    def says(self, slot: int, said: int) -> bool:
        """Whether the words of the alert in *slot* are those of `said_of`."""
        return self._said[slot] == said

    def move_of(self, slot: int) -> tuple[str, int | None, int, int]:
        """Id, end, update and count of *slot*: what repeats move."""
        ends_ns = None if self.ends[slot] == FOREVER_NS else self.ends[slot]
        return self.ids[slot], ends_ns, self._updated[slot], self.count[slot]

    def in_change(self, slot: int) -> bool:
        """Whether *slot* was changed or added since the last commit."""
        return slot in self._saved or slot in self._new

    def touch(self, slot: int, ends_ns: int, guess: bool, now_ns: int) -> None:
        """Note a repeat of the alert in *slot*, which fires: it moves its end."""
        self.ends[slot] = ends_ns
        self._updated[slot] = now_ns
        self.count[slot] += 1
        self.wake[slot] = ends_ns
        self._flags[slot] = _FIRED | _GUESS if guess else _FIRED
        self._next_ns = min(self._next_ns, ends_ns)

    def repeat(
        self,
        fingerprint: str,
        said: int,
        starts_ns: int | None,
        ends_ns: int | None,
        resolve_after_ns: int,
        now_ns: int,
    ) -> tuple[int, int] | None:
        """`touch` the alert that fires when nothing but its end is news: its slot, and the end that
        it had. None, and nothing is changed: it is over, or the post says something else.

        One function, which a repeat goes through and little else: see `taking.repeat`.
        """
        slot = self._latest.get(fingerprint)
        if slot is None or self._said[slot] != said or slot in self._saved or slot in self._new:
            return None
        flags, old_ns = self._flags[slot], self.ends[slot]
        if (
            flags & _OVER
            or old_ns <= now_ns
            # Whether it is a guess is written with the whole alert.
            or bool(flags & _GUESS) != (ends_ns is None)
            or (now_ns if starts_ns is None else starts_ns) < self.starts[slot]
        ):
            return None
        if ends_ns is None:
            end_ns = now_ns + resolve_after_ns if resolve_after_ns > 0 else FOREVER_NS
        elif ends_ns <= now_ns:
            return None
        else:
            end_ns = max(ends_ns, old_ns)
        self.ends[slot] = self.wake[slot] = end_ns
        self._updated[slot] = now_ns
        self.count[slot] += 1
        if not flags & _FIRED:
            self._flags[slot] = flags | _FIRED
        self._next_ns = min(self._next_ns, end_ns)
        return slot, old_ns

    def change(self, slot: int) -> None:
        """Remember what *slot* holds, before it is changed, for `abort`."""
        if slot in self._new or slot in self._saved:
            return
        self._saved[slot] = (
            self._cold.kept(slot),
            self.groups[slot],
            self._flags[slot],
            *(column[slot] for column in self._columns()),
        )

    def refresh(self, slot: int, alert: Alert) -> None:
        """Put what *alert* says in place of what *slot* holds; `change` was called."""
        self.starts[slot], self.seq[slot] = alert.starts_ns, alert.seq
        self.ends[slot] = FOREVER_NS if alert.ends_ns is None else alert.ends_ns
        self._updated[slot], self.count[slot] = alert.updated_ns, alert.count
        kept = self._flags[slot] & ~_GUESS
        self._flags[slot] = kept | (_GUESS if alert.timed_out else 0)
        if not kept & _OVER:
            self.keep(slot, self.ends[slot])
        if self.cold(slot).severity != alert.severity:  # of what matchers see, the rest stays
            self._pairs.put(slot, cold.seen_of(alert).items())
        self._cold.put(slot, cold.packed(alert))
        self._said[slot] = cold.said_of(alert)

    def end(self, slot: int, ended_ns: int, now_ns: int) -> None:
        """Note that the episode in *slot* is over, to be kept for *ended_ns*; `change` was called."""
        if not self._flags[slot] & _OVER:
            self.firing -= 1
        # An update that is not before the end is how a start knows that it was noted.
        self._updated[slot] = max(self._updated[slot], now_ns)
        self._flags[slot] |= _OVER
        self.keep(slot, self._updated[slot] + ended_ns)

    def keep(self, slot: int, until_ns: int) -> None:
        """Look at the episode in *slot* at *until_ns*, whether it ends or may be forgotten."""
        self.wake[slot] = until_ns
        self._next_ns = min(self._next_ns, until_ns)

    def due_ns(self) -> int:
        """Nothing ends and nothing is to be forgotten before this."""
        return self._next_ns

    def due(self, now_ns: int, slots_max: int) -> list[int]:
        """Slots that end or may be forgotten by *now_ns*, the first *slots_max*; the rest stays due."""
        if now_ns < self._next_ns or not self.wake:
            return []
        wake = np.frombuffer(self.wake, dtype=np.int64)
        found = np.flatnonzero(wake <= now_ns)
        found = found[np.argsort(wake[found], kind="stable")]
        slots: list[int] = found[:slots_max].tolist()
        if len(found) > slots_max:
            self._next_ns = int(wake[found[slots_max]])
            return slots
        later = wake[wake > now_ns]
        self._next_ns = int(later.min()) if len(later) else FOREVER_NS
        return slots

    def carrying(self, pairs: Sequence[Pair]) -> Iterable[int]:
        """Slots whose labels or context have all of *pairs*, and perhaps more: look at each."""
        return self._pairs.slots(pairs) if pairs else self._oldest_first()

    def forget(self, slot: int) -> None:
        """Have no such episode any more; nothing may be uncommitted."""
        assert not self._saved
        assert not self._new
        alert_id, fingerprint = self.ids[slot], self.fingerprints[slot]
        self.firing -= not self.over(slot)
        self._by_id.remove(alert_id)
        if self._latest.get(fingerprint) == slot:
            self._latest.remove(fingerprint)
        self._vacate(slot)

    def commit(self) -> None:
        """What there is, is stored."""
        flags, changed = self._flags, chain(self._saved, self._new)
        over = [slot for slot in changed if flags[slot] & _OVER]
        self.idle |= {slot: None for slot in over if not self.groups[slot]}
        self._saved.clear()
        self._new.clear()
        self._cold.pack()
        if len(self._free) < _AHEAD < len(self.ids):
            self._grow_on()

    def abort(self) -> tuple[list[str], list[int]]:
        """Put back what there was at the last commit: ids that are no more, slots changed back."""
        gone = [self.ids[slot] for slot in self._new]
        for slot, before in reversed(self._new.items()):
            self.firing -= not self.over(slot)
            self._by_id.remove(self.ids[slot])
            if before is None:
                self._latest.remove(self.fingerprints[slot])
            else:
                self._latest.put(self.fingerprints[slot], before)
            self._vacate(slot)
        back = list(self._saved)
        for slot, (kept, groups, flags, *numbers) in self._saved.items():
            self.firing += self.over(slot) - bool(flags & _OVER)
            self._cold.restore(slot, kept)
            self.groups[slot], self._flags[slot] = groups, flags
            self._pairs.put(slot, cold.seen_of(self.cold(slot)).items())
            for column, number in zip(self._columns(), numbers, strict=True):
                column[slot] = number
        # What was due is due again.
        self._next_ns = min(self.wake, default=FOREVER_NS)
        self.commit()
        return gone, back

    def _oldest_first(self) -> list[int]:
        if not len(self):
            return []
        # Of a slot that nothing is in it is 0.
        held = np.flatnonzero(np.frombuffer(self._episode, np.int64))
        created_ns = np.frombuffer(self._created, np.int64)[held]
        slots: list[int] = held[np.argsort(created_ns, kind="stable")].tolist()
        return slots

    def _grow_on(self, *, to_the_end: bool = False) -> None:
        """A step of the growth that has begun, or of a new one; or all that it has."""
        if next(self._growing, self) is self:
            self._growing = self._grow()
        if to_the_end:
            deque(self._growing, 0)

    def _grow(self) -> Iterator[None]:
        """Grow, a column a step; ids last, for what has an id has all the rest."""
        begin = len(self.ids)
        # A column that grows moves, and leaves a hole that is too small for the next to grow into.
        more = max(_GROWTH, begin // 2)
        self.fingerprints += [""] * more
        yield
        self.groups += [()] * more
        yield
        self._cold.grow(more)
        yield
        for column in self._columns():
            nothing = FOREVER_NS if column is self.wake else 0
            column.frombytes(nothing.to_bytes(8, sys.byteorder) * more)
            yield
        self._pairs.grow(more)
        yield
        for slots in (self._by_id, self._latest):
            slots.reserve(begin + more)
            yield
        self._flags += bytes(more)
        self.ids += [""] * more
        # What is free already goes first.
        self._free = array("I", range(begin + more - 1, begin - 1, -1)) + self._free

    def _vacate(self, slot: int) -> None:
        self.ids[slot] = self.fingerprints[slot] = ""
        self.groups[slot] = ()
        self.idle.pop(slot, None)
        self._cold.put(slot, b"")
        self._episode[slot], self._flags[slot], self.wake[slot] = 0, 0, FOREVER_NS
        self._pairs.put(slot, ())
        self._free.append(slot)

    def _columns(self) -> "tuple[array[int], ...]":
        return self._into[:9]
