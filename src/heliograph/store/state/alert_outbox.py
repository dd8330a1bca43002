"""Messages that are still to be delivered: a document a row, one for each (group, integration).

A row is written in the transaction of the flush that made it and goes in the transaction that
knows what came of it; a process that dies between finds it again, with the same idempotency key.
"""

from collections.abc import Sequence

from sqlalchemy import Column, Connection, Table, select

from heliograph.alert.model import Outgoing
from heliograph.store.state.alert_groups import BATCH_MAX, COLUMNS, REPLACE, delete
from heliograph.store.state.alert_values import Codec, digest
from heliograph.store.state.columns import Bytes, metadata
from heliograph.store.state.upsert import put_stored

OUTBOX = Table(
    "alert_outbox",
    metadata,
    Column("id", Bytes, primary_key=True),
    Column("document", Bytes, nullable=False),
)
_codec = Codec(Outgoing)


def put(tx: Connection, outgoing: Sequence[Outgoing]) -> None:
    """Keep *outgoing* (at most `BATCH_MAX`), each in place of its (group, integration)'s."""
    assert len(outgoing) <= BATCH_MAX
    rows = {digest(each.group_key, each.integration): _codec.encode(each) for each in outgoing}
    put_stored(tx, OUTBOX, COLUMNS, list(rows.items()), REPLACE)


def remove(tx: Connection, keys: Sequence[tuple[str, str]]) -> None:
    """Forget the messages of these (group key, integration)."""
    delete(tx, OUTBOX, [digest(*key) for key in keys])


def load(tx: Connection) -> list[Outgoing]:
    """Every open message."""
    return [_codec.decode(each) for each in tx.execute(select(OUTBOX.c.document)).scalars()]
