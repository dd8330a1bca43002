"""What a rule remembers between evaluations (windows, pending instants): bytes by rule and key.

A key is what the rule counts by (the labels of a pod, say); a rule over series has one row, of key
"". Written in the transaction of the effects that it goes with, so that a restart neither counts a
record twice nor forgets one.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Column, Connection, Table, delete, select, tuple_

from heliograph.core.errors import Refused
from heliograph.store.state import alert_kinds, batches
from heliograph.store.state.columns import Bytes, Int64, KeyText, metadata
from heliograph.store.state.upsert import put_stored

# States that one statement writes or deletes, and the bytes of one.
BATCH_MAX = 200
STATE_BYTES_MAX = 1 << 20

STATES = Table(
    "rule_states",
    metadata,
    Column("rule_id", KeyText, primary_key=True),
    Column("key", KeyText, primary_key=True),
    Column("updated_ns", Int64, nullable=False),
    Column("state", Bytes, nullable=False),
)
_C = STATES.c


class StateRow(NamedTuple):
    """What is remembered of one key of a rule; *state* None: nothing any more."""

    rule_id: str
    key: str
    state: bytes | None


def put(tx: Connection, rows: Sequence[tuple[str, str, bytes | None]], *, now_ns: int) -> None:
    """Keep *rows* (as `StateRow`), each in place of the last of its rule and key; of several of one
    key the last holds. Refused: one over `STATE_BYTES_MAX`.
    """
    latest = {(rule_id, key): state for rule_id, key, state in rows}
    for (rule_id, _), state in latest.items():
        if state is not None and len(state) > STATE_BYTES_MAX:
            raise Refused(f"{len(state)} bytes, limit {STATE_BYTES_MAX}", field=rule_id)
    stored = alert_kinds.stored_text
    gone = [
        (stored(rule), stored(key)) for (rule, key), state in latest.items() if state is None
    ]
    for some in batches.cut(gone, BATCH_MAX):
        tx.execute(delete(STATES).where(tuple_(_C.rule_id, _C.key).in_(some)))
    kept = [
        (stored(rule), stored(key), now_ns, state)
        for (rule, key), state in sorted(latest.items())
        if state is not None
    ]
    for put_some in batches.cut(kept, BATCH_MAX):
        put_stored(
            tx,
            STATES,
            ("rule_id", "key", "updated_ns", "state"),
            put_some,
            "(rule_id, key) DO UPDATE SET updated_ns = excluded.updated_ns, state = excluded.state",
        )


def load(tx: Connection) -> list[StateRow]:
    """Every state."""
    rows = tx.execute(select(_C.rule_id, _C.key, _C.state))
    return [StateRow(row.rule_id, row.key, bytes(row.state)) for row in rows]
