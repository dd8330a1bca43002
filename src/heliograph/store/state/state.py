"""`State`: one database, its one writer thread, its readers. See the package for an example."""

import logging
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, Engine

from heliograph.core import thread_name
from heliograph.core.clock import Clock
from heliograph.core.errors import ConfigError, Refused, Unavailable
from heliograph.store.state import engines, lock, revisions, seam, sqlite_file
from heliograph.store.state.lanes import Lane, Lanes
from heliograph.store.state.writer import Writer

log = logging.getLogger(__name__)

T = TypeVar("T")
# A transaction on the writer that takes longer is counted as slow.
SLOW_S = 0.020
# Seconds of transactions for each that the last checkpoint took, which was not less than this.
PER_CHECKPOINT = 3
CHECKPOINT_S = 0.004


class _Job(NamedTuple):
    work: Callable[[], Any]
    done: Future[Any]


class _Delivery:
    """Whatever the block raises belongs to the caller who waits on *done*, not to the writer."""

    def __init__(self, done: Future[Any]) -> None:
        self._done = done

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        _: type[BaseException] | None,
        error: BaseException | None,
        __: TracebackType | None,
    ) -> bool:
        if error is not None:
            self._done.set_exception(error)
        return error is not None


class State:
    """The open state. Use `open`; `close` lets what was accepted finish.

    mended  what was set aside or restored at open, in words, or None
    slow    transactions over `SLOW_S`, by lane
    """

    def __init__(
        self, home: "_Home", clock: Clock, *, observe: Callable[[Lane, float], None] | None
    ) -> None:
        self._home = home
        self._writer, self._readers, self._path = home.writer.engine, home.readers, home.path
        self._clock = clock
        self._observe = observe
        self._lanes: Lanes[_Job] = Lanes()
        self.mended = home.mended
        self.slow: Counter[Lane] = Counter()
        # Of reads and of writes: one may do what the other cannot.
        self._failing: dict[str, str] = {}
        # The thread whose transaction runs, or 0.
        self._inside = 0
        # Of SQLite's write-ahead log: whether it is brought into the file, or will be; how long that
        # took, and transactions since.
        self._shortening = False
        self._checkpoint_s, self._spent_s = CHECKPOINT_S, 0.0
        self._thread = threading.Thread(target=self._run, name="state-writer", daemon=True)
        self._thread.start()

    @classmethod
    def open(
        cls,
        url: str | None,
        data_dir: Path,
        clock: Clock,
        *,
        observe: Callable[[Lane, float], None] | None = None,
    ) -> "State":
        """Open the PostgreSQL at *url*, or SQLite in *data_dir*; its schema becomes ours.

        *observe* is told each transaction's lane and duration in seconds, on the thread it ran on.
        ConfigError: a URL we refuse, a folder in use, a schema newer than ours. Unavailable: no
        answer from the server.
        """
        with ExitStack() as unless_open:
            home = _home(url, data_dir, unless_open)
            _prepare(home, clock)
            unless_open.pop_all()
        return cls(home, clock, observe=observe)

    def write(self, work: Callable[[Connection], T], *, lane: Lane) -> Future[T]:
        """Run *work* in a transaction on the writer thread; the future is done once it is on disk.

        What *work* raises rolls back and is the future's exception, database errors as
        Unavailable or Refused. Raises Unavailable itself when the lane is full or the state closed.
        """
        here = threading.get_ident()
        assert here not in {self._inside, self._thread.ident}, "a transaction waits for another"
        done: Future[T] = Future()
        self._lanes.put(lane, _Job(lambda: self._transact(lane, work), done))
        return done

    def run(self, work: Callable[[Connection], T], *, lane: Lane) -> T:
        """What *work* answers, once it is on disk: as `write`, for a thread that waits for it.

        Where the writer is idle it runs here: to hand it over, and the answer back, costs more
        than a small transaction.
        """
        if not self._lanes.enter():
            return self.write(work, lane=lane).result()
        try:
            return self._transact(lane, work)
        finally:
            self._lanes.leave()

    def read(self, work: Callable[[Connection], T]) -> T:
        """What *work* answers, run here on a read-only snapshot. Unavailable when busy or lost."""
        try:
            with (
                self._home.translated(),
                self._readers.connect() as tx,
                tx.begin(),
            ):
                found = work(tx)
        except Unavailable as failed:
            self._failing["read"] = failed.detail
            raise
        self._failing.pop("read", None)
        return found

    def waiting(self) -> dict[Lane, int]:
        """Transactions that wait for the writer, by lane."""
        return self._lanes.waiting()

    @property
    def damaged(self) -> bool:
        """Whether damage was seen since `open`: the next one examines every page and mends."""
        return self._home.damaged

    @property
    def failing(self) -> str | None:
        """Why the last write, or the last read, could not be; None where both could."""
        return self._failing.get("write") or self._failing.get("read")

    @property
    def on_sqlite(self) -> bool:
        """Whether the state is a SQLite file, which `backup` can copy."""
        return self._path is not None

    @property
    def copied_ns(self) -> int | None:
        """When the newest copy was made where `mend` would look; None when there is none."""
        return None if self._path is None else sqlite_file.copied_ns(self._path)

    def backup(self, path: Path | None = None) -> None:
        """Copy the state, while it is in use, to *path* (default: where `mend` would look).

        ConfigError on PostgreSQL, whose backup is its operator's. Unavailable: a full disk, or damage.
        """
        if self._path is None:
            raise ConfigError(
                "the state is on PostgreSQL: its backup is the operator's (pg_dump, base backup)"
            )
        default = self._path.parent / sqlite_file.BACKUP_FOLDER / self._path.name
        sqlite_file.copy(self._path, path or default, on_damage=self._home.on_damage)

    def close(self) -> None:
        """Take no more work, finish what waits, close every connection. Twice is once."""
        self._lanes.close()
        self._thread.join()
        self._home.leave()

    def _run(self) -> None:
        thread_name.show()
        while (job := self._lanes.take()) is not None:
            if not job.done.set_running_or_notify_cancel():
                self._lanes.leave()
                continue
            with _Delivery(job.done):
                try:
                    result = job.work()
                finally:
                    # Before the answer: who gets it may have the next.
                    self._lanes.leave()
                job.done.set_result(result)

    def _transact(self, lane: Lane, work: Callable[[Connection], T]) -> T:
        start_s = self._clock.monotonic_s()
        self._inside = threading.get_ident()
        sound = False
        try:
            with self._home.translated():
                found = self._home.writer.transact(work)
            sound = True
            self._failing.pop("write", None)
        except Refused:
            sound = True
            raise
        except Unavailable as failed:
            self._failing["write"] = failed.detail
            raise
        finally:
            self._inside = 0
            if not sound:
                # After a failed write or sync the connection's view is not to be believed, nor
                # what a bug made of it.
                self._home.writer.drop()
            took_s = self._clock.monotonic_s() - start_s
            if took_s > SLOW_S:
                self.slow[lane] += 1
            if self._observe is not None:
                self._observe(lane, took_s)
        self._spent_s += took_s
        if self._spent_s > PER_CHECKPOINT * self._checkpoint_s:
            self._have_shortened()
        return found

    def _have_shortened(self) -> None:
        """Have the writer's thread bring the write-ahead log into the file.

        Else some commit would do it, and who waits for that would wait twice as long. How long the
        log is nobody tells; that transactions took three times what this takes keeps its part small.
        """
        if self._path is None or self._shortening:
            return
        # Where there is no room for it, a commit does it after all: `engines.WAL_PAGES_MAX`.
        with suppress(Unavailable):
            self._lanes.put(Lane.RETENTION, _Job(self._shorten, Future()))
            self._shortening = True

    def _shorten(self) -> None:
        start_s = self._clock.monotonic_s()
        try:
            with self._home.translated():
                self._home.writer.checkpoint()
        except Unavailable as failed:
            # The next transaction meets the same, and somebody waits for that.
            log.warning("the write-ahead log stays long", extra={"why": failed.detail})
        finally:
            took_s = self._clock.monotonic_s() - start_s
            self._checkpoint_s, self._spent_s = max(took_s, CHECKPOINT_S), 0.0
            self._shortening = False


class Upgraded(NamedTuple):
    """Schema revisions *before* (None: there was no database) and *after*."""

    before: str | None
    after: str


def upgrade(url: str | None, data_dir: Path, clock: Clock) -> Upgraded:
    """Bring the state's schema to ours and leave: `heliograph db upgrade`. Raises as `State.open`."""
    with ExitStack() as afterwards:
        before = _prepare(_home(url, data_dir, afterwards), clock)
    return Upgraded(before, revisions.HEAD)


@dataclass(kw_only=True)
class _Home:
    """Where a state lives: its connections, and on SQLite its file, its lock and what was mended."""

    name: str
    writer: Writer
    readers: Engine
    path: Path | None = None
    held: lock.FolderLock | None = None
    mended: str | None = None
    damaged: bool = False

    def translated(self) -> AbstractContextManager[None]:
        return seam.translated(self.name, self.on_damage)

    def leave(self) -> None:
        """Close all, readers first: who closes last folds the write-ahead log in. Twice is once."""
        self.readers.dispose()
        self.writer.drop()
        if self.held is not None:
            self.held.release()
            self.held = None

    def on_damage(self) -> None:
        self.damaged = True
        if self.path is not None:
            sqlite_file.mark_damaged(self.path)


def _home(url: str | None, data_dir: Path, leaving: ExitStack) -> _Home:
    """Connections not made yet; *leaving* closes them and lets the folder go."""
    if url is not None:
        parsed = engines.parse_url(url)
        home = _Home(
            # Without its query, which may hold a password too.
            name=f"state {parsed.set(query={}).render_as_string(hide_password=True)}",
            writer=Writer(engines.postgresql_writer(parsed)),
            readers=engines.postgresql_readers(parsed),
        )
        leaving.callback(home.leave)
        return home
    held = lock.hold(data_dir)
    with ExitStack() as unless_ready:
        unless_ready.callback(held.release)
        path = data_dir / sqlite_file.STATE_NAME
        mended = sqlite_file.mend(path)
        sqlite_file.create_private(path)
        unless_ready.pop_all()
    log.info("state opens", extra={"sqlite_version": sqlite3.sqlite_version})
    home = _Home(
        name=f"state {path}",
        writer=Writer(engines.sqlite_writer(path)),
        readers=engines.sqlite_readers(path),
        path=path,
        held=held,
        mended=mended,
    )
    leaving.callback(home.leave)
    return home


def _prepare(home: _Home, clock: Clock) -> str | None:
    """Bring the schema to ours; return the revision that was there. An old SQLite is copied first."""
    with home.translated():
        before = home.writer.transact(revisions.stored)
    revisions.check(before)
    if before == revisions.HEAD:
        return before
    if home.path is not None and before is not None:
        backups = home.path.parent / sqlite_file.BACKUP_FOLDER
        sqlite_file.copy(home.path, backups / f"state-{before}.db", on_damage=home.on_damage)
    with home.translated():
        home.writer.transact(lambda tx: revisions.bring_to_head(tx, clock.now_ns()))
    return before
