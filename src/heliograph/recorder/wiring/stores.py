"""The stores of one data folder, and what goes from one to the other.

    write(points, records)   the log, durable; then the head and the records that wait   committer
    settle()                 what waits goes into the stores                             readers
    tend(), maintain()       seal, trim, roll up, forget                                 upkeep

The log alone makes durable. A seal may take a second: commits go on meanwhile, and what they bring
waits in memory, as does what the record store cannot take. Locks are taken in the order of
`_tending`, `_writing`, `_storing`, `_recording`.
"""

import shutil
import threading
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from heliograph.core.clock import Clock
from heliograph.core.errors import ConfigError, Refused, Unavailable
from heliograph.core.matcher import Matcher
from heliograph.core.record import Record
from heliograph.core.samples import SampleBatch
from heliograph.core.series import SeriesTable
from heliograph.kernels.metric_rows import Taken
from heliograph.recorder.points import TEXT_TYPE, Point
from heliograph.recorder.store import Expired, Policy
from heliograph.recorder.wiring import keeping, replaying
from heliograph.recorder.wiring.placing import Ints, Placing
from heliograph.recorder.wiring.reading import StoredPoints
from heliograph.recorder.wiring.replaying import NO_SAMPLES, Replayed
from heliograph.recorder.wiring.series import METRICS_MAX, SeriesIds
from heliograph.store.log.disk import Disk
from heliograph.store.log.log import Log, LogLimits
from heliograph.store.records.folder import RecordFolder
from heliograph.store.segments.file import Damaged, read_index
from heliograph.store.segments.store import SegmentStore
from heliograph.store.state import lock
from heliograph.store.state.sqlite_file import STATE_NAME
from heliograph.wire import records as wire_records

# What waits for the stores in memory: beyond it nothing more is taken.
SAMPLES_WAITING_MAX = 4_000_000
RECORDS_WAITING_MAX = 50_000
RECORDS_TOGETHER = 1_000
RECORDS_FRAME = 2_000
# The log of a folder that a service has used is the service's to trim; so far it may grow.
LOG_BYTES_MAX = 4 << 30
SERIES_IDLE_NS = 3600 * 10**9


class FolderStores:
    """Open stores in *folder*. ConfigError when another process has it, or it cannot be used.

    texts     whether there are text values
    full      whether there are so many series that no metric can be added
    counts    what happened, by a fixed set of names
    """

    def __init__(
        self,
        folder: Path,
        policy: Policy,
        clock: Clock,
        *,
        series_max: int,
        disk: Disk | None = None,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.full = False
        self._folder = folder
        self._policy = policy
        self._clock = clock
        self._tending = threading.RLock()
        self._writing = threading.Lock()
        self._storing = threading.RLock()
        self._recording = threading.Lock()
        self._waiting: deque[tuple[SampleBatch, int]] = deque()
        self._waiting_samples = 0
        self._pending: list[Record] = []
        self._table = SeriesTable(series_max)
        # Its cursors say what of the log it still needs. While we have the folder none can come.
        self._has_service = (folder / STATE_NAME).exists()
        with ExitStack() as opened:
            self.lock = _hold(folder)
            opened.callback(self.lock.release)
            self._records = RecordFolder.open(folder / "records", clock)
            opened.callback(self._records.close)
            self._segments = self._opened(policy)
            opened.callback(self._close_segments)
            limits = LogLimits(memory_bytes_max=0)
            self._log = Log(folder / "log", self._table, clock, limits, disk=disk)
            self._log.open(floor=max(0, self._segments.sealed_seq))
            opened.callback(self._log.close)
            replayed = replaying.replay(
                self._log, self._segments, self._records, make_room=self._seal_if_due
            )
            self.texts = self._records.query(types=[TEXT_TYPE], limit=1).total > 0
            self._opened_stores = opened.pop_all()
        self._ids = SeriesIds(self._table)
        self._placing = Placing(*self._span(replayed), self._taken)

    @property
    def busy(self) -> bool:
        """Whether so much waits that it should be tended to before its time."""
        return (
            len(self._pending) >= RECORDS_TOGETHER
            or bool(self._waiting)
            or self._segments.should_seal(self._clock.now_ns())
        )

    @property
    def generation(self) -> int:
        """Grows when series were forgotten."""
        return self._table.generation

    def knows(self, name: str) -> bool:
        """Whether there is a series of the metric *name* alone: when `full`, these can go on."""
        return self._ids.knows(name)

    # -- the committer -------------------------------------------------------------------

    def write(
        self, points: Sequence[Point], records: Sequence[Record], rows: Taken | None = None, /
    ) -> None:
        """Make all of it durable. Unavailable: none of it is kept, and none will appear."""
        with self._writing:
            self._check_room()
            ends = self._commit(self._batches(points, rows), records)
            self.full = len(self._table) >= self._table.limit + METRICS_MAX
            # Records first: what is applied has its records at least waiting.
            self._pending.extend(records)
            for batch, seq in ends:
                self._waiting.append((batch, seq))
                self._waiting_samples += batch.count
        if self._storing.acquire(blocking=False):
            try:
                self._apply()
            except Unavailable:
                self.counts["applies_later"] += 1
            finally:
                self._storing.release()

    def _check_room(self) -> None:
        if self._waiting_samples > SAMPLES_WAITING_MAX:
            raise Unavailable("samples wait to be sealed", code="sealing")
        if len(self._pending) > RECORDS_WAITING_MAX:
            raise Unavailable("records wait to be stored", code="records")
        if self._has_service and self._log.disk_bytes > LOG_BYTES_MAX:
            raise Unavailable(
                f"the log has {LOG_BYTES_MAX >> 30} GiB that only the folder's service may trim",
                code="log_full",
            )

    def _batches(self, points: Sequence[Point], rows: Taken | None) -> list[SampleBatch]:
        found = [self._ids.of_points(points)] if points else []
        if rows is not None:
            found.append(self._ids.of_rows(rows))
        return [self._placing.place(batch) for batch in found]

    def _commit(
        self, batches: Sequence[SampleBatch], records: Sequence[Record]
    ) -> list[tuple[SampleBatch, int]]:
        try:
            ends = [(batch, self._log.append_samples(batch)) for batch in batches]
            for start in range(0, len(records), RECORDS_FRAME):
                piece = records[start : start + RECORDS_FRAME]
                seq = self._log.append_records(wire_records.encode(piece), len(piece))
                ends.append((NO_SAMPLES, seq))
        except Unavailable:
            # What was appended already must not be in the next commit.
            self._log.close()
            raise
        self._log.commit()
        return ends

    def _taken(self, series: int, start_ns: int, end_ns: int) -> Ints:
        """Instants in [start_ns, end_ns) at which there is a sample of *series*."""
        labels = self._table.labels(series)
        matchers = [Matcher(name, "=", value) for name, value in labels]
        found: list[Ints] = []
        with self._storing:
            self._apply()
            at_ns: int | None = start_ns
            while at_ns is not None:
                selection = self._segments.select(
                    matchers, at_ns, end_ns, samples_max=1_000_000
                )
                found += [one.at_ns for one in selection.series if one.labels == labels]
                at_ns = selection.next_ns
        return np.concatenate([np.empty(0, np.int64), *found])

    # -- readers -------------------------------------------------------------------------

    def settle(self) -> None:
        """Let the stores have what waits for them, as far as they take it."""
        with self._storing:
            self._apply()
        if self.texts and self._pending:
            self._store_records()

    def source(self) -> StoredPoints:
        """What queries read, as of now."""
        return StoredPoints(self._segments, self._records, texts=self.texts)

    def _kept_bytes(self) -> int:
        """Bytes on disk but those of the log, which passes."""
        return sum(self._segments.stats().size_bytes.values()) + self._records.size_bytes()

    def percentage(self) -> float:
        """How full it is: of the policy's bound, else of what the disk has for it."""
        used = self._kept_bytes() + self._log.disk_bytes
        if self._policy.bytes_max is not None:
            return 100 * used / max(1, self._policy.bytes_max)
        free = shutil.disk_usage(self._folder).free
        return 100 * used / max(1, used + free)

    def tally(self) -> dict[str, int]:
        """What happened, by name."""
        ids, placing = self._ids, self._placing
        return {
            **self.counts,
            **ids.counts,
            "series": len(self._table),
            "points_moved": placing.moved,
        }

    # -- upkeep --------------------------------------------------------------------------

    def tend(self, *, closing: bool = False) -> None:
        """Seal what is due (all of it when *closing*), store records, trim the log. Unavailable."""
        with self._tending:
            with self._storing:
                self._apply()
                if closing:
                    self._segments.seal()
                else:
                    self._seal_if_due()
            self._store_records()
            if closing:
                with self._writing:
                    # The file that is being written would stay.
                    self._log.close()
            if not self._has_service and self._segments.sealed_seq >= 0:
                self._log.trim(self._segments.sealed_seq)
            self._forget()

    def maintain(self) -> None:
        """Merge files, and let go of samples that the policy no longer keeps. Unavailable."""
        with self._tending:
            self._segments.maintain(cuts=keeping.no_cuts, dirty=())

    def retain(self, policy: Policy, now_ns: int, *, dry_run: bool) -> Expired:
        """As `RecorderStore.retain`."""
        with self._tending:
            passed = self._all_in_files(policy, now_ns, dry_run=dry_run)
            files = keeping.raw_files(self._folder / "segments")
            rows, used = sum(file.rows for file in files), self._kept_bytes()
            plan = keeping.plan(files, self._records, policy, now_ns, used)
            if dry_run:
                return plan.would_go._replace(metrics=plan.would_go.metrics + passed)
            self._maintain_with(policy, now_ns, plan.samples_ns)
            left = keeping.raw_files(self._folder / "segments")
            if plan.records_ns is not None:
                bytes_max = 2**62 if policy.bytes_max is None else policy.bytes_max
                self._records.retain(floor_ns=plan.records_ns, bytes_max=bytes_max)
            metrics = passed + max(0, rows - sum(file.rows for file in left))
            return Expired(plan.would_go.events, metrics, max(0, used - self._kept_bytes()))

    def _all_in_files(self, policy: Policy, now_ns: int, *, dry_run: bool) -> int:
        """Have all in files, whose sizes tell; how many samples are beyond the age, and left out."""
        if dry_run:
            passed = self._segments.too_old_in_head()
            self.tend(closing=not passed and policy != Policy())
            return passed
        passed = self._too_old
        try:
            self.tend(closing=policy != Policy())
        except Unavailable:
            # Perhaps there is no room: what is beyond its age goes first.
            keeping.make_room(self._segments, self._records, policy, now_ns)
            self.tend(closing=True)
        return self._too_old - passed

    @property
    def _too_old(self) -> int:
        """Samples that were beyond the age when they were to be sealed."""
        return self._segments.stats().counts.get("too_old_samples", 0)

    def close(self) -> None:
        """Seal, so that the next open is quick, and let go of everything."""
        with self._tending:
            try:
                self.tend(closing=True)
            except Unavailable:
                # The log has it.
                self.counts["seals_later"] += 1
            self._opened_stores.close()

    def _maintain_with(self, policy: Policy, now_ns: int, size_floor_ns: int | None) -> None:
        """Maintain with the floors of *policy*, or higher ones where it is about size."""
        spans = [] if policy.metrics_ns is None else [policy.metrics_ns]
        if size_floor_ns is not None:
            spans.append(max(0, now_ns - size_floor_ns))
        if not spans:
            self.maintain()
            return
        with self._storing:
            self._apply()
            self._segments.seal()
            self._reopen(Policy(metrics_ns=min(spans)))
            try:
                self.maintain()
            finally:
                self._reopen(self._policy)

    def _reopen(self, policy: Policy) -> None:
        """With other floors. All is sealed, so that only names are read."""
        old = self._segments
        self._segments = self._opened(policy)
        old.close()

    def _close_segments(self) -> None:
        # Those of then, which need not be those of now.
        self._segments.close()

    def _opened(self, policy: Policy) -> SegmentStore:
        retention = keeping.retention(policy)
        return SegmentStore(self._folder / "segments", self._table, retention, self._clock)

    def _apply(self) -> None:
        while self._waiting:
            batch, seq = self._waiting[0]
            self._segments.append(batch, seq)
            self._waiting.popleft()
            self._waiting_samples -= batch.count

    def _seal_if_due(self) -> None:
        if self._segments.should_seal(self._clock.now_ns()):
            self._segments.seal()

    def _store_records(self) -> None:
        with self._recording:
            while self._pending:
                piece = self._pending[:RECORDS_TOGETHER]
                try:
                    self._records.append(piece)
                except Refused:
                    self._store_singly(piece)
                del self._pending[: len(piece)]

    def _store_singly(self, records: Sequence[Record]) -> None:
        """One of *records* can never be stored: that costs only itself."""
        for record in records:
            try:
                self._records.append([record])
            except Refused:
                self.counts["records_refused"] += 1

    def _forget(self) -> None:
        """Make room for new series when there are many, among those without points for long."""
        if len(self._table) <= self._table.limit // 2:
            return
        now_ns = self._clock.now_ns()
        with self._writing, self._storing:
            self._apply()
            in_use = self._segments.series_in_use()
            self._table.touch(list(in_use), now_ns)
            self._table.forget(idle_since_ns=now_ns - SERIES_IDLE_NS, in_use=in_use)

    def _span(self, replayed: Replayed) -> tuple[int, int]:
        """The least and the greatest instant of which there may be a sample."""
        low_ns, high_ns = replayed.low_ns, replayed.high_ns
        now_ns = self._clock.now_ns()
        for file in keeping.raw_names(self._folder / "segments"):
            low_ns, end_ns = min(low_ns, file.start_ns), file.end_ns
            if end_ns > now_ns:
                # Spans are whole windows, so the one of now ends ahead: look what it really has.
                try:
                    end_ns = int(
                        read_index(self._folder / "segments" / file.text).high.max(initial=0)
                    )
                except (Damaged, FileNotFoundError):
                    continue
            high_ns = max(high_ns, end_ns)
        return low_ns, high_ns


def _hold(folder: Path) -> lock.FolderLock:
    try:
        return lock.hold(folder)
    except ConfigError as error:
        if "in use" not in str(error):
            raise
        raise ConfigError(
            f"{error}. A folder has one writer: record over HTTP instead, with "
            "storage_config.connection_string: http://… of the process or service that has it."
        ) from error
