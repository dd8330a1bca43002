"""Catalogue: the folder of segments and the one current `View` of it. Mutable, thread-safe.

Files appear whole under their name or not at all. On opening, what cannot be ours or cannot be
whole is set aside as `*.corrupt` and counted, an unfinished file (`*.tmp`) is deleted, and so is
a level 0 file of a seal that did not complete: the log still has all of it.
"""

import logging
import os
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from heliograph.store.segments.file import Damaged, Index
from heliograph.store.segments.head import Head
from heliograph.store.segments.name import (
    FLOOR,
    RAW,
    SEALED,
    SegmentName,
    parse,
    parse_mark,
)
from heliograph.store.segments.view import Floors, Indexes, View

log = logging.getLogger(__name__)

# Damaged blocks that are remembered, so that each is counted and logged once.
DAMAGED_BLOCKS_MAX = 10_000
LONG_AGO_NS = -(2**63)


class Catalogue:
    """The files of *folder*, their sizes, the marks, and what went wrong.

    view        the current view; replaced whole, never changed
    sealed_seq  frames up to here are in segments
    counts      damaged_files, damaged_rows, set_aside, unfinished: counters since the start
    """

    def __init__(self, folder: Path, head: Head) -> None:
        self.folder = folder
        self.sealed_seq = -1
        self.counts: Counter[str] = Counter()
        self.indexes = Indexes(folder)
        self.sizes: dict[SegmentName, int] = {}
        self._serial = 0
        self._damaged: set[tuple[str, int]] = set()
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        gone_ns = self._scan()
        self.view = View(
            (head,), frozenset(self.sizes), gone_ns, LONG_AGO_NS, LONG_AGO_NS, gone_ns
        )

    def _scan(self) -> int:
        marks: dict[str, list[int]] = {SEALED: [], FLOOR: [LONG_AGO_NS]}
        for entry in os.scandir(self.folder):
            mark, name = parse_mark(entry.name), parse(entry.name)
            if mark is not None:
                marks[mark[0]].append(mark[1])
            elif name is not None and entry.is_file(follow_symlinks=False):
                self.sizes[name] = entry.stat(follow_symlinks=False).st_size
            elif entry.name.endswith(".seg.tmp"):
                Path(entry.path).unlink()
                self.counts["unfinished"] += 1
            elif not entry.name.endswith(".corrupt"):
                self._rename_aside(Path(entry.path))
        self._serial = max((name.serial for name in self.sizes), default=0)
        # Without a mark (files copied by hand) all files count as complete.
        sealed = marks[SEALED] or [name.last_seq for name in self.sizes]
        self.sealed_seq = max(sealed, default=-1)
        if not marks[SEALED]:
            self.mark(SEALED, self.sealed_seq)
        for name in [n for n in self.sizes if self._unfinished(n) or self._replaced(n)]:
            del self.sizes[name]
            (self.folder / name.text).unlink()
            self.counts["unfinished"] += 1
        return max(marks[FLOOR])

    def _unfinished(self, name: SegmentName) -> bool:
        return name.kind == RAW and name.level == 0 and name.last_seq > self.sealed_seq

    def _replaced(self, name: SegmentName) -> bool:
        """Whether a later roll-up of the whole span is there: the crash was before the deletion."""
        return name.kind != RAW and any(
            other.kind == name.kind
            and other.serial > name.serial
            and name.within(other.start_ns, other.end_ns)
            for other in self.sizes
        )

    def new_name(
        self, kind: str, level: int, span: tuple[int, int], seqs: tuple[int, int]
    ) -> SegmentName:
        """A name that no other file has."""
        with self._lock:
            self._serial += 1
            return SegmentName(kind, level, *span, *seqs, self._serial)

    def publish(
        self,
        *,
        added: Iterable[tuple[SegmentName, int]] = (),
        removed: Iterable[SegmentName] = (),
        heads: tuple[Head, ...] | None = None,
        floors: Floors | None = None,
        gone_ns: int | None = None,
    ) -> None:
        """Swap in a view with the changes, then delete the *removed* files.

        *added* are (name, bytes) of files that are durable already.
        """
        removed = list(removed)
        new = dict(added)
        with self._lock:
            old = self.view
            raw_ns, minute_ns, hour_ns = floors or old.floors
            self.view = View(
                old.heads if heads is None else heads,
                (old.files | new.keys()) - set(removed),
                raw_ns,
                minute_ns,
                hour_ns,
                old.gone_ns if gone_ns is None else gone_ns,
            )
            self.sizes.update(new)
            for name in removed:
                self.sizes.pop(name, None)
        self.indexes.drop(removed)
        for name in removed:
            (self.folder / name.text).unlink(missing_ok=True)

    @contextmanager
    def adding(self, removed: Iterable[SegmentName]) -> Iterator[list[tuple[SegmentName, int]]]:
        """Files noted in the list, as (name, bytes), take the place of *removed*; where it fails
        before the last of them is durable, none stays on disk."""
        added: list[tuple[SegmentName, int]] = []
        with ExitStack() as unless_durable:
            unless_durable.callback(self._take_back, added)
            yield added
            self.sync()
            unless_durable.pop_all()
        self.publish(added=added, removed=removed)

    def _take_back(self, added: Iterable[tuple[SegmentName, int]]) -> None:
        for name, _ in added:
            with suppress(OSError):
                (self.folder / name.text).unlink(missing_ok=True)

    def mark(self, kind: str, number: int) -> None:
        """Write down durably that *kind* (SEALED, FLOOR) has come to *number*."""
        (self.folder / f"{kind}.{number}").touch()
        self.sync()
        for entry in os.scandir(self.folder):
            found = parse_mark(entry.name)
            if found is not None and found[0] == kind and found[1] < number:
                Path(entry.path).unlink(missing_ok=True)
        if kind == SEALED:
            self.sealed_seq = max(self.sealed_seq, number)

    def undo_seal(self, last_seq: int, added: Iterable[tuple[SegmentName, int]]) -> None:
        """Take back a seal that failed: the mark first, so that its files never count. Where it
        cannot go they stay, for it says that their frames are there."""
        # A file system that turned read-only refuses even to remove what is not there.
        with suppress(OSError):
            (self.folder / f"{SEALED}.{last_seq}").unlink(missing_ok=True)
            self._take_back(added)

    def sync(self) -> None:
        """Make the names in the folder durable."""
        fd = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def index_of(self, name: SegmentName) -> Index | None:
        """The index of the file *name*, None when it is damaged, which sets it aside.

        Raises FileNotFoundError when the file is of an earlier view.
        """
        try:
            return self.indexes.of(name)
        except Damaged as error:
            self._set_aside(name, str(error))
        except FileNotFoundError:
            if name not in self.view.files:
                raise
            self._set_aside(name, "the file has vanished")
        return None

    def note_missing(self, file: str) -> None:
        """Drop *file* from the view if it belongs there: someone else deleted it."""
        name = parse(file)
        if name is not None and not (self.folder / file).exists():
            self._set_aside(name, "the file has vanished")

    def lost_rows(self, file: str, block: int, rows: int) -> None:
        """Count the *rows* of a damaged block, once a block (of the DAMAGED_BLOCKS_MAX first)."""
        with self._lock:
            known = (file, block) in self._damaged or len(self._damaged) >= DAMAGED_BLOCKS_MAX
            if not known:
                self._damaged.add((file, block))
                self.counts["damaged_rows"] += rows
        if not known:
            log.warning("block damaged", extra={"segment": file, "block": block, "rows": rows})

    def _set_aside(self, name: SegmentName, why: str) -> None:
        with self._lock:
            if name not in self.view.files:
                return
            self.view = self.view._replace(files=self.view.files - {name})
            self.sizes.pop(name, None)
            self.counts["damaged_files"] += 1
        log.warning("segment set aside", extra={"segment": name.text, "why": why})
        self._rename_aside(self.folder / name.text)

    def _rename_aside(self, path: Path) -> None:
        self.counts["set_aside"] += 1
        try:
            path.rename(path.with_name(f"{path.name}.corrupt"))
        except OSError as error:
            log.warning("not renamed", extra={"path": str(path), "why": str(error)})
