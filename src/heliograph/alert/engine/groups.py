"""Groups: who is told together, and when each group is looked at next.

    alert ── route, values of group_by ──► key ──► members, timer

A group comes with its first alert and goes with its last. Its timer is memory: it is written when
something else of the group is, for a restart waits `group_wait` again in any case.
"""

from array import array
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from msgspec import structs

from heliograph.alert import routes
from heliograph.alert.engine.rows import Rows
from heliograph.alert.engine.timers import Timers
from heliograph.alert.model import Group
from heliograph.alert.routes import Route
from heliograph.core.labels import Labels

# Remembered keys, by route and values; then all are forgotten.
KEYS_MAX = 8_192
# Before the key of a group whose route is no more and whose own key another group has now.
GONE = "gone/"


class Place(NamedTuple):
    """One group that an alert belongs to."""

    route: Route
    key: str
    labels: Labels


class Places(NamedTuple):
    """The groups that an alert belongs to, and their *keys*, which many alerts share."""

    places: tuple[Place, ...]
    keys: tuple[str, ...]


NOWHERE = Places((), ())
# A place, and slots that belong there.
Members = tuple[Place, list[int]]


def first_flush_ns(now_ns: int, starts_ns: int, wait_ns: int, opens_ns: int) -> int:
    """When a group is first looked at whose alert is here since now: after *wait_ns*; at once when
    the alert is older than that, but not before *opens_ns*, when what inhibits it has come too."""
    if starts_ns + wait_ns < now_ns:
        return min(now_ns + wait_ns, max(now_ns, opens_ns))
    return now_ns + wait_ns


class Groups:
    """Every group: its row, its members (slots of the book), its timer."""

    def __init__(self) -> None:
        self.rows: Rows[str, Group] = Rows()
        self._timers: Timers[str] = Timers()
        self._members: dict[str, array[int]] = {}
        # What members there were at the last commit: the array, and how much of it.
        self._before: dict[str, tuple[array[int], int] | None] = {}
        self._keys: dict[tuple[str | None, ...], Place] = {}
        # By what the routes ask of an alert.
        self.known: dict[tuple[str | None, ...], Places] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def place(self, route: Route, labels: Labels, seen: Mapping[str, str]) -> Place:
        """The group of *route* that an alert of *labels*, of which matchers see *seen*, is in."""
        if route.group_by is None:
            return Place(route, routes.group_key(route, labels), labels)
        values = (route.id, *map(seen.get, route.group_by))
        found = self._keys.get(values)
        if found is None:
            if len(self._keys) >= KEYS_MAX:
                self._keys.clear()
            named = routes.group_labels(route, labels, seen)
            found = self._keys[values] = Place(route, routes.group_key(route, named), named)
        return found

    def remember(self, asked: tuple[str | None, ...], places: Places) -> None:
        """Note that alerts of which the routes see *asked* belong to *places*."""
        if len(self.known) >= KEYS_MAX:
            self.known.clear()
        self.known[asked] = places

    def join(
        self, members: Iterable[Members], starts: Sequence[int], *, now_ns: int, started_ns: int
    ) -> None:
        """Have slots in groups, which may begin with the first of them; *starts*: of alerts, by slot;
        *started_ns*: of the engine."""
        rows, there, before = self.rows, self._members, self._before
        for (route, key, labels), slots in members:
            wait_ns = route.group_wait_ns
            opens_ns = started_ns + wait_ns
            row = rows.get(key)
            if row is None:
                at_ns = first_flush_ns(now_ns, starts[slots[0]], wait_ns, opens_ns)
                row = Group(key, route.id, route.receiver, labels, at_ns, now_ns)
                rows.put(key, row)
                self.set_timer(key, at_ns)
                before.setdefault(key, None)
                there[key] = array("I")
            # Not before the soonest: mostly that is told without a look at all their starts.
            if not row.flushed and self.timer_ns(key) > min(
                now_ns + wait_ns, max(now_ns, opens_ns)
            ):
                first_ns = min([starts[slot] for slot in slots])
                at_ns = first_flush_ns(now_ns, first_ns, wait_ns, opens_ns)
                if at_ns < self.timer_ns(key):
                    self.set_timer(key, at_ns)
            known = there[key]
            if key not in before:
                before[key] = (known, len(known))
            known.fromlist(slots)

    def adopt(self, row: Group, slots: Collection[int], at_ns: int) -> None:
        """Have the group of *row*, with *slots*, looked at next at *at_ns*; instead of what was
        there under its key."""
        if self.rows.get(row.key) != row:
            self.rows.put(row.key, row)
        self._replace(row.key, array("I", slots))
        self.set_timer(row.key, at_ns)

    def leave(self, key: str, slots: Collection[int]) -> None:
        """Have *slots* no longer in the group of *key*."""
        gone = frozenset(slots)
        if gone:
            rest = [slot for slot in self._members[key] if slot not in gone]
            self._replace(key, array("I", rest))

    def drop(self, key: str) -> None:
        """Have no group of *key*."""
        self._replace(key, None)
        self.rows.drop(key)
        self._timers.drop(key)

    def members(self, key: str) -> Collection[int]:
        """Slots of the group of *key*, in the order in which they came."""
        return self._members.get(key, ())

    def timer_ns(self, key: str) -> int:
        """When the group of *key* is looked at next."""
        at_ns = self._timers.get(key)
        assert at_ns is not None
        return at_ns

    def set_timer(self, key: str, at_ns: int) -> None:
        """Look at the group of *key* at *at_ns* next."""
        self._timers.set(key, at_ns)

    def note(self, key: str) -> None:
        """Have the row of *key* written, its timer in it."""
        row, at_ns = self.rows.get(key), self.timer_ns(key)
        assert row is not None
        if row.flush_ns != at_ns:
            self.rows.put(key, structs.replace(row, flush_ns=at_ns))

    def flushed(self, key: str, foreign_name: str, interval_ns: int) -> None:
        """Note that the group of *key* was looked at, and what is to be remembered of its route."""
        row = self.rows.get(key)
        assert row is not None
        seen = structs.replace(
            row, flushed=True, foreign_name=foreign_name, interval_ns=interval_ns
        )
        if row != seen:
            self.rows.put(key, seen)
            self.note(key)

    def due_ns(self) -> int | None:
        """When the next group is to be looked at; None: there is none."""
        return self._timers.due_ns()

    def due(self, now_ns: int) -> str | None:
        """The key of the group that is to be looked at first, by *now_ns*; it needs a new timer."""
        return self._timers.due(now_ns)

    def forget_keys(self) -> None:
        """The routes have changed."""
        self._keys.clear()
        self.known.clear()

    def commit(self) -> None:
        """What there is, is stored."""
        self.rows.commit()
        self._timers.commit()
        self._before.clear()

    def abort(self) -> None:
        """Put back what there was at the last commit."""
        self._timers.abort()
        self.rows.abort()
        for key, before in self._before.items():
            if before is None:
                self._members.pop(key, None)
            else:
                members, length = before
                del members[length:]
                self._members[key] = members
        self._before.clear()

    def _replace(self, key: str, members: "array[int] | None") -> None:
        old = self._members.pop(key, None)
        if key not in self._before:
            self._before[key] = None if old is None else (old, len(old))
        if members is not None:
            self._members[key] = members
