"""Pages of workloads, newest first."""

from sqlalchemy import Connection, func, select

from heliograph.core.owner import Workload
from heliograph.store.state.owners import WORKLOADS

LIMIT_MAX = 1000
_C = WORKLOADS.c
_NEWEST_FIRST = (_C.seen_ns.desc(), _C.uid.desc())


def list_workloads(
    tx: Connection,
    *,
    name: str | None = None,
    namespace: str | None = None,
    kind: str | None = None,
    status: str | None = None,
    offset: int = 0,
    limit: int = 50,
) -> tuple[list[Workload], int]:
    """One page of the workloads that equal every filter given, and how many there are in all.

    Newest first by when we first heard of them; at most `LIMIT_MAX` a page.
    """
    filters = {"name": name, "namespace": namespace, "kind": kind, "status": status}
    where = [_C[column] == value for column, value in filters.items() if value is not None]
    total = tx.execute(select(func.count()).select_from(WORKLOADS).where(*where)).scalar_one()
    page = (
        select(_C.uid, _C.name, _C.kind, _C.namespace, _C.parent_uid, _C.status)
        .where(*where)
        .order_by(*_NEWEST_FIRST)
        .offset(offset)
        .limit(min(limit, LIMIT_MAX))
    )
    return [Workload(*row) for row in tx.execute(page)], total


def newest(tx: Connection, limit: int) -> list[str]:
    """The uids of the *limit* workloads that come first on those pages."""
    return list(tx.execute(select(_C.uid).order_by(*_NEWEST_FIRST).limit(limit)).scalars())
