"""Room to start on a full disk: a file of nothing in the data folder, given up when a start needs it.

SQLite must make files before it can even be read. A service that filled its disk and was stopped
could not start again to say so; with these bytes back it can, and be read, and be looked after.
"""

import shutil
from contextlib import suppress
from pathlib import Path

BALLAST_BYTES = 8 * 1024 * 1024
BALLAST_NAME = "ballast"
# With less than this free the space is needed more than the ballast.
FREE_BYTES_MIN = 100 * 1024 * 1024


class Ballast:
    """The ballast of *data_dir*. Never raises: without it a start on a full disk may fail."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / BALLAST_NAME

    def drop(self) -> None:
        """Give the space up, if there is not enough without it."""
        with suppress(OSError):
            if shutil.disk_usage(self._path.parent).free < BALLAST_BYTES:
                self._path.unlink(missing_ok=True)

    def take(self, *, free_bytes_min: int = FREE_BYTES_MIN) -> None:
        """Take the space, if it is not taken and *free_bytes_min* are free."""
        with suppress(OSError):
            if self._path.exists():
                return
            if shutil.disk_usage(self._path.parent).free < free_bytes_min + BALLAST_BYTES:
                return
            fresh = self._path.with_name(f"{BALLAST_NAME}.new")
            try:
                fresh.write_bytes(bytes(BALLAST_BYTES))
                fresh.rename(self._path)
            except OSError:
                fresh.unlink()
                raise
