"""The file that is being written: frames wait here until they are committed together.

Order on disk: the labels of new series go to the sidecar and are durable before the frames that
use them are written, so the two copies are never in danger of the same torn write.
"""

import contextlib
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from heliograph.core.samples import SampleBatch
from heliograph.core.series import SeriesTable
from heliograph.store.log import columns, frame
from heliograph.store.log.catalogue import Frame
from heliograph.store.log.columns import Definition
from heliograph.store.log.disk import Disk
from heliograph.store.log.file import (
    LOG_SUFFIX,
    SIDECAR_SUFFIX,
    LogFile,
    Spot,
    name_of,
)
from heliograph.store.log.frame import (
    FILE_HEADER_BYTES,
    FRAME_HEADER_BYTES,
    PAYLOAD_BYTES_MAX,
    Counts,
    FileHeader,
    FrameHeader,
    Kind,
)

_NO_DEFINITIONS = columns.encode_definitions([])
# Larger parts are written as they are: a copy of them would cost more than a write.
_COPIED_BYTES_MAX = 128 * 1024


class ActiveFile:
    """One new log file. Nothing touches the disk before the first commit. For one thread."""

    def __init__(
        self, folder: Path, *, first_seq: int, previous_end: int, before: Counts, disk: Disk
    ) -> None:
        # Random, so that no sender can put bytes into a payload that pass for a frame of it.
        file_id = int.from_bytes(os.urandom(8), "little")
        self._header = FileHeader(file_id, first_seq, previous_end, before)
        self.file = LogFile(
            folder / name_of(first_seq, LOG_SUFFIX),
            folder / name_of(first_seq, SIDECAR_SUFFIX),
            first_seq=first_seq,
            file_id=file_id,
            header=self._header,
        )
        self.next_seq = first_seq
        self.after = before
        self.frames = 0
        self.pending: list[tuple[Frame, Spot]] = []
        self.pending_bytes = 0
        self._stop = FILE_HEADER_BYTES
        self._parts: list[bytes] = []
        self._sidecar_parts: list[bytes] = []
        self._defined = np.zeros(1024, np.bool_)
        self._disk = disk
        self._fd = self._sidecar_fd = -1

    def samples_bytes(self, batch: SampleBatch, table: SeriesTable) -> int:
        """About how large the payload of *batch* would be."""
        labels = sum(len(table.packed(ref)) + 8 for ref in self._fresh(batch))
        return labels + 20 * batch.count

    def add_samples(self, batch: SampleBatch, table: SeriesTable, arrival_ns: int) -> int:
        """Append *batch*; its sequence. KeyError when a series of it was forgotten by the table."""
        fresh = self._fresh(batch)
        encoded = _NO_DEFINITIONS
        if fresh:
            encoded = columns.encode_definitions(
                [Definition(r, table.packed(r)) for r in fresh]
            )
        payload = columns.encode(batch, encoded)
        self._check(payload)
        if fresh:
            self._sidecar_parts += self._pack(Kind.SERIES, len(fresh), encoded, arrival_ns)
            self._defined[fresh] = True
        samples = columns.decode(payload, batch.count)
        return self._add(Kind.SAMPLES, batch.count, payload, arrival_ns, samples)

    def add(self, kind: Kind, payload: bytes, count: int, arrival_ns: int) -> int:
        """Append *payload* of *count* entries; its sequence."""
        self._check(payload)
        return self._add(kind, count, payload, arrival_ns, None)

    def commit(self) -> None:
        """Make all that is pending durable. Raises OSError, and must then be abandoned."""
        new = self._fd < 0
        if new:
            self._fd = self._disk.create(self.file.path)
            self._sidecar_fd = self._disk.create(self.file.sidecar)
            self._parts.insert(0, frame.pack_file(self._header, frame.LOG_MAGIC))
            self._sidecar_parts.insert(0, frame.pack_file(self._header, frame.SIDECAR_MAGIC))
        if self._sidecar_parts:
            definitions = b"".join(self._sidecar_parts)
            self._disk.write(self._sidecar_fd, definitions)
            self._disk.sync(self._sidecar_fd)
            self.file.sidecar_bytes += len(definitions)
        for content in _pieces(self._parts):
            self._disk.write(self._fd, content)
        self._disk.sync(self._fd)
        if new:
            self._disk.sync_folder(self.file.path.parent)

    def settle(self) -> list[tuple[Frame, Spot]]:
        """The frames just committed; nothing is pending any more."""
        settled = self.pending
        self.pending, self._parts, self._sidecar_parts = [], [], []
        self.pending_bytes = 0
        return settled

    @property
    def stop(self) -> int:
        """Bytes of the file, with what is pending."""
        return self._stop

    def abandon(self) -> None:
        """After a failed commit: cut off what was refused, or remove a file that never had a
        commit. What even that leaves behind is void by the next file's header."""
        self.close()
        committed = self.file.stop
        for path, size in ((self.file.path, committed), (self.file.sidecar, None)):
            with contextlib.suppress(OSError):
                if not committed:
                    self._disk.remove(path)
                elif size is not None:
                    self._disk.truncate(path, size)

    def close(self) -> None:
        """Give the descriptors back; what is pending is forgotten."""
        for fd in (self._fd, self._sidecar_fd):
            if fd >= 0:
                # An error at close comes after the sync that counted.
                with contextlib.suppress(OSError):
                    os.close(fd)
        self._fd = self._sidecar_fd = -1

    def _fresh(self, batch: SampleBatch) -> list[int]:
        if not batch.count:
            return []
        highest = int(batch.series.max())
        if highest >= len(self._defined):
            more = np.zeros(max(highest + 1, 2 * len(self._defined)), np.bool_)
            more[: len(self._defined)] = self._defined
            self._defined = more
        fresh = batch.series[~self._defined[batch.series]]
        return [int(ref) for ref in np.unique(fresh)] if len(fresh) else []

    def _check(self, payload: bytes) -> None:
        assert len(payload) <= PAYLOAD_BYTES_MAX, (
            f"frame of {len(payload)} bytes, limit {PAYLOAD_BYTES_MAX}"
        )

    def _add(
        self,
        kind: Kind,
        count: int,
        payload: bytes,
        arrival_ns: int,
        samples: SampleBatch | None,
    ) -> int:
        seq = self.next_seq
        self._parts += self._pack(kind, count, payload, arrival_ns)
        spot = Spot(self._stop, seq - 1, self.after)
        self.pending.append((Frame(seq, kind, count, arrival_ns, payload, samples), spot))
        self.next_seq += 1
        self.frames += 1
        self.after = self.after.with_frame(kind, count)
        self._stop += FRAME_HEADER_BYTES + len(payload)
        self.pending_bytes += FRAME_HEADER_BYTES + len(payload)
        return seq

    def _pack(self, kind: Kind, count: int, payload: bytes, arrival_ns: int) -> list[bytes]:
        header = FrameHeader(
            file_id=self._header.file_id,
            kind=kind,
            seq=self.next_seq,
            entries=count,
            payload_bytes=len(payload),
            before=self.after,
            arrival_ns=arrival_ns,
            payload_crc=zlib.crc32(payload),
        )
        return [frame.pack_frame(header), payload]


def _pieces(parts: Iterable[bytes]) -> Iterator[bytes]:
    """*parts* in order, the small ones between two large ones as one."""
    small: list[bytes] = []
    for part in parts:
        if len(part) <= _COPIED_BYTES_MAX:
            small.append(part)
            continue
        if small:
            yield b"".join(small)
            small = []
        yield part
    if small:
        yield b"".join(small)
