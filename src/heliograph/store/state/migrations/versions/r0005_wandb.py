"""0005: wandb."""

import sqlalchemy as sa
from alembic import op

from heliograph.store.state.columns import Bytes, Int64, KeyText

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create what is known of wandb runs."""
    op.create_table(
        "wandb_runs",
        sa.Column("uid", KeyText(), nullable=False),
        sa.Column("entity", KeyText(), nullable=False),
        sa.Column("project", KeyText(), nullable=False),
        sa.Column("run_id", KeyText(), nullable=False),
        sa.Column("state", KeyText(), nullable=False),
        sa.Column("pod_uid", KeyText(), nullable=False),
        sa.Column("own", Int64(), nullable=False),
        sa.Column("created_ns", Int64(), nullable=False),
        sa.Column("heard_ns", Int64(), nullable=False),
        sa.Column("history_ns", Int64(), nullable=False),
        sa.Column("history_lines", Int64(), nullable=False),
        sa.Column("event_lines", Int64(), nullable=False),
        sa.Column("console_lines", Int64(), nullable=False),
        sa.Column("console_kept", Int64(), nullable=False),
        sa.Column("document", Bytes(), nullable=False),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_wandb_runs")),
    )
    op.create_index(op.f("ix_wandb_runs_heard_ns_uid"), "wandb_runs", ["heard_ns", "uid"])
    op.create_index(op.f("ix_wandb_runs_created_ns_uid"), "wandb_runs", ["created_ns", "uid"])
