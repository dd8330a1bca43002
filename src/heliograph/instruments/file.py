"""Writes a whole file or nothing: a reader sees the old text or the new, whatever happens.

    replaced("/var/metrics/training.prom", text)

A temporary file beside it is written, synced and renamed over it, and the folder is synced. What
is there already must be an ordinary file: a pipe, a device or a folder is left alone, and so is a
file of another user behind a symbolic link. A relative path may not leave the working directory.
"""

import errno
import os
import re
import stat
from contextlib import suppress
from itertools import count
from pathlib import Path

# What trying again does not mend.
_LASTING = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR),
    *(errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL, errno.EEXIST, errno.ENODEV, errno.ENXIO),
}
# What the umask leaves of it, as for any file that a program opens.
_MODE = 0o666
_next = count(1).__next__
# Targets beside which a look for what dead processes left was had.
_swept: set[Path] = set()
_SWEPT_MAX = 1000


def replaced(path: str | os.PathLike[str], text: bytes) -> None:
    """Make *text* what the file of *path* holds. Raises OSError, and leaves no part of it then."""
    target = _target(Path(path))
    _sweep(target)
    beside = target.with_name(f".{target.name}.{os.getpid()}-{_next()}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    handle = os.open(beside, flags, _MODE)
    try:
        with os.fdopen(handle, "wb") as file:
            _keep_mode(beside, target)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target)
    except BaseException:
        _removed(beside)
        raise
    _sync(target.parent)


def passing(error: OSError) -> bool:
    """Whether the same may succeed when it is tried again: a full disk, an interruption."""
    return error.errno not in _LASTING


def _target(path: Path) -> Path:
    """What to replace for *path*. Raises OSError where that must not be."""
    if not path.is_absolute() and Path(os.path.normpath(path)).parts[:1] == (os.pardir,):
        raise OSError(errno.EPERM, "a relative path may not leave the working directory", path)
    try:
        found = path.lstat()
    except FileNotFoundError:
        return path
    if stat.S_ISLNK(found.st_mode):
        path = path.resolve()
        try:
            found = path.stat()
        except FileNotFoundError:
            return path
        if hasattr(os, "geteuid") and found.st_uid != os.geteuid():
            raise OSError(errno.EPERM, "a link to another user's file", path)
    if stat.S_ISDIR(found.st_mode):
        raise OSError(errno.EISDIR, "a folder", path)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "not an ordinary file", path)
    return path


def _keep_mode(beside: Path, target: Path) -> None:
    """Who could read the old file can read the new."""
    with suppress(FileNotFoundError):
        beside.chmod(stat.S_IMODE(target.stat().st_mode))


def _sweep(target: Path) -> None:
    """Remove what processes that were killed left beside *target*; once in a process."""
    if target in _swept or len(_swept) >= _SWEPT_MAX:
        return
    _swept.add(target)
    left = re.compile(rf"\.{re.escape(target.name)}\.(\d+)-\d+\.tmp\Z")
    for entry in target.parent.iterdir():
        found = left.match(entry.name)
        if found and int(found[1]) != os.getpid() and not _alive(int(found[1])):
            _removed(entry)


def _alive(pid: int) -> bool:
    if os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def _removed(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


def _sync(folder: Path) -> None:
    """Make the rename last; not every file system can, and the text is there in any case."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        with suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)
