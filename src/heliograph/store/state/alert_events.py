"""Episodes, a row each: what is searched as columns, the rest in one document.

    n             order of storing, which breaks ties of `starts_ns`
    kind          `alert_kinds`: source, alert name, severity and cluster in one number
    is_open       1 until `close` finds that `ends_ns` is past: then the episode joins the history
    ends_ns       NULL: no end known
    document      `_Rest`: labels, annotations and what else nobody searches
    raw, enriched as in `alert.model`

**Indexes.** An index in the order of pods or nodes costs a page of its own for nearly every row
that it is given (measured: 12 µs a row, each), so a new alert gets none of these. Open episodes
are few (the engine bounds them) and share one index in the order of time that holds all columns
of the filters. Closing an episode moves it to the indexes of the history. An instant decides what
fires, not `is_open`: see `alert_pages`.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Column, Connection, Index, Table
from sqlalchemy import text as sql

from heliograph.alert.model import Alert, Context
from heliograph.core.labels import Labels
from heliograph.store.state import alert_kinds, batches, text
from heliograph.store.state.alert_values import Codec
from heliograph.store.state.columns import Bytes, Int64, KeyText, metadata, serial
from heliograph.store.state.upsert import VALUES_MAX, put_stored

# Episodes that one transaction may write, move, close or archive (20 ms on the writer).
BATCH_MAX = 300
CLOSE_MAX = 60
# Ids that one statement may name.
IDS_MAX = 500


def _index(name: str, *columns: str, where: str) -> Index:
    condition = sql(where)
    return Index(
        f"ix_alert_events_{name}", *columns, sqlite_where=condition, postgresql_where=condition
    )


_PLACES = ("workload_id", "pod_name", "node_name")
EVENTS = Table(
    "alert_events",
    metadata,
    serial("n"),
    Column("id", KeyText, nullable=False),
    *(
        Column(name, KeyText, nullable=False)
        for name in ("source", "alert_name", "severity", "cluster_name", *_PLACES)
    ),
    *(Column(name, Int64, nullable=False) for name in ("kind", "is_open", "starts_ns")),
    Column("ends_ns", Int64),
    *(Column(name, Int64, nullable=False) for name in ("created_ns", "updated_ns", "count")),
    *(Column(name, Bytes, nullable=False) for name in ("document", "raw", "enriched")),
    Index("ix_alert_events_id", "id", unique=True),
    _index("open", "starts_ns", "n", "kind", *_PLACES, where="is_open = 1"),
    _index("open_ends", "ends_ns", where="is_open = 1"),
    _index("closed", "starts_ns", "n", "kind", where="is_open = 0"),
    _index("closed_ends", "ends_ns", where="is_open = 0"),
    _index("kind", "kind", "starts_ns", "n", where="is_open = 0"),
    *(
        _index(name, name, "starts_ns", "n", "kind", where=f"is_open = 0 AND {name} <> ''")
        for name in _PLACES
    ),
)
_COLUMNS = tuple(c.name for c in EVENTS.columns if c.name != "n")
# A new post may change whose an alert is, its severity and its times; b"" leaves a document.
_CHANGED = (
    *("severity", "cluster_name", *_PLACES, "kind", "is_open", "starts_ns", "ends_ns"),
    *("updated_ns", "count", "document"),
)
_THEN = (
    "(id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _CHANGED)
    + "".join(
        f", {name} = CASE WHEN length(excluded.{name}) = 0 THEN alert_events.{name} "
        f"ELSE excluded.{name} END"
        for name in ("raw", "enriched")
    )
)
_READ = "id, source, starts_ns, ends_ns, created_ns, updated_ns, count, document"


class _Rest(msgspec.Struct, array_like=True, gc=False):
    """What is not a column. New fields go to the end, with a default."""

    fingerprint: str
    labels: Labels
    annotations: Labels
    timed_out: bool
    generator_url: str
    severity: str
    context: tuple[str, ...]
    episode: int
    seq: int
    entities: tuple[str, ...]


_rest = Codec(_Rest)


def put(tx: Connection, alerts: Sequence[Alert]) -> None:
    """Keep *alerts* (at most `BATCH_MAX`), each in place of what has its id.

    Of several with one id the last holds, with the last `raw` and `enriched` that are not b"".
    """
    assert len(alerts) <= BATCH_MAX
    unique: dict[str, Alert] = {}
    for alert in alerts:
        before = unique.get(alert.id)
        unique[alert.id] = alert if before is None else _over(before, alert)
    kinds: dict[int, tuple[str, str, str, str]] = {}
    rows = [_row(alert, kinds) for alert in unique.values()]
    alert_kinds.keep(tx, kinds)
    put_stored(tx, EVENTS, _COLUMNS, rows, _THEN)


def move(tx: Connection, moved: Sequence[tuple[str, int | None, int, int]]) -> None:
    """Set (`ends_ns`, `updated_ns`, `count`) of the episodes with these ids, at most `BATCH_MAX`.

    An id that is unknown is left out.
    """
    assert len(moved) <= BATCH_MAX
    latest = {each[0]: each for each in moved}
    opened = [m for m in latest.values() if m[1] is None or m[1] > m[2]]
    # Nearly all of them are open and stay so: that touches one index.
    if _move(tx, opened, "", " AND alert_events.is_open = 1") < len(opened):
        _move(tx, opened, ", is_open = 1", "")
    ended = [m for m in latest.values() if m[1] is not None and m[1] <= m[2]]
    _move(tx, ended, ", is_open = 0", "")


def close(tx: Connection, now_ns: int, limit: int = CLOSE_MAX) -> int:
    """Move at most *limit* episodes that ended by *now_ns* to the history; return how many.

    Call it again, in another transaction, until it returns 0.
    """
    assert limit <= CLOSE_MAX
    statement = sql(
        "UPDATE alert_events SET is_open = 0 WHERE is_open = 1 AND n IN "
        "(SELECT n FROM alert_events WHERE is_open = 1 AND ends_ns <= :now "
        "ORDER BY ends_ns LIMIT :limit)"
    )
    return tx.execute(statement, {"now": now_ns, "limit": limit}).rowcount


def one(tx: Connection, alert_id: str) -> Alert | None:
    """The episode *alert_id*, whole, or None."""
    found = many(tx, [alert_id], documents=True)
    return found[0] if found else None


def many(tx: Connection, ids: Collection[str], *, documents: bool = False) -> list[Alert]:
    """The episodes with these *ids*, in any order, unknown ones left out.

    Without *documents*, `raw` and `enriched` are b"".
    """
    found: list[Alert] = []
    for some in batches.cut(list(dict.fromkeys(ids)), IDS_MAX):
        named = {f"i{n}": alert_kinds.stored_text(each) for n, each in enumerate(some)}
        where = f"id IN ({', '.join(f':{name}' for name in named)})"
        found += select(tx, where, named, documents=documents)
    return found


def by_number(tx: Connection, numbers: Sequence[int]) -> list[Alert]:
    """The episodes with these `n`, whole, in this order."""
    found: dict[int, Alert] = {}
    for some in batches.cut(numbers, IDS_MAX):
        # Numbers of our own.
        wanted = sql(
            f"SELECT n, {_READ}, raw, enriched FROM alert_events "  # noqa: S608
            f"WHERE n IN ({', '.join(map(str, some))})"
        )
        found |= {row[0]: _alert(row[1:]) for row in tx.execute(wanted)}
    return [found[n] for n in numbers if n in found]


def select(
    tx: Connection, where: str, values: dict[str, Any], *, documents: bool = False
) -> Iterable[Alert]:
    """The episodes for which the SQL *where* with *values* holds, as `many`."""
    more = ", raw, enriched" if documents else ""
    wanted = sql(f"SELECT {_READ}{more} FROM alert_events WHERE {where}")  # noqa: S608
    return (_alert(row) for row in tx.execute(wanted, values))


def _over(before: Alert, alert: Alert) -> Alert:
    return msgspec.structs.replace(
        alert, raw=alert.raw or before.raw, enriched=alert.enriched or before.enriched
    )


def _row(alert: Alert, kinds: dict[int, tuple[str, str, str, str]]) -> tuple[Any, ...]:
    """*alert* in the order of `_COLUMNS`; its kind is added to *kinds*."""
    stored = text.key
    of = alert.context
    texts = (alert.source, alert.name, alert.severity, of.cluster_name)
    kind = alert_kinds.stored_kind(*texts)
    kinds[kind[4]] = texts
    ends_ns, updated_ns = alert.ends_ns, alert.updated_ns
    rest = _Rest(
        alert.fingerprint,
        alert.labels,
        alert.annotations,
        alert.timed_out,
        alert.generator_url,
        alert.severity,
        (
            *(of.workload_id, of.workload_name, of.workload_uid, of.pod_name, of.pod_id),
            *(of.node_name, of.cluster_name),
        ),
        alert.episode,
        alert.seq,
        alert.entities,
    )
    return (
        alert.id,
        *kind[:4],
        of.workload_id and stored(of.workload_id),
        of.pod_name and stored(of.pod_name),
        of.node_name and stored(of.node_name),
        kind[4],
        1 if ends_ns is None or ends_ns > updated_ns else 0,
        alert.starts_ns,
        ends_ns,
        alert.created_ns,
        updated_ns,
        alert.count,
        _rest.encode(rest),
        alert.raw,
        alert.enriched,
    )


def _alert(row: Any) -> Alert:
    id_, source, starts_ns, ends_ns, created_ns, updated_ns, count, stored, *documents = row
    rest = _rest.decode(stored)
    raw, enriched = documents or (b"", b"")
    return Alert(
        id=id_,
        fingerprint=rest.fingerprint,
        source=source,
        labels=rest.labels,
        annotations=rest.annotations,
        starts_ns=starts_ns,
        ends_ns=ends_ns,
        timed_out=rest.timed_out,
        created_ns=created_ns,
        updated_ns=updated_ns,
        generator_url=rest.generator_url,
        severity=rest.severity,
        context=Context(*rest.context),
        count=count,
        episode=rest.episode,
        seq=rest.seq,
        entities=rest.entities,
        raw=bytes(raw),
        enriched=bytes(enriched),
    )


def _move(
    tx: Connection,
    moved: Sequence[tuple[str, int | None, int, int]],
    more: str,
    only: str,
) -> int:
    mark = "%s" if tx.dialect.name == "postgresql" else "?"
    one = f"(CAST({mark} AS TEXT), {', '.join([f'CAST({mark} AS BIGINT)'] * 3)})"
    changed = 0
    for some in batches.cut(moved, VALUES_MAX // 4):
        rows = ", ".join([one] * len(some))
        text = (
            "UPDATE alert_events SET ends_ns = moved.column2, updated_ns = moved.column3, "  # noqa: S608
            f"count = moved.column4{more} FROM (VALUES {rows}) AS moved "
            f"WHERE alert_events.id = moved.column1{only}"
        )
        values = tuple(value for each in some for value in each)
        changed += tx.exec_driver_sql(text, values).rowcount
    return changed
