"""What was sent of every alert, what failed, and what held it: table `alert_notifications`.

A line is one `alert.model.Entry`. Its key ends in a digest of the whole line, so that a line
written twice is one. Lines go with their episode, and by their own age.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Column, Connection, Index, Table, delete, func, select, tuple_

from heliograph.alert.model import Entry, Status
from heliograph.core.errors import Refused
from heliograph.store.state import alert_kinds, text
from heliograph.store.state.alert_values import digest
from heliograph.store.state.columns import AnyText, Bytes, Int64, KeyText, metadata
from heliograph.store.state.upsert import put_stored

# Lines that one transaction may add or delete.
BATCH_MAX = 300
LIMIT_MAX = 1000
TOTAL_MAX = 10_000
# Of a line's free text (an answer, a cause), what is kept.
TEXT_CHARS_MAX = 1000

NOTIFICATIONS = Table(
    "alert_notifications",
    metadata,
    Column("alert_id", KeyText, primary_key=True),
    Column("at_ns", Int64, primary_key=True, autoincrement=False),
    Column("id", Bytes, primary_key=True),
    *(Column(name, KeyText, nullable=False) for name in ("receiver", "integration", "channel")),
    *(Column(name, KeyText, nullable=False) for name in ("kind", "status", "stage")),
    Column("attempt", Int64, nullable=False),
    *(
        Column(name, AnyText, nullable=False)
        for name in ("group_key", "cause", "answer", "key")
    ),
    Index(None, "at_ns", "alert_id", "id"),
    # Read by alert: kept in the order of its key, without a second tree.
    sqlite_with_rowid=False,
)
_C = NOTIFICATIONS.c
_COLUMNS = tuple(c.name for c in NOTIFICATIONS.columns)


class Filters(NamedTuple):
    """What a line must equal; None: anything. At `[start_ns, end_ns)`."""

    alert_id: str | None = None
    receiver: str | None = None
    integration: str | None = None
    channel: str | None = None
    kind: str | None = None
    stage: str | None = None
    start_ns: int | None = None
    end_ns: int | None = None


def matches(filters: Filters, entry: Entry) -> bool:
    """Whether a line that no table has is one that `page` would find."""
    equal = all(
        getattr(entry, name) == value
        for name, value in filters._asdict().items()
        if value is not None and name in _C
    )
    started = filters.start_ns is None or filters.start_ns <= entry.at_ns
    return equal and started and (filters.end_ns is None or entry.at_ns < filters.end_ns)


def add(tx: Connection, entries: Sequence[Entry]) -> None:
    """Keep *entries* (at most `BATCH_MAX`); one that is there already changes nothing."""
    assert len(entries) <= BATCH_MAX
    rows = {(row[0], row[1], row[2]): row for row in map(_row, entries)}
    put_stored(tx, NOTIFICATIONS, _COLUMNS, [rows[key] for key in sorted(rows)], "DO NOTHING")


def page(
    tx: Connection, filters: Filters, *, offset: int = 0, limit: int = 50
) -> tuple[list[Entry], int]:
    """One page of the lines that match *filters*, newest first, and how many there are in all,
    counted up to `TOTAL_MAX`. Refused: an offset beyond that."""
    if not 0 <= offset <= TOTAL_MAX:
        raise Refused(f"{offset}, limit {TOTAL_MAX}: narrow the time", field="offset")
    where = [
        _C[name] == value
        for name, value in filters._asdict().items()
        if value is not None and name in _C
    ]
    if filters.start_ns is not None:
        where.append(_C.at_ns >= filters.start_ns)
    if filters.end_ns is not None:
        where.append(_C.at_ns < filters.end_ns)
    counted = select(_C.at_ns).where(*where).limit(TOTAL_MAX).subquery()
    total = tx.execute(select(func.count()).select_from(counted)).scalar_one()
    wanted = (
        select(*_C)
        .where(*where)
        .order_by(_C.at_ns.desc(), _C.alert_id.desc(), _C.id.desc())
        .offset(offset)
        .limit(max(0, min(limit, LIMIT_MAX)))
    )
    return [_entry(row) for row in tx.execute(wanted)], total


def forget(tx: Connection, alert_ids: Sequence[str]) -> int:
    """Delete at most `BATCH_MAX` lines of *alert_ids*; return how many."""
    some = select(_C.alert_id, _C.at_ns, _C.id).where(_C.alert_id.in_(alert_ids))
    return _delete(tx, some.limit(BATCH_MAX))


def prune(tx: Connection, before_ns: int) -> int:
    """Delete at most `BATCH_MAX` lines older than *before_ns*, oldest first; return how many."""
    old = select(_C.alert_id, _C.at_ns, _C.id).where(_C.at_ns < before_ns)
    return _delete(tx, old.order_by(_C.at_ns).limit(BATCH_MAX))


def _delete(tx: Connection, keys: Any) -> int:
    return tx.execute(
        delete(NOTIFICATIONS).where(tuple_(_C.alert_id, _C.at_ns, _C.id).in_(keys))
    ).rowcount


def _row(entry: Entry) -> tuple[Any, ...]:
    stored = alert_kinds.stored_text
    cause, answer = entry.cause[:TEXT_CHARS_MAX], entry.answer[:TEXT_CHARS_MAX]
    id_ = digest(
        *(entry.integration, entry.group_key, entry.kind, entry.status, entry.stage),
        *(str(entry.attempt), cause, answer, entry.key),
    )
    return (
        *(stored(entry.alert_id), entry.at_ns, id_, stored(entry.receiver)),
        *(stored(entry.integration), stored(entry.channel), stored(entry.kind)),
        *(
            entry.status.value,
            stored(entry.stage),
            entry.attempt,
            text.storable(entry.group_key),
        ),
        *(text.storable(cause), text.storable(answer), text.storable(entry.key)),
    )


def _entry(row: Any) -> Entry:
    return Entry(
        alert_id=row.alert_id,
        group_key=row.group_key,
        receiver=row.receiver,
        integration=row.integration,
        channel=row.channel,
        at_ns=row.at_ns,
        kind=row.kind,
        status=Status(row.status),
        attempt=row.attempt,
        stage=row.stage,
        cause=row.cause,
        answer=row.answer,
        key=row.key,
    )
