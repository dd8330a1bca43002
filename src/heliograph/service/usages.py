"""Usage posts: counted in one transaction a post, and shown as series `usage_*` besides.

A post of several payloads is one transaction too: it counts as a whole, or not at all, so that
whoever sends it again after an error counts nothing twice. Beyond KEYS_MAX kept counts, new ones
are dropped and counted while known ones go on.
"""

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection

from heliograph.core import labels as label
from heliograph.core.clock import Clock
from heliograph.core.errors import Refused, Unavailable
from heliograph.core.labels import Labels
from heliograph.core.series import SeriesTable
from heliograph.service.ingest import Ingest
from heliograph.service.meters import Meters
from heliograph.service.series_batch import batch_of
from heliograph.store.log.log import Log
from heliograph.store.state import usage
from heliograph.store.state.lanes import Lane
from heliograph.store.state.state import State
from heliograph.store.state.usage import UsageCount
from heliograph.usage import counts as of_payload
from heliograph.usage.builders.base import join
from heliograph.usage.types import Count

log = logging.getLogger(__name__)

KEYS_MAX = 100_000
# Of a post that adds more counts than one transaction takes, nothing is taken.
POST_COUNTS_MAX = usage.COUNTS_MAX
PREFIX, TOOL = "usage_", "tao_"
LABELED = "labeled"


class Counted(NamedTuple):
    """What a post came to: ids that it changed; counts that found no room."""

    ids: tuple[str, ...]
    dropped: int


class Usages:
    """Takes posts and reads counts. Thread-safe."""

    def __init__(
        self,
        state: State,
        ingest: Ingest,
        durable: Log,
        table: SeriesTable,
        meters: Meters,
        clock: Clock,
    ) -> None:
        self._state = state
        self._ingest = ingest
        self._log = durable
        self._table = table
        self._meters = meters
        self._clock = clock
        self._lock = threading.Lock()
        self.kept = state.read(usage.count)

    def take(self, payloads: Sequence[Mapping[str, Any]]) -> Counted:
        """Count *payloads*, all or none; durable when this returns. Raises Refused for too many."""
        now_ns = self._clock.now_ns()
        found = _counts(payloads, now_ns)
        if len(found) > POST_COUNTS_MAX:
            raise Refused(
                f"{len(found)} counts in one post, limit {POST_COUNTS_MAX}",
                field="body",
                status=413,
            )
        with self._lock:
            dropped, added = 0, 0

            def counted(tx: Connection) -> dict[str, float]:
                nonlocal dropped, added
                known = usage.known(tx, list(found))
                new = [one for one in found if one not in known]
                if self.kept + len(new) > KEYS_MAX:
                    # What retention took makes room.
                    self.kept = usage.count(tx)
                beyond = frozenset(new[max(0, KEYS_MAX - self.kept) :])
                dropped, added = len(beyond), len(new) - len(beyond)
                kept = [one for one in found.values() if one.id not in beyond]
                return usage.join(tx, kept)

            values = self._state.run(counted, lane=Lane.CONTROL)
            self.kept += added
        self._meters.dropped.add(dropped, "usage_counts", "keys_max")
        self._meters.stored.add(len(payloads), "usage_payloads")
        self._show([found[one]._replace(value=value) for one, value in values.items()], now_ns)
        return Counted(tuple(values), dropped)

    def flat(self, ids: Sequence[str] | None = None) -> dict[str, Any]:
        """The flat document of spec 000: of all counts, or of *ids* alone."""

        def read(tx: Connection) -> tuple[list[UsageCount], int | None]:
            found = usage.of_ids(tx, ids) if ids is not None else _all(tx)
            return found, usage.updated_ns(tx)

        found, updated_ns = self._state.read(read)
        if updated_ns is None:
            return {}
        return of_payload.flat_of(map(_plain, found), last_updated=moment(updated_ns))

    def page(
        self, *, builder: str | None, name: str | None, offset: int, limit: int
    ) -> tuple[list[UsageCount], int]:
        """Counts in the structured form."""
        return self._state.read(
            lambda tx: usage.page(tx, builder=builder, name=name, offset=offset, limit=limit)
        )

    def _show(self, counted: Iterable[UsageCount], now_ns: int) -> None:
        """Values as samples. They are durable already as counts: a disk that refuses these, or a
        table of series that is full, costs no count, and the next post shows the sum again."""
        samples = [
            (label.pack(_labels(one)), now_ns, one.value)
            for one in counted
            if one.builder == LABELED
        ]
        if not samples:
            return

        def append() -> None:
            batch, refused = batch_of(samples, self._table, now_ns=now_ns)
            self._meters.dropped.add(refused, "samples", "series_limit")
            if batch.count:
                self._log.append_samples(batch)

        try:
            self._ingest.submit(append)
        except Unavailable as error:
            log.warning("usage is not shown as series", extra={"why": error.detail})


def moment(at_ns: int) -> datetime:
    """The instant as the document of spec 000 has it: a date and time without a zone, of UTC."""
    return datetime.fromtimestamp(at_ns / 1e9, UTC).replace(tzinfo=None)


def _labels(one: UsageCount) -> Labels:
    name = PREFIX + one.name.removeprefix(TOOL)
    return label.of({label.NAME: name, **dict(one.labels)})


def _counts(payloads: Sequence[Mapping[str, Any]], now_ns: int) -> dict[str, UsageCount]:
    """What *payloads* add together, by id."""
    now = moment(now_ns)
    found: dict[str, UsageCount] = {}
    for payload in payloads:
        for one in of_payload.counts_of(payload, now=now):
            name = of_payload.identity(one)
            there = found.get(name)
            value = one.value if there is None else join(one.strategy, there.value, one.value)
            found[name] = UsageCount(name, *one[:5], value, now_ns)
    return found


def _all(tx: Connection) -> list[UsageCount]:
    found, _ = usage.page(tx, offset=0, limit=KEYS_MAX)
    return found


def _plain(one: UsageCount) -> Count:
    value = int(one.value) if one.value.is_integer() and abs(one.value) < 2**53 else one.value
    return Count(one.builder, one.name, one.labels, one.key, one.strategy, value)
