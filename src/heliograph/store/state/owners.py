"""Who runs where, kept: workloads, pods, and the spans during which a pod held a device.

The values are those of `core.owner`. Every function that changes something bumps the version
`owners` in the same transaction, and writing what is there already changes nothing and bumps
nothing; so a placement file that is read again every 20 s costs reads only.

    owners.upsert_pods(tx, [pod]); owners.replace_holds(tx, pod.uid, holds)
    versions.get(tx, owners.VERSION)        # differs: load_all again

Long uids and names fold (`text.key`). Who ended long ago goes in pieces: `owners_prune.prune`.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Column, Connection, Index, Table, or_, select

from heliograph.core.owner import Device, Hold, Pod, Workload
from heliograph.store.state import versions
from heliograph.store.state.columns import AnyText, Int64, KeyText, metadata
from heliograph.store.state.upsert import insert

VERSION = "owners"
# Workloads or pods that one transaction may upsert.
BATCH_MAX = 200
# Spans kept a pod, the latest: 16 devices re-placed 64 times.
HOLDS_PER_POD_MAX = 1024
# Uids that one statement may name: SQLite takes 32766 parameters, PostgreSQL 65535.
UIDS_MAX = 10_000

WORKLOADS = Table(
    "workloads",
    metadata,
    Column("uid", KeyText, primary_key=True),
    Column("name", KeyText, nullable=False),
    Column("kind", KeyText, nullable=False),
    Column("namespace", KeyText, nullable=False),
    Column("parent_uid", KeyText),
    Column("status", KeyText, nullable=False),
    # When we first heard of it; not part of the value, and 0 where the writer did not say.
    Column("seen_ns", Int64, nullable=False),
    Index(None, "seen_ns", "uid"),
    Index(None, "name", "seen_ns", "uid"),
    Index(None, "namespace", "seen_ns", "uid"),
    Index(None, "kind", "seen_ns", "uid"),
    Index(None, "status", "seen_ns", "uid"),
    Index(None, "parent_uid"),
)
PODS = Table(
    "pods",
    metadata,
    Column("uid", KeyText, primary_key=True),
    Column("name", KeyText, nullable=False),
    Column("namespace", KeyText, nullable=False),
    Column("node", KeyText, nullable=False),
    Column("workload_uid", KeyText),
    Column("start_ns", Int64, nullable=False),
    Column("end_ns", Int64),
    Index(None, "workload_uid", "start_ns"),
    Index(None, "end_ns"),
)
HOLDS = Table(
    "device_holds",
    metadata,
    Column("pod_uid", KeyText, primary_key=True),
    # Position in what the pod holds: a device may be held twice, at different times.
    Column("n", Int64, primary_key=True, autoincrement=False),
    Column("node", KeyText, nullable=False),
    Column("type", KeyText, nullable=False),
    Column("id", KeyText, nullable=False),
    Column("uuid", AnyText),
    Column("serial", AnyText),
    Column("partition", AnyText),
    Column("start_ns", Int64, nullable=False),
    Column("end_ns", Int64),
    Index(None, "end_ns"),
)

_W, _P, _H = WORKLOADS.c, PODS.c, HOLDS.c
_WORKLOAD = (_W.uid, _W.name, _W.kind, _W.namespace, _W.parent_uid, _W.status)
_POD = (_P.uid, _P.name, _P.namespace, _P.node, _P.workload_uid, _P.start_ns, _P.end_ns)
_HOLD = (
    *(_H.pod_uid, _H.node, _H.type, _H.id, _H.uuid, _H.serial, _H.partition),
    *(_H.start_ns, _H.end_ns),
)


def upsert_workloads(tx: Connection, workloads: Iterable[Workload], *, seen_ns: int = 0) -> int:
    """Keep *workloads* (at most `BATCH_MAX`), by uid; return how many are new or differ.

    *seen_ns* stays what it was for a workload that is known; lists are newest first by it.
    """
    rows = [w._asdict() | {"seen_ns": seen_ns} for w in workloads]
    return _upsert(tx, WORKLOADS, rows, kept=frozenset({"seen_ns"}))


def upsert_pods(tx: Connection, pods: Iterable[Pod]) -> int:
    """Keep *pods* (at most `BATCH_MAX`), by uid; return how many are new or differ."""
    return _upsert(tx, PODS, [p._asdict() for p in pods], kept=frozenset())


def replace_holds(tx: Connection, pod_uid: str, holds: Sequence[Hold]) -> int:
    """*holds* are from now on all that *pod_uid* holds and held; return how many were left out.

    The latest `HOLDS_PER_POD_MAX` by start are kept.
    """
    kept = sorted(holds, key=lambda hold: hold.start_ns)[-HOLDS_PER_POD_MAX:]
    kept = [hold._replace(pod_uid=pod_uid) for hold in kept]
    if holds_of(tx, [pod_uid]) == kept:
        return len(holds) - len(kept)
    tx.execute(HOLDS.delete().where(_H.pod_uid == pod_uid))
    if kept:
        tx.execute(HOLDS.insert(), [_hold_row(n, hold) for n, hold in enumerate(kept)])
    versions.bump(tx, VERSION)
    return len(holds) - len(kept)


def load_all(tx: Connection) -> tuple[list[Workload], list[Pod], list[Hold]]:
    """All that is kept, for the index in memory; holds by pod and start."""
    return (
        [Workload(*row) for row in tx.execute(select(*_WORKLOAD))],
        [Pod(*row) for row in tx.execute(select(*_POD))],
        [_hold(row) for row in tx.execute(select(*_HOLD).order_by(_H.pod_uid, _H.n))],
    )


def holds_of(tx: Connection, pod_uids: Sequence[str]) -> list[Hold]:
    """What *pod_uids* hold and held, by pod and start."""
    assert len(pod_uids) <= UIDS_MAX
    wanted = select(*_HOLD).where(_H.pod_uid.in_(pod_uids)).order_by(_H.pod_uid, _H.n)
    return [_hold(row) for row in tx.execute(wanted)]


def _upsert(
    tx: Connection, table: Table, rows: Sequence[dict[str, Any]], *, kept: frozenset[str]
) -> int:
    """Insert *rows*, or overwrite all but *kept* where something differs; bump if anything did."""
    assert len(rows) <= BATCH_MAX
    if not rows:
        return 0
    put = insert(tx, table)
    columns = [c for c in table.c if c.name not in {"uid", *kept}]
    put = put.on_conflict_do_update(
        index_elements=["uid"],
        set_={c.name: put.excluded[c.name] for c in columns},
        where=or_(*(c.is_distinct_from(put.excluded[c.name]) for c in columns)),
    )
    changed = tx.execute(put, rows, execution_options={"preserve_rowcount": True}).rowcount
    if changed:
        versions.bump(tx, VERSION)
    return changed


def _hold_row(n: int, hold: Hold) -> dict[str, Any]:
    return {
        **hold.device._asdict(),
        "pod_uid": hold.pod_uid,
        "n": n,
        "node": hold.node,
        "start_ns": hold.start_ns,
        "end_ns": hold.end_ns,
    }


def _hold(row: Any) -> Hold:
    pod_uid, node, *device, start_ns, end_ns = row
    return Hold(pod_uid, node, Device(*device), start_ns, end_ns)
