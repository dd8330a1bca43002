"""Facts about this installation, a word to a fact: `instance_id`, `created_ns`."""

from sqlalchemy import Column, Connection, Table, select

from heliograph.store.state.columns import AnyText, KeyText, metadata
from heliograph.store.state.upsert import insert

INSTANCE_ID = "instance_id"
CREATED_NS = "created_ns"

META = Table(
    "meta",
    metadata,
    Column("key", KeyText, primary_key=True),
    Column("value", AnyText, nullable=False),
)


def get(tx: Connection, key: str) -> str | None:
    """The fact named *key*, or None."""
    return tx.execute(select(META.c.value).where(META.c.key == key)).scalar()


def put(tx: Connection, key: str, value: str) -> None:
    """State the fact *key*, anew or again."""
    row = insert(tx, META).values(key=key, value=value)
    tx.execute(
        row.on_conflict_do_update(index_elements=["key"], set_={"value": row.excluded.value})
    )
