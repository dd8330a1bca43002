"""Lines of the ledger that one transaction has no room for: a message may be about 100,000 alerts.

    rest = LedgerRest(state)
    some = rest.cut(entries)      the first go with the turn; once that is stored: rest.add(the others)
    rest.write()                  the others, in transactions of their own

They are written after the turn that they tell of, never before: a turn that fails is done again,
later, and its lines would be there twice. What cannot be written now waits for the next turn.
"""

import logging
from collections.abc import Sequence

from heliograph.alert.model import Entry
from heliograph.core.errors import Refused, Unavailable
from heliograph.store.state import alerts
from heliograph.store.state.lanes import Lane
from heliograph.store.state.state import State

log = logging.getLogger(__name__)

# Lines that one transaction writes.
ENTRIES_PER_TRANSACTION = 1000
# Lines that may wait for a store that cannot be written; further ones are left out, and counted.
WAITING_MAX = 200_000


class LedgerRest:
    """Lines that wait. Not thread-safe.

    lost   lines that were left out
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._waiting: list[Entry] = []
        self.lost = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, entries: Sequence[Entry]) -> None:
        """Have *entries* written by the next `write`."""
        room = max(0, WAITING_MAX - len(self._waiting))
        self._waiting += entries[:room]
        self.lost += len(entries[room:])

    def write(self) -> None:
        """Write what waits, as far as it can be written. What a bug ends is lost, not tried again."""
        while self._waiting:
            some = self._waiting[:ENTRIES_PER_TRANSACTION]
            kept = waits = False
            try:
                self._state.run(lambda tx, some=some: alerts.note(tx, some), lane=Lane.ALERTS)  # type: ignore[misc]
                kept = True
            except Unavailable:
                waits = True
                return
            except Refused as refused:
                # No store can hold it: it must not keep back the others.
                log.warning("lines of the ledger are lost", extra={"why": refused.detail})
            finally:
                if not waits:
                    del self._waiting[: len(some)]
                    self.lost += 0 if kept else len(some)
