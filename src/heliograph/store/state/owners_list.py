"""Pages of workloads, newest first."""

from sqlalchemy import Connection, func, select

from heliograph.core.owner import Workload
from heliograph.store.state.owners import WORKLOADS

LIMIT_MAX = 1000


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
    c = WORKLOADS.c
    filters = {"name": name, "namespace": namespace, "kind": kind, "status": status}
    where = [c[column] == value for column, value in filters.items() if value is not None]
    total = tx.execute(select(func.count()).select_from(WORKLOADS).where(*where)).scalar_one()
    page = (
        select(c.uid, c.name, c.kind, c.namespace, c.parent_uid, c.status)
        .where(*where)
        .order_by(c.seen_ns.desc(), c.uid.desc())
        .offset(offset)
        .limit(min(limit, LIMIT_MAX))
    )
    return [Workload(*row) for row in tx.execute(page)], total
