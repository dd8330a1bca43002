"""Counts of alerts that are noted, and added to the statistics a little later, many at once.

    note(tx, deltas)     a row for all of them, in the transaction that they belong to
    fold(tx)             the oldest rows go into chunks of `alert_sums`; True: there may be more

A delta changes the chunk of its hour, which is read and written whole, and the next delta mostly the
same one. So what few deltas say is one row at first; checkpoints fold, and whoever reads the
statistics before. A crash loses none and counts none twice: both are transactions.
"""

from operator import attrgetter
from typing import Any

import msgspec
from sqlalchemy import Column, Connection, Table, delete, select

from heliograph.alert.changes import StatDelta
from heliograph.store.state import alert_sums
from heliograph.store.state.alert_values import Codec
from heliograph.store.state.columns import Bytes, metadata, serial
from heliograph.store.state.upsert import put_stored

# More deltas are many already, and are added at once.
NOTED_MAX = 150
# Rows, deltas (3 ms), different deltas (3 ms) and hours of theirs (15 ms) that one transaction folds,
# but for the last row's.
ROWS_MAX = 500
DELTAS_MAX = 3000
FOLD_MAX = 600
HOURS_MAX = 100
# Deltas that may wait, for a burst is no time to fold; then each row that comes makes a fold.
WAITING_MAX = 4 * DELTAS_MAX

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
        # What many hours have in turns would change each hour's chunk in every batch.
        ordered = sorted(deltas, key=attrgetter("hour_ns"))
        for begin in range(0, len(ordered), alert_sums.BATCH_MAX):
            alert_sums.add(tx, ordered[begin : begin + alert_sums.BATCH_MAX])
        return
    if not deltas:
        return
    row = _noted.encode(_Noted([msgspec.structs.astuple(one) for one in deltas]))
    put_stored(tx, COUNTS, ("deltas",), [(row,)], "DO NOTHING")
    # Of this connection: a bound, not a count.
    waiting = tx.info[_WAITING] = tx.info.get(_WAITING, 0) + len(deltas)
    if waiting > WAITING_MAX:
        fold(tx)


def waits(tx: Connection) -> bool:
    """Whether anything was noted that is not in the statistics."""
    return tx.execute(select(_C.n).limit(1)).first() is not None


def fold(tx: Connection) -> bool:
    """Add the oldest of what was noted to the statistics; whether there may be more of it."""
    rows = tx.execute(select(_C.n, _C.deltas).order_by(_C.n).limit(ROWS_MAX)).all()
    sums: dict[tuple[Any, ...], list[int]] = {}
    hours: set[int] = set()
    folded = read = 0
    for _, stored in rows:
        if len(sums) > FOLD_MAX - NOTED_MAX or read >= DELTAS_MAX or len(hours) >= HOURS_MAX:
            break
        noted = _noted.decode(stored).deltas
        folded, read = folded + 1, read + len(noted)
        hours.update(each[0] for each in noted)
        for each in noted:
            row, (firing, resolved, duration_ns) = each[:6], each[6:]
            sum_ = sums.get(row)
            if sum_ is None:
                sum_ = sums[row] = [0, 0, 0]
            sum_[0] += firing
            sum_[1] += resolved
            sum_[2] += duration_ns
    if not folded:
        tx.info[_WAITING] = 0
        return False
    deltas = [StatDelta(*row, *sum_) for row, sum_ in sums.items() if any(sum_)]
    alert_sums.add(tx, deltas)
    tx.execute(delete(COUNTS).where(_C.n <= rows[folded - 1][0]))
    more = folded < len(rows) or len(rows) == ROWS_MAX
    tx.info[_WAITING] = max(0, tx.info.get(_WAITING, 0) - read) if more else 0
    return more
