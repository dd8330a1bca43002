"""One process a data folder: an advisory lock that the kernel drops when its holder dies."""

import fcntl
import os
from pathlib import Path
from typing import NamedTuple

from heliograph.core.errors import ConfigError

LOCK_NAME = "heliograph.lock"


class FolderLock(NamedTuple):
    """A held lock; `release` it, or die."""

    fd: int

    def release(self) -> None:
        """Let another process have the folder. The file stays: deleting it would race."""
        os.close(self.fd)


def hold(folder: Path) -> FolderLock:
    """Lock *folder*, made if absent. ConfigError in words while another process has it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fd = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"data_dir: {folder}: {error.strerror}") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(fd, 20, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(fd)
        raise ConfigError(
            f"data_dir: {folder} is in use by another heliograph (process {holder}); "
            "stop it, or give this one a folder of its own"
        ) from error
    os.ftruncate(fd, 0)
    os.pwrite(fd, b"%d\n" % os.getpid(), 0)
    return FolderLock(fd)
