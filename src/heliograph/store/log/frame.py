"""The bytes of a log file: a file header, then frames. All integers are little endian.

    file header   64 bytes   magic 8s, file id u64, first sequence u64, last sequence of the file
                             before u64, entries before (samples, lines, records) 3×u64,
                             4 zero bytes, crc32 of all that u32
    frame         72 bytes   magic 4s, file id u64, kind u8, 3 zero bytes, sequence u64,
                             entries u32, payload bytes u32, entries before 3×u64,
                             arrival i64 ns, crc32 of the payload u32, crc32 of all that u32
                             then the payload

The header's checksum covers the payload's, so a walk over headers alone can be trusted. The file
id is random: after damage, a frame is looked for by magic and id, and a sender who hides the
bytes of a frame in a log line cannot know the id. "Entries before" run over all files, so what
lies between two frames is known without reading it.
"""

import struct
import zlib
from enum import IntEnum
from typing import NamedTuple, Self

PAYLOAD_BYTES_MAX = 64 << 20
LOG_MAGIC = b"HGLOG\x01\r\n"
SIDECAR_MAGIC = b"HGSER\x01\r\n"
FRAME_MAGIC = b"HGf\x01"

_FILE = struct.Struct("<8sQQQQQQ4xI")
_FRAME = struct.Struct("<4sQB3xQIIQQQqII")
_CRC = struct.Struct("<I")
FILE_HEADER_BYTES = _FILE.size
FRAME_HEADER_BYTES = _FRAME.size


class Kind(IntEnum):
    """What a frame's entries are. SERIES occurs in sidecars only."""

    SERIES = 0
    SAMPLES = 1
    LINES = 2
    RECORDS = 3


class Counts(NamedTuple):
    """Entries by kind."""

    samples: int = 0
    lines: int = 0
    records: int = 0

    def with_frame(self, kind: Kind, count: int) -> Self:
        """These and *count* more of *kind*."""
        return self._replace(
            samples=self.samples + count * (kind == Kind.SAMPLES),
            lines=self.lines + count * (kind == Kind.LINES),
            records=self.records + count * (kind == Kind.RECORDS),
        )

    def plus(self, other: "Counts") -> "Counts":
        """Sum, kind by kind."""
        return Counts(*(a + b for a, b in zip(self, other, strict=True)))

    def since(self, earlier: "Counts") -> "Counts":
        """What came after *earlier*; never below zero."""
        return Counts(*(max(0, a - b) for a, b in zip(self, earlier, strict=True)))


class FileHeader(NamedTuple):
    """The head of a log file and of its sidecar.

    previous_end   sequence of the last committed frame before this file; what an older file
                   holds beyond it was never acknowledged
    before         entries of all files before
    """

    file_id: int
    first_seq: int
    previous_end: int
    before: Counts


class FrameHeader(NamedTuple):
    """The head of one frame; *before* counts the entries of all earlier frames."""

    file_id: int
    kind: Kind
    seq: int
    entries: int
    payload_bytes: int
    before: Counts
    arrival_ns: int
    payload_crc: int

    @property
    def after(self) -> Counts:
        """Entries of all frames up to and with this one."""
        return self.before.with_frame(self.kind, self.entries)


def pack_file(header: FileHeader, magic: bytes) -> bytes:
    """The 64 bytes of *header*."""
    file_id, first_seq, previous_end, before = header
    body = _FILE.pack(magic, file_id, first_seq, previous_end, *before, 0)[: -_CRC.size]
    return body + _CRC.pack(zlib.crc32(body))


def unpack_file(head: bytes, magic: bytes) -> FileHeader | None:
    """The header that *head* begins with; None when it is short, foreign or damaged."""
    if len(head) < _FILE.size:
        return None
    found, file_id, first_seq, previous_end, *before, crc = _FILE.unpack_from(head)
    if found != magic or zlib.crc32(head[: _FILE.size - _CRC.size]) != crc:
        return None
    return FileHeader(file_id, first_seq, previous_end, Counts(*before))


def pack_frame(header: FrameHeader) -> bytes:
    """The 72 bytes of *header*; the payload follows them."""
    body = _FRAME.pack(
        FRAME_MAGIC,
        header.file_id,
        header.kind,
        header.seq,
        header.entries,
        header.payload_bytes,
        *header.before,
        header.arrival_ns,
        header.payload_crc,
        0,
    )[: -_CRC.size]
    return body + _CRC.pack(zlib.crc32(body))


def unpack_frame(head: bytes, file_id: int | None) -> FrameHeader | None:
    """The header that *head* begins with; None unless it is whole and of file *file_id* (any file,
    when that is None)."""
    if len(head) < _FRAME.size:
        return None
    fields = _FRAME.unpack_from(head)
    if fields[0] != FRAME_MAGIC or (file_id is not None and fields[1] != file_id):
        return None
    if zlib.crc32(head[: _FRAME.size - _CRC.size]) != fields[11]:
        return None
    if fields[2] > max(Kind) or fields[5] > PAYLOAD_BYTES_MAX:
        return None
    return FrameHeader(
        file_id=fields[1],
        kind=Kind(fields[2]),
        seq=fields[3],
        entries=fields[4],
        payload_bytes=fields[5],
        before=Counts(*fields[6:9]),
        arrival_ns=fields[9],
        payload_crc=fields[10],
    )


def frame_mark(file_id: int) -> bytes:
    """The twelve bytes with which every frame of *file_id* begins."""
    return FRAME_MAGIC + file_id.to_bytes(8, "little")
