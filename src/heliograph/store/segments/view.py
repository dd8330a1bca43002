"""View: the immutable picture of the store that one reader or one step of maintenance works on.

A reader takes it once. A file that left the picture is deleted afterwards, so a reader may find
it gone: what it held is then in the next picture, and the reader starts again on that one.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from heliograph.store.segments.file import Index, read_index
from heliograph.store.segments.head import Head
from heliograph.store.segments.name import RAW, SegmentName

# Label tables and block places of the files read last; a table of 10,000 series is some 3 MB.
INDEX_BYTES_MAX = 192 * 1024 * 1024


class Floors(NamedTuple):
    """hour ≤ minute ≤ raw: where 1h rows, 1m rows and raw samples begin to be what is read."""

    raw_ns: int
    minute_ns: int
    hour_ns: int


class View(NamedTuple):
    """The store at one instant.

    heads            oldest first; the last is the one that grows
    files            every segment in the folder
    raw_floor_ns     samples at or after it are read raw, those before as rows
    minute_floor_ns  rows at or after it are 1m rows, those before 1h rows
    hour_floor_ns    nothing before it is read
    gone_ns          raw before it may have been deleted: there, rows are folded, not made anew
    """

    heads: tuple[Head, ...]
    files: frozenset[SegmentName]
    raw_floor_ns: int
    minute_floor_ns: int
    hour_floor_ns: int
    gone_ns: int

    @property
    def floors(self) -> Floors:
        """The three floors."""
        return Floors(self.raw_floor_ns, self.minute_floor_ns, self.hour_floor_ns)

    def of_kind(self, kind: str) -> list[SegmentName]:
        """Files of *kind* in the order of the log: a later one wins over an earlier."""
        found = [name for name in self.files if name.kind == kind]
        return sorted(found, key=lambda name: (name.last_seq, name.serial))

    def raw(self) -> list[SegmentName]:
        """Raw files, as `of_kind`."""
        return self.of_kind(RAW)

    def coverage(self, kind: str) -> dict[int, int]:
        """Window start → the last frame whose samples the roll-ups of *kind* count there."""
        return {
            window: name.last_seq for name in self.of_kind(kind) for window in name.windows()
        }


class Indexes:
    """Indexes of files by name, the ones used last within INDEX_BYTES_MAX. Thread-safe."""

    def __init__(self, folder: Path, bytes_max: int = INDEX_BYTES_MAX) -> None:
        self._folder = folder
        self._bytes_max = bytes_max
        self._held: OrderedDict[SegmentName, Index] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def of(self, name: SegmentName) -> Index:
        """The index of the file *name*. Raises Damaged or FileNotFoundError."""
        with self._lock:
            index = self._held.get(name)
            if index is not None:
                self._held.move_to_end(name)
                return index
        index = read_index(self._folder / name.text)
        with self._lock:
            if name not in self._held:
                self._held[name] = index
                self._bytes += index.cost_bytes
                self._evict()
        return index

    def drop(self, names: Iterable[SegmentName]) -> None:
        """Forget the indexes of files that left the store."""
        with self._lock:
            for name in names:
                index = self._held.pop(name, None)
                self._bytes -= index.cost_bytes if index else 0

    def _evict(self) -> None:
        while self._bytes > self._bytes_max and len(self._held) > 1:
            _, index = self._held.popitem(last=False)
            self._bytes -= index.cost_bytes
