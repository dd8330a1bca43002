"""Rows and records into their stores, as many at a time as they take; what none can hold is dropped
alone."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from heliograph.core.errors import Refused
from heliograph.core.record import Record
from heliograph.core.training import TrainingRow
from heliograph.service.meters import Meters
from heliograph.service.storable import put_storable
from heliograph.store.records.protocol import RecordStore
from heliograph.store.state import batches, training_adding
from heliograph.store.state.lanes import Lane
from heliograph.store.state.state import State
from heliograph.training.rows import MARKERS

log = logging.getLogger(__name__)

T = TypeVar("T")

RECORDS_PER_APPEND = 5000
CHECKPOINT = "checkpoint_"


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

    def records(self, records: Sequence[Record]) -> list[Record]:
        """Keep *records*; those that were not there before."""
        new: list[Record] = []

        def keep(some: Sequence[Record]) -> None:
            new.extend(self._insist(lambda: self._append(some)))

        for some in batches.cut(records, RECORDS_PER_APPEND):
            put_storable(some, keep, self._lost_record)
        return new

    def rows(self, rows: Sequence[TrainingRow]) -> None:
        """Keep *rows*."""

        def keep(some: Sequence[TrainingRow]) -> None:
            rest: list[TrainingRow] = []
            for piece in training_adding.pieces(training_adding.arranged(some)):
                rest += self._insist(lambda piece=piece: self._add(piece))  # type: ignore[misc]
            if rest:
                keep(rest)

        put_storable(rows, keep, self._lost_row)

    def _append(self, records: Sequence[Record]) -> list[Record]:
        new = self._records.append(records)
        meters = self._meters
        meters.stored.add(len(new), "records")
        kinds = Counter([(one.source_kind, one.event_type) for one in new])
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

    def _add(self, piece: Sequence[training_adding.Arranged]) -> list[TrainingRow]:
        """Keep *piece*; the rows that are to be added again."""
        future = self._state.write(lambda tx: training_adding.add(tx, piece), lane=Lane.APPLIER)
        saved: Counter[tuple[str, str]] = Counter()
        added, rest = future.result()
        for (pod_uid, source, _), new, values in added:
            self._meters.stored.add(new, "rows")
            saved[pod_uid, source] += values
        for (pod_uid, source), values in saved.items():
            if values:
                workload = self._workload_of(pod_uid) or ""
                self._meters.performance_saved.add(values, workload, source)
        return rest


def _checkpoint(record: Record) -> tuple[str, str]:
    """What a checkpoint's record counts under: its type, and the framework."""
    return record.event_type, str(record.attributes.get("framework", ""))
