"""The SQLite file as a file: made private, copied while in use, set aside when damaged.

    heliograph-data/state.db                     (+ -wal, -shm)
    heliograph-data/state.db.damaged             empty: an error of damage was seen while running
    heliograph-data/state.db.corrupt             the damaged file, set aside at the next start
    heliograph-data/backups/state.db             the hourly copy, which then takes its place
    heliograph-data/backups/state-0001.db        the copy made before an upgrade from 0001

What a damaged file costs: what was committed after the hourly copy, except what the log still
holds, which is applied again from the copy's own cursors. Without a copy the state begins empty.
"""

import errno
import logging
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from heliograph.core.errors import Unavailable
from heliograph.store.state import seam
from heliograph.store.state.engines import read_only_uri

log = logging.getLogger(__name__)

STATE_NAME = "state.db"
BACKUP_FOLDER = "backups"
_BESIDE = ("-wal", "-shm")


def create_private(path: Path) -> None:
    """Make *path* an empty file that only its owner may read, unless it exists."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        sync_folder(path.parent)


def copy(path: Path, target: Path, *, on_damage: Callable[[], None] = lambda: None) -> None:
    """Copy the database *path*, in use or not, to *target*: complete and on disk, or not there.

    One snapshot; writers go on meanwhile. Unavailable when the medium is full, and when *path* is
    damaged, which is told first.
    """
    fresh = target.with_name(target.name + ".new")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
        _find_room(path.stat().st_size, target.parent)
        create_private(fresh)
        with (
            closing(sqlite3.connect(read_only_uri(path), uri=True)) as source,
            closing(sqlite3.connect(fresh)) as copied,
        ):
            source.backup(copied)
        if not _sound(fresh, thorough=True):
            # The older copy may be the last that is whole.
            on_damage()
            raise sqlite3.DatabaseError("it is damaged, and was not copied")
        _sync(fresh)
        fresh.replace(target)
        sync_folder(target.parent)
    except (OSError, sqlite3.Error) as error:
        fresh.unlink(missing_ok=True)
        raise Unavailable(f"{target}: {error}") from error


def copied_ns(path: Path) -> int | None:
    """When the hourly copy of the database *path* was made; None when there is none."""
    try:
        return (path.parent / BACKUP_FOLDER / path.name).stat().st_mtime_ns
    except OSError:
        return None


def mark_damaged(path: Path) -> None:
    """Ask the next start to examine *path* thoroughly."""
    with suppress(OSError):
        _mark(path).touch()


def mend(path: Path) -> str | None:
    """Set a damaged *path* aside, its hourly copy in its place; say so, or None when all is well.

    Every page is examined only when damage was seen (`mark_damaged`); else what opening reads.
    """
    if path.exists() and not _sound(path, thorough=_mark(path).exists()):
        set_aside(path)
        backup = path.parent / BACKUP_FOLDER / path.name
        restored = backup.exists() and _sound(backup, thorough=True)
        if restored:
            copy(backup, path)
        _mark(path).unlink(missing_ok=True)
        then = "the hourly copy took its place" if restored else "there is no copy: it is empty"
        said = f"{path.name} was damaged and is set aside as {path.name}.corrupt; {then}"
        log.error("state was damaged", extra={"said": said})
        return said
    _mark(path).unlink(missing_ok=True)
    return None


def set_aside(path: Path) -> Path:
    """Rename the database *path* to `*.corrupt`, in place of an earlier one; return the new path."""
    aside = path.with_name(path.name + ".corrupt")
    for ending in _BESIDE:
        beside = path.with_name(path.name + ending)
        if beside.exists():
            beside.replace(aside.with_name(aside.name + ending))
        else:
            aside.with_name(aside.name + ending).unlink(missing_ok=True)
    path.replace(aside)
    sync_folder(path.parent)
    return aside


def remove(path: Path) -> int:
    """Delete the database *path*; return its size in bytes.

    The write-ahead log goes first: left behind, it would be replayed into a new file of that name.
    """
    size = 0
    for each in (*(path.with_name(path.name + ending) for ending in _BESIDE), path):
        with suppress(FileNotFoundError):
            size += each.stat().st_size
            each.unlink()
    return size


def size_of(path: Path) -> int:
    """Bytes of the database *path* and what lies beside it; 0 when it is not there."""
    size = 0
    for each in (path, *(path.with_name(path.name + ending) for ending in _BESIDE)):
        with suppress(FileNotFoundError):
            size += each.stat().st_size
    return size


def identity(path: Path) -> int | None:
    """What tells the file at *path* from another that took its name; None when there is none."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def sync_folder(folder: Path) -> None:
    """Make the names in *folder* durable."""
    _sync(folder)


def _mark(path: Path) -> Path:
    return path.with_name(path.name + ".damaged")


def _sound(path: Path, *, thorough: bool) -> bool:
    try:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if not thorough:
                return True
            return bool(connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))
    except sqlite3.DatabaseError as error:
        if seam.damaged(error):
            return False
        raise Unavailable(f"{path}: {error}") from error


def _find_room(size_bytes: int, folder: Path) -> None:
    # To fill the disk until it refuses would stop all others.
    if shutil.disk_usage(folder).free < size_bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
