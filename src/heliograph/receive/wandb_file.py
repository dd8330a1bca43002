r"""`.wandb` files, which a client writes beside every run, as records; `wandb_records` reads those.

    3a 57 26 42  e1 be  00                  ":W&B", 0xBEE1 little-endian, version 0
    then blocks of 32,768 bytes (the first one counts the header), each of fragments:
    crc32 u32le | length u16le | type u8 | payload         type 1 whole, 2 first, 3 middle, 4 last

The checksum is CRC-32 over type and payload. What is damaged costs its block: reading goes on with
the first whole record after it, and says so. A file whose end is missing, as of a run that still
writes or was killed, is read up to there. Source: LevelDB, doc/log_format.
"""

import zlib
from collections.abc import Iterator
from typing import Protocol

from heliograph.core.errors import Refused
from heliograph.receive import wandb_records
from heliograph.receive.wandb_records import Item

HEADER = b":W&B\xe1\xbe\x00"
BLOCK_BYTES = 32 * 1024
FRAGMENT_HEADER_BYTES = 7
WHOLE, FIRST, MIDDLE, LAST = 1, 2, 3, 4
# No type of a fragment: what was here cannot be read, and nothing goes on over it.
DAMAGED = -1
RECORD_BYTES_MAX = 256 * 1024 * 1024
# The checksum begins with that of the type's byte.
_CRC = [zlib.crc32(bytes([kind])) for kind in range(5)]


class Readable(Protocol):
    """A file that is open for reading."""

    def read(self, size: int, /) -> bytes:
        """At most *size* bytes; b"" at the end."""
        ...


class WandbFile:
    """A reader of *file*. `damaged` counts blocks with damage; `torn` is whether the end is missing;
    `read_bytes` is how far it has come. Raises Refused for what does not begin as such a file."""

    def __init__(self, file: Readable) -> None:
        self._file = file
        self.damaged = 0
        self.torn = False
        self.unknown = 0
        self.read_bytes = 0

    def items(self) -> Iterator[Item]:
        """What the file holds, in order; what means nothing to us is left out, and counted."""
        for record in self.records():
            try:
                yield from wandb_records.items(record)
            except (ValueError, UnicodeDecodeError):
                self.unknown += 1

    def records(self) -> Iterator[bytes]:
        """The whole records, as bytes."""
        parts: list[bytes] = []
        held = 0
        for kind, payload in self._fragments():
            if kind in {WHOLE, FIRST, DAMAGED}:
                self.damaged += bool(parts) and kind != DAMAGED
                parts, held = [], 0
            if kind == DAMAGED or (kind in {MIDDLE, LAST} and not parts):
                # The beginning was in a damaged block.
                continue
            if kind == WHOLE:
                yield payload
                continue
            parts.append(payload)
            held += len(payload)
            if held > RECORD_BYTES_MAX:
                self.damaged += 1
                parts, held = [], 0
            elif kind == LAST:
                yield b"".join(parts)
                parts, held = [], 0
        self.torn = self.torn or bool(parts)

    def _fragments(self) -> Iterator[tuple[int, bytes]]:
        block = self._block()
        if block[: len(HEADER)] != HEADER:
            raise Refused("this is no .wandb file", field="body", code="not_wandb")
        start = len(HEADER)
        while block:
            following = self._block() if len(block) == BLOCK_BYTES else b""
            yield from self._of_block(block, start, is_last=not following)
            block, start = following, 0

    def _block(self) -> bytes:
        parts: list[bytes] = []
        missing = BLOCK_BYTES
        while missing and (part := self._file.read(missing)):
            parts.append(part)
            missing -= len(part)
        self.read_bytes += BLOCK_BYTES - missing
        return b"".join(parts)

    def _of_block(self, block: bytes, at: int, *, is_last: bool) -> Iterator[tuple[int, bytes]]:
        while at + FRAGMENT_HEADER_BYTES <= len(block):
            crc = int.from_bytes(block[at : at + 4], "little")
            end = at + FRAGMENT_HEADER_BYTES + int.from_bytes(block[at + 4 : at + 6], "little")
            kind = block[at + 6]
            if kind == 0 and crc == 0 and end == at + FRAGMENT_HEADER_BYTES:
                # Room that was reserved and never written.
                return
            if end > len(block) and is_last:
                self.torn = True
                return
            payload = block[at + FRAGMENT_HEADER_BYTES : end]
            if end > len(block) or kind > LAST or zlib.crc32(payload, _CRC[kind]) != crc:
                self.damaged += 1
                yield DAMAGED, b""
                return
            yield kind, payload
            at = end
        self.torn = self.torn or (is_last and at < len(block) and any(block[at:]))
