"""0009: what new episodes say, many together; what rows say themselves stays as it is."""

import sqlalchemy as sa
from alembic import op

from heliograph.store.state.columns import Bytes, Int64

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Create the table of sheets."""
    op.create_table(
        "alert_sheets",
        sa.Column(
            "n",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            sa.Identity(always=False),
            nullable=False,
        ),
        sa.Column("episodes", Int64(), nullable=False),
        sa.Column("documents", Bytes(), nullable=False),
        sa.Column("raws", Bytes(), nullable=False),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_alert_sheets")),
    )
