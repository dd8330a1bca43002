"""How far each consumer of the log has come.

Names: `effects` (state writes), `samples` (sealed into segments), `forward:<n>`. A cursor is the
sequence number of the last frame that its consumer will never need again.
"""

from sqlalchemy import Column, Connection, Table, select

from heliograph.store.state import text
from heliograph.store.state.columns import Int64, KeyText, metadata
from heliograph.store.state.upsert import put_stored

CURSORS = Table(
    "cursors",
    metadata,
    Column("name", KeyText, primary_key=True),
    Column("seq", Int64, nullable=False),
)

_ADVANCE = "(name) DO UPDATE SET seq = excluded.seq WHERE excluded.seq > cursors.seq"


def get_all(tx: Connection) -> dict[str, int]:
    """Every cursor by name."""
    rows = tx.execute(select(CURSORS.c.name, CURSORS.c.seq))
    return {row.name: row.seq for row in rows}


def advance(tx: Connection, name: str, seq: int) -> None:
    """Move cursor *name* to *seq*; never backwards: a smaller *seq* changes nothing."""
    put_stored(tx, CURSORS, ("name", "seq"), [(text.key(name), seq)], _ADVANCE)


def forget(tx: Connection, name: str) -> None:
    """Remove cursor *name*: its consumer is no longer configured."""
    tx.execute(CURSORS.delete().where(CURSORS.c.name == name))
