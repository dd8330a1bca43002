"""0003: usage."""

import sqlalchemy as sa
from alembic import op

from heliograph.store.state.columns import AnyText, Bytes, Int64, KeyText

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the table of usage counts."""
    op.create_table(
        "usage_counts",
        sa.Column("id", KeyText(), nullable=False),
        sa.Column("builder", KeyText(), nullable=False),
        sa.Column("name", KeyText(), nullable=False),
        sa.Column("labels", Bytes(), nullable=False),
        sa.Column("key", AnyText(), nullable=False),
        sa.Column("strategy", KeyText(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("updated_ns", Int64(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_usage_counts")),
    )
    op.create_index(
        op.f("ix_usage_counts_builder_name_id"),
        "usage_counts",
        ["builder", "name", "id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_usage_counts_updated_ns"), "usage_counts", ["updated_ns"], unique=False
    )
