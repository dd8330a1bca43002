"""Rows and records into their stores, some at a time; what no store can hold is dropped alone."""

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
from heliograph.store.state import batches, training
from heliograph.store.state.lanes import Lane
from heliograph.store.state.state import State
from heliograph.training.rows import MARKERS

log = logging.getLogger(__name__)

T = TypeVar("T")

RECORDS_PER_APPEND = 1000
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
            new.extend(self._append(some))

        self._all(records, RECORDS_PER_APPEND, keep, "records", self._lost_record)
        return new

    def rows(self, rows: Sequence[TrainingRow]) -> None:
        """Keep *rows*."""
        # Those of one stream together: they are kept in one piece.
        ordered = sorted(rows, key=training.stream_of)
        self._all(ordered, training.ROWS_MAX, self._add, "rows", self._lost_row)

    def _all(
        self,
        items: Sequence[T],
        size: int,
        keep: Callable[[Sequence[T]], None],
        kind: str,
        lost: Callable[[T], None],
    ) -> None:
        """*keep* all of *items*, some at a time; one that no store can hold is dropped alone, and
        *lost* is told it."""

        def put(some: Sequence[T]) -> None:
            self._insist(lambda: keep(some))

        def dropped(one: T, refused: Refused) -> None:
            lost(one)
            self._meters.dropped.add(1, kind, "cannot_be_stored")
            log.warning("dropped", extra={"kind": kind, "why": refused.detail})

        for some in batches.cut(items, size):
            put_storable(some, put, dropped)

    def _append(self, records: Sequence[Record]) -> list[Record]:
        new = self._records.append(records)
        self._meters.stored.add(len(new), "records")
        for source, count in Counter(record.source_kind for record in new).items():
            self._meters.event_streams.add(count, source)
        for record in new:
            if record.event_type.startswith(CHECKPOINT):
                self._meters.checkpoint_events.add(1, *_checkpoint(record))
            elif record.event_type in MARKERS:
                self._meters.workload_events.add(1)
        return new

    def _lost_record(self, record: Record) -> None:
        self._meters.event_stream_errors.add(1, record.source_kind)
        if record.event_type.startswith(CHECKPOINT):
            self._meters.checkpoint_errors.add(1, *_checkpoint(record))
        elif record.event_type in MARKERS:
            self._meters.workload_event_errors.add(1)

    def _lost_row(self, row: TrainingRow) -> None:
        if row.marker is None:
            workload = self._workload_of(row.pod_uid) or ""
            self._meters.performance_errors.add(1, workload, row.source)

    def _add(self, rows: Sequence[TrainingRow]) -> None:
        groups: dict[tuple[str, str, bool], list[TrainingRow]] = {}
        workloads = {uid: self._workload_of(uid) or "" for uid in {row.pod_uid for row in rows}}
        for row in rows:
            workload = workloads[row.pod_uid]
            groups.setdefault((workload, row.source, row.marker is None), []).append(row)
        future = self._state.write(
            lambda tx: [training.add_rows(tx, group) for group in groups.values()],
            lane=Lane.APPLIER,
        )
        for (workload, source, values), new in zip(groups, future.result(), strict=True):
            self._meters.stored.add(new, "rows")
            if values and new:
                self._meters.performance_saved.add(new, workload, source)


def _checkpoint(record: Record) -> tuple[str, str]:
    """What a checkpoint's record counts under: its type, and the framework."""
    return record.event_type, str(record.attributes.get("framework", ""))
