"""0006: what sources said of the framework of a workload."""

import sqlalchemy as sa
from alembic import op

from heliograph.store.state.columns import Bytes, Int64, KeyText

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Create the table of sources."""
    op.create_table(
        "framework_sources",
        sa.Column("workload_uid", KeyText(), nullable=False),
        sa.Column("source", KeyText(), nullable=False),
        sa.Column("at_ns", Int64(), nullable=False),
        sa.Column("document", Bytes(), nullable=False),
        sa.PrimaryKeyConstraint("workload_uid", "source", name=op.f("pk_framework_sources")),
    )
    op.create_index(
        op.f("ix_framework_sources_at_ns"), "framework_sources", ["at_ns"], unique=False
    )
