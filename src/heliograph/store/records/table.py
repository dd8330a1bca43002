"""`RecordTable`: a PostgreSQL table with a partition a day. The same store as `folder`.

    records (n, day, id, stream, session, type, severity, source, at_ns, doc)
    records_d20778      partition of day 20778 (2026-11-22); records_other: of `day.OTHER`

Why partitions: forgetting a day is DROP TABLE, whatever it holds. They are made when a day's first
record comes, under an advisory lock, so that two replicas may write.
"""

import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from sqlalchemy import Connection, Engine, text

from heliograph.core.clock import Clock
from heliograph.core.record import Record
from heliograph.store.records import day as days
from heliograph.store.records import row, search
from heliograph.store.records.folder import APPEND_MAX, RETAIN_ROWS_MAX
from heliograph.store.state import batches, engines, seam

_LOCK = text("SELECT pg_advisory_xact_lock(81650342)")
_SCHEMA = (
    "CREATE SEQUENCE IF NOT EXISTS records_n",
    """CREATE TABLE IF NOT EXISTS records (
        n BIGINT NOT NULL DEFAULT nextval('records_n'), day INTEGER NOT NULL, id BYTEA NOT NULL,
        stream TEXT COLLATE "C" NOT NULL, session TEXT COLLATE "C" NOT NULL,
        type TEXT COLLATE "C" NOT NULL, severity TEXT NOT NULL, source TEXT NOT NULL,
        at_ns BIGINT NOT NULL, doc BYTEA NOT NULL, PRIMARY KEY (id, day)) PARTITION BY LIST (day)""",
    "CREATE INDEX IF NOT EXISTS records_stream ON records (stream, at_ns, n)",
    "CREATE INDEX IF NOT EXISTS records_session ON records (session, at_ns, n)",
    "CREATE INDEX IF NOT EXISTS records_type ON records (type, at_ns, n)",
    "CREATE INDEX IF NOT EXISTS records_at ON records (at_ns, n)",
)
_PARTITIONS = text(
    "SELECT c.relname, (SELECT sum(pg_total_relation_size(c.oid))::bigint) FROM pg_inherits i "
    "JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'records'::regclass GROUP BY c.oid"
)
# Rows that lie in `other` since their day was too far ahead are not stored again in their day.
_INSERT = text(
    "INSERT INTO records (day, id, stream, session, type, severity, source, at_ns, doc) "
    "SELECT :day, u.* FROM unnest(CAST(:id AS bytea[]), CAST(:stream AS text[]), "
    "CAST(:session AS text[]), CAST(:type AS text[]), CAST(:severity AS text[]), "
    "CAST(:source AS text[]), CAST(:at_ns AS bigint[]), CAST(:doc AS bytea[])) "
    "AS u (id, stream, session, type, severity, source, at_ns, doc) "
    "WHERE NOT EXISTS (SELECT 1 FROM records o WHERE o.day = :other AND o.id = u.id) "
    "ON CONFLICT DO NOTHING RETURNING id"
)
_TRIM = text(
    "DELETE FROM records WHERE day = :other AND id IN (SELECT id FROM records "
    "WHERE day = :other ORDER BY n LIMIT :excess)"
)
_EXPIRE = text(
    "DELETE FROM records WHERE day = :other AND id IN (SELECT id FROM records "
    "WHERE day = :other AND at_ns < :floor ORDER BY at_ns LIMIT :most)"
)


class RecordTable:
    """The records of one PostgreSQL schema. Any thread may call anything. `counts` as the folder's."""

    def __init__(self, writer: Engine, readers: Engine, clock: Clock) -> None:
        self._writer, self._readers = writer, readers
        self._clock = clock
        self._days: frozenset[int] = frozenset()
        # Of `_days`, which several threads change.
        self._changing = threading.Lock()
        self.counts: Counter[str] = Counter()

    @classmethod
    def open(cls, url: str, clock: Clock) -> "RecordTable":
        """Open the table at *url*, made if absent. ConfigError as `State.open`; Unavailable."""
        parsed = engines.parse_url(url)
        writer = engines.postgresql(parsed, size=2, more=0, options={})
        opened = cls(writer, engines.postgresql_readers(parsed), clock)
        with ExitStack() as unless_open:
            unless_open.callback(opened.close)
            with seam.translated("records"), writer.begin() as tx:
                tx.execute(_LOCK)
                for statement in _SCHEMA:
                    tx.execute(text(statement))
                opened._days = frozenset(_partitions(tx))
            unless_open.pop_all()
        return opened

    def append(
        self, records: Sequence[Record], docs: Sequence[bytes | None] = ()
    ) -> list[Record]:
        """As `RecordFolder.append`."""
        del docs
        by_id = row.by_id(records)
        now_ns = self._clock.now_ns()
        by_day: dict[int, list[row.Row]] = {}
        for id_, record in by_id.items():
            place = days.place(record.timestamp_ns, now_ns=now_ns, existing=self._days)
            by_day.setdefault(place, []).append(row.of(id_, record))
        fresh: set[bytes] = set()
        for day, of_day in sorted(by_day.items()):
            for piece in batches.cut(of_day, APPEND_MAX):
                with seam.translated("records"), self._writer.begin() as tx:
                    self._ensure(tx, day)
                    new = _insert(tx, day, piece)
                fresh |= new
                if day == days.OTHER:
                    self.counts["other"] += len(new)
                with self._changing:
                    self._days |= {day}
        return [record for id_, record in by_id.items() if id_ in fresh]

    def query(self, **filters: Any) -> search.Page:
        """As `RecordFolder.query`."""
        asked = search.search(**filters)
        where = (
            "(day = :other OR day BETWEEN :first_day AND :last_day) "
            f"AND at_ns >= :first AND at_ns <= :last AND {asked.where}"
        )
        way = "DESC" if asked.newest_first else "ASC"
        values = {
            **asked.values,
            "other": days.OTHER,
            "first_day": days.of(asked.values["first"]),
            "last_day": days.of(asked.values["last"]),
            "limit": asked.limit,
            "offset": asked.offset,
            "most": search.TOTAL_MAX,
        }
        page = text(
            f"SELECT doc FROM records WHERE {where} "  # noqa: S608
            f"ORDER BY at_ns {way}, n {way} LIMIT :limit OFFSET :offset"
        )
        total = text(
            f"SELECT count(*) FROM (SELECT 1 FROM records WHERE {where} LIMIT :most) AS m"  # noqa: S608
        )
        with seam.translated("records"), self._readers.connect() as tx:
            docs = tx.execute(page, values).scalars().all()
            return search.Page(
                [row.record(doc) for doc in docs], tx.execute(total, values).scalar_one()
            )

    def retain(self, *, floor_ns: int, bytes_max: int) -> None:
        """As `RecordFolder.retain`."""
        floor_day, before = days.of(floor_ns), self._days
        with seam.translated("records"), self._writer.begin() as tx:
            held = _partitions(tx)
            left = sum(held.values())
            by_age = sorted(set(held) - {days.OTHER})
            for day in by_age:
                why = "days_expired" if day < floor_day else "days_over_size"
                if day >= floor_day and (left <= bytes_max or day == by_age[-1]):
                    break
                tx.execute(text(f"DROP TABLE {_partition(day)}"))
                left -= held.pop(day)
                self.counts[why] += 1
            if days.OTHER in held:
                expired, dropped = _retain_other(tx, floor_ns)
                self.counts["other_expired"] += expired
                self.counts["other_dropped"] += dropped
        with self._changing:
            # What was appended meanwhile need not be among what we saw.
            self._days = frozenset(held) | (self._days - before)

    def size_bytes(self) -> int:
        """Bytes of all partitions with their indexes."""
        with seam.translated("records"), self._readers.connect() as tx:
            return sum(_partitions(tx).values())

    def close(self) -> None:
        """Close every connection."""
        self._readers.dispose()
        self._writer.dispose()

    def _ensure(self, tx: Connection, day: int) -> None:
        # Not from memory: another replica may have dropped it.
        there = text("SELECT to_regclass(:name)")
        if tx.execute(there, {"name": _partition(day)}).scalar() is not None:
            return
        tx.execute(_LOCK)
        tx.execute(
            text(
                f"CREATE TABLE IF NOT EXISTS {_partition(day)} "
                f"PARTITION OF records FOR VALUES IN ({day})"
            )
        )


def _insert(tx: Connection, day: int, rows: Sequence[row.Row]) -> set[bytes]:
    columns = {name: [getattr(r, name) for r in rows] for name in row.COLUMNS}
    # A row of `other` is told from one already there by the key; of a day, by `other` too.
    elsewhere = days.OTHER if day != days.OTHER else None
    values = {**columns, "day": day, "other": elsewhere}
    return {bytes(id_) for id_ in tx.execute(_INSERT, values).scalars()}


def _retain_other(tx: Connection, floor_ns: int) -> tuple[int, int]:
    """Delete of `other` what is before the floor, then what is too much; how many of each."""
    other = {"other": days.OTHER}
    expired = tx.execute(
        _EXPIRE, {**other, "floor": max(floor_ns, row.INT64_MIN), "most": RETAIN_ROWS_MAX}
    ).rowcount
    count = text("SELECT count(*) FROM records WHERE day = :other")
    excess = tx.execute(count, other).scalar_one() - days.OTHER_RECORDS_MAX
    if excess <= 0:
        return expired, 0
    excess = min(excess, RETAIN_ROWS_MAX)
    return expired, tx.execute(_TRIM, {**other, "excess": excess}).rowcount


def _partitions(tx: Connection) -> dict[int, int]:
    """Bytes of each partition, by day."""
    found = {}
    for name, size in tx.execute(_PARTITIONS):
        tail = name.removeprefix("records_")
        found[days.OTHER if tail == days.OTHER_NAME else int(tail[1:].replace("m", "-"))] = size
    return found


def _partition(day: int) -> str:
    tail = days.OTHER_NAME if day == days.OTHER else f"d{day}".replace("-", "m")
    return f"records_{tail}"
