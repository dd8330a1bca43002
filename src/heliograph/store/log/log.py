"""Log: append, commit, read, trim. See the package's docstring for its use.

One thread appends and commits; any thread reads, trims and asks. A process start begins a new
file, so nothing is ever written behind a torn end; its sequences leave room for whatever the end
of the file before may have lost.
"""

import contextlib
import errno
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from heliograph.core.clock import Clock
from heliograph.core.errors import ConfigError, Unavailable
from heliograph.core.samples import SampleBatch
from heliograph.core.series import SeriesTable
from heliograph.store.log import survey
from heliograph.store.log.active import ActiveFile
from heliograph.store.log.catalogue import Catalogue, Tally
from heliograph.store.log.disk import Disk
from heliograph.store.log.file import FILE_FRAMES_MAX, LogFile
from heliograph.store.log.frame import FILE_HEADER_BYTES, Counts, Kind
from heliograph.store.log.reader import Reader

# Half of the room a start leaves, so that one commit more cannot outgrow it.
_ROTATE_FRAMES = FILE_FRAMES_MAX // 2
_RETRY_AFTER_S = 5.0
# A batch that would make a larger frame is cut in two, down to single samples.
SAMPLES_FRAME_BYTES_MAX = 16 << 20


class LogLimits(Struct, frozen=True, kw_only=True):
    """Bounds of the log.

    file_bytes_max         a file is closed when it has grown to this
    memory_bytes_max       newest frames kept in memory for readers close behind
    pending_bytes_max      appended and not yet committed; more is Unavailable
    quarantine_bytes_max   damaged ranges kept aside in `.corrupt` files
    """

    file_bytes_max: int = 64 << 20
    memory_bytes_max: int = 32 << 20
    pending_bytes_max: int = 256 << 20
    quarantine_bytes_max: int = 64 << 20


class Log:
    """An append-only log in *folder*, whose samples speak the ids of *table*."""

    def __init__(
        self,
        folder: Path,
        table: SeriesTable,
        clock: Clock,
        limits: LogLimits | None = None,
        *,
        disk: Disk | None = None,
    ) -> None:
        self.limits = limits or LogLimits()
        self._folder = folder
        self._table = table
        self._clock = clock
        self._disk = disk or Disk()
        self._catalogue = Catalogue(
            self._disk,
            memory_bytes_max=self.limits.memory_bytes_max,
            quarantine_bytes_max=self.limits.quarantine_bytes_max,
        )
        self._active: ActiveFile | None = None
        self._next_first_seq = 1
        self._previous_end = 0

    def open(self, *, floor: int = 0) -> None:
        """Find what the folder holds, make it if it is missing; nothing is written to old files.

        No sequence ≤ *floor* is given again: hand in the greatest cursor there is, and a folder
        that was lost or emptied harms nobody. Raises ConfigError when the folder cannot be used.
        """
        catalogue = self._catalogue
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._disk.sync_folder(self._folder.parent)
            found = survey.survey(self._folder, self._disk)
            self._previous_end, catalogue.after = survey.find_ends(found.files, self._disk)
        except OSError as error:
            raise ConfigError(f"{self._folder} cannot be used: {error.strerror}") from error
        catalogue.files = found.files
        catalogue.tally.foreign_files = found.foreign
        catalogue.quarantine_bytes_left -= found.corrupt_bytes
        catalogue.end = max(self._previous_end, floor)
        catalogue.tally.torn_bytes = sum(file.torn_bytes for file in found.files)
        newest = found.files[-1] if found.files else None
        if newest is not None and (newest.stop > FILE_HEADER_BYTES or newest.torn_bytes):
            # A torn end that a cursor has been beyond was no torn end: it was committed. (A file
            # of a head alone was emptied by `trim`.)
            catalogue.tally.damaged_frames += max(0, floor - self._previous_end)
        self._next_first_seq = catalogue.end + 1
        if found.highest_first >= 0:
            after_any = found.highest_first + FILE_FRAMES_MAX
            self._next_first_seq = max(self._next_first_seq, after_any)

    def close(self) -> None:
        """Give all descriptors back; what was not committed is forgotten."""
        if self._active is not None:
            self._retire(self._active)

    # -- the appending thread ------------------------------------------------------------

    def append_samples(self, batch: SampleBatch) -> int:
        """Append *batch*; its sequence, void if the commit fails. Raises Unavailable when too
        much is pending. The table must not forget the series of *batch* before it is committed."""
        file = self._file()
        if batch.count > 1 and file.samples_bytes(batch, self._table) > SAMPLES_FRAME_BYTES_MAX:
            # Thousands of new series with the longest labels there may be.
            half = batch.count // 2
            self.append_samples(
                SampleBatch(batch.series[:half], batch.at_ns[:half], batch.value[:half])
            )
            return self.append_samples(
                SampleBatch(batch.series[half:], batch.at_ns[half:], batch.value[half:])
            )
        return file.add_samples(batch, self._table, self._clock.now_ns())

    def append_lines(self, payload: bytes, count: int) -> int:
        """Append *payload*, *count* log lines in the caller's own encoding; as above."""
        return self._file().add(Kind.LINES, payload, count, self._clock.now_ns())

    def append_records(self, payload: bytes, count: int) -> int:
        """Append *payload*, *count* records in the caller's own encoding; as above."""
        return self._file().add(Kind.RECORDS, payload, count, self._clock.now_ns())

    def commit(self) -> None:
        """Make everything appended since the last commit durable, and show it to readers.

        Raises Unavailable when the disk refuses: then none of it is kept and none of it will
        appear, and the next append begins a new file, since a disk that failed once is not
        asked whether it has changed its mind about this one.
        """
        active = self._active
        if active is None or not active.pending:
            return
        written = False
        try:
            active.commit()
            written = True
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise Unavailable(
                f"the log cannot be written: {error.strerror}",
                code="disk_full" if full else "log_unwritable",
                retry_after_s=_RETRY_AFTER_S,
            ) from error
        finally:
            # Whatever stopped it: what was not answered must not be written by the next commit.
            if not written:
                self._abandon(active)
        self._catalogue.publish(
            active.file, active.settle(), stop=active.stop, after=active.after
        )
        self._next_first_seq = active.next_seq
        self._previous_end = active.next_seq - 1
        if active.stop >= self.limits.file_bytes_max or active.frames >= _ROTATE_FRAMES:
            self._retire(active)

    def _abandon(self, active: ActiveFile) -> None:
        refused = len(active.pending)
        active.abandon()
        self._active = None
        self._catalogue.refuse(refused)

    @property
    def uncommitted(self) -> int:
        """Frames appended since the last commit; asked by the appending thread."""
        return 0 if self._active is None else len(self._active.pending)

    def _file(self) -> ActiveFile:
        active = self._active
        if active is None:
            active = self._active = ActiveFile(
                self._folder,
                first_seq=self._next_first_seq,
                previous_end=self._previous_end,
                before=self._catalogue.after,
                disk=self._disk,
            )
        pending = active.pending_bytes
        if pending > self.limits.pending_bytes_max or len(active.pending) >= _ROTATE_FRAMES:
            raise Unavailable(f"{pending} bytes wait for the disk", code="log_busy")
        return active

    def _retire(self, active: ActiveFile) -> None:
        active.close()
        self._active = None

    # -- any thread ----------------------------------------------------------------------

    @property
    def end(self) -> int:
        """Sequence of the last committed frame; 0 before the first."""
        return self._catalogue.end

    @property
    def disk_bytes(self) -> int:
        """Bytes of all files of the log on disk."""
        with self._catalogue.changed:
            return sum(file.disk_bytes for file in self._catalogue.files)

    @property
    def tally(self) -> Tally:
        """The counters, live."""
        return self._catalogue.tally

    def reader(self, after: int) -> Reader:
        """A consumer that has had everything up to *after*."""
        return Reader(self._catalogue, self._table, after)

    def wait(
        self, after: int, *, timeout_s: float, unless: Callable[[], bool] = lambda: False
    ) -> bool:
        """Block until a frame after *after* is committed; False when *timeout_s* passed first, or it
        is not waited for any more: *unless*, which is asked after each `nudge`."""
        catalogue = self._catalogue
        with catalogue.changed:
            catalogue.changed.wait_for(lambda: catalogue.end > after or unless(), timeout_s)
            return catalogue.end > after

    def nudge(self) -> None:
        """Have those who wait ask whether they still do."""
        with self._catalogue.changed:
            self._catalogue.changed.notify_all()

    def counts(self, *, after: int, through: int) -> Counts:
        """Entries in the frames *after* < sequence ≤ *through* that are still on disk, and in
        those that damage took from among them; from headers alone. Raises Unavailable when a
        file cannot be opened or read for want of a resource."""
        try:
            ends = [survey.counts_through(self._catalogue, seq) for seq in (after, through)]
        except OSError as error:
            raise Unavailable(
                f"the log cannot be read: {error.strerror}", code="log_unreadable"
            ) from error
        return ends[1].since(ends[0])

    def trim(self, through: int) -> None:
        """Delete the files that hold no frame after *through*; the file being written stays."""
        self._remove(through)
        with self._catalogue.changed:
            newest = self._catalogue.files[-1] if self._catalogue.files else None
            if newest is None or newest.last_seq > through or newest is self._writing():
                return
            if newest.stop <= FILE_HEADER_BYTES:
                return
            # Its name is the memory of which sequences were given, so only its content goes.
            newest.empty()
        with contextlib.suppress(OSError):
            self._disk.truncate(newest.path, FILE_HEADER_BYTES)
            self._disk.truncate(newest.sidecar, FILE_HEADER_BYTES)

    def droppable(self, bytes_max: int) -> int:
        """Up to which sequence whole files must go for the log to fit *bytes_max*; 0 for none.
        The newest file is never among them. What a consumer loses by it, `counts` says."""
        with self._catalogue.changed:
            excess = sum(file.disk_bytes for file in self._catalogue.files) - bytes_max
            through = 0
            for file in self._catalogue.files[:-1]:
                if excess <= 0:
                    break
                excess -= file.disk_bytes
                through = file.last_seq
            return through

    def _writing(self) -> LogFile | None:
        active = self._active
        return active.file if active is not None else None

    def _remove(self, through: int) -> None:
        for file in self._catalogue.remove(through, self._writing()):
            # The log goes last: without its sidecar it can still be read, and found again.
            with contextlib.suppress(OSError):
                self._disk.remove(file.sidecar)
                self._disk.remove(file.path)
