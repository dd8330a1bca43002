"""Groups of the route tree, and what each integration was last told of them: a document a row.

The engine holds them all in memory; here they are replaced one by one and read whole at a start.
Group keys may be longer than an index takes, so a row's id is the digest of its key.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, Connection, Table, select

from heliograph.alert.model import Group, Told
from heliograph.store.state import batches
from heliograph.store.state.alert_values import Codec, digest
from heliograph.store.state.columns import Bytes, metadata
from heliograph.store.state.upsert import put_stored

# Groups, or notices told, that one transaction may write or delete.
BATCH_MAX = 300

GROUPS = Table(
    "alert_groups",
    metadata,
    Column("id", Bytes, primary_key=True),
    Column("document", Bytes, nullable=False),
)
TOLD = Table(
    "alert_told",
    metadata,
    Column("id", Bytes, primary_key=True),
    Column("document", Bytes, nullable=False),
)
_group = Codec(Group)
_told = Codec(Told)
# Of a row (id, document).
COLUMNS = ("id", "document")
REPLACE = "(id) DO UPDATE SET document = excluded.document"


def put_groups(tx: Connection, groups: Sequence[Group]) -> None:
    """Keep *groups* (at most `BATCH_MAX`), each in place of what has its key."""
    assert len(groups) <= BATCH_MAX
    rows = {digest(each.key): _group.encode(each) for each in groups}
    put_stored(tx, GROUPS, COLUMNS, list(rows.items()), REPLACE)


def delete_groups(tx: Connection, keys: Sequence[str]) -> None:
    """Forget the groups with these *keys*; unknown ones are none."""
    delete(tx, GROUPS, [digest(key) for key in keys])


def put_told(tx: Connection, told: Sequence[Told]) -> None:
    """Keep *told* (at most `BATCH_MAX`), each in place of its (group, integration)'s."""
    assert len(told) <= BATCH_MAX
    rows = {digest(each.group_key, each.integration): _told.encode(each) for each in told}
    put_stored(tx, TOLD, COLUMNS, list(rows.items()), REPLACE)


def delete_told(tx: Connection, keys: Sequence[tuple[str, str]]) -> None:
    """Forget what these (group key, integration) were told."""
    delete(tx, TOLD, [digest(*key) for key in keys])


def load(tx: Connection) -> tuple[list[Group], list[Told]]:
    """All that is kept: as much as the engine's own bounds let in."""
    groups = [_group.decode(each) for each in tx.execute(select(GROUPS.c.document)).scalars()]
    told = [_told.decode(each) for each in tx.execute(select(TOLD.c.document)).scalars()]
    return groups, told


def delete(tx: Connection, table: Table, ids: Sequence[Any]) -> None:
    """Delete the rows of *table* with these *ids*."""
    for some in batches.cut(ids, BATCH_MAX):
        tx.execute(table.delete().where(table.c.id.in_(some)))
