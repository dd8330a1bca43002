"""Silences, a document a row; what is searched as columns."""

from collections.abc import Sequence

from sqlalchemy import Column, Connection, Index, Table, select

from heliograph.alert.model import Silence
from heliograph.store.state import alert_kinds
from heliograph.store.state.alert_values import Codec
from heliograph.store.state.columns import Bytes, Int64, KeyText, metadata
from heliograph.store.state.upsert import put_stored

# Silences that one transaction may write or delete.
BATCH_MAX = 300

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
