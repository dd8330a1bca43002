"""The outbox: at most one message that is not delivered yet for each group and integration.

    row ──begin──► in flight ──settle──► sent: `Told` is what it said
                       │                 later: due again after a backoff
                       └─ crash ─►       dead: given up, the ledger says why

A row's key is equal for every attempt of the same message, so that a receiver can tell the second
copy that a crash or a time-out may cause.
"""

import hashlib
import heapq
from collections.abc import Collection
from typing import TypeAlias

from heliograph.alert.engine.rows import Rows
from heliograph.alert.model import Outgoing, Reason, Told

Line: TypeAlias = tuple[str, str]  # group key, integration id


class Outbox:
    """Open rows, and what every integration was last told of every group."""

    def __init__(self) -> None:
        self.rows: Rows[Line, Outgoing] = Rows()
        self.told: Rows[Line, Told] = Rows()
        # Memory alone: a restart tries at once.
        self.not_before: Rows[Line, int] = Rows()
        # Whose last message was given up, and when.
        self.refusals: Rows[Line, int] = Rows()
        # By integration, so that many that wait for one are not in the way of the others.
        self._heaps: dict[str, list[tuple[int, Line]]] = {}

    def put(self, row: Outgoing) -> None:
        """Make *row* the open one of its group and integration."""
        line = (row.group_key, row.integration)
        self.rows.put(line, row)
        self._wait(line, row)

    def drop(self, line: Line) -> None:
        """Have no open row of *line*."""
        self.rows.drop(line)
        self.not_before.drop(line)

    def forget(self, line: Line) -> None:
        """Have nothing of *line*: its group is no more."""
        self.drop(line)
        self.told.drop(line)
        self.refusals.drop(line)

    def due_ns(self, but: Collection[str] = ()) -> int | None:
        """When the next attempt is due, *but* of these integrations; None: nothing waits."""
        found: list[int] = []
        for integration, heap in list(self._heaps.items()):
            while heap and not self._waits(*heap[0]):
                heapq.heappop(heap)
            if not heap:
                del self._heaps[integration]
            elif integration not in but:
                found.append(heap[0][0])
        return min(found, default=None)

    def ready(self, now_ns: int, rows_max: int, but: Collection[str] = ()) -> list[Outgoing]:
        """Rows due by *now_ns*, *but* of these integrations: of each at most *rows_max*, that waited
        longest first."""
        found: list[tuple[int, Line]] = []
        for integration, heap in self._heaps.items():
            if integration not in but:
                found += self._ready(heap, now_ns, rows_max)
        found.sort()
        return [row for _, line in found if (row := self.rows.get(line)) is not None]

    def commit(self) -> None:
        """What there is, is stored."""
        for rows in (self.rows, self.told, self.not_before, self.refusals):
            rows.commit()

    def abort(self) -> None:
        """Put back what there was at the last commit."""
        touched = self.rows.touched()
        for rows in (self.rows, self.told, self.not_before, self.refusals):
            rows.abort()
        for line in touched:
            row = self.rows.get(line)
            if row is not None:
                self._wait(line, row)

    def _wait(self, line: Line, row: Outgoing) -> None:
        if not row.in_flight:
            heapq.heappush(self._heaps.setdefault(line[1], []), (row.due_ns, line))

    def _ready(
        self, heap: list[tuple[int, Line]], now_ns: int, rows_max: int
    ) -> list[tuple[int, Line]]:
        due: dict[Line, int] = {}
        while heap and heap[0][0] <= now_ns and len(due) < rows_max:
            at_ns, line = heapq.heappop(heap)
            if self._waits(at_ns, line):
                due[line] = at_ns
        found = [(at_ns, line) for line, at_ns in due.items()]
        for one in found:
            heapq.heappush(heap, one)
        return found

    def _waits(self, at_ns: int, line: Line) -> bool:
        row = self.rows.get(line)
        return row is not None and not row.in_flight and row.due_ns == at_ns


def message(
    line: Line,
    reason: Reason,
    firing: frozenset[str],
    resolved: frozenset[str],
    *,
    now_ns: int,
    due_ns: int,
    before: Outgoing | None,
    told: Told | None,
) -> Outgoing:
    """A new row, in place of *before* where there was one."""
    generation = 0 if before is None else before.generation + 1
    told_ns = 0 if told is None else told.at_ns
    identity = f"{line[0]}\0{line[1]}\0{now_ns}\0{told_ns}\0{generation}\0{reason}"
    return Outgoing(
        group_key=line[0],
        integration=line[1],
        key=hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:32],
        reason=reason,
        firing=firing,
        resolved=resolved,
        created_ns=now_ns if before is None else before.created_ns,
        due_ns=due_ns,
        generation=generation,
        attempts=0 if before is None else before.attempts,
    )


def backoff_ns(key: str, attempts: int, *, first_ns: int, most_ns: int) -> int:
    """How long to wait after *attempts*: doubling, times 0.5 to 1.5 by a hash of key and attempt,
    so that many messages do not come back at once and a replay waits as long."""
    digest = hashlib.sha256(f"{key}\0{attempts}".encode()).digest()
    jitter = 0.5 + int.from_bytes(digest[:4], "big") / 2**32
    return int(min(most_ns, first_ns * 2 ** min(attempts - 1, 40)) * jitter)
