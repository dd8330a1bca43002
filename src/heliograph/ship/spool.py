"""The spool: what waits for delivery, oldest first, bounded in bytes.

    append ──► [ adopted lanes … | own lane ] ──► take ──► done | put_back
                  ▲ the oldest is dropped when bytes_max is reached

Frames are on disk, so that a killed process loses none of them. What the disk does not take waits
in memory under a bound of its own; so does everything where there is no disk to use.
Bytes are counted as blocks of 4 KiB, which is what small files cost.
"""

import threading
from collections import deque
from typing import NamedTuple

from heliograph.ship import frame as framing
from heliograph.ship.counts import Counts
from heliograph.ship.frame import Frame
from heliograph.ship.lane import Lane

BYTES_MAX = 32 << 20
# Without a disk the process itself is what they would cost.
MEMORY_BYTES_MAX = 16 << 20
_BLOCK_BYTES = 4096


class Entry(NamedTuple):
    """A frame that waits: in *lane* under *sequence*, or as *file* in memory."""

    lane: Lane | None
    sequence: int
    cost_bytes: int
    items: int | None
    file: bytes | None
    kind: int = framing.SAMPLES


class Spool:
    """Entries of one sender, thread-safe. *take* is asked by one thread at a time.

    *sync* has every frame on the platter before it counts as kept, which a power cut asks for and
    the death of a process does not.
    """

    def __init__(self, counts: Counts, *, bytes_max: int, sync: bool = False) -> None:
        self._counts = counts
        self._bytes_max = bytes_max
        self._sync = sync
        # Re-entrant: a signal handler may close the shipper in the middle of anything.
        self._lock = threading.RLock()
        self._own: Lane | None = None
        # Adopted lanes, and how many of their frames are left.
        self._left: dict[Lane, int] = {}
        self._adopted: deque[Entry] = deque()
        self._waiting: deque[Entry] = deque()
        self._taken: Entry | None = None
        self._sequence = 0
        self._bytes = 0
        self._memory_bytes = 0

    @property
    def bytes_max(self) -> int:
        """The bound that holds now."""
        on_disk = self._own is not None
        return self._bytes_max if on_disk else min(self._bytes_max, MEMORY_BYTES_MAX)

    @property
    def bytes_waiting(self) -> int:
        """What waits, in whole blocks."""
        return self._bytes

    @property
    def frames(self) -> int:
        """How many requests wait, the one on its way among them."""
        return len(self._adopted) + len(self._waiting) + (self._taken is not None)

    @property
    def durable(self) -> bool:
        """Whether all that waits outlives this process."""
        with self._lock:
            entries = (*self._waiting, *([self._taken] if self._taken else []))
            return all(entry.file is None for entry in entries)

    def use(self, lane: Lane) -> None:
        """Keep what comes from now on in *lane*, an empty one."""
        with self._lock:
            self._own = lane

    def keep(self) -> bool:
        """Say that our lanes are in use; False where our own is gone, or was never there."""
        with self._lock:
            lanes, own = list(self._left), self._own
        for lane in lanes:
            lane.keep()
        return own is not None and own.keep()

    def adopt(self, lanes: list[Lane]) -> None:
        """Deliver what waits in *lanes* too, before our own."""
        for lane in lanes:
            try:
                waiting = lane.waiting()
            except OSError:
                self._counts.spool_errors += 1
                lane.let_go()
                continue
            if not waiting:
                lane.close()
                continue
            with self._lock:
                self._left[lane] = len(waiting)
                for sequence, size in waiting:
                    entry = Entry(lane, sequence, _cost(size), None, None)
                    self._adopted.append(entry)
                    self._bytes += entry.cost_bytes
                self._counts.adopted_frames += len(waiting)
        self._make_room()

    def append(self, frame: Frame) -> None:
        """Keep *frame* until it is done, or until it is the oldest and there is no room."""
        file = framing.encode(frame)
        with self._lock:
            self._sequence += 1
            sequence = self._sequence
        lane, kept = self._own, False
        if lane is not None:
            try:
                lane.write(sequence, file, sync=self._sync)
                kept = True
            except OSError:
                self._counts.spool_errors += 1
        held = None if kept else file
        cost_bytes = _cost(len(file))
        entry = Entry(
            lane if kept else None, sequence, cost_bytes, frame.items, held, frame.kind
        )
        with self._lock:
            self._waiting.append(entry)
            self._bytes += entry.cost_bytes
            self._memory_bytes += 0 if kept else entry.cost_bytes
        self._make_room()

    def take(self) -> tuple[Entry, Frame] | None:
        """The oldest, which stays ours until it is `done` or `put_back`; None when none waits."""
        while True:
            with self._lock:
                queue = self._adopted or self._waiting
                if not queue:
                    return None
                self._taken = entry = queue.popleft()
            try:
                file = entry.file
                if file is None:
                    assert entry.lane is not None
                    file = entry.lane.read(entry.sequence)
                return entry, framing.decode(file)
            except (framing.Damaged, OSError):
                self._counts.damaged_frames += 1
                self.done(entry)
            except BaseException:
                # No memory to read it into: it waits for better times.
                self.put_back(entry)
                raise

    def put_back(self, entry: Entry) -> None:
        """*entry* could not be delivered yet; it is the oldest again."""
        with self._lock:
            self._taken = None
            owned = entry.lane is self._own or entry.lane is None
            (self._waiting if owned else self._adopted).appendleft(entry)
        self._make_room()

    def done(self, entry: Entry) -> None:
        """*entry* needs no further attempt."""
        lane = entry.lane
        with self._lock:
            if self._taken is entry:
                self._taken = None
            self._bytes -= entry.cost_bytes
            self._memory_bytes -= entry.cost_bytes if lane is None else 0
        if lane is None:
            return
        try:
            lane.remove(entry.sequence)
        except OSError:
            self._counts.spool_errors += 1
        with self._lock:
            left = self._left.get(lane, 0) - 1
            if left > 0:
                self._left[lane] = left
            if left != 0:
                return
            del self._left[lane]
        lane.close()

    def close(self) -> None:
        """Let go of the lanes; what waits in them is for the next process."""
        with self._lock:
            lanes = [*self._left, *([self._own] if self._own else [])]
            self._left, self._own = {}, None
        for lane in lanes:
            lane.close()

    def forget(self) -> None:
        """What a forked child does: nothing of this is its own. Takes no lock of the parent's."""
        self._lock = threading.RLock()
        self._left, self._own = {}, None
        self._adopted, self._waiting, self._taken = deque(), deque(), None
        self._bytes = self._memory_bytes = 0

    def _make_room(self) -> None:
        """Drop the oldest until the bounds hold; what is on its way is never dropped."""
        while (entry := self._too_much()) is not None:
            self._counts.drop(*_held(entry))
            self.done(entry)

    def _too_much(self) -> Entry | None:
        """What has to go, out of its queue already."""
        with self._lock:
            if self._memory_bytes > MEMORY_BYTES_MAX:
                for entry in self._waiting:
                    if entry.file is not None:
                        self._waiting.remove(entry)
                        return entry
            queue = self._adopted or self._waiting
            if self._bytes > self.bytes_max and queue:
                return queue.popleft()
        return None


def _held(entry: Entry) -> tuple[int, int]:
    """(kind, items) of what is lost with *entry*."""
    if entry.items is not None:
        return entry.kind, entry.items
    assert entry.lane is not None
    try:
        return framing.head(entry.lane.read(entry.sequence, framing.HEAD_BYTES))
    except (framing.Damaged, OSError):
        return entry.kind, 0


def _cost(size: int) -> int:
    return -(-size // _BLOCK_BYTES) * _BLOCK_BYTES
