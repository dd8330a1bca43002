"""One live writer of a folder: a lock that the kernel lets go of when its holder dies."""

import os
import sys
from pathlib import Path

LOCK = ".lock"


class SinkBusyError(BlockingIOError):
    """Another writer has the folder. Nothing of its was touched."""


class FolderLock:
    """Held from when it is made until it is closed. Raises SinkBusyError where it is held already."""

    def __init__(self, folder: Path) -> None:
        self._file = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            _lock(self._file)
        except OSError as error:
            holder = os.read(self._file, 20).decode("ascii", "replace").strip() or "unknown"
            os.close(self._file)
            raise SinkBusyError(f"{folder} has a writer already, process {holder}") from error
        os.ftruncate(self._file, 0)
        os.write(self._file, b"%d\n" % os.getpid())

    def close(self) -> None:
        """Let go of it."""
        os.close(self._file)


def _lock(file: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        # A byte past what is written, so that the holder's number can be read.
        os.lseek(file, 1 << 20, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        os.lseek(file, 0, os.SEEK_SET)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
