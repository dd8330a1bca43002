"""The few things the log asks of the file system, in one place, so that tests can make them fail.

Every method raises OSError; the log translates it.
"""

import os
import sys
from pathlib import Path

# On Linux the times of the file need not reach the disk, its length does: fdatasync promises that.
_sync = os.fdatasync if sys.platform == "linux" else os.fsync


class Disk:
    """The file system of this machine."""

    def create(self, path: Path) -> int:
        """A descriptor of *path*, new or emptied, readable by its owner alone."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)

    def write(self, fd: int, content: bytes) -> None:
        """Write all of *content*; what an error leaves behind is undefined."""
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]

    def sync(self, fd: int) -> None:
        """Return when what was written is durable. After an error the file is not to be trusted."""
        _sync(fd)

    def sync_folder(self, folder: Path) -> None:
        """Return when the names in *folder* are durable."""
        fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def truncate(self, path: Path, size: int) -> None:
        """Cut *path* to *size* bytes, durably."""
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.ftruncate(fd, size)
            os.fsync(fd)
        finally:
            os.close(fd)

    def remove(self, path: Path) -> None:
        """Unlink *path*; it may be gone already."""
        path.unlink(missing_ok=True)

    def read(self, fd: int, length: int, offset: int) -> bytes:
        """At most *length* bytes at *offset*."""
        return os.pread(fd, length, offset)
