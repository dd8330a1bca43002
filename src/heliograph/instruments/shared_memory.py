"""Numbers of forked processes: counted in memory they share, read as one.

    parent: fork ──► child counts in its slot of the arena      parent: get_value() = all slots

At the first fork the numbers so far move into an arena: anonymous memory, mapped shared, that every
process forked from here on has too, and that nobody has to clean up. It has slots; each process
writes to its own alone, so nothing is locked, and reads all of them. Whoever forks hands the child a
slot and some spare ones for children of its own. When a child is gone its parent adds what its slot
holds to its own, and hands it out again: workers made anew every epoch need no more room than those
of one.

Up to `shared_from` a place in a bank means the same to all, for it was there before the first fork.
What a process makes later (a label child, a metric registered in a worker) it describes in its
slot's directory, and the others find or make theirs when they read.

What was spawned or started by exec is no relative: it exports for itself.
"""

import os
from _thread import allocate_lock, get_ident

from heliograph.instruments import descriptions, relatives, slots
from heliograph.instruments.slots import (
    BORN,
    GAUGES_BEFORE,
    GAUGES_USED,
    PARENT,
    PID,
    SUMS_BEFORE,
    SUMS_USED,
    TURN,
    USED,
    WRITTEN,
    Slot,
)
from heliograph.kernels import careful, cells

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# What a process gives to a child for children of its own: one part in so many of what it has left.
_SPARE_SHARE = 16
_SPARE_MAX = 8
_MAKING_S_MAX = 1.0


class _State:
    """What this process knows of its relatives; one in a process."""

    __slots__ = ("arena", "making", "unshared")

    def __init__(self) -> None:
        self.arena: Arena | None = None
        self.making = allocate_lock()
        self.unshared = 0


_state = _State()


def losses() -> dict[str, int]:
    """What relatives cannot see, by reason: children without a slot, series without a record."""
    undescribed = _state.arena.undescribed if _state.arena is not None else 0
    return {"fork_unshared": _state.unshared, "series_undescribed": undescribed}


enroll = relatives.enroll
join = relatives.join
claim = relatives.claim


def registered(collector: "Any", metric: "Any") -> None:
    """*metric* is one of *collector*'s; forked relatives shall know."""
    spec = getattr(metric, "spec", None)
    if spec is not None and spec.scope < 0:
        spec.scope = getattr(collector, "shared_number", -1)
        if _state.arena is not None:
            _state.arena.describe(metric)


def refresh() -> None:
    """Learn what forked relatives have made since, and who is gone; free where none was forked."""
    if _state.arena is not None:
        _state.arena.refresh(collect=True)


def look() -> None:
    """Learn what forked relatives have made since; cheaper than `refresh`."""
    if _state.arena is not None:
        _state.arena.refresh(collect=False)


class Arena:
    """All slots, and which of them is this process's."""

    def __init__(self) -> None:
        self.own = 0
        self._slots, stamps = slots.map_slots()
        self._stamps = stamps
        self._free = list(range(len(self._slots) - 1, 0, -1))
        self._children: list[tuple[int, list[int]]] = []
        # By thread: what the fork that is under way hands to its child.
        self._handed: dict[int, tuple[int, list[int]]] = {}
        cells.sums.shared_from = cells.sums.used
        cells.gauges.shared_from = cells.gauges.used
        self._take(0, keep=True)
        careful.made_hooks.append(self.made)

    def _take(self, own: int, *, keep: bool) -> None:
        """Count in slot *own* from now on."""
        self.own = own
        self._watched: list[bool] | None = None
        self._lock = allocate_lock()
        slot = self._slots[own]
        slot.head[BORN] = slots.born(os.getpid())
        slot.head[SUMS_BEFORE] = cells.sums.used
        slot.head[GAUGES_BEFORE] = cells.gauges.used
        cells.share(slot.sums, slot.gauges, self._stamps, keep=keep)
        slot.head[SUMS_USED], slot.head[GAUGES_USED] = cells.sums.used, cells.gauges.used
        slot.head[USED] = 1
        # Last: from here on it may be read, and found dead.
        slot.head[PID] = os.getpid()

    def before_fork(self) -> None:
        """Find a slot for the child."""
        self.refresh(collect=True)
        try:
            slot = self._free.pop()
        except IndexError:
            return
        spare = min(len(self._free) // _SPARE_SHARE, _SPARE_MAX)
        handed = self._free[:spare]
        del self._free[:spare]
        head = self._slots[slot].head
        head[PID] = 0
        head[PARENT] = self.own
        head[TURN] += 1
        self._handed[get_ident()] = (slot, handed)

    def after_fork_in_parent(self) -> None:
        """Watch the child's slot."""
        handed = self._handed.pop(get_ident(), None)
        if handed is None:
            _state.unshared += 1
            return
        self._slots[handed[0]].head[USED] = 1
        self._children.append(handed)
        self._watch()

    def after_fork_in_child(self) -> bool:
        """Count in the slot that was handed over; False where there was none."""
        handed = self._handed.get(get_ident())
        self._handed = {}
        self._children = []
        inherited = self._slots[self.own].entries
        for slot in self._slots:
            self._forget(slot)
        for bank in (cells.sums, cells.gauges):
            bank.links.clear()
        if handed is None:
            return False
        own, self._free = handed
        self._slots[own].entries = inherited
        self._take(own, keep=False)
        self._watch()
        return True

    def _watch(self) -> None:
        """Add up the slots that are in use."""
        slots = self._slots
        used = [slot.head[USED] == 1 for slot in slots]
        used[self.own] = False
        while used and not used[-1]:
            used.pop()
        if used == self._watched:
            return
        self._watched = used
        cells.gauges.watch([slots[i].gauges if on else None for i, on in enumerate(used)])
        cells.sums.watch([slots[i].sums if on else None for i, on in enumerate(used)])

    def _collect_dead(self) -> None:
        """Add up what dead children left, and have their slots back."""
        for child in list(self._children):
            held = [child[0], *child[1]]
            if any(slots.alive(self._slots[i].head) for i in held):
                continue
            self._children.remove(child)
            # It may have written more after it was last read, and before it ended.
            seen = {self.own}
            for i in held:
                self._read(i, seen)
            for i in held:
                if self._slots[i].head[USED]:
                    self._fold(self._slots[i])
            # The lowest first, so that few are ever touched.
            self._free.extend(held)
            self._free.sort(reverse=True)
            self._watch()

    def _fold(self, slot: Slot) -> None:
        slot.drain()
        self._unlink(slot)
        for index in (USED, PID, WRITTEN):
            slot.head[index] = 0
        self._forget(slot)

    @staticmethod
    def _forget(slot: Slot) -> None:
        """Know nothing of *slot* and of the numbers of its metrics."""
        for number in slot.numbers:
            relatives.metrics.pop(number, None)
        slot.forget()

    @property
    def undescribed(self) -> int:
        """Records of any process that had no room."""
        return int(self._stamps[1])

    def process(self) -> int:
        """A number that no other process of this arena ever has."""
        return int(self._slots[self.own].head[TURN]) * len(self._slots) + self.own

    def made(self, cell: "Any") -> None:
        """Describe the new *cell* to relatives: a label child, or a metric once registered."""
        if cell.at < 0:
            return
        head = self._slots[self.own].head
        head[SUMS_USED], head[GAUGES_USED] = cells.sums.used, cells.gauges.used
        gauge = cell.spec.kind == "gauge"
        self._slots[self.own].entries.append(
            (gauge, cell.at, descriptions.width(cell.spec), cell.at)
        )
        if cell.shape >= 0:
            names = cell.spec.shapes[cell.shape]
            self._write((0, cell.spec.number, cell.at, names, cell.key))

    def describe(self, metric: "Any") -> None:
        """Describe *metric*, just registered."""
        record = (
            1,
            metric.spec.number,
            metric.at,
            descriptions.describe(type(metric).__name__, metric.spec),
        )
        self._write(record)

    def _write(self, record: "tuple[Any, ...]") -> None:
        if not self._slots[self.own].write(record):
            self._stamps[1] += 1

    def refresh(self, *, collect: bool) -> None:
        """Read what is new in the directories, and make what we lack; *collect* what the dead left."""
        # Not waited for: a signal handler may have interrupted the one who reads already.
        if not self._lock.acquire(blocking=False):
            return
        try:
            self._watch()
            seen: set[int] = {self.own}
            for i, watched in enumerate(list(self._watched or ())):
                if watched:
                    self._read(i, seen)
            if collect and self._children:
                self._collect_dead()
        finally:
            self._lock.release()

    def _read(self, number: int, seen: set[int]) -> None:
        if number in seen:
            return
        seen.add(number)
        slot = self._slots[number]
        parent = slot.head[PARENT]
        if not slot.head[PID]:
            return
        if slot.turn != slot.head[TURN]:
            self._unlink(slot)
            self._forget(slot)
            slot.turn = slot.head[TURN]
            if self._slots[parent].head[USED]:
                # Once more if need be: it may have made something between that and this fork.
                if parent != self.own:
                    seen.discard(parent)
                self._read(parent, seen)
                before = (slot.head[SUMS_BEFORE], slot.head[GAUGES_BEFORE])
                for entry in list(self._slots[parent].entries):
                    if entry[1] < before[entry[0]]:
                        self._link(number, slot, entry)
        waiting, slot.pending = slot.pending, []
        for record in [*waiting, *slot.records()]:
            cell = relatives.found(record, slot)
            if cell is None:
                slot.pending.append(record)
            elif cell.at >= 0 and record[2] >= 0:
                gauge = cell.spec.kind == "gauge"
                self._link(
                    number, slot, (gauge, record[2], descriptions.width(cell.spec), cell.at)
                )

    def _link(self, number: int, slot: Slot, entry: tuple[bool, int, int, int]) -> None:
        is_gauge, place, width, at = entry
        bank = cells.gauges if is_gauge else cells.sums
        slot.entries.append(entry)
        if at >= bank.shared_from:
            for i in range(width):
                bank.links.setdefault(at + i, []).append((number, place + i))

    def _unlink(self, slot: Slot) -> None:
        number = self._slots.index(slot)
        for is_gauge, _, width, at in slot.entries:
            bank = cells.gauges if is_gauge else cells.sums
            for i in range(width):
                kept = [link for link in bank.links.get(at + i, ()) if link[0] != number]
                bank.links[at + i] = kept


def _make_arena() -> None:
    # Another thread that forks now too waits for the arena rather than make a second one; a signal
    # handler that does so in the middle of this goes without.
    if not _state.making.acquire(timeout=_MAKING_S_MAX):
        return
    try:
        _state.arena = _state.arena or Arena()
    except OSError:
        return
    finally:
        _state.making.release()


def _before_fork() -> None:
    if _state.arena is None and (cells.sums.used or cells.gauges.used or relatives.scopes):
        _make_arena()
    if _state.arena is not None:
        _state.arena.before_fork()


def _after_fork_in_parent() -> None:
    if _state.arena is not None:
        _state.arena.after_fork_in_parent()


def _after_fork_in_child() -> None:
    _state.making = allocate_lock()
    if _state.arena is None:
        return
    relatives.disown()
    if _state.arena.after_fork_in_child():
        relatives.number_from(_state.arena.process())
        return
    # Count alone, from zero, rather than in the slot of the parent.
    from array import array

    for bank in (cells.sums, cells.gauges):
        bank.watch([])
    careful.made_hooks.clear()
    cells.share(
        memoryview(array("d", bytes(8 * max(4 * cells.sums.used, 65536)))),
        memoryview(array("d", bytes(8 * max(4 * cells.gauges.used, 65536)))),
        memoryview(array("q", bytes(8))),
        keep=False,
    )
    _state.arena = None


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)
