"""What may leave the log and the series table: only what every consumer has had."""

import logging
from collections.abc import Sequence

from heliograph.core.series import SeriesTable
from heliograph.service.applier import EFFECTS, Applier
from heliograph.service.forward import Forward
from heliograph.service.ingest import Ingest
from heliograph.store.log.log import Log
from heliograph.store.protocol import SampleStore
from heliograph.store.state import cursors
from heliograph.store.state.state import State

_logger = logging.getLogger(__name__)


class LogUpkeep:
    """Trims *log* behind the slowest cursor, and forgets idle series of *table*."""

    def __init__(
        self,
        log: Log,
        state: State,
        table: SeriesTable,
        applier: Applier,
        forwards: Sequence[Forward],
        segments: SampleStore | None,
        ingest: Ingest,
    ) -> None:
        self._log = log
        self._state = state
        self._table = table
        self._applier = applier
        self._forwards = forwards
        self._segments = segments
        self._ingest = ingest
        self._end_at_start = log.end
        if frames := log.end - applier.position:
            said = {"from_seq": applier.position + 1, "frames": frames}
            _logger.info("the end of the log is read again", extra=said)

    def replayed(self) -> bool:
        """Whether the applier has passed what was in the log when this was made."""
        return self._applier.position >= self._end_at_start

    def trim(self) -> None:
        """Delete the files of the log that hold nothing for anybody."""
        held = self._state.read(cursors.get_all)
        passed = [held.get(EFFECTS, 0), *(held.get(one.cursor, 0) for one in self._forwards)]
        if self._segments is not None:
            passed.append(self._segments.sealed_seq)
        self._log.trim(min(passed))

    def forget(self, idle_since_ns: int) -> None:
        """Forget series that had no sample since *idle_since_ns*.

        On the ingest thread, between two requests, and only when every consumer has caught up:
        then no id is on its way anywhere but in the head.
        """
        self._ingest.submit(lambda: self._forget(idle_since_ns)).result()

    def _forget(self, idle_since_ns: int) -> int:
        end = self._log.end
        caught_up = self._applier.position >= end and all(
            forward.position >= end for forward in self._forwards
        )
        if self._log.uncommitted or not caught_up:
            return 0
        in_use = self._segments.series_in_use() if self._segments is not None else frozenset()
        return self._table.forget(idle_since_ns=idle_since_ns, in_use=in_use)
