"""Silences, a document a row; what is searched as columns."""

from collections.abc import Sequence

from sqlalchemy import Column, Connection, Index, Table, case, func, select, true

from heliograph.alert.model import Silence
from heliograph.store.state import alert_kinds
from heliograph.store.state.alert_values import Codec
from heliograph.store.state.columns import Bytes, Int64, KeyText, metadata
from heliograph.store.state.upsert import put_stored

# Silences that one transaction may write or delete.
BATCH_MAX = 300
LIMIT_MAX = 1000
STATES = ("pending", "active", "expired", "all")

SILENCES = Table(
    "alert_silences",
    metadata,
    Column("id", KeyText, primary_key=True),
    Column("starts_ns", Int64, nullable=False),
    Column("ends_ns", Int64, nullable=False),
    Column("updated_ns", Int64, nullable=False),
    Column("created_by", KeyText, nullable=False),
    Column("document", Bytes, nullable=False),
    Index(None, "ends_ns", "id"),
)
_C = SILENCES.c
_COLUMNS = tuple(c.name for c in SILENCES.columns)
_THEN = "(id) DO UPDATE SET " + ", ".join(f"{n} = excluded.{n}" for n in _COLUMNS[1:])
_codec = Codec(Silence)


def put(tx: Connection, silences: Sequence[Silence]) -> None:
    """Keep *silences* (at most `BATCH_MAX`), each in place of what has its id."""
    assert len(silences) <= BATCH_MAX
    stored = alert_kinds.stored_text
    rows = {
        each.id: (
            *(stored(each.id), each.starts_ns, each.ends_ns, each.updated_ns),
            *(stored(each.created_by), _codec.encode(each)),
        )
        for each in silences
    }
    put_stored(tx, SILENCES, _COLUMNS, list(rows.values()), _THEN)


def one(tx: Connection, silence_id: str) -> Silence | None:
    """The silence *silence_id*, or None."""
    stored = tx.execute(select(_C.document).where(_C.id == silence_id)).scalar()
    return None if stored is None else _codec.decode(stored)


def page(
    tx: Connection, *, now_ns: int, state: str = "active", offset: int = 0, limit: int = 50
) -> tuple[list[Silence], int]:
    """One page of the silences in *state* (one of `STATES`) at *now_ns*, and how many there are.

    Active ones first, soonest to end first; then pending, soonest to start first; then expired,
    latest first. A schedule is not looked at: its silence is active all its span.
    """
    assert state in STATES
    active = (_C.starts_ns <= now_ns) & (_C.ends_ns > now_ns)
    pending = (_C.starts_ns > now_ns) & (_C.ends_ns > now_ns)
    expired = _C.ends_ns <= now_ns
    where = {"active": active, "pending": pending, "expired": expired, "all": true()}[state]
    total = tx.execute(select(func.count()).select_from(SILENCES).where(where)).scalar_one()
    rank = case((active, 0), (pending, 1), else_=2)
    within = case((active, _C.ends_ns), (pending, _C.starts_ns), else_=-_C.ends_ns)
    wanted = (
        select(_C.document)
        .where(where)
        .order_by(rank, within, _C.id)
        .offset(offset)
        .limit(max(0, min(limit, LIMIT_MAX)))
    )
    return [_codec.decode(each) for each in tx.execute(wanted).scalars()], total


def load(tx: Connection) -> list[Silence]:
    """Every silence that is kept, expired ones included."""
    return [_codec.decode(each) for each in tx.execute(select(_C.document)).scalars()]


def prune(tx: Connection, before_ns: int, limit: int = BATCH_MAX) -> list[str]:
    """Delete at most *limit* silences that ended before *before_ns*; return their ids."""
    assert limit <= BATCH_MAX
    old = select(_C.id).where(_C.ends_ns < before_ns).order_by(_C.ends_ns).limit(limit)
    ids = list(tx.execute(old).scalars())
    if ids:
        tx.execute(SILENCES.delete().where(_C.id.in_(ids)))
    return ids
