"""Beginnings of log lines whose end has not come yet (container runtimes cut at 16 KiB).

Kept with the applier's cursor in one transaction, so that a restart neither loses nor doubles a
beginning. At most `PARTIALS_MAX` are kept and `TEXT_CHARS_MAX` of each, which is more than who writes
them has.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Column, Connection, Index, Table, func, select, tuple_

from heliograph.store.state.columns import AnyText, Int64, KeyText, metadata
from heliograph.store.state.upsert import insert

PARTIALS_MAX = 4000
TEXT_CHARS_MAX = 1 << 18
# Beginnings that one transaction may put or delete.
BATCH_MAX = 500

PARTIALS = Table(
    "partials",
    metadata,
    Column("pod_uid", KeyText, primary_key=True),
    Column("container", KeyText, primary_key=True),
    Column("stream", KeyText, primary_key=True),
    Column("text", AnyText, nullable=False),
    Column("at_ns", Int64, nullable=False),
    Index(None, "at_ns"),
)
_KEY = tuple_(PARTIALS.c.pod_uid, PARTIALS.c.container, PARTIALS.c.stream)


class Partial(NamedTuple):
    """The beginning of a line: *text* so far, *at_ns* its first piece's time."""

    pod_uid: str
    container: str
    stream: str
    text: str
    at_ns: int


def put(tx: Connection, partials: Sequence[Partial]) -> None:
    """Keep *partials* (at most `BATCH_MAX`), each in place of what its stream had before."""
    assert len(partials) <= BATCH_MAX
    if not partials:
        return
    rows = [p._replace(text=p.text[:TEXT_CHARS_MAX])._asdict() for p in partials]
    row = insert(tx, PARTIALS)
    tx.execute(
        row.on_conflict_do_update(
            index_elements=["pod_uid", "container", "stream"],
            set_={"text": row.excluded.text, "at_ns": row.excluded.at_ns},
        ),
        rows,
    )
    _evict(tx)


def delete(tx: Connection, keys: Sequence[tuple[str, str, str]]) -> None:
    """Forget the beginnings of *keys* (pod uid, container, stream), at most `BATCH_MAX`."""
    assert len(keys) <= BATCH_MAX
    c = PARTIALS.c
    for pod_uid, container, stream in keys:
        tx.execute(
            PARTIALS.delete().where(
                c.pod_uid == pod_uid, c.container == container, c.stream == stream
            )
        )


def load_all(tx: Connection) -> list[Partial]:
    """Every beginning, oldest first: at most `PARTIALS_MAX`."""
    c = PARTIALS.c
    wanted = select(c.pod_uid, c.container, c.stream, c.text, c.at_ns).order_by(c.at_ns)
    return [Partial(*row) for row in tx.execute(wanted)]


def _evict(tx: Connection) -> None:
    count: int = tx.execute(select(func.count()).select_from(PARTIALS)).scalar_one()
    if count <= PARTIALS_MAX:
        return
    c = PARTIALS.c
    oldest = (
        select(c.pod_uid, c.container, c.stream).order_by(c.at_ns).limit(count - PARTIALS_MAX)
    )
    tx.execute(PARTIALS.delete().where(_KEY.in_(oldest)))
