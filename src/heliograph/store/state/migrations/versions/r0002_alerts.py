"""0002: alerts."""

import sqlalchemy as sa
from alembic import op

from heliograph.store.state.columns import AnyText, Bytes, Int64, KeyText

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create what the alert engine keeps."""
    _kinds()
    _events()
    _event_indexes()
    _place_indexes()
    _correlations()
    _flow()
    _ledger()
    _statistics()
    _made()


def _kinds() -> None:
    op.create_table(
        "alert_kinds",
        sa.Column("id", Int64(), autoincrement=False, nullable=False),
        sa.Column("source", KeyText(), nullable=False),
        sa.Column("alert_name", KeyText(), nullable=False),
        sa.Column("severity", KeyText(), nullable=False),
        sa.Column("cluster_name", KeyText(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_kinds")),
    )
    op.create_index(
        op.f("ix_alert_kinds_alert_name"), "alert_kinds", ["alert_name"], unique=False
    )


def _events() -> None:
    op.create_table(
        "alert_events",
        sa.Column(
            "n",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            sa.Identity(always=False),
            nullable=False,
        ),
        sa.Column("id", KeyText(), nullable=False),
        sa.Column("source", KeyText(), nullable=False),
        sa.Column("alert_name", KeyText(), nullable=False),
        sa.Column("severity", KeyText(), nullable=False),
        sa.Column("cluster_name", KeyText(), nullable=False),
        sa.Column("workload_id", KeyText(), nullable=False),
        sa.Column("pod_name", KeyText(), nullable=False),
        sa.Column("node_name", KeyText(), nullable=False),
        sa.Column("kind", Int64(), nullable=False),
        sa.Column("is_open", Int64(), nullable=False),
        sa.Column("starts_ns", Int64(), nullable=False),
        sa.Column("ends_ns", Int64(), nullable=True),
        sa.Column("created_ns", Int64(), nullable=False),
        sa.Column("updated_ns", Int64(), nullable=False),
        sa.Column("count", Int64(), nullable=False),
        sa.Column("document", Bytes(), nullable=False),
        sa.Column("raw", Bytes(), nullable=False),
        sa.Column("enriched", Bytes(), nullable=False),
        sa.PrimaryKeyConstraint("n", name=op.f("pk_alert_events")),
    )


def _event_indexes() -> None:
    op.create_index(
        "ix_alert_events_closed",
        "alert_events",
        ["starts_ns", "n", "kind"],
        unique=False,
        sqlite_where=sa.text("is_open = 0"),
        postgresql_where=sa.text("is_open = 0"),
    )
    op.create_index(
        "ix_alert_events_closed_ends",
        "alert_events",
        ["ends_ns"],
        unique=False,
        sqlite_where=sa.text("is_open = 0"),
        postgresql_where=sa.text("is_open = 0"),
    )
    op.create_index("ix_alert_events_id", "alert_events", ["id"], unique=True)
    op.create_index(
        "ix_alert_events_kind",
        "alert_events",
        ["kind", "starts_ns", "n"],
        unique=False,
        sqlite_where=sa.text("is_open = 0"),
        postgresql_where=sa.text("is_open = 0"),
    )
    op.create_index(
        "ix_alert_events_open",
        "alert_events",
        ["starts_ns", "n", "kind", "workload_id", "pod_name", "node_name"],
        unique=False,
        sqlite_where=sa.text("is_open = 1"),
        postgresql_where=sa.text("is_open = 1"),
    )
    op.create_index(
        "ix_alert_events_open_ends",
        "alert_events",
        ["ends_ns"],
        unique=False,
        sqlite_where=sa.text("is_open = 1"),
        postgresql_where=sa.text("is_open = 1"),
    )


def _place_indexes() -> None:
    op.create_index(
        "ix_alert_events_node_name",
        "alert_events",
        ["node_name", "starts_ns", "n", "kind"],
        unique=False,
        sqlite_where=sa.text("is_open = 0 AND node_name <> ''"),
        postgresql_where=sa.text("is_open = 0 AND node_name <> ''"),
    )
    op.create_index(
        "ix_alert_events_pod_name",
        "alert_events",
        ["pod_name", "starts_ns", "n", "kind"],
        unique=False,
        sqlite_where=sa.text("is_open = 0 AND pod_name <> ''"),
        postgresql_where=sa.text("is_open = 0 AND pod_name <> ''"),
    )
    op.create_index(
        "ix_alert_events_workload_id",
        "alert_events",
        ["workload_id", "starts_ns", "n", "kind"],
        unique=False,
        sqlite_where=sa.text("is_open = 0 AND workload_id <> ''"),
        postgresql_where=sa.text("is_open = 0 AND workload_id <> ''"),
    )


def _correlations() -> None:
    op.create_table(
        "alert_correlations",
        sa.Column("id", KeyText(), nullable=False),
        sa.Column("updated_ns", Int64(), nullable=False),
        sa.Column("document", Bytes(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_correlations")),
    )
    op.create_index(
        op.f("ix_alert_correlations_updated_ns"),
        "alert_correlations",
        ["updated_ns"],
        unique=False,
    )
    op.create_table(
        "alert_correlation_members",
        sa.Column("alert_id", KeyText(), nullable=False),
        sa.Column("correlation_id", KeyText(), nullable=False),
        sa.PrimaryKeyConstraint(
            "alert_id", "correlation_id", name=op.f("pk_alert_correlation_members")
        ),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_alert_correlation_members_correlation_id"),
        "alert_correlation_members",
        ["correlation_id"],
        unique=False,
    )


def _flow() -> None:
    op.create_table(
        "alert_groups",
        sa.Column("id", Bytes(), nullable=False),
        sa.Column("document", Bytes(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_groups")),
    )
    op.create_table(
        "alert_told",
        sa.Column("id", Bytes(), nullable=False),
        sa.Column("document", Bytes(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_told")),
    )
    op.create_table(
        "alert_outbox",
        sa.Column("id", Bytes(), nullable=False),
        sa.Column("document", Bytes(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_outbox")),
    )


def _ledger() -> None:
    op.create_table(
        "alert_notifications",
        sa.Column("alert_id", KeyText(), nullable=False),
        sa.Column("at_ns", Int64(), autoincrement=False, nullable=False),
        sa.Column("id", Bytes(), nullable=False),
        sa.Column("receiver", KeyText(), nullable=False),
        sa.Column("integration", KeyText(), nullable=False),
        sa.Column("channel", KeyText(), nullable=False),
        sa.Column("kind", KeyText(), nullable=False),
        sa.Column("status", KeyText(), nullable=False),
        sa.Column("stage", KeyText(), nullable=False),
        sa.Column("attempt", Int64(), nullable=False),
        sa.Column("group_key", AnyText(), nullable=False),
        sa.Column("cause", AnyText(), nullable=False),
        sa.Column("answer", AnyText(), nullable=False),
        sa.Column("key", AnyText(), nullable=False),
        sa.PrimaryKeyConstraint("alert_id", "at_ns", "id", name=op.f("pk_alert_notifications")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_alert_notifications_at_ns_alert_id_id"),
        "alert_notifications",
        ["at_ns", "alert_id", "id"],
        unique=False,
    )


def _statistics() -> None:
    op.create_table(
        "alert_statistics",
        sa.Column("grain", Int64(), autoincrement=False, nullable=False),
        sa.Column("start_ns", Int64(), autoincrement=False, nullable=False),
        sa.Column("workload_id", KeyText(), nullable=False),
        sa.Column("kind", Int64(), autoincrement=False, nullable=False),
        sa.Column("firing", Int64(), nullable=False),
        sa.Column("resolved", Int64(), nullable=False),
        sa.Column("duration_ns", Int64(), nullable=False),
        sa.PrimaryKeyConstraint(
            "grain", "start_ns", "workload_id", "kind", name=op.f("pk_alert_statistics")
        ),
        sqlite_with_rowid=False,
    )


def _made() -> None:
    op.create_table(
        "alert_rules",
        sa.Column("id", KeyText(), nullable=False),
        sa.Column("name", KeyText(), nullable=False),
        sa.Column("source", KeyText(), nullable=False),
        sa.Column("enabled", Int64(), nullable=False),
        sa.Column("rule_type", KeyText(), nullable=False),
        sa.Column("document", Bytes(), nullable=False),
        sa.Column("created_ns", Int64(), nullable=False),
        sa.Column("updated_ns", Int64(), nullable=False),
        sa.Column("created_by", KeyText(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_rules")),
    )
    op.create_index(
        op.f("ix_alert_rules_created_ns_id"), "alert_rules", ["created_ns", "id"], unique=False
    )
    op.create_index(op.f("ix_alert_rules_name"), "alert_rules", ["name"], unique=True)
    op.create_table(
        "alert_routes",
        sa.Column("id", KeyText(), nullable=False),
        sa.Column("position", Int64(), nullable=False),
        sa.Column("document", Bytes(), nullable=False),
        sa.Column("shown", Bytes(), nullable=False),
        sa.Column("created_ns", Int64(), nullable=False),
        sa.Column("updated_ns", Int64(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_routes")),
    )
    op.create_index(
        op.f("ix_alert_routes_position_id"), "alert_routes", ["position", "id"], unique=False
    )
    op.create_table(
        "alert_silences",
        sa.Column("id", KeyText(), nullable=False),
        sa.Column("starts_ns", Int64(), nullable=False),
        sa.Column("ends_ns", Int64(), nullable=False),
        sa.Column("updated_ns", Int64(), nullable=False),
        sa.Column("created_by", KeyText(), nullable=False),
        sa.Column("document", Bytes(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_silences")),
    )
    op.create_index(
        op.f("ix_alert_silences_ends_ns_id"), "alert_silences", ["ends_ns", "id"], unique=False
    )
    op.create_table(
        "rule_states",
        sa.Column("rule_id", KeyText(), nullable=False),
        sa.Column("key", KeyText(), nullable=False),
        sa.Column("updated_ns", Int64(), nullable=False),
        sa.Column("state", Bytes(), nullable=False),
        sa.PrimaryKeyConstraint("rule_id", "key", name=op.f("pk_rule_states")),
    )
