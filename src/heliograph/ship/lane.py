"""A lane: the folder in which one process keeps what it has not delivered, a file a frame.

    <spool>/<destination>/door                   held while lanes are made, numbered or taken over
    <spool>/<destination>/<who>-<number>-<random>/lock      held by the lane's owner as it lives
    <spool>/<destination>/<who>-<number>-<random>/0000000042.frame

*destination* is a digest of the URL, *who* one of the sender's labels: what waits goes where it was
meant to go. The kernel lets go of a lock when its owner dies, however it dies; then the next one
who looks takes the lane over and delivers it. *number* is the least that no living process of the
same labels has, so that processes which would write the same series can be told apart, and their
numbers stay as few as they are.

A frame is written beside its place and renamed into it. A forked child closes its copies of the
locks, or a lane would not fall free when the parent dies before it.
Locks are those of `flock`, which a file keeps over containers, users and NFS (Linux 2.6.12).
"""

import contextlib
import hashlib
import os
import re
import secrets
import stat
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from heliograph.core.clock import Clock

try:
    import fcntl
except ImportError:  # pragma: no cover - not on POSIX
    fcntl = None  # type: ignore[assignment]

DOOR_S_MAX = 2.0
_DOOR_SLICE_S = 0.02
# Processes of one and the same set of labels that live at a time.
WORKERS_MAX = 256
# What a receiver would refuse for its age; a lane to a destination that nobody asks for any more.
AGE_S_MAX = 7 * 86_400

_NAME = re.compile(r"([0-9a-f]{12})-(\d{1,4})-[0-9a-f]{8}\Z")
_FRAME = re.compile(r"(\d{10})\.frame\Z")


# Every lock that is held or being tried, for a forked child to close its copies.
_held: set[int] = set()
# Held while one is opened and noted, or closed, and by whoever forks: a copy that nobody knows of
# would keep the lane from falling free as long as the child lives.
_noting = threading.RLock()
_NOTING_S_MAX = 1.0


class Unusable(Exception):
    """The folder cannot serve as a spool: why."""


class Lane:
    """A folder whose lock this process holds. Methods raise OSError as the file system does."""

    def __init__(self, folder: Path, lock: int, number: int) -> None:
        self.folder = folder
        self.number = number
        self._lock = lock

    def write(self, sequence: int, file: bytes, *, sync: bool) -> None:
        """Keep *file* under *sequence*; it is there whole or not at all."""
        place = self._path(sequence)
        beside = place.with_suffix(".new")
        with beside.open("wb") as out:
            out.write(file)
            if sync:
                out.flush()
                os.fsync(out.fileno())
        beside.replace(place)

    def read(self, sequence: int, bytes_max: int = -1) -> bytes:
        """The file of *sequence*, or its first *bytes_max*."""
        with self._path(sequence).open("rb") as file:
            return file.read(bytes_max)

    def remove(self, sequence: int) -> None:
        """Forget *sequence*; it may be gone already."""
        self._path(sequence).unlink(missing_ok=True)

    def waiting(self) -> list[tuple[int, int]]:
        """(sequence, bytes) of what is there, in order."""
        with os.scandir(self.folder) as entries:
            return sorted(
                (int(match[1]), entry.stat().st_size)
                for entry in entries
                if (match := _FRAME.match(entry.name))
            )

    def close(self) -> None:
        """Let go of the lane, and remove it where nothing waits in it."""
        with contextlib.suppress(OSError):
            if not self.waiting():
                _remove(self.folder)
        self.let_go()

    def let_go(self) -> None:
        """Leave the lane as it is to whoever wants it."""
        lock, self._lock = self._lock, -1
        if lock >= 0:
            _unlock(lock)

    def keep(self) -> bool:
        """Say that we live, to those who clean up what is old; whether the lane is still there."""
        try:
            os.utime(self._lock)
            return os.path.samestat(os.fstat(self._lock), (self.folder / "lock").stat())
        except OSError:
            return False

    def _path(self, sequence: int) -> Path:
        return self.folder / f"{sequence:010d}.frame"


class Lanes:
    """The lanes of one destination, as one sender sees them.

    Raises Unusable where no lane can be made: the folder is not ours, not writable, or without
    locks, or too many processes have the same labels.
    """

    def __init__(self, spool: Path, url: str, labels: Mapping[str, str], clock: Clock) -> None:
        self._who = _digest("\0".join(f"{k}={v}" for k, v in sorted(labels.items())))[:12]
        self._clock = clock
        self._spool = spool
        self._folder = spool / _digest(url)[:16]

    def make(self) -> Lane:
        """A new lane, held."""
        if fcntl is None:
            raise Unusable("no file locks on this system")
        try:
            _own(self._spool)
            self._folder.mkdir(mode=0o700, exist_ok=True)
            with self._door():
                number = self._number()
                name = f"{self._who}-{number}-{secrets.token_hex(4)}"
                (self._folder / name).mkdir(mode=0o700)
                lock = _try_lock(self._folder / name / "lock", make=True)
                assert lock is not None
                return Lane(self._folder / name, lock, number)
        except OSError as error:
            raise Unusable(f"{self._folder}: {error.strerror or error}") from error

    def take_over(self) -> list[Lane]:
        """The lanes whose owners have died, held from now on; the oldest first."""
        taken: list[Lane] = []
        with contextlib.suppress(OSError, Unusable), self._door():
            for folder, number in _lanes(self._folder):
                # A lane without a lock is one that died half made, or half removed.
                lock = _try_lock(folder / "lock", make=True)
                if lock is not None:
                    taken.append(Lane(folder, lock, number))
        return taken

    def sweep(self) -> int:
        """Remove what has waited over AGE_S_MAX for destinations that nobody sends to; how many."""
        removed = 0
        now_s = self._clock.now_ns() / 1e9
        with contextlib.suppress(OSError):
            for folder in self._spool.iterdir():
                if folder == self._folder or not folder.is_dir():
                    continue
                for lane, _ in _lanes(folder):
                    with contextlib.suppress(OSError):
                        if now_s - lane.stat().st_mtime > AGE_S_MAX:
                            removed += _remove_if_free(lane)
                with contextlib.suppress(OSError):
                    _remove_empty(folder)
        return removed

    def _number(self) -> int:
        """The least number that no living process of our labels has; the door is held."""
        used = set()
        for folder, number in _lanes(self._folder):
            if folder.name.startswith(self._who):
                lock = _try_lock(folder / "lock", make=True)
                if lock is None:
                    used.add(number)
                else:
                    _unlock(lock)
        free = next(number for number in range(len(used) + 1) if number not in used)
        if free >= WORKERS_MAX:
            raise Unusable(f"{len(used)} living processes of the same labels")
        return free

    @contextlib.contextmanager
    def _door(self) -> Iterator[None]:
        until_s = self._clock.monotonic_s() + DOOR_S_MAX
        while (lock := _try_lock(self._folder / "door", make=True)) is None:
            if self._clock.monotonic_s() > until_s:
                raise Unusable(f"{self._folder}/door is held by another process")
            self._clock.sleep(_DOOR_SLICE_S)
        try:
            yield
        finally:
            _unlock(lock)


def before_fork() -> None:
    """Wait for a lock that another thread is just opening, and let none open one until `after_fork`."""
    _noting.acquire(timeout=_NOTING_S_MAX)


def after_fork() -> None:
    """In the parent: locks may be opened again."""
    with contextlib.suppress(RuntimeError):  # It was not ours: a file system that hangs.
        _noting.release()


def forget_all() -> None:
    """What a forked child does: close its copies of all locks, which stay the parent's."""
    global _noting  # noqa: PLW0603 - the parent's may be held by a thread that is not here
    _noting = threading.RLock()
    for lock in _held:
        with contextlib.suppress(OSError):
            os.close(lock)
    _held.clear()


def default_spool(environ: Mapping[str, str]) -> Path:
    """`HELIOGRAPH_SPOOL_DIR`, or a folder of this user's in that for temporary files."""
    if given := environ.get("HELIOGRAPH_SPOOL_DIR"):
        return Path(given)
    user = os.getuid() if hasattr(os, "getuid") else "own"
    return Path(tempfile.gettempdir()) / f"heliograph-spool-{user}"


def _own(folder: Path) -> None:
    """Make *folder*; raises Unusable when it is another user's, who could plant what we send."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise Unusable(f"{folder} belongs to another user, or is a link")


def _lanes(folder: Path) -> list[tuple[Path, int]]:
    """(folder, number) of the lanes in *folder*, the oldest first."""
    found = []
    for lane in folder.iterdir():
        match = _NAME.match(lane.name)
        if match:
            with contextlib.suppress(OSError):
                found.append((lane.stat().st_mtime_ns, lane, int(match[2])))
    return [(lane, number) for _, lane, number in sorted(found)]


def _try_lock(path: Path, *, make: bool = False) -> int | None:
    """A descriptor that holds the lock of *path*, or None when another has it or it is gone."""
    try:
        with _noting:
            lock = os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if make else 0), 0o600)
            _held.add(lock)
    except FileNotFoundError:
        if make:
            raise
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Its last owner may have removed it between our opening and our locking.
        if os.path.samestat(os.fstat(lock), path.stat()):
            return lock
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:
        _unlock(lock)
        raise
    _unlock(lock)
    return None


def _unlock(lock: int) -> None:
    """Let go of *lock*, in all copies that a fork in the middle of things may have made."""
    with _noting:
        _held.discard(lock)
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_UN)
        with contextlib.suppress(OSError):
            os.close(lock)


def _remove_if_free(lane: Path) -> int:
    lock = _try_lock(lane / "lock")
    if lock is None:
        return 0
    try:
        _remove(lane)
    finally:
        _unlock(lock)
    return 1


def _remove(lane: Path) -> None:
    """Remove a lane that is held; the lock goes last, so that what is left can be taken over."""
    for path in lane.iterdir():
        if path.name != "lock":
            path.unlink(missing_ok=True)
    (lane / "lock").unlink(missing_ok=True)
    lane.rmdir()


def _remove_empty(folder: Path) -> None:
    """Remove a destination that has no lanes; harmless where somebody is making one."""
    door = _try_lock(folder / "door", make=True)
    if door is None:
        return
    try:
        if {path.name for path in folder.iterdir()} <= {"door"}:
            (folder / "door").unlink(missing_ok=True)
            folder.rmdir()
    finally:
        _unlock(door)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
