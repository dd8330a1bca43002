"""Forget who ended long ago, in pieces that leave the writer to others.

Order: spans of ended pods and ended spans; then the pods; then workloads that lost their last pod
or never had one, when nothing has them as parent. A parent is free once its children went.
"""

from sqlalchemy import Connection, and_, delete, exists, or_, select, tuple_

from heliograph.store.state import versions
from heliograph.store.state.owners import HOLDS, PODS, VERSION, WORKLOADS

# Rows that one call may delete.
LIMIT_MAX = 500


def prune(tx: Connection, ended_before_ns: int, limit: int = LIMIT_MAX) -> int:
    """Delete at most *limit* rows that ended before *ended_before_ns*; return how many.

    Call it again, in another transaction, until it returns 0. A workload is as old as `seen_ns`
    says; one whose `seen_ns` is unknown (0) and which has no pods is left alone.
    """
    assert limit <= LIMIT_MAX
    for step in (_holds_of_ended_pods, _ended_holds, _ended_pods, _bare_workloads):
        gone = step(tx, ended_before_ns, limit)
        if gone:
            versions.bump(tx, VERSION)
            return gone
    return 0


def _holds_of_ended_pods(tx: Connection, before_ns: int, limit: int) -> int:
    key = tuple_(HOLDS.c.pod_uid, HOLDS.c.n)
    wanted = (
        select(HOLDS.c.pod_uid, HOLDS.c.n)
        .join_from(PODS, HOLDS, HOLDS.c.pod_uid == PODS.c.uid)
        .where(PODS.c.end_ns < before_ns)
        .limit(limit)
    )
    return tx.execute(delete(HOLDS).where(key.in_(wanted))).rowcount


def _ended_holds(tx: Connection, before_ns: int, limit: int) -> int:
    key = tuple_(HOLDS.c.pod_uid, HOLDS.c.n)
    wanted = select(HOLDS.c.pod_uid, HOLDS.c.n).where(HOLDS.c.end_ns < before_ns).limit(limit)
    return tx.execute(delete(HOLDS).where(key.in_(wanted))).rowcount


def _ended_pods(tx: Connection, before_ns: int, limit: int) -> int:
    wanted = select(PODS.c.uid).where(PODS.c.end_ns < before_ns).limit(limit)
    return tx.execute(delete(PODS).where(PODS.c.uid.in_(wanted))).rowcount


def _bare_workloads(tx: Connection, before_ns: int, limit: int) -> int:
    w, child = WORKLOADS.c, WORKLOADS.alias("child")
    wanted = (
        select(w.uid)
        .where(
            and_(w.seen_ns > 0, w.seen_ns < before_ns),
            ~exists(select(1).where(PODS.c.workload_uid == w.uid)),
            ~or_(exists(select(1).where(child.c.parent_uid == w.uid))),
        )
        .limit(limit)
    )
    return tx.execute(delete(WORKLOADS).where(w.uid.in_(wanted))).rowcount
