"""0008: statistics of alerts in chunks, instead of a row for each hour, workload and kind."""

from itertools import groupby
from typing import Any

import sqlalchemy as sa
from alembic import op

from heliograph.store.state import alert_sums, sum_columns
from heliograph.store.state.columns import Bytes, Int64

revision = "0008"
down_revision = "0007"

_HOUR_NS, _DAY_NS = 3_600_000_000_000, 86_400_000_000_000
# Of the grains that there were, the one from which all others were summed up.
_FINEST = 0
_ROWS_MAX = 100_000


def upgrade() -> None:
    """Create the chunks, fill them day by day, and drop the rows."""
    op.create_table(
        "alert_sums",
        sa.Column("grain", Int64(), autoincrement=False, nullable=False),
        sa.Column("start_ns", Int64(), autoincrement=False, nullable=False),
        sa.Column("part", Int64(), autoincrement=False, nullable=False),
        sa.Column("size", Int64(), nullable=False),
        sa.Column("keyed", Bytes(), nullable=False),
        sa.Column("numbers", Bytes(), nullable=False),
        sa.PrimaryKeyConstraint("grain", "start_ns", "part", name=op.f("pk_alert_sums")),
    )
    tx = op.get_bind()
    if tx.dialect.name == "postgresql":
        op.execute(alert_sums.AS_THEY_ARE)
    for _, rows in groupby(_rows(tx), key=lambda row: row[0] // _DAY_NS):
        for start_ns, of_hour in groupby(rows, key=lambda row: row[0]):
            some = [(start_ns // _HOUR_NS, *row[1:]) for row in of_hour]
            place = alert_sums.Place(alert_sums.HOUR, start_ns)
            alert_sums.put(tx, {place: sum_columns.of(some)})
        while alert_sums.roll(tx, start_ns + _DAY_NS):
            pass
    op.drop_table("alert_statistics")


def _rows(tx: sa.Connection) -> Any:
    """The finest rows, oldest first, some at a time."""
    after: tuple[Any, ...] | None = None
    while True:
        more = "" if after is None else "AND (start_ns, workload_id, kind) > (:at, :of, :kind)"
        wanted = sa.text(
            "SELECT start_ns, workload_id, kind, firing, resolved, duration_ns "  # noqa: S608
            f"FROM alert_statistics WHERE grain = {_FINEST} {more} "
            f"ORDER BY start_ns, workload_id, kind LIMIT {_ROWS_MAX}"
        )
        given = {} if after is None else dict(zip(("at", "of", "kind"), after, strict=True))
        found = [tuple(row) for row in tx.execute(wanted, given)]
        yield from found
        if len(found) < _ROWS_MAX:
            return
        after = found[-1][:3]
