"""The maintenance thread: roll-ups and compaction, retention of everything, trimming the log.

Each task is small, idempotent and retried at the next round (the copy of the state after a minute):
a store that is unavailable costs a round, not the thread.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from heliograph.alert import silences
from heliograph.core.clock import Clock
from heliograph.core.duration import DAY_NS, HOUR_NS, SECOND_NS
from heliograph.core.errors import HeliographError
from heliograph.core.labels import Labels
from heliograph.core.series import SeriesTable
from heliograph.enrich.attribute import Span, cuts
from heliograph.service.alert_archive import AlertArchive
from heliograph.service.believed_time import BelievedTime
from heliograph.service.meters import Meters
from heliograph.service.owners import Owners
from heliograph.service.supervisor import Supervisor
from heliograph.store.protocol import SampleStore
from heliograph.store.records.protocol import RecordStore
from heliograph.store.state import (
    alert_events,
    alert_silences,
    alert_sums,
    alerts,
    dirty,
    frameworks,
    owners_prune,
    training,
    usage,
)
from heliograph.store.state.lanes import Lane
from heliograph.store.state.state import State

log = logging.getLogger(__name__)

ROUND_S = 5.0
DIRTY_PER_ROUND = 200
BACKUP_EVERY_S = 3600.0
# A copy that the disk has no room for takes the last of it for a while, so not at each round.
BACKUP_RETRY_S = 60.0
PRUNES_PER_ROUND = 20
# A series that had no sample for this long gives its place in the table to new ones.
SERIES_IDLE_NS = 2 * HOUR_NS


class Keep(NamedTuple):
    """How long what is kept, nanoseconds; `records_bytes` caps their size."""

    records_ns: int
    records_bytes: int
    training_ns: int
    alerts_ns: int
    statistics_ns: int
    owners_ns: int


class Upkeep(NamedTuple):
    """What is looked after.

    trim      delete what every consumer of the log has had
    forget    drop series idle since an instant, when the table fills
    replayed  whether all that was in the log at start has been applied: until then a sample may
              come once more, and must not be folded into a roll-up twice
    """

    state: State
    owners: Owners
    records: RecordStore
    segments: SampleStore | None
    table: SeriesTable
    spans: Callable[[Labels], tuple[Span, ...]]
    trim: Callable[[], None]
    forget: Callable[[int], None]
    replayed: Callable[[], bool]
    archive: AlertArchive


class Maintenance:
    """One thread, a round every ROUND_S."""

    def __init__(
        self, upkeep: Upkeep, keep: Keep, supervisor: Supervisor, meters: Meters, clock: Clock
    ) -> None:
        self._upkeep = upkeep
        self._keep = keep
        self._supervisor = supervisor
        self._meters = meters
        self._clock = clock
        self._believed = BelievedTime(clock)
        self._closing = threading.Event()
        self._backup_due_s: float | None = None
        self._rolled_hour: int | None = None
        self._more: tuple[tuple[str, Callable[[], None]], ...] = ()
        self._thread: threading.Thread | None = None

    def also(self, name: str, task: Callable[[], None]) -> None:
        """Do *task* at the end of each round, too."""
        self._more = (*self._more, (name, task))

    def start(self) -> None:
        """Begin."""
        self._thread = self._supervisor.thread("maintenance", self._run)

    def close(self) -> None:
        """Stop after the task in work."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._closing.wait(ROUND_S):
            self.round()

    def round(self) -> None:
        """Every task once."""
        for name, task in (
            ("segments", self._segments),
            ("records", self._records),
            ("training", self._training),
            ("owners", self._owners),
            ("alerts", self._alerts),
            ("trim", self._upkeep.trim),
            ("series", self._series),
            ("backup", self._backup),
            *self._more,
        ):
            if self._closing.is_set():
                return
            started_s = self._clock.monotonic_s()
            error = self._supervisor.attempt(task, where=f"maintenance_{name}")
            if isinstance(error, HeliographError):
                log.warning("maintenance task failed", extra={"task": name, "why": str(error)})
            self._meters.stage_seconds.observe(self._clock.monotonic_s() - started_s, name)

    def _segments(self) -> None:
        segments = self._upkeep.segments
        if segments is None or not self._upkeep.replayed():
            return
        spans = self._upkeep.owners.dirty(DIRTY_PER_ROUND)
        done = segments.maintain(
            cuts=self._cuts, dirty=[(span.start_ns, span.end_ns) for span in spans]
        )
        if spans:
            self._upkeep.state.write(
                lambda tx: dirty.delete_dirty(tx, spans), lane=Lane.RETENTION
            ).result()
        self._meters.dropped.add(done.expired_files, "segment_files", "retention")

    def _cuts(self, labels: Labels, start_ns: int, end_ns: int) -> Sequence[int]:
        return cuts(self._upkeep.spans(labels), start_ns, end_ns)

    def _records(self) -> None:
        floor_ns = self._believed.now_ns() - self._keep.records_ns
        self._upkeep.records.retain(floor_ns=floor_ns, bytes_max=self._keep.records_bytes)

    def _training(self) -> None:
        before_ns = self._believed.now_ns() - self._keep.training_ns
        gone = self._prune(lambda tx: training.prune(tx, before_ns), training.ROWS_MAX)
        self._meters.dropped.add(gone, "rows", "retention")
        self._prune(lambda tx: frameworks.prune(tx, before_ns), frameworks.PRUNE_ROWS_MAX)
        # A count of each day, of which no more than one is ever shown.
        gone = self._prune(lambda tx: usage.prune(tx, "time", before_ns), usage.PRUNE_ROWS_MAX)
        self._meters.dropped.add(gone, "usage_counts", "retention")

    def _owners(self) -> None:
        before_ns = self._believed.now_ns() - self._keep.owners_ns
        gone = self._prune(lambda tx: owners_prune.prune(tx, before_ns), owners_prune.LIMIT_MAX)
        if gone:
            self._upkeep.owners.reload()

    def _alerts(self) -> None:
        """Episodes that ended go to the history, and leave it in the end."""
        self._prune(
            lambda tx: alert_events.close(tx, self._clock.now_ns()), alert_events.CLOSE_MAX
        )
        self._archive(self._believed.now_ns() - self._keep.alerts_ns)
        self._statistics(self._believed.now_ns())
        expired_ns = self._believed.now_ns() - silences.RETENTION_NS
        self._prune(lambda tx: len(alert_silences.prune(tx, expired_ns)), 1)

    def _statistics(self, now_ns: int) -> None:
        """Days that are over become one chunk each, and leave in the end."""
        counted_ns = now_ns - self._keep.statistics_ns
        self._prune(lambda tx: alert_sums.prune(tx, counted_ns), 1)
        if self._rolled_hour != now_ns // HOUR_NS:
            # What ends late is counted in the hour it began in: a day waits for most of that.
            rolled = self._prune(lambda tx: alert_sums.roll(tx, now_ns - DAY_NS), 1)
            if not rolled:
                self._rolled_hour = now_ns // HOUR_NS

    def _archive(self, before_ns: int) -> None:
        """Old episodes into the archive, and only then out of the state."""
        upkeep = self._upkeep
        for _ in range(PRUNES_PER_ROUND):
            left = upkeep.state.read(lambda tx: alerts.leaving(tx, before_ns))
            upkeep.archive.append(left)
            ids = frozenset(alert.id for alert, _ in left)
            if not upkeep.state.write(
                lambda tx, ids=ids: alerts.archive(tx, before_ns, only=ids),  # type: ignore[misc]
                lane=Lane.RETENTION,
            ).result():
                break
            self._meters.stored.add(len(left), "archived_alerts")
        self._meters.dropped.add(upkeep.archive.prune(), "alert_archives", "retention")

    def _prune(self, work: Callable[[Connection], int], full: int) -> int:
        """Delete in short transactions until one is not full; how many went."""
        total = 0
        for _ in range(PRUNES_PER_ROUND):
            gone = self._upkeep.state.write(work, lane=Lane.RETENTION).result()
            total += gone
            if gone < full:
                break
        return total

    def _series(self) -> None:
        table = self._upkeep.table
        if len(table) > table.limit // 2:
            self._upkeep.forget(self._clock.now_ns() - SERIES_IDLE_NS)

    def _backup(self) -> None:
        if not self._upkeep.state.on_sqlite:
            return
        now_s = self._clock.monotonic_s()
        if self._backup_due_s is None:
            self._backup_due_s = now_s + self._copy_lasts_s()
        if now_s >= self._backup_due_s:
            self._backup_due_s = now_s + BACKUP_RETRY_S
            self._upkeep.state.backup()
            self._backup_due_s = now_s + BACKUP_EVERY_S

    def _copy_lasts_s(self) -> float:
        """How long the copy of an earlier life still does: a service may never live for an hour."""
        copied_ns = self._upkeep.state.copied_ns
        if copied_ns is None:
            return 0.0
        # By a clock that was set back it is of the future.
        age_s = max(0.0, (self._clock.now_ns() - copied_ns) / SECOND_NS)
        return max(0.0, BACKUP_EVERY_S - age_s)
