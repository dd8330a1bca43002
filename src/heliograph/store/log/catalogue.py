"""What is committed, and where: the files, the newest frames in memory, and the counters.

One lock guards all of it and is never held over the disk, so that readers do not wait for a sync.
"""

import logging
import os
import threading
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from heliograph.core.samples import SampleBatch
from heliograph.store.log.disk import Disk
from heliograph.store.log.file import CORRUPT_SUFFIX, LogFile, Spot
from heliograph.store.log.frame import FRAME_HEADER_BYTES, Counts, Kind
from heliograph.store.log.scan import Damaged

_logger = logging.getLogger(__name__)
_COPY_BYTES = 1 << 20


class Frame(Struct, frozen=True, eq=False):
    """One committed frame.

    count     entries in it, as they were sent; `samples` may hold fewer, when damage took the
              labels of some
    payload   as it was appended; of SAMPLES, the columns with this file's own refs
    samples   of SAMPLES, the batch with this process's series ids (read-only); else None
    """

    seq: int
    kind: Kind
    count: int
    arrival_ns: int
    payload: bytes
    samples: SampleBatch | None


class Tally(Struct):
    """Counters since the start of the process.

    frames_from_memory, frames_from_disk   frames handed to readers
    damaged_ranges      places where bytes were no frame, or frames were missing
    damaged_sidecars    files whose second copy of labels is damaged: nothing is lost by that alone
    damaged_frames      frames lost there, each once however many readers met it
    lost                entries lost there
    undefined_samples   samples left out because both copies of their labels are damaged
    refused_frames      frames appended but refused at commit
    foreign_files       files in the folder that are not ours
    torn_bytes          bytes behind the last whole frame when the log was opened: what a kill leaves
    unquarantined       damaged ranges not copied aside, for want of space or by the limit
    """

    frames_from_memory: int = 0
    frames_from_disk: int = 0
    damaged_ranges: int = 0
    damaged_frames: int = 0
    lost: Counts = Counts()
    damaged_sidecars: int = 0
    undefined_samples: int = 0
    refused_frames: int = 0
    foreign_files: int = 0
    torn_bytes: int = 0
    unquarantined: int = 0


class Extent(NamedTuple):
    """What a reader needs of the file that holds its next frame, as of now.

    last_seq         the last frame that counts in it
    next_first_seq   first sequence of the file after it; None when it is the newest
    after            entries up to its end, when that is known
    """

    file: LogFile
    stop: int
    last_seq: int
    next_first_seq: int | None
    after: Counts | None


class Catalogue:
    """The committed state, shared by the appender and all readers. Thread-safe."""

    def __init__(self, disk: Disk, *, memory_bytes_max: int, quarantine_bytes_max: int) -> None:
        self.disk = disk
        self.tally = Tally()
        self.changed = threading.Condition(threading.Lock())
        self.files: list[LogFile] = []
        self.end = 0
        self.after = Counts()
        self.quarantine_bytes_left = quarantine_bytes_max
        self._memory_bytes_left = memory_bytes_max
        self._memory: dict[int, Frame] = {}
        self._memory_first = 0

    def publish(
        self, file: LogFile, frames: list[tuple[Frame, Spot]], *, stop: int, after: Counts
    ) -> None:
        """Show *frames*, just made durable in *file* up to *stop*, each with the spot before it;
        *after* counts all entries ever committed."""
        with self.changed:
            if not self.files or self.files[-1] is not file:
                self.files.append(file)
            file.stop = stop
            for frame, spot in frames:
                file.mark(spot)
                self._keep(frame)
            file.last_seq = self.end = frames[-1][0].seq
            self.after = after
            self.changed.notify_all()

    def _keep(self, frame: Frame) -> None:
        if not self._memory:
            self._memory_first = frame.seq
        self._memory[frame.seq] = frame
        self._memory_bytes_left -= len(frame.payload) + FRAME_HEADER_BYTES
        while self._memory_bytes_left < 0 and self._memory:
            self._evict()

    def _evict(self) -> None:
        # Sequences are without gaps within a process, so the oldest frame is the first of them.
        frame = self._memory.pop(self._memory_first)
        self._memory_first += 1
        self._memory_bytes_left += len(frame.payload) + FRAME_HEADER_BYTES

    def recent(self, after: int, bytes_max: int) -> list[Frame] | None:
        """Frames after *after* out of memory; None when memory does not reach back so far."""
        with self.changed:
            if after >= self.end:
                return []
            frames: list[Frame] = []
            frame = self._memory.get(after + 1)
            while frame is not None and (not frames or bytes_max >= len(frame.payload)):
                frames.append(frame)
                bytes_max -= len(frame.payload)
                frame = self._memory.get(frame.seq + 1)
            self.tally.frames_from_memory += len(frames)
            return frames or None

    def extent(self, after: int) -> Extent | None:
        """Where the first frame after *after* is, or would be; None when there is no such file."""
        with self.changed:
            if after >= self.end:
                return None
            index = next(
                (i for i, file in enumerate(self.files) if file.last_seq > after), None
            )
            if index is None:
                return None
            file = self.files[index]
            following = self.files[index + 1] if index + 1 < len(self.files) else None
            return Extent(
                file,
                file.stop,
                file.last_seq,
                following.first_seq if following else None,
                following.header.before if following and following.header else None,
            )

    def holds(self, file: LogFile) -> bool:
        """Whether *file* is still part of the log."""
        with self.changed:
            return file in self.files

    def remove(self, through: int, keep: LogFile | None) -> list[LogFile]:
        """Take the oldest files with no frame after *through* out of the catalogue, but not *keep*
        nor the newest; the caller unlinks them."""
        with self.changed:
            gone = 0
            for file in self.files[:-1]:
                if file.last_seq > through or file is keep:
                    break
                gone += 1
            removed, self.files = self.files[:gone], self.files[gone:]
            while removed and self._memory and self._memory_first <= removed[-1].last_seq:
                self._evict()
            return removed

    def report_damage(
        self, file: LogFile, start: int, end: int, *, frames: int, lost: Counts
    ) -> None:
        """Count the damage at [*start*, *end*) of *file* and set its bytes aside, once."""
        with self.changed:
            if start in file.reported or file not in self.files:
                return
            file.reported.add(start)
            self.tally.damaged_ranges += 1
            self.tally.damaged_frames += frames
            self.tally.lost = self.tally.lost.plus(lost)
            fits = end - start <= self.quarantine_bytes_left
            self.quarantine_bytes_left -= (end - start) if fits else 0
        _logger.warning(
            "log damaged",
            extra={"file": file.path.name, "start": start, "end": end, "frames": frames},
        )
        if not fits or not _set_aside(file.path, start, end):
            with self.changed:
                self.tally.unquarantined += 1

    def refuse(self, frames: int) -> None:
        """Count *frames* that a failed commit refused."""
        with self.changed:
            self.tally.refused_frames += frames

    def report_undefined(self, file: LogFile, seq: int, samples: int) -> None:
        """Count the *samples* of frame *seq* whose labels are lost, once."""
        with self.changed:
            if seq not in file.undefined:
                file.undefined.add(seq)
                self.tally.undefined_samples += samples

    def report_sidecar(self, file: LogFile, damaged: Damaged) -> None:
        """Count that the sidecar of *file* is damaged, first at *damaged*, once."""
        with self.changed:
            if file.sidecar_reported:
                return
            file.sidecar_reported = True
            self.tally.damaged_sidecars += 1
        _logger.warning(
            "log sidecar damaged", extra={"file": file.sidecar.name, "start": damaged.start}
        )
        if not _set_aside(file.sidecar, damaged.start, damaged.end):
            with self.changed:
                self.tally.unquarantined += 1


def _set_aside(path: Path, start: int, end: int) -> bool:
    """Copy [start, end) to the `.corrupt` file at the same offset: doing it twice changes nothing."""
    if start == end:
        return True  # bytes are missing: there is nothing to keep
    target = path.with_name(path.name + CORRUPT_SUFFIX)
    try:
        with (
            path.open("rb") as damaged,
            os.fdopen(
                os.open(target, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600), "wb"
            ) as out,
        ):
            damaged.seek(start)
            out.seek(start)
            while start < end and (part := damaged.read(min(_COPY_BYTES, end - start))):
                out.write(part)
                start += len(part)
    except OSError:
        return False
    return True
