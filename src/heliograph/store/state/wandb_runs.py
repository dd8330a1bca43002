"""Wandb runs: who they are, how far their files have come, and what they say of themselves.

    uid             `wandb:entity:project:run`
    state           `running`, `finished`, `failed`, `preempted`, `silent`
    pod_uid         whose rows, samples and records are; `own` 1 where the pod was made for the run
    created_ns      when we first heard of it; `heard_ns` when we last did, heartbeats included
    history_ns      arrival of its last step: a run that only heartbeats is silent here
    history_lines   one past the highest line of the file that was taken; so the other two
    console_kept    console lines that were there, came again and became records: written over
    document        `document` bytes: config, summary, metadata and whatever else is not asked for

Counts and instants only grow, in whatever order writes of one run come.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Column, Connection, Index, Table, case, func, select

from heliograph.store.state import document
from heliograph.store.state.columns import Bytes, Int64, KeyText, metadata
from heliograph.store.state.upsert import insert

LIMIT_MAX = 1000
# Runs that one transaction may forget, or that one call may name.
FORGET_MAX = 100

RUNNING, FINISHED, FAILED = "running", "finished", "failed"
PREEMPTED, SILENT = "preempted", "silent"
STATES = (RUNNING, FINISHED, FAILED, PREEMPTED, SILENT)

RUNS = Table(
    "wandb_runs",
    metadata,
    Column("uid", KeyText, primary_key=True),
    Column("entity", KeyText, nullable=False),
    Column("project", KeyText, nullable=False),
    Column("run_id", KeyText, nullable=False),
    Column("state", KeyText, nullable=False),
    Column("pod_uid", KeyText, nullable=False),
    Column("own", Int64, nullable=False),
    Column("created_ns", Int64, nullable=False),
    Column("heard_ns", Int64, nullable=False),
    Column("history_ns", Int64, nullable=False),
    Column("history_lines", Int64, nullable=False),
    Column("event_lines", Int64, nullable=False),
    Column("console_lines", Int64, nullable=False),
    Column("console_kept", Int64, nullable=False),
    Column("document", Bytes, nullable=False),
    Index(None, "heard_ns", "uid"),
    Index(None, "created_ns", "uid"),
)
_C = RUNS.c
_GROWING = (
    *("heard_ns", "history_ns", "history_lines", "event_lines", "console_lines"),
    "console_kept",
)
_SAID = ("state", "pod_uid", "own", "document")


class WandbRun(NamedTuple):
    """One run; the fields are the table's columns."""

    uid: str
    entity: str
    project: str
    run_id: str
    state: str
    pod_uid: str
    own: bool
    created_ns: int
    heard_ns: int
    history_ns: int = 0
    history_lines: int = 0
    event_lines: int = 0
    console_lines: int = 0
    console_kept: int = 0
    document: Mapping[str, Any] = {}


def get(tx: Connection, uid: str) -> WandbRun | None:
    """The run *uid*, or None."""
    found = tx.execute(select(RUNS).where(_C.uid == uid)).first()
    return None if found is None else _run(found)


def put(tx: Connection, run: WandbRun) -> None:
    """Keep *run*, anew or again; what only grows never gets smaller. Refused for a document that
    cannot be stored."""
    values = {
        **run._asdict(),
        "own": int(run.own),
        "document": document.encode(dict(run.document)),
    }
    new = insert(tx, RUNS).values(**values)
    grown = {
        name: case(
            (new.excluded[name] > _C[name], new.excluded[name]),
            else_=_C[name],
        )
        for name in _GROWING
    }
    said = {name: new.excluded[name] for name in _SAID}
    tx.execute(new.on_conflict_do_update(index_elements=["uid"], set_={**said, **grown}))


def page(
    tx: Connection,
    *,
    entity: str | None = None,
    project: str | None = None,
    state: str | None = None,
    offset: int = 0,
    limit: int = 50,
    oldest_first: bool = False,
) -> tuple[list[WandbRun], int]:
    """One page of the runs that equal every filter given, newest first by when we first heard of
    them, or oldest first, and how many there are in all."""
    filters = {"entity": entity, "project": project, "state": state}
    where = [_C[column] == value for column, value in filters.items() if value is not None]
    total = tx.execute(select(func.count()).select_from(RUNS).where(*where)).scalar_one()
    by = (_C.created_ns, _C.uid)
    wanted = (
        select(RUNS)
        .where(*where)
        .order_by(*(by if oldest_first else (column.desc() for column in by)))
        .offset(offset)
        .limit(min(limit, LIMIT_MAX))
    )
    return [_run(row) for row in tx.execute(wanted)], total


def quiet(tx: Connection, before_ns: int, limit: int = FORGET_MAX) -> list[WandbRun]:
    """At most *limit* runs that are `running` and were last heard of before *before_ns*."""
    wanted = (
        select(RUNS)
        .where(_C.state == RUNNING, _C.heard_ns < before_ns)
        .order_by(_C.heard_ns, _C.uid)
        .limit(min(limit, FORGET_MAX))
    )
    return [_run(row) for row in tx.execute(wanted)]


def forget_oldest(tx: Connection, keep: int, spared: str = "") -> list[str]:
    """Forget those beyond *keep* that were heard of longest ago, at most FORGET_MAX, but never the run
    *spared*; their uids."""
    total = tx.execute(select(func.count()).select_from(RUNS)).scalar_one()
    excess = min(total - keep, FORGET_MAX)
    if excess <= 0:
        return []
    oldest = select(_C.uid).where(_C.uid != spared).order_by(_C.heard_ns, _C.uid)
    uids: Sequence[str] = tx.execute(oldest.limit(excess)).scalars().all()
    tx.execute(RUNS.delete().where(_C.uid.in_(uids)))
    return list(uids)


def _run(row: Any) -> WandbRun:
    run = WandbRun(*row)
    return run._replace(own=bool(run.own), document=document.decode(row.document))
