"""What each source said of the framework of a workload: one word a source, the newest it said.

The words are kept, not what they come to: merged anew whenever it is asked for, they give the same
before and after a restart. *said* is a mapping that the caller makes and reads.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import Column, Connection, Index, Table, delete, select

from heliograph.core.errors import Refused
from heliograph.store.state import document
from heliograph.store.state.columns import Bytes, Int64, KeyText, metadata
from heliograph.store.state.upsert import insert

# Bytes of one word, evidence and all.
SAID_BYTES_MAX = 64 * 1024
# Rows that one transaction deletes.
PRUNE_ROWS_MAX = 500

SOURCES = Table(
    "framework_sources",
    metadata,
    Column("workload_uid", KeyText, primary_key=True),
    Column("source", KeyText, primary_key=True),
    Column("at_ns", Int64, nullable=False),
    Column("document", Bytes, nullable=False),
    Index(None, "at_ns"),
)
_C = SOURCES.c


class Said(NamedTuple):
    """The newest word of *source*, of the instant *at_ns*."""

    source: str
    at_ns: int
    said: Mapping[str, Any]


def put(tx: Connection, workload_uid: str, word: Said) -> None:
    """Keep *word*, unless a newer one of its source is there. Refused: over SAID_BYTES_MAX."""
    encoded = document.encode(word.said)
    if len(encoded) > SAID_BYTES_MAX:
        raise Refused(f"{len(encoded)} bytes, limit {SAID_BYTES_MAX}", field="evidence")
    statement = insert(tx, SOURCES).values(
        workload_uid=workload_uid,
        source=word.source,
        at_ns=word.at_ns,
        document=encoded,
    )
    tx.execute(
        statement.on_conflict_do_update(
            index_elements=["workload_uid", "source"],
            set_={"at_ns": word.at_ns, "document": encoded},
            where=_C.at_ns <= word.at_ns,
        )
    )


def of(tx: Connection, workload_uid: str) -> list[Said]:
    """The words on *workload_uid*, by source."""
    rows = tx.execute(
        select(_C.source, _C.at_ns, _C.document)
        .where(_C.workload_uid == workload_uid)
        .order_by(_C.source)
    )
    return [Said(row.source, row.at_ns, document.decode(bytes(row.document))) for row in rows]


def prune(tx: Connection, floor_ns: int) -> int:
    """Delete the oldest words of before *floor_ns*, at most PRUNE_ROWS_MAX; how many."""
    old = tx.execute(
        select(_C.workload_uid, _C.source).where(_C.at_ns < floor_ns).limit(PRUNE_ROWS_MAX)
    ).all()
    for row in old:
        tx.execute(
            delete(SOURCES).where(_C.workload_uid == row.workload_uid, _C.source == row.source)
        )
    return len(old)
