"""0004: training rows in chunks, the site's patterns for log lines, findings of many lines."""

from itertools import groupby
from typing import Any

import sqlalchemy as sa
from alembic import op

from heliograph.core.training import TrainingRow
from heliograph.store.state import document, training_chunks
from heliograph.store.state.columns import AnyText, Bytes, Int64, KeyText

revision = "0004"
down_revision = "0003"

_OLD = sa.table(
    "training_performance",
    *(sa.column(name, KeyText) for name in ("pod_uid", "source", "rank_group")),
    *(sa.column(name, Int64) for name in ("at_ns", "iteration")),
    *(sa.column(name, AnyText) for name in ("marker", "framework")),
    sa.column("fields", Bytes),
)
_ROWS_TOGETHER = 10_000


def upgrade() -> None:
    """Keep training rows in chunks; make room for patterns."""
    _training_chunks()
    _log_patterns()
    _open_findings()


def _log_patterns() -> None:
    op.create_table(
        "log_patterns",
        sa.Column("id", KeyText(), nullable=False),
        sa.Column("name", KeyText(), nullable=False),
        sa.Column("document", Bytes(), nullable=False),
        sa.Column("created_ns", Int64(), nullable=False),
        sa.Column("updated_ns", Int64(), nullable=False),
        sa.Column("created_by", KeyText(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_log_patterns")),
    )
    op.create_index(op.f("ix_log_patterns_name"), "log_patterns", ["name"], unique=True)
    op.create_index(
        op.f("ix_log_patterns_created_ns_id"),
        "log_patterns",
        ["created_ns", "id"],
        unique=False,
    )
    op.create_table(
        "log_pattern_hits",
        sa.Column("name", KeyText(), nullable=False),
        sa.Column("hits", Int64(), nullable=False),
        sa.Column("last_ns", Int64(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_log_pattern_hits")),
    )


def _open_findings() -> None:
    op.create_table(
        "open_findings",
        sa.Column("kind", KeyText(), nullable=False),
        sa.Column("name", KeyText(), nullable=False),
        sa.Column("n", Int64(), nullable=False),
        sa.Column("state", Bytes(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "name", name=op.f("pk_open_findings")),
    )


def _training_chunks() -> None:
    table = op.create_table(
        "training_chunks",
        sa.Column("pod_uid", KeyText(), nullable=False),
        sa.Column("end_ns", Int64(), autoincrement=False, nullable=False),
        sa.Column("end_iteration", Int64(), autoincrement=False, nullable=False),
        sa.Column("source", KeyText(), nullable=False),
        sa.Column("rank_group", KeyText(), nullable=False),
        sa.Column("start_ns", Int64(), nullable=False),
        sa.Column("value_ns", Int64(), nullable=True),
        sa.Column("heads", Bytes(), nullable=False),
        sa.Column("fields", Bytes(), nullable=False),
        sa.PrimaryKeyConstraint(
            "pod_uid",
            "end_ns",
            "end_iteration",
            "source",
            "rank_group",
            name=op.f("pk_training_chunks"),
        ),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_training_chunks_end_ns"), "training_chunks", ["end_ns"])
    op.create_index(
        "ix_training_chunks_wide",
        "training_chunks",
        ["pod_uid", "end_ns"],
        sqlite_where=sa.text("start_ns < end_ns"),
        postgresql_where=sa.text("start_ns < end_ns"),
    )
    _move_rows(table)
    op.drop_table("training_performance")


def _move_rows(table: sa.Table) -> None:
    tx = op.get_bind()
    c = _OLD.c
    key = (c.pod_uid, c.source, c.rank_group, c.at_ns, c.iteration)
    rest = (c.marker, c.framework, c.fields)
    # In pieces by key, for there may be millions; a piece ends anywhere in a stream.
    after: tuple[Any, ...] | None = None
    while True:
        wanted = sa.select(*key, *rest).order_by(*key).limit(_ROWS_TOGETHER)
        if after is not None:
            bound = (sa.cast(v, k.type) for v, k in zip(after, key, strict=True))
            wanted = wanted.where(sa.tuple_(*key) > sa.tuple_(*bound))
        found = tx.execute(wanted).all()
        if not found:
            return
        after = tuple(found[-1][: len(key)])
        made = [
            {"pod_uid": name[0], "source": name[1], "rank_group": name[2], **chunk._asdict()}
            for name, rows in groupby(found, key=lambda row: tuple(row[:3]))
            for chunk in training_chunks.chunks(*zip(*map(_row, rows), strict=True))
        ]
        tx.execute(table.insert(), made)


def _row(row: Any) -> tuple[tuple[int, int], TrainingRow]:
    pod_uid, source, rank_group, at_ns, iteration, marker, framework, fields = row
    known = None if iteration == training_chunks.NO_ITERATION else iteration
    found = TrainingRow(
        *(pod_uid, source, rank_group, at_ns, known, marker, framework),
        document.decode(fields),
    )
    return (at_ns, iteration), found
