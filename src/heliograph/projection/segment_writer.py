"""Lines into segments, each durable once and in order, whatever fails on the way.

What is durable of the active segment is known as an offset. After a write or a sync that failed,
nobody knows what of it is on disk: the file is cut back to that offset before the lines are written
again, so they are there once. Retention spares what the same call wrote, and the active segment.
"""

import contextlib
import os
from collections import deque
from io import FileIO
from pathlib import Path
from typing import NamedTuple

from heliograph.projection import segments
from heliograph.projection.segments import Segment

# Bytes that one write and one sync carry at most, besides those of a single longer line.
_PIECE_BYTES = 4 << 20


class Bounds(NamedTuple):
    """When a segment is full, and how much is kept in all."""

    segment_bytes_max: int
    segment_events_max: int
    retain_files: int
    retain_bytes: int


class SegmentWriter:
    """The segments of one folder, whose lock the caller holds; not thread-safe.

    segments   those there are, oldest first; the last is active
    """

    def __init__(self, folder: Path, bounds: Bounds, *, fsync: bool) -> None:
        self._folder = folder
        self._bounds = bounds
        self._fsync = fsync
        self._file: FileIO | None = None
        self.segments = segments.recovered(folder)
        self.rollover_count = 0
        self.pruned_segment_count = 0
        self.pruned_bytes = 0

    def write(self, lines: deque[bytes]) -> bool:
        """Make *lines* durable, taking from its left what is; whether segments came or went.

        Raises OSError with the rest still in *lines*; calling again is right.
        """
        before = self._numbers()
        oldest_written = None
        while lines:
            active = self._roomy(len(lines[0]))
            if oldest_written is None:
                oldest_written = active.number
            self._write_piece(active, lines)
        if oldest_written is not None:
            self._prune(oldest_written)
        return before != self._numbers()

    def close(self) -> None:
        """Close the active segment's file."""
        file, self._file = self._file, None
        if file is not None:
            # What a failed write left in its buffer would be written by closing it.
            with contextlib.suppress(OSError):
                file.close()

    def _numbers(self) -> list[int]:
        return [segment.number for segment in self.segments]

    def _roomy(self, line_bytes: int) -> Segment:
        """The active segment, a new one where the last has no room for a line of *line_bytes*."""
        last = self.segments[-1] if self.segments else None
        if last is not None and (
            last.event_count == 0
            or (
                last.event_count < self._bounds.segment_events_max
                and last.size_bytes + line_bytes <= self._bounds.segment_bytes_max
            )
        ):
            return last
        self.close()
        self.rollover_count += last is not None
        self.segments.append(Segment(1 if last is None else last.number + 1, 0, 0))
        return self.segments[-1]

    def _write_piece(self, active: Segment, lines: deque[bytes]) -> None:
        room_events = self._bounds.segment_events_max - active.event_count
        room_bytes = min(_PIECE_BYTES, self._bounds.segment_bytes_max - active.size_bytes)
        piece: list[bytes] = []
        size = 0
        for line in lines:
            if piece and (len(piece) >= room_events or size + len(line) > room_bytes):
                break
            piece.append(line)
            size += len(line)
        try:
            file = self._opened(active)
            rest = memoryview(b"".join(piece))
            while rest:
                rest = rest[file.write(rest) :]
            if self._fsync:
                os.fsync(file.fileno())
        except OSError:
            self.close()
            raise
        for _ in piece:
            lines.popleft()
        self.segments[-1] = active._replace(
            event_count=active.event_count + len(piece), size_bytes=active.size_bytes + size
        )

    def _opened(self, active: Segment) -> FileIO:
        if self._file is None:
            path = self._folder / active.name
            # Unbuffered, so that what failed is not written later behind our back.
            file = path.open("ab", buffering=0)
            try:
                file.truncate(active.size_bytes)
                if active.size_bytes == 0 and self._fsync:
                    segments.sync_folder(self._folder)
            except OSError:
                file.close()
                raise
            self._file = file
        return self._file

    def _prune(self, oldest_written: int) -> None:
        kept_bytes = sum(segment.size_bytes for segment in self.segments)
        while (
            len(self.segments) > self._bounds.retain_files
            or kept_bytes > self._bounds.retain_bytes
        ):
            oldest = self.segments[0]
            if oldest.number >= oldest_written:
                return
            (self._folder / oldest.name).unlink(missing_ok=True)
            del self.segments[0]
            kept_bytes -= oldest.size_bytes
            self.pruned_segment_count += 1
            self.pruned_bytes += oldest.size_bytes
