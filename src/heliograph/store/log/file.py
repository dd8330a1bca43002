"""A log file and its sidecar.

    log/00000000000000000001.log      file header, frames 1, 2, 3 …
    log/00000000000000000001.series   file header, SERIES frames: the labels of the refs in the log
    log/00000000000000000001.log.corrupt   damaged ranges, at their own offsets (sparse)

The number is the sequence of the first frame. The header inside says it too and wins over the
name, so that a renamed file is still found.
"""

import bisect
from pathlib import Path
from typing import NamedTuple

from heliograph.store.log.frame import FILE_HEADER_BYTES, Counts, FileHeader

LOG_SUFFIX = ".log"
SIDECAR_SUFFIX = ".series"
CORRUPT_SUFFIX = ".corrupt"
# A process start leaves this many sequences free: whatever was lost from the end of the file
# before, its sequences are not given again, and no cursor stands beyond the new frames.
FILE_FRAMES_MAX = 1 << 20
# Distance of the places in a file from which a reader may begin its walk to a sequence.
_MARK_SPACING_BYTES = 1 << 18


class Spot(NamedTuple):
    """A place between two frames: the next begins at *offset*, *seq* and *before* stand behind."""

    offset: int
    seq: int
    before: Counts | None


class LogFile:
    """One file of the log; the catalogue's lock guards what changes.

    stop         bytes of it that hold committed frames (or what is left of them)
    torn_bytes   what followed them when the newest file was found at start
    last_seq     sequence of its last committed frame; `first_seq - 1` when it has none
    """

    def __init__(
        self,
        path: Path,
        sidecar: Path,
        *,
        first_seq: int,
        file_id: int,
        header: FileHeader | None,
    ) -> None:
        self.path = path
        self.sidecar = sidecar
        self.first_seq = first_seq
        self.file_id = file_id
        self.header = header
        self.last_seq = first_seq - 1
        self.stop = 0
        self.sidecar_bytes = 0
        self.torn_bytes = 0
        self.reported: set[int] = set()
        self.undefined: set[int] = set()
        self.sidecar_reported = False
        before = header.before if header else None
        self._marks = [Spot(FILE_HEADER_BYTES, first_seq - 1, before)]

    @property
    def disk_bytes(self) -> int:
        """Bytes of the file and its sidecar."""
        return self.stop + self.sidecar_bytes

    def mark(self, spot: Spot) -> None:
        """Remember *spot*, if it is far enough behind the last one remembered."""
        if spot.offset - self._marks[-1].offset >= _MARK_SPACING_BYTES:
            self._marks.append(spot)

    def empty(self) -> None:
        """Forget all frames; the head stays."""
        self.last_seq = self.first_seq - 1
        self.stop = self.sidecar_bytes = FILE_HEADER_BYTES
        del self._marks[1:]

    def nearest(self, after: int) -> Spot:
        """The last remembered spot that has no frame > *after* behind it."""
        at = bisect.bisect_right(self._marks, after, key=lambda spot: spot.seq)
        return self._marks[max(0, at - 1)]


def name_of(first_seq: int, suffix: str) -> str:
    """The name of the file whose first frame is *first_seq*."""
    return f"{first_seq:020d}{suffix}"
