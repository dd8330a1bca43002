"""0007: counts of alerts that wait to be added to the statistics."""

import sqlalchemy as sa
from alembic import op

from heliograph.store.state.columns import Bytes

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Create the table of what waits."""
    op.create_table(
        "alert_counts",
        sa.Column(
            "n",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            sa.Identity(always=False),
            nullable=False,
        ),
        sa.Column("deltas", Bytes(), nullable=False),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_alert_counts")),
    )
