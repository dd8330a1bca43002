"""Groups of alerts that belong together, found from every member."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Column, Connection, Index, Table, select
from sqlalchemy import text as sql

from heliograph.alert.model import Alert, Correlation
from heliograph.store.state import alert_events, batches
from heliograph.store.state.alert_values import Codec
from heliograph.store.state.columns import Bytes, Int64, KeyText, metadata
from heliograph.store.state.upsert import put_stored

# Groups that one transaction may write or delete.
BATCH_MAX = 100
# Groups of one alert that are shown.
SHOWN_MAX = 100

CORRELATIONS = Table(
    "alert_correlations",
    metadata,
    Column("id", KeyText, primary_key=True),
    Column("updated_ns", Int64, nullable=False),
    Column("document", Bytes, nullable=False),
    Index(None, "updated_ns"),
)
MEMBERS = Table(
    "alert_correlation_members",
    metadata,
    Column("alert_id", KeyText, primary_key=True),
    Column("correlation_id", KeyText, primary_key=True),
    Index(None, "correlation_id"),
    sqlite_with_rowid=False,
)
_C, _M = CORRELATIONS.c, MEMBERS.c
_codec = Codec(Correlation)


class Found(NamedTuple):
    """A group and its members that are still stored, oldest first, without documents."""

    correlation: Correlation
    alerts: list[Alert]


def put(tx: Connection, correlations: Sequence[Correlation]) -> None:
    """Keep *correlations* (at most `BATCH_MAX`), each in place of what has its id; what has no members
    is gone."""
    assert len(correlations) <= BATCH_MAX
    if not correlations:
        return
    unique = {each.id: each for each in correlations}
    wanted = {(member, each.id) for each in unique.values() for member in each.members}
    there = select(_M.alert_id, _M.correlation_id).where(_M.correlation_id.in_(list(unique)))
    stored = {(row[0], row[1]) for row in tx.execute(there)}
    gone = [{"a": alert, "c": of} for alert, of in sorted(stored - wanted)]
    if gone:
        tx.execute(
            sql(
                "DELETE FROM alert_correlation_members WHERE alert_id = :a AND correlation_id = :c"
            ),
            gone,
        )
    put_stored(
        tx,
        MEMBERS,
        ("alert_id", "correlation_id"),
        sorted(wanted - stored),
        "DO NOTHING",
    )
    if empty := [each.id for each in unique.values() if not each.members]:
        tx.execute(CORRELATIONS.delete().where(_C.id.in_(empty)))
    put_stored(
        tx,
        CORRELATIONS,
        ("id", "updated_ns", "document"),
        [
            (each.id, each.updated_ns, _codec.encode(each))
            for each in unique.values()
            if each.members
        ],
        "(id) DO UPDATE SET updated_ns = excluded.updated_ns, document = excluded.document",
    )


def of(tx: Connection, alert_id: str) -> list[Found]:
    """The groups that *alert_id* is a member of, best first, then newest: of the `SHOWN_MAX` newest."""
    ids = select(_M.correlation_id).where(_M.alert_id == alert_id)
    wanted = (
        select(_C.document)
        .where(_C.id.in_(ids))
        .order_by(_C.updated_ns.desc(), _C.id)
        .limit(SHOWN_MAX)
    )
    found = [_codec.decode(each) for each in tx.execute(wanted).scalars()]
    found.sort(key=lambda each: -each.score)
    named = {member for each in found for member in each.members}
    alerts = {alert.id: alert for alert in alert_events.many(tx, named)}
    return [
        Found(each, [alerts[member] for member in each.members if member in alerts])
        for each in found
    ]


def forget(tx: Connection, alert_ids: Sequence[str]) -> None:
    """*alert_ids* are archived: they leave their groups, and a group without members goes."""
    groups = select(_M.correlation_id).where(_M.alert_id.in_(alert_ids)).distinct()
    touched = list(tx.execute(groups).scalars())
    tx.execute(MEMBERS.delete().where(_M.alert_id.in_(alert_ids)))
    for some in batches.cut(touched, BATCH_MAX):
        left = select(_M.correlation_id).where(_M.correlation_id.in_(some))
        tx.execute(CORRELATIONS.delete().where(_C.id.in_(some), _C.id.not_in(left)))
