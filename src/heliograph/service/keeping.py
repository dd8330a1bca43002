"""Rows and records into their stores, some at a time; what no store can hold is dropped alone."""

import logging
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
        self._all(
            records, RECORDS_PER_APPEND, lambda some: new.extend(self._append(some)), "records"
        )
        return new

    def rows(self, rows: Sequence[TrainingRow]) -> None:
        """Keep *rows*."""
        self._all(rows, training.ROWS_MAX, self._add, "rows")

    def _all(
        self, items: Sequence[T], size: int, keep: Callable[[Sequence[T]], None], kind: str
    ) -> None:
        """*keep* all of *items*, some at a time; one that no store can hold is dropped alone."""

        def put(some: Sequence[T]) -> None:
            self._insist(lambda: keep(some))

        def dropped(_: T, refused: Refused) -> None:
            self._meters.dropped.add(1, kind, "cannot_be_stored")
            log.warning("dropped", extra={"kind": kind, "why": refused.detail})

        for some in batches.cut(items, size):
            put_storable(some, put, dropped)

    def _append(self, records: Sequence[Record]) -> list[Record]:
        new = self._records.append(records)
        self._meters.stored.add(len(new), "records")
        for record in new:
            if record.event_type.startswith("checkpoint_"):
                framework = str(record.attributes.get("framework", ""))
                self._meters.checkpoint_events.add(1, record.event_type, framework)
            elif record.event_type in MARKERS:
                self._meters.workload_events.add(1)
        return new

    def _add(self, rows: Sequence[TrainingRow]) -> None:
        groups: dict[tuple[str, str, bool], list[TrainingRow]] = {}
        for row in rows:
            workload = self._workload_of(row.pod_uid) or ""
            groups.setdefault((workload, row.source, row.marker is None), []).append(row)
        future = self._state.write(
            lambda tx: [training.add_rows(tx, group) for group in groups.values()],
            lane=Lane.APPLIER,
        )
        for (workload, source, values), new in zip(groups, future.result(), strict=True):
            self._meters.stored.add(new, "rows")
            if values and new:
                self._meters.performance_saved.add(new, workload, source)
