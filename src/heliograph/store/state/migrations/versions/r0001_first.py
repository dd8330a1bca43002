"""0001: the first schema."""

import sqlalchemy as sa
from alembic import op

from heliograph.store.state.columns import AnyText, Bytes, Int64, KeyText

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create cursors, facts, owners, training rows and unfinished lines."""
    _counters()
    _workloads()
    _pods()
    _lines()


def _counters() -> None:
    op.create_table(
        "cursors",
        sa.Column("name", KeyText(), nullable=False),
        sa.Column("seq", Int64(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_cursors")),
    )
    op.create_table(
        "meta",
        sa.Column("key", KeyText(), nullable=False),
        sa.Column("value", AnyText(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_meta")),
    )
    op.create_table(
        "versions",
        sa.Column("name", KeyText(), nullable=False),
        sa.Column("n", Int64(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_versions")),
    )
    op.create_table(
        "rollup_dirty",
        sa.Column("start_ns", Int64(), autoincrement=False, nullable=False),
        sa.Column("end_ns", Int64(), autoincrement=False, nullable=False),
        sa.Column("mark", Int64(), nullable=False),
        sa.PrimaryKeyConstraint("start_ns", "end_ns", name=op.f("pk_rollup_dirty")),
    )


def _workloads() -> None:
    op.create_table(
        "workloads",
        sa.Column("uid", KeyText(), nullable=False),
        sa.Column("name", KeyText(), nullable=False),
        sa.Column("kind", KeyText(), nullable=False),
        sa.Column("namespace", KeyText(), nullable=False),
        sa.Column("parent_uid", KeyText(), nullable=True),
        sa.Column("status", KeyText(), nullable=False),
        sa.Column("seen_ns", Int64(), nullable=False),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_workloads")),
    )
    op.create_index(
        op.f("ix_workloads_kind_seen_ns_uid"),
        "workloads",
        ["kind", "seen_ns", "uid"],
        unique=False,
    )
    op.create_index(
        op.f("ix_workloads_name_seen_ns_uid"),
        "workloads",
        ["name", "seen_ns", "uid"],
        unique=False,
    )
    op.create_index(
        op.f("ix_workloads_namespace_seen_ns_uid"),
        "workloads",
        ["namespace", "seen_ns", "uid"],
        unique=False,
    )
    op.create_index(op.f("ix_workloads_parent_uid"), "workloads", ["parent_uid"], unique=False)
    op.create_index(
        op.f("ix_workloads_seen_ns_uid"), "workloads", ["seen_ns", "uid"], unique=False
    )
    op.create_index(
        op.f("ix_workloads_status_seen_ns_uid"),
        "workloads",
        ["status", "seen_ns", "uid"],
        unique=False,
    )


def _pods() -> None:
    op.create_table(
        "pods",
        sa.Column("uid", KeyText(), nullable=False),
        sa.Column("name", KeyText(), nullable=False),
        sa.Column("namespace", KeyText(), nullable=False),
        sa.Column("node", KeyText(), nullable=False),
        sa.Column("workload_uid", KeyText(), nullable=True),
        sa.Column("start_ns", Int64(), nullable=False),
        sa.Column("end_ns", Int64(), nullable=True),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_pods")),
    )
    op.create_index(op.f("ix_pods_end_ns"), "pods", ["end_ns"], unique=False)
    op.create_index(
        op.f("ix_pods_workload_uid_start_ns"),
        "pods",
        ["workload_uid", "start_ns"],
        unique=False,
    )
    op.create_table(
        "device_holds",
        sa.Column("pod_uid", KeyText(), nullable=False),
        sa.Column("n", Int64(), autoincrement=False, nullable=False),
        sa.Column("node", KeyText(), nullable=False),
        sa.Column("type", KeyText(), nullable=False),
        sa.Column("id", KeyText(), nullable=False),
        sa.Column("uuid", AnyText(), nullable=True),
        sa.Column("serial", AnyText(), nullable=True),
        sa.Column("partition", AnyText(), nullable=True),
        sa.Column("start_ns", Int64(), nullable=False),
        sa.Column("end_ns", Int64(), nullable=True),
        sa.PrimaryKeyConstraint("pod_uid", "n", name=op.f("pk_device_holds")),
    )
    op.create_index(op.f("ix_device_holds_end_ns"), "device_holds", ["end_ns"], unique=False)


def _lines() -> None:
    op.create_table(
        "partials",
        sa.Column("pod_uid", KeyText(), nullable=False),
        sa.Column("container", KeyText(), nullable=False),
        sa.Column("stream", KeyText(), nullable=False),
        sa.Column("text", AnyText(), nullable=False),
        sa.Column("at_ns", Int64(), nullable=False),
        sa.PrimaryKeyConstraint("pod_uid", "container", "stream", name=op.f("pk_partials")),
    )
    op.create_index(op.f("ix_partials_at_ns"), "partials", ["at_ns"], unique=False)
    op.create_table(
        "training_performance",
        sa.Column("pod_uid", KeyText(), nullable=False),
        sa.Column("at_ns", Int64(), autoincrement=False, nullable=False),
        sa.Column("source", KeyText(), nullable=False),
        sa.Column("rank_group", KeyText(), nullable=False),
        sa.Column("iteration", Int64(), autoincrement=False, nullable=False),
        sa.Column("marker", KeyText(), nullable=True),
        sa.Column("framework", KeyText(), nullable=False),
        sa.Column("fields", Bytes(), nullable=False),
        sa.PrimaryKeyConstraint(
            "pod_uid",
            "at_ns",
            "source",
            "rank_group",
            "iteration",
            name=op.f("pk_training_performance"),
        ),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_training_performance_at_ns"), "training_performance", ["at_ns"], unique=False
    )
