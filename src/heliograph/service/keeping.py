"""Rows and records into their stores, as many at a time as they take; what none can hold is dropped
alone."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Protocol, TypeVar

from sqlalchemy import Connection

from heliograph.core.errors import Refused
from heliograph.core.record import Record
from heliograph.core.training import TrainingRow
from heliograph.service.meters import Meters
from heliograph.service.storable import put_storable
from heliograph.store.records.protocol import RecordStore
from heliograph.store.state import document, training_adding, training_arranging
from heliograph.store.state.lanes import Lane
from heliograph.store.state.state import State
from heliograph.store.state.training_adding import Added, Met
from heliograph.store.state.training_arranging import Arranged, Gathering, Stream
from heliograph.training.rows import MARKERS

log = logging.getLogger(__name__)

T = TypeVar("T")

RECORDS_PER_APPEND = 5000
# What is taken before it is to be kept, some 50 MiB each: lines that are much alike are next to nothing
# in the log, and a stretch of it may be millions.
RECORDS_TAKEN_MAX = 50_000
ROWS_TAKEN_MAX = 200_000
CHECKPOINT = "checkpoint_"
# Source and type of a record.
_KIND = itemgetter(*map(Record._fields.index, ("source_kind", "event_type")))


class Insist(Protocol):
    """Does *work* until the store takes it."""

    def __call__(self, work: Callable[[], T], /) -> T:
        """The result of *work*."""
        ...


class Keeping:
    """Writes for the applier. *insist* repeats what is unavailable; *workload_of* as the applier's."""

    def __init__(
        self,
        state: State,
        records: RecordStore,
        meters: Meters,
        *,
        insist: Insist,
        workload_of: Callable[[str], str | None],
    ) -> None:
        self._state = state
        self._records = records
        self._meters = meters
        self._insist = insist
        self._workload_of = workload_of
        self._gathered = Gathering()
        self._told: list[Record] = []
        self._docs: list[bytes | None] = []

    def take(self, rows: Iterable[TrainingRow], records: Sequence[Record]) -> None:
        """Take *rows*, to be kept by `rows`, and *records*, by `records`. They are encoded here, for
        what the processor has at hand of a whole stretch is its end."""
        docs = list(map(document.packed, records))
        self._gathered.take(rows)
        # Both or neither, each beside its own, whatever failed.
        self._docs += docs
        self._told += records

    def records(self) -> list[Record]:
        """Keep the records that were taken; those that were not there before."""
        new: list[Record] = []

        def keep(some: Sequence[Record], docs: Sequence[bytes | None] = ()) -> None:
            new.extend(self._insist(lambda: self._append(some, docs)))

        told, docs = self._told, self._docs
        for first in range(0, len(told), RECORDS_PER_APPEND):
            some = told[first : first + RECORDS_PER_APPEND]
            try:
                keep(some, docs[first : first + RECORDS_PER_APPEND])
            except Refused:
                put_storable(some, keep, self._lost_record)
        self._told, self._docs = [], []
        return new

    @property
    def waits(self) -> bool:
        """Whether rows were taken that are not kept yet."""
        return len(self._gathered) > 0

    @property
    def full(self) -> bool:
        """Whether so much was taken that it should be kept now."""
        return len(self._told) >= RECORDS_TAKEN_MAX or len(self._gathered) >= ROWS_TAKEN_MAX

    def rows(self, then: Callable[[Connection], None] | None = None) -> bool:
        """Keep the rows that were taken; whether the last transaction of them did *then* too. A row
        that is there already may keep it from that, or one that cannot be stored."""
        pieces = list(training_arranging.pieces(self._gathered.parts()))
        odd = self._gathered.odd()
        last = pieces.pop() if then is not None and pieces and not odd else None
        for piece in pieces:
            self._storable(piece)
        self._one_by_one(odd)
        if last is None:
            return False
        try:
            met = self._insist(lambda: self._add(last, then))
        except Refused:
            self._storable(last)
            return False
        self._keep_met(met)
        return not met

    def _storable(self, parts: Sequence[Arranged]) -> None:
        put_storable(parts, self._keep, lambda part, _: self._one_by_one(part.rows()))

    def _one_by_one(self, rows: Sequence[TrainingRow]) -> None:
        """Keep *rows* of which some may be such that none can keep them."""
        put_storable(
            rows, lambda some: self._keep(training_arranging.arranged(some)), self._lost_row
        )

    def _keep(self, parts: Iterable[Arranged]) -> None:
        for piece in training_arranging.pieces(parts):
            self._keep_met(self._insist(lambda piece=piece: self._add(piece)))  # type: ignore[misc]

    def _keep_met(self, met: Sequence[Met]) -> None:
        while met:
            again = self._merge(met)
            met = self._insist(lambda piece=again: self._add(piece)) if again else []  # type: ignore[misc]

    def _append(self, records: Sequence[Record], docs: Sequence[bytes | None]) -> list[Record]:
        new = self._records.append(records, docs)
        meters = self._meters
        meters.stored.add(len(new), "records")
        kinds = Counter(map(_KIND, new))
        for (source, event_type), count in kinds.items():
            meters.event_streams.add(count, source)
            if event_type in MARKERS:
                meters.workload_events.add(count)
        if any(event_type.startswith(CHECKPOINT) for _, event_type in kinds):
            told = (one for one in new if one.event_type.startswith(CHECKPOINT))
            for labels, count in Counter(map(_checkpoint, told)).items():
                meters.checkpoint_events.add(count, *labels)
        return new

    def _lost_record(self, record: Record, refused: Refused) -> None:
        self._lost("records", refused)
        self._meters.event_stream_errors.add(1, record.source_kind)
        if record.event_type.startswith(CHECKPOINT):
            self._meters.checkpoint_errors.add(1, *_checkpoint(record))
        elif record.event_type in MARKERS:
            self._meters.workload_event_errors.add(1)

    def _lost_row(self, row: TrainingRow, refused: Refused) -> None:
        self._lost("rows", refused)
        if row.marker is None:
            workload = self._workload_of(row.pod_uid) or ""
            self._meters.performance_errors.add(1, workload, row.source)

    def _lost(self, kind: str, refused: Refused) -> None:
        self._meters.dropped.add(1, kind, "cannot_be_stored")
        log.warning("dropped", extra={"kind": kind, "why": refused.detail})

    def _add(
        self, piece: Sequence[Arranged], then: Callable[[Connection], None] | None = None
    ) -> list[Met]:
        """Keep those of *piece* that meet nothing; what the others met. If none does, *then* is done in
        the same transaction."""

        def work(tx: Connection) -> tuple[list[Added], list[Met]]:
            added, met = training_adding.add(tx, piece)
            if then is not None and not met:
                then(tx)
            return added, met

        added, met = self._state.run(work, lane=Lane.APPLIER)
        self._saved(added)
        return met

    def _merge(self, met: Sequence[Met]) -> list[Arranged]:
        """Keep what came to chunks that it *met*; what is to be added again."""
        again: dict[Stream, Arranged] = {}
        for change in training_adding.changes(met):
            added, moved = self._insist(
                lambda change=change: self._state.run(  # type: ignore[misc]
                    lambda tx: training_adding.put(tx, change), lane=Lane.APPLIER
                )
            )
            self._saved(added)
            again |= {part.stream: part for part in moved}
        return list(again.values())

    def _saved(self, added: Iterable[Added]) -> None:
        rows = 0
        saved: Counter[tuple[str, str]] = Counter()
        for (pod_uid, source, _), new, values in added:
            rows += new
            saved[pod_uid, source] += values
        self._meters.stored.add(rows, "rows")
        for (pod_uid, source), values in saved.items():
            if values:
                workload = self._workload_of(pod_uid) or ""
                self._meters.performance_saved.add(values, workload, source)


def _checkpoint(record: Record) -> tuple[str, str]:
    """What a checkpoint's record counts under: its type, and the framework."""
    return record.event_type, str(record.attributes.get("framework", ""))
