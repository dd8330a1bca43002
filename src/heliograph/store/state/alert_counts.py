"""Counts of alerts that are noted, and added to the statistics a little later, many at once.

    note(tx, deltas)     a row for all of them, in the transaction that they belong to
    fold(tx)             the oldest rows become rows of `alert_statistics`; True: there may be more

A delta changes ten rows of the statistics, each on a page of its own, and the next delta mostly the
same ones. So what few deltas say is one row at first; checkpoints fold, and whoever reads the
statistics before. A crash loses none and counts none twice: both are transactions.
"""

from typing import Any

import msgspec
from sqlalchemy import Column, Connection, Table, delete, select

from heliograph.alert.changes import StatDelta
from heliograph.store.state import alert_statistics
from heliograph.store.state.alert_values import Codec
from heliograph.store.state.columns import Bytes, metadata, serial
from heliograph.store.state.upsert import put_stored

# More deltas are many already, and are added at once.
NOTED_MAX = 150
# Rows, deltas and different deltas that one transaction folds (8 ms), but for the last row's.
ROWS_MAX = 500
DELTAS_MAX = 10_000
FOLD_MAX = 300
# Rows that may wait; then each that comes makes a fold.
WAITING_MAX = 2000

COUNTS = Table(
    "alert_counts",
    metadata,
    serial("n"),
    Column("deltas", Bytes, nullable=False),
)
_C = COUNTS.c
_WAITING = "heliograph_alert_counts"


class _Noted(msgspec.Struct, array_like=True):
    """Fields of each delta, in order."""

    deltas: list[tuple[int, str, str, str, str, str, int, int, int]]


_noted = Codec(_Noted)


def note(tx: Connection, deltas: list[StatDelta]) -> None:
    """Have *deltas* counted. Not idempotent: what is noted twice counts twice."""
    if len(deltas) > NOTED_MAX:
        for begin in range(0, len(deltas), alert_statistics.BATCH_MAX):
            alert_statistics.add(tx, deltas[begin : begin + alert_statistics.BATCH_MAX])
        return
    if not deltas:
        return
    row = _noted.encode(_Noted([msgspec.structs.astuple(one) for one in deltas]))
    put_stored(tx, COUNTS, ("deltas",), [(row,)], "DO NOTHING")
    # Of this connection: a bound, not a count.
    waiting = tx.info[_WAITING] = tx.info.get(_WAITING, 0) + 1
    if waiting > WAITING_MAX:
        fold(tx)


def waits(tx: Connection) -> bool:
    """Whether anything was noted that is not in the statistics."""
    return tx.execute(select(_C.n).limit(1)).first() is not None


def fold(tx: Connection) -> bool:
    """Add the oldest of what was noted to the statistics; whether there may be more of it."""
    rows = tx.execute(select(_C.n, _C.deltas).order_by(_C.n).limit(ROWS_MAX)).all()
    sums: dict[tuple[Any, ...], list[int]] = {}
    folded = read = 0
    for _, stored in rows:
        if len(sums) > FOLD_MAX - NOTED_MAX or read >= DELTAS_MAX:
            break
        noted = _noted.decode(stored).deltas
        folded, read = folded + 1, read + len(noted)
        for *row, firing, resolved, duration_ns in noted:
            sum_ = sums.setdefault(tuple(row), [0, 0, 0])
            sum_[0] += firing
            sum_[1] += resolved
            sum_[2] += duration_ns
    if not folded:
        tx.info[_WAITING] = 0
        return False
    deltas = [StatDelta(*row, *sum_) for row, sum_ in sums.items() if any(sum_)]
    alert_statistics.add(tx, deltas)
    tx.execute(delete(COUNTS).where(_C.n <= rows[folded - 1][0]))
    more = folded < len(rows) or len(rows) == ROWS_MAX
    tx.info[_WAITING] = max(0, tx.info.get(_WAITING, 0) - folded) if more else 0
    return more
