"""How many alerts fired and were resolved, and for how long they fired: by the hour and by more.

    add(tx, [StatDelta(hour_ns=…, alert_name="OOM", …, firing=1)])
    table(tx, ("day", "severity"), Filters(workload_id="w-1"))     # newest first

Every delta is added to a row of each *grain*, in one transaction, so that all of them always
agree. A grain is a width of time and what it tells apart:

    hour                          kind and workload
    span (8 days), era (64 days)  kind and workload
    day, hour                     kind (see `alert_kinds`)
    day                           workload
    hour                          severity; source; cluster; nothing

A question reads the coarsest grains that answer it: whole eras, spans or days, then the hours at the
ends. So a million episodes of 90 days are some ten thousand rows for most questions. What a grain
does not tell apart is "" in its rows, also in the kind that they name.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Column, Connection, Table, delete, func, select, tuple_
from sqlalchemy import text as sql

from heliograph.alert.changes import StatDelta
from heliograph.core.errors import Refused
from heliograph.store.state import alert_kinds, text
from heliograph.store.state.columns import Int64, KeyText, metadata
from heliograph.store.state.upsert import put_stored

# Deltas that one transaction may add, and rows that one may delete.
BATCH_MAX = 600
LIMIT_MAX = 1000
# Groups are counted, and pages reach, so far and no further; as alerts are.
TOTAL_MAX = 10_000
SECOND_NS, HOUR_NS = 1_000_000_000, 3_600_000_000_000
DAY_NS = 24 * HOUR_NS
SPAN_NS = 8 * DAY_NS
ERA_NS = 8 * SPAN_NS
GROUP_BY = (
    *("hour", "day", "alert_name", "severity", "source", "workload_id", "cluster_name"),
)

_HOUR, _SPAN, _HOUR_KIND, _DAY_KIND, _DAY_WORKLOAD = range(5)
_HOUR_SEVERITY, _HOUR_SOURCE, _HOUR_CLUSTER, _HOUR_ALL, _ERA = range(5, 10)
_WIDTHS_NS = {_ERA: ERA_NS, _SPAN: SPAN_NS, _DAY_KIND: DAY_NS, _DAY_WORKLOAD: DAY_NS}
_LONG_NS = {_ERA: ERA_NS, _SPAN: SPAN_NS}
# What of a kind the grains of one part tell.
_PARTS = {"severity": _HOUR_SEVERITY, "source": _HOUR_SOURCE, "cluster_name": _HOUR_CLUSTER}
_NO_KIND, _NO_WORKLOAD = 0, ""

STATISTICS = Table(
    "alert_statistics",
    metadata,
    Column("grain", Int64, primary_key=True, autoincrement=False),
    Column("start_ns", Int64, primary_key=True, autoincrement=False),
    Column("workload_id", KeyText, primary_key=True),
    Column("kind", Int64, primary_key=True, autoincrement=False),
    *(Column(name, Int64, nullable=False) for name in ("firing", "resolved", "duration_ns")),
    # Written at the end, where the present hour is; read by grain and time.
    sqlite_with_rowid=False,
)
_C = STATISTICS.c
_COLUMNS = tuple(c.name for c in STATISTICS.columns)
# 292 years: 100,000 alerts fire so long in a day. More stays as much: an error would hold up the rest.
DURATION_MAX_NS = 2**63 - 1
_THEN = """(grain, start_ns, workload_id, kind) DO UPDATE SET firing = s.firing + excluded.firing,
 resolved = s.resolved + excluded.resolved, duration_ns = CASE
 WHEN excluded.duration_ns > 0 AND s.duration_ns > :max - excluded.duration_ns THEN :max
 WHEN excluded.duration_ns < 0 AND s.duration_ns < -:max - excluded.duration_ns THEN -:max
 ELSE s.duration_ns + excluded.duration_ns END"""
_THEN = _THEN.replace("s.", "alert_statistics.").replace(":max", str(DURATION_MAX_NS))


class Filters(NamedTuple):
    """What is counted; None: anything. Hours that begin in `[start_ns, end_ns)`."""

    alert_name: str | None = None
    source: str | None = None
    severity: str | None = None
    workload_id: str | None = None
    cluster_name: str | None = None
    start_ns: int | None = None
    end_ns: int | None = None


class _Kinds(NamedTuple):
    """Kinds by number, and their texts."""

    numbers: tuple[int, ...]
    texts: dict[int, tuple[str, str, str, str]]


# A key in the order of `group_by`; firing, resolved, duration.
_Counted = tuple[tuple[Any, ...], list[int]]


class _Piece(NamedTuple):
    """The rows of *grain* in `[start_ns, end_ns)`."""

    grain: int
    start_ns: int
    end_ns: int


class Group(NamedTuple):
    """*names*: value by what was grouped by; `hour` and `day` are their first instant, in ns."""

    names: dict[str, str | int]
    firing: int
    resolved: int
    duration_ns: int


def add(tx: Connection, deltas: Sequence[StatDelta]) -> None:
    """Add *deltas* (at most `BATCH_MAX`). Not idempotent: what is added twice counts twice."""
    assert len(deltas) <= BATCH_MAX
    stored = alert_kinds.stored_text
    kinds: dict[int, tuple[str, str, str, str]] = {}
    rows: dict[tuple[int, int, str, int], list[int]] = {}
    for each in deltas:
        hour_ns = each.hour_ns - each.hour_ns % HOUR_NS
        day_ns = hour_ns - hour_ns % DAY_NS
        workload = stored(each.workload_id)
        of = _kinds_of(each.source, each.alert_name, each.severity, each.cluster_name)
        kinds |= of.texts
        kind, source, severity, cluster = of.numbers
        for key in (
            (_HOUR, hour_ns, workload, kind),
            (_SPAN, hour_ns - hour_ns % SPAN_NS, workload, kind),
            (_ERA, hour_ns - hour_ns % ERA_NS, workload, kind),
            (_HOUR_KIND, hour_ns, _NO_WORKLOAD, kind),
            (_DAY_KIND, day_ns, _NO_WORKLOAD, kind),
            (_DAY_WORKLOAD, day_ns, workload, _NO_KIND),
            (_HOUR_SEVERITY, hour_ns, _NO_WORKLOAD, severity),
            (_HOUR_SOURCE, hour_ns, _NO_WORKLOAD, source),
            (_HOUR_CLUSTER, hour_ns, _NO_WORKLOAD, cluster),
            (_HOUR_ALL, hour_ns, _NO_WORKLOAD, _NO_KIND),
        ):
            row = rows.get(key)
            if row is None:
                rows[key] = [each.firing, each.resolved, each.duration_ns]
            else:
                row[0] += each.firing
                row[1] += each.resolved
                row[2] += each.duration_ns
    alert_kinds.keep(tx, kinds)
    for row in rows.values():
        row[2] = max(-DURATION_MAX_NS, min(row[2], DURATION_MAX_NS))
    put_stored(tx, STATISTICS, _COLUMNS, [(*key, *rows[key]) for key in sorted(rows)], _THEN)


@lru_cache(alert_kinds.KNOWN_MAX)
def _kinds_of(source: str, alert_name: str, severity: str, cluster_name: str) -> _Kinds:
    """The kind itself, and what its source, severity and cluster are alone, in this order."""
    parts = (
        (source, alert_name, severity, cluster_name),
        (source, "", "", ""),
        ("", "", severity, ""),
        ("", "", "", cluster_name),
    )
    numbers = tuple(alert_kinds.of(*part) for part in parts)
    return _Kinds(numbers, dict(zip(numbers, parts, strict=True)))


def table(
    tx: Connection,
    group_by: Sequence[str],
    filters: Filters,
    *,
    offset: int = 0,
    limit: int = 50,
) -> tuple[list[Group], int]:
    """One page of the groups of *group_by* (some of `GROUP_BY`, each once), and how many there
    are, counted up to `TOTAL_MAX`.

    By hours or days: newest first. Then, and without them, those that fired most often first.
    Only groups that have something. Refused: an unknown name, hour and day together, an offset
    beyond `TOTAL_MAX`.
    """
    _check(group_by, offset)
    bounds = _bounds(tx, filters)
    if bounds is None:
        return [], 0
    end = offset + max(0, min(limit, LIMIT_MAX))
    found: list[_Counted] = []
    total = 0
    for pieces in _plan(tx, group_by, filters, *bounds):
        if total >= TOTAL_MAX:
            break
        if len(found) < end:
            found += _read(tx, group_by, pieces, filters)
            total = len(found)
        else:
            # The page is full: the rest is only counted.
            total += _count(tx, group_by, pieces, filters, TOTAL_MAX - total)
    total = min(total, TOTAL_MAX)
    return [_group(group_by, *each) for each in found[offset : min(end, total)]], total


def prune(tx: Connection, before_ns: int, limit: int = BATCH_MAX) -> int:
    """Delete at most *limit* rows of eras (64 days) that ended by *before_ns*; return how many."""
    assert limit <= BATCH_MAX
    gone = 0
    for grain in range(_ERA + 1):
        old = (
            select(_C.grain, _C.start_ns, _C.workload_id, _C.kind)
            .where(_C.grain == grain, _C.start_ns < before_ns - before_ns % ERA_NS)
            .order_by(_C.start_ns)
            .limit(limit - gone)
        )
        key = tuple_(_C.grain, _C.start_ns, _C.workload_id, _C.kind)
        gone += tx.execute(delete(STATISTICS).where(key.in_(old))).rowcount
    return gone


def _check(group_by: Sequence[str], offset: int) -> None:
    for n, name in enumerate(group_by):
        if name not in GROUP_BY:
            raise Refused(f"{name!r} is not one of {', '.join(GROUP_BY)}", field="group_by")
        if name in group_by[:n]:
            raise Refused(f"{name} occurs twice", field="group_by")
    if {"hour", "day"} <= set(group_by):
        raise Refused("hour and day together: an hour says its day", field="group_by")
    if not 0 <= offset <= TOTAL_MAX:
        raise Refused(f"{offset}, limit {TOTAL_MAX}: narrow the time", field="offset")


def _bounds(tx: Connection, filters: Filters) -> tuple[int, int] | None:
    """The hours to read, `[start_ns, end_ns)`; None when there are none. Where no filter ends them
    they end with a whole era."""
    ends = []
    for order in (_C.start_ns, _C.start_ns.desc()):
        found = select(_C.start_ns).where(_C.grain == _HOUR_ALL).order_by(order).limit(1)
        at_ns = tx.execute(found).scalar()
        if at_ns is None:
            return None
        ends.append(at_ns - at_ns % ERA_NS)
    start_ns, end_ns = ends[0], ends[1] + ERA_NS
    if filters.start_ns is not None:
        start_ns = max(start_ns, _up(filters.start_ns, HOUR_NS))
    if filters.end_ns is not None:
        end_ns = min(end_ns, _up(filters.end_ns, HOUR_NS))
    return (start_ns, end_ns) if start_ns < end_ns else None


def _plan(
    tx: Connection, group_by: Sequence[str], filters: Filters, start_ns: int, end_ns: int
) -> Iterator[list[_Piece]]:
    """What to read, in steps whose groups are apart and ever older."""
    grains = _grains(group_by, filters)
    if "hour" in group_by:
        grains = grains[-1:]
    elif "day" in group_by:
        grains = [grain for grain in grains if grain not in _LONG_NS]
    else:
        yield list(_pieces(start_ns, end_ns, grains))
        return
    newest = select(func.max(_C.start_ns)).where(_C.grain == _HOUR_ALL, _C.start_ns < end_ns)
    last_ns = tx.execute(newest).scalar()
    if last_ns is None:
        return
    end_ns = min(end_ns, (last_ns // DAY_NS + 1) * DAY_NS)
    # The newest groups fill a page; a few steps reach the oldest.
    step_ns = DAY_NS
    while end_ns > start_ns:
        edge_ns = max(start_ns, (end_ns - step_ns) // DAY_NS * DAY_NS)
        yield list(_pieces(edge_ns, end_ns, grains))
        end_ns, step_ns = edge_ns, step_ns * 2


def _grains(group_by: Sequence[str], filters: Filters) -> list[int]:
    """The grains that tell apart what is asked for, the widest first."""
    given = {name for name, value in filters._asdict().items() if value is not None}
    wanted = {*group_by, *given}
    of_kind = wanted.intersection(alert_kinds.COLUMNS)
    if "workload_id" in wanted:
        return [_ERA, _SPAN, _HOUR] if of_kind else [_DAY_WORKLOAD, _HOUR]
    if not of_kind:
        return [_DAY_KIND, _HOUR_ALL]
    part = _PARTS.get(of_kind.pop()) if len(of_kind) == 1 else None
    return [_DAY_KIND, _HOUR_KIND if part is None else part]


def _pieces(start_ns: int, end_ns: int, grains: Sequence[int]) -> Iterator[_Piece]:
    """`[start_ns, end_ns)` in the widest of *grains* that fit; the last of them is an hour wide."""
    if start_ns >= end_ns:
        return
    width_ns = _WIDTHS_NS.get(grains[0], HOUR_NS)
    first_ns, last_ns = _up(start_ns, width_ns), end_ns // width_ns * width_ns
    if first_ns >= last_ns:
        yield from _pieces(start_ns, end_ns, grains[1:])
        return
    yield _Piece(grains[0], first_ns, last_ns)
    yield from _pieces(start_ns, first_ns, grains[1:])
    yield from _pieces(last_ns, end_ns, grains[1:])


def _up(at_ns: int, width_ns: int) -> int:
    return -(-at_ns // width_ns) * width_ns


def _where(filters: Filters) -> tuple[str, dict[str, Any]]:
    """SQL over a row `s` and its kind `k`, and its parameters."""
    where, values = alert_kinds.condition(
        {name: getattr(filters, name) for name in alert_kinds.COLUMNS}
    )
    if filters.workload_id is not None:
        values["workload_id"] = text.key(filters.workload_id)
        where += f"{' AND ' if where else ''}s.workload_id = :workload_id"
    return where, values


def _read(
    tx: Connection, group_by: Sequence[str], pieces: Sequence[_Piece], filters: Filters
) -> list[_Counted]:
    """The groups of *pieces*, in order."""
    found: dict[tuple[Any, ...], list[int]] = {}
    for piece in pieces:
        statement, values = _statement(group_by, piece, filters)
        for *key, firing, resolved, whole_s, rest_ns in tx.execute(sql(statement), values):
            if firing is not None:
                counts = found.setdefault(tuple(key), [0, 0, 0])
                counts[0] += int(firing)
                counts[1] += int(resolved)
                counts[2] += int(whole_s) * SECOND_NS + int(rest_ns)
    timed = next((n for n, name in enumerate(group_by) if name in {"hour", "day"}), None)
    # Texts compare with texts and instants with instants, so keys of one question do.
    counted = sorted(found.items())
    counted.sort(key=lambda item: item[1], reverse=True)
    if timed is not None:
        counted.sort(key=lambda item: item[0][timed], reverse=True)
    return counted


def _count(
    tx: Connection,
    group_by: Sequence[str],
    pieces: Sequence[_Piece],
    filters: Filters,
    most: int,
) -> int:
    """How many groups *pieces* of hours or days have, none of which share one; at most *most*."""
    total = 0
    for piece in pieces:
        statement, values = _statement(group_by, piece, filters)
        counted = sql(f"SELECT count(*) FROM ({statement} LIMIT :most) AS g")  # noqa: S608
        total += tx.execute(counted, {**values, "most": most}).scalar_one()
    return total


def _statement(
    group_by: Sequence[str], piece: _Piece, filters: Filters
) -> tuple[str, dict[str, Any]]:
    """SQL that yields a row for each group of *piece*, and its parameters."""
    where, values = _where(filters)
    # A remainder is never negative here, unlike SQL's.
    day = f"(s.start_ns - (s.start_ns % {DAY_NS} + {DAY_NS}) % {DAY_NS})"
    names = {"hour": "s.start_ns", "day": day, "workload_id": "s.workload_id"}
    selected = [names.get(name, f"k.{name}") for name in group_by]
    joined = not {*group_by, *values}.isdisjoint(alert_kinds.COLUMNS)
    # In two parts: rows together may have more nanoseconds than SQLite's 64 bits.
    sums = ["sum(s.firing)", "sum(s.resolved)"]
    sums += [f"sum(s.duration_ns {part} {SECOND_NS})" for part in "/%"]
    conditions = [
        f"s.grain = {piece.grain} AND {_hours(piece, 'workload_id' in values)}",
        *(["k.id = s.kind"] if joined else []),
        *([where] if where else []),
    ]
    # Names and numbers of our own.
    statement = (
        f"SELECT {', '.join([*selected, *sums])} FROM alert_statistics AS s"  # noqa: S608
        f"{' CROSS JOIN alert_kinds AS k' if joined else ''} "
        f"WHERE {' AND '.join(conditions)}"
    )
    if selected:
        statement += f" GROUP BY {', '.join(map(str, range(1, len(selected) + 1)))}"
    return statement, values


def _hours(piece: _Piece, of_workload: bool) -> str:
    """The condition on time. One workload is found hour by hour: that is what rows are ordered by."""
    between = f"start_ns >= {piece.start_ns} AND start_ns < {piece.end_ns}"
    if not of_workload or piece.grain not in {_HOUR, *_LONG_NS}:
        return f"s.{between.replace('AND ', 'AND s.')}"
    if piece.grain in _LONG_NS:
        starts = range(piece.start_ns, piece.end_ns, _LONG_NS[piece.grain])
        return f"s.start_ns IN ({', '.join(map(str, starts))})"
    there = f"SELECT start_ns FROM alert_statistics WHERE grain = {_HOUR_ALL} AND {between}"  # noqa: S608
    return f"s.start_ns IN ({there})"


def _group(group_by: Sequence[str], key: tuple[Any, ...], counts: list[int]) -> Group:
    names = {
        name: value if isinstance(value, int) else text.original(value)
        for name, value in zip(group_by, key, strict=True)
    }
    return Group(names, *counts)
