"""Where placements come from besides HTTP: a file that is read again when it changes.

A source is polled; it never raises for what the outside world does. What it cannot read it
reports as data, and the last good document stays in force.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from heliograph.core.errors import Refused
from heliograph.core.placement import Placements

FILE_BYTES_MAX = 32 * 1024 * 1024

Decode = Callable[[bytes], Placements]


class Polled(NamedTuple):
    """placements: what is new since the last poll, or None; error: what is wrong now, or None."""

    placements: Placements | None
    error: str | None


class Source(Protocol):
    """Says who runs where. A watch of a cluster's API is one too: it hands out what it saw since."""

    def poll(self) -> Polled:
        """What is new. Blocks on local I/O at most; called by one thread."""
        ...


class PlacementFile:
    """The document at *path*, which *decode* reads.

    A change is noticed by size, times and inode, so that a file replaced by a rename, or a
    ConfigMap's link turned elsewhere, counts as one.
    """

    def __init__(self, path: Path, decode: Decode) -> None:
        self._path = path
        self._decode = decode
        self._seen: tuple[int, ...] | None = None
        self._error: str | None = None

    def poll(self) -> Polled:
        """The document where it changed since the last poll; its error for as long as it has one."""
        try:
            stamp = self._stamp()
            if stamp == self._seen:
                return Polled(None, self._error)
            if stamp[1] > FILE_BYTES_MAX:
                return self._failed(stamp, f"{stamp[1]} bytes, limit {FILE_BYTES_MAX}")
            body = self._path.read_bytes()
            if self._stamp() != stamp:
                # It is being written; the next poll sees it whole.
                return Polled(None, self._error)
        except OSError as error:
            # Unseen again: the file that comes back is read even if it is the very same.
            return self._failed(None, error.strerror or str(error))
        try:
            placements = self._decode(body)
        except Refused as refused:
            return self._failed(stamp, refused.detail)
        self._seen, self._error = stamp, None
        return Polled(placements, None)

    def forget(self) -> None:
        """Hand the document out again at the next poll: what was handed out could not be kept."""
        self._seen = None

    def _failed(self, stamp: tuple[int, ...] | None, why: str) -> Polled:
        self._seen, self._error = stamp, f"{self._path}: {why}"
        return Polled(None, self._error)

    def _stamp(self) -> tuple[int, ...]:
        stat = self._path.stat()
        return stat.st_mtime_ns, stat.st_size, stat.st_ino, stat.st_dev
