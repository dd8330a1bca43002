"""Episodes, a row each: what is searched as columns, the rest in one document.

    n             order of storing, which breaks ties of `starts_ns`
    kind          `alert_kinds`: source, alert name, severity and cluster in one number
    is_open       1 until `close` finds that `ends_ns` is past: then the episode joins the history
    ends_ns       NULL: no end known
    document      `_Rest`: labels, annotations and what else nobody searches
    raw, enriched as in `alert.model`. Of a row that came with many others `enriched` is a reference,
                  and what is empty of the three is on a sheet (`alert_sheets`)

**Indexes.** An index in the order of pods or nodes costs a page of its own for nearly every row
that it is given (measured: 12 µs a row, each), so a new alert gets none of these. Open episodes
are few (the engine bounds them) and share one index in the order of time that holds all columns
of the filters. Closing an episode moves it to the indexes of the history. An instant decides what
fires, not `is_open`: see `alert_pages`.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import msgspec
import sqlalchemy
from sqlalchemy import Column, Connection, Index, Table
from sqlalchemy import text as sql

from heliograph.alert.model import Alert, Context
from heliograph.core.labels import Labels
from heliograph.kernels import alert_rows
from heliograph.store.state import alert_kinds, alert_sheets, batches, text
from heliograph.store.state.alert_sheets import Said
from heliograph.store.state.alert_values import Codec
from heliograph.store.state.columns import Bytes, Int64, KeyText, metadata, serial
from heliograph.store.state.upsert import VALUES_MAX, put_values

# Episodes that one transaction may write, move, close or archive (20 ms on the writer).
BATCH_MAX = 300
CLOSE_MAX = 60
# Ids that one statement may name.
IDS_MAX = 500
# Rows whose sheets are looked up together.
READ_TOGETHER = 500


def _index(name: str, *columns: str, where: str) -> Index:
    return Index(f"ix_alert_events_{name}", *columns, sqlite_where=sql(where))


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
# In the order of `alert_rows.rows`; those from `source` on are often the same in all.
_COLUMNS = (
    *("id", "alert_name", "severity", "cluster_name", *_PLACES, "kind", "starts_ns", "ends_ns"),
    *("enriched", "source", "is_open", "created_ns", "updated_ns", "count", "document", "raw"),
)
# A new post may change whose an alert is, its severity and its times; b"" leaves a document.
_CHANGED = (
    *("severity", "cluster_name", *_PLACES, "kind", "is_open", "starts_ns", "ends_ns"),
    *("updated_ns", "count", "document"),
)
# What came on a sheet has no `document`, and the `raw` of it takes the place of what the row has.
_THEN = (
    "(id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _CHANGED)
    + ", raw = CASE WHEN length(excluded.raw) = 0 AND length(excluded.document) > 0 "
    "THEN alert_events.raw ELSE excluded.raw END"
    ", enriched = CASE WHEN length(excluded.enriched) = 0 THEN alert_events.enriched "
    "ELSE excluded.enriched END"
)
_NUMBERS = "id, source, starts_ns, ends_ns, created_ns, updated_ns, count"
_SAYS = {
    # What has a document of its own needs no sheet for it.
    False: "document, CASE WHEN length(document) = 0 THEN enriched END",
    True: "document, enriched, raw",
}


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
    unique = {alert.id: alert for alert in alerts}
    if len(unique) < len(alerts):
        unique.clear()
        for alert in alerts:
            before = unique.get(alert.id)
            unique[alert.id] = alert if before is None else _over(before, alert)
    made = [
        _with_raw(tx, alert) if alert.enriched and not alert.raw else alert
        for alert in unique.values()
    ]
    says = alert_sheets.laid_out(tx, made, _document)
    kinds: dict[int, tuple[str, str, str, str]] = {}
    values, shared = alert_rows.rows(made, *says, alert_kinds.stored_kind, text.key, kinds)
    alert_kinds.keep(tx, kinds)
    put_values(tx, EVENTS, _COLUMNS, values, _THEN, shared)


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
            f"SELECT {_NUMBERS}, {_SAYS[True]}, n FROM alert_events "  # noqa: S608
            f"WHERE n IN ({', '.join(map(str, some))})"
        )
        rows = tx.execute(wanted).all()
        alerts = _alerts(tx, rows, documents=True)
        found |= {row[-1]: alert for row, alert in zip(rows, alerts, strict=True)}
    return [found[n] for n in numbers if n in found]


def select(
    tx: Connection, where: str, values: dict[str, Any], *, documents: bool = False
) -> Iterator[Alert]:
    """The episodes for which the SQL *where* with *values* holds, as `many`."""
    says = _SAYS[documents]
    wanted = sql(f"SELECT {_NUMBERS}, {says} FROM alert_events WHERE {where}")  # noqa: S608
    for rows in tx.execute(wanted, values).partitions(READ_TOGETHER):
        yield from _alerts(tx, rows, documents=documents)


def delete(tx: Connection, ids: Sequence[str]) -> int:
    """Have no episodes with these *ids* any more (at most `IDS_MAX`); how many there were."""
    assert len(ids) <= IDS_MAX
    named = EVENTS.c.id.in_(ids)
    said = tx.execute(sqlalchemy.select(EVENTS.c.enriched).where(named)).scalars()
    alert_sheets.let_go(tx, list(filter(alert_sheets.is_reference, said)))
    return tx.execute(EVENTS.delete().where(named)).rowcount


def _over(before: Alert, alert: Alert) -> Alert:
    return msgspec.structs.replace(
        alert, raw=alert.raw or before.raw, enriched=alert.enriched or before.enriched
    )


def _with_raw(tx: Connection, alert: Alert) -> Alert:
    """*alert*, whose `enriched` takes the place of what may be a reference, with the `raw` there."""
    stored = one(tx, alert.id)
    return alert if stored is None else msgspec.structs.replace(alert, raw=stored.raw)


def _document(alert: Alert) -> bytes:
    of = alert.context
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
    return _rest.encode(rest)


def _alerts(tx: Connection, rows: Sequence[Any], *, documents: bool) -> list[Alert]:
    """The alerts of *rows*, of `_NUMBERS` and `_SAYS`."""
    references = [row[8] for row in rows if row[8] and alert_sheets.is_reference(row[8])]
    sheets = alert_sheets.read(tx, references, whole=documents) if references else {}
    return [_alert(row, sheets.get(row[8]), documents=documents) for row in rows]


def _alert(row: Any, sheet: Said | None, *, documents: bool) -> Alert:
    id_, source, starts_ns, ends_ns, created_ns, updated_ns, count, document, enriched, *raw = (
        row
    )
    if sheet is not None:
        document, enriched = document or sheet.document, sheet.enriched
        raw = [raw[0] or sheet.raw] if raw else []
    rest = _rest.decode(document)
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
        raw=raw[0] if documents else b"",
        enriched=enriched if documents else b"",
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
