"""Walk the frames of a file, whatever state it is in.

    for step in scan(window, FILE_HEADER_BYTES, file_id):
        Whole(offset, end, header, payload)   |   Damaged(start, end)

Steps touch each other and cover all bytes up to `window.stop`. A damaged step reaches to the next
valid frame header of this file, or to the stop; so the walk always ends.
"""

import errno
import zlib
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from heliograph.store.log import frame
from heliograph.store.log.disk import Disk
from heliograph.store.log.frame import FRAME_HEADER_BYTES, FrameHeader

READ_AHEAD_BYTES = 1 << 20
_SECTOR_BYTES = 4096


class Whole(NamedTuple):
    """A frame at [offset, end); *payload* is empty when the scan did not verify it."""

    offset: int
    end: int
    header: FrameHeader
    payload: bytes


class Damaged(NamedTuple):
    """The bytes [start, end) are no frame."""

    start: int
    end: int


Step: TypeAlias = Whole | Damaged


class Window:
    """Buffered reads of the first *stop* bytes of a file. Sectors that cannot be read are zeros,
    which the checksums find. *fd* -1 stands for a file that is gone: all zeros."""

    def __init__(self, disk: Disk, fd: int, stop: int) -> None:
        self.stop = stop
        self._disk = disk
        self._fd = fd
        self._start = 0
        self._buffer = b""

    def take(self, offset: int, length: int) -> bytes:
        """Up to *length* bytes at *offset*; fewer at the stop."""
        length = min(length, self.stop - offset)
        if length > READ_AHEAD_BYTES:
            return self._read(length, offset)
        at = offset - self._start
        if at < 0 or at + length > len(self._buffer):
            self._buffer = self._read(min(READ_AHEAD_BYTES, self.stop - offset), offset)
            self._start, at = offset, 0
        return self._buffer[at : at + length]

    def _read(self, length: int, offset: int) -> bytes:
        if self._fd < 0:
            return bytes(length)
        parts, end = [], offset + length
        step = length
        while offset < end:
            try:
                part = self._disk.read(self._fd, min(step, end - offset), offset)
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                if step > _SECTOR_BYTES:
                    step = _SECTOR_BYTES
                    continue
                part = bytes(min(step, end - offset))
            if not part:
                part = bytes(end - offset)
            parts.append(part)
            offset += len(part)
        return b"".join(parts)


def scan(window: Window, offset: int, file_id: int, *, verify: bool = True) -> Iterator[Step]:
    """The steps from *offset* to the window's stop; without *verify* payloads are not looked at."""
    while offset < window.stop:
        header = frame.unpack_frame(window.take(offset, FRAME_HEADER_BYTES), file_id)
        search_from = offset + 1
        if header is not None:
            search_from = offset + FRAME_HEADER_BYTES
            end = search_from + header.payload_bytes
            if end <= window.stop:
                payload = window.take(search_from, header.payload_bytes) if verify else b""
                if not verify or zlib.crc32(payload) == header.payload_crc:
                    yield Whole(offset, end, header, payload)
                    offset = end
                    continue
        following = _next_header(window, search_from, file_id)
        yield Damaged(offset, following)
        offset = following


def _next_header(window: Window, offset: int, file_id: int) -> int:
    mark = frame.frame_mark(file_id)
    while offset < window.stop:
        chunk = window.take(offset, READ_AHEAD_BYTES)
        at = chunk.find(mark)
        while at >= 0:
            head = window.take(offset + at, FRAME_HEADER_BYTES)
            if frame.unpack_frame(head, file_id) is not None:
                return offset + at
            at = chunk.find(mark, at + 1)
        # A mark may lie across the border of two chunks.
        offset += max(1, len(chunk) - len(mark) + 1)
    return window.stop


def identify(window: Window) -> int | None:
    """The file id of the first valid frame header, for a file whose own header is lost."""
    offset = 0
    while offset < window.stop:
        chunk = window.take(offset, READ_AHEAD_BYTES)
        at = chunk.find(frame.FRAME_MAGIC)
        while at >= 0:
            head = frame.unpack_frame(window.take(offset + at, FRAME_HEADER_BYTES), None)
            if head is not None:
                return head.file_id
            at = chunk.find(frame.FRAME_MAGIC, at + 1)
        offset += max(1, len(chunk) - len(frame.FRAME_MAGIC) + 1)
    return None
