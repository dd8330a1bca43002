"""Pages of episodes, newest first, by any combination of filters, in milliseconds at a million.

    page(tx, Filters(severity="critical", status=Status.FIRING), now_ns=now, limit=20)

Every search is a merge of *streams*: conditions whose episodes an index yields newest first.

    open episodes          one stream, filtered within its index: there are few
    the history, by place  one stream (pod, else workload, else node), the rest filtered after
    the history, by kind   a stream for each kind that matches: no stream, no match
    the history            one stream

An episode fires while `ends_ns` is ahead of *now_ns*. That is told from `is_open`, but for those
that ended since `alert_events.close` last ran: when there are any, they make a stream of their own.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection
from sqlalchemy import text as sql

from heliograph.alert.model import Alert, Status
from heliograph.core.errors import Refused
from heliograph.store.state import alert_events, alert_kinds, batches, text

LIMIT_MAX = 1000
# Matches are counted, and pages reach, so far and no further; as records are.
TOTAL_MAX = 10_000
# Kinds that are merged; when more match, the history is walked instead.
KINDS_MERGED_MAX = 1000
# Streams of one statement (SQLite takes 500), and rows that each yields at first, at least.
_STREAMS_MAX = 400
_CHUNK_MIN = 8
# Streams that the engine merges itself. Of more it makes a tower, through which every row climbs.
_FEW = 3


class Filters(NamedTuple):
    """What an episode must equal; None: anything. Starts in `[start_ns, end_ns)`."""

    source: str | None = None
    alert_name: str | None = None
    severity: str | None = None
    status: Status | None = None
    workload_id: str | None = None
    pod_name: str | None = None
    node_name: str | None = None
    cluster_name: str | None = None
    start_ns: int | None = None
    end_ns: int | None = None


class Page(NamedTuple):
    """*items* of this page, whole, and how many match in all, counted up to `TOTAL_MAX`."""

    items: list[Alert]
    total: int


class _Stream(NamedTuple):
    """Episodes for which *where* holds."""

    where: str
    values: dict[str, Any]


def page(
    tx: Connection, filters: Filters, *, now_ns: int, offset: int = 0, limit: int = 50
) -> Page:
    """One page of the episodes that match *filters* at *now_ns*, newest start first; of equal
    starts the later stored first. At most `LIMIT_MAX` items.

    Refused: an offset beyond `TOTAL_MAX`.
    """
    if not 0 <= offset <= TOTAL_MAX:
        raise Refused(f"{offset}, limit {TOTAL_MAX}: narrow the time", field="offset")
    limit = max(0, min(limit, LIMIT_MAX))
    streams, counted = _streams(tx, filters, now_ns)
    total = _total(tx, counted)
    wanted = min(offset + limit, total)
    if offset >= wanted:
        return Page([], total)
    if len(streams) <= _FEW:
        found = _merged(tx, streams, offset, wanted - offset)
    else:
        found = _newest(tx, streams, wanted)[offset:]
    return Page(alert_events.by_number(tx, found), total)


def _streams(
    tx: Connection, filters: Filters, now_ns: int
) -> tuple[list[_Stream], list[_Stream]]:
    """The streams to merge, and those to count: the same episodes in fewer pieces."""
    kind_where, kind_values = alert_kinds.condition(
        {name: getattr(filters, name) for name in alert_kinds.COLUMNS}
    )
    kinds: list[int] | None = None
    if kind_where:
        kinds = alert_kinds.numbers(tx, kind_where, kind_values, KINDS_MERGED_MAX + 1)
        if not kinds:
            return [], []
    of_kind = _of_kind(kinds, kind_where)
    first_place, places = _places(filters)
    values = {**kind_values, **places, "now": now_ns}
    span = _span(filters, values)
    rest = [f"{name} || '' = :{name}" for name in places if name != first_place]
    status = filters.status
    overdue = status is not None and _overdue(tx, now_ns)
    any_place = [f"{name} || '' = :{name}" for name in places]

    def stream(*conditions: str) -> _Stream:
        return _Stream(" AND ".join(each for each in (*conditions, *span) if each), values)

    opened, closed = [], []
    if status is not Status.RESOLVED:
        fires = "(ends_ns IS NULL OR ends_ns + 0 > :now)" if overdue else ""
        opened = [stream("is_open = 1", of_kind, *any_place, fires)]
    elif overdue:
        opened = [stream("is_open = 1", "ends_ns <= :now", of_kind, *any_place)]
    if status is Status.FIRING:
        return opened, opened
    if first_place:
        at = f"{first_place} <> '' AND {first_place} = :{first_place}"
        closed = [stream("is_open = 0", at, of_kind, *rest)]
    elif kinds is None or len(kinds) > KINDS_MERGED_MAX:
        closed = [stream("is_open = 0", of_kind, *rest)]
    else:
        closed = [stream("is_open = 0", f"kind = {kind}", *rest) for kind in kinds]
        one_of = f"kind IN ({', '.join(map(str, kinds))})"
        return [*opened, *closed], [*opened, stream("is_open = 0", one_of, *rest)]
    return [*opened, *closed], [*opened, *closed]


def _of_kind(kinds: Sequence[int] | None, where: str) -> str:
    """The condition on kinds, written so that no index is chosen for it."""
    if kinds is None:
        return ""
    if len(kinds) > KINDS_MERGED_MAX:
        return f"kind + 0 IN (SELECT id FROM alert_kinds WHERE {where})"  # noqa: S608
    return f"kind + 0 IN ({', '.join(map(str, kinds))})"


def _places(filters: Filters) -> tuple[str, dict[str, str]]:
    """The place filter whose index is used ("" for none), and all place filters."""
    given = {
        name: text.key(value)
        for name in ("pod_name", "workload_id", "node_name")
        if (value := getattr(filters, name)) is not None
    }
    return next((name for name, value in given.items() if value), ""), given


def _span(filters: Filters, values: dict[str, Any]) -> list[str]:
    span = []
    if filters.start_ns is not None:
        values["start"] = filters.start_ns
        span.append("starts_ns >= :start")
    if filters.end_ns is not None:
        values["end"] = filters.end_ns
        span.append("starts_ns < :end")
    return span


def _overdue(tx: Connection, now_ns: int) -> bool:
    """Whether an episode that is over still waits to be closed."""
    wanted = sql("SELECT 1 FROM alert_events WHERE is_open = 1 AND ends_ns <= :now LIMIT 1")
    return tx.execute(wanted, {"now": now_ns}).first() is not None


def _total(tx: Connection, streams: Sequence[_Stream]) -> int:
    """How many the *streams* yield, at most `TOTAL_MAX`."""
    total = 0
    for some in batches.cut(streams, _STREAMS_MAX):
        left = TOTAL_MAX - total
        if not left:
            break
        parts = " UNION ALL ".join(
            f"SELECT * FROM (SELECT 1 FROM alert_events WHERE {each.where} LIMIT {left}) AS s{n}"  # noqa: S608
            for n, each in enumerate(some)
        )
        wanted = sql(f"SELECT count(*) FROM (SELECT * FROM ({parts}) AS u LIMIT {left}) AS m")  # noqa: S608
        total += tx.execute(wanted, _values(some)).scalar_one()
    return total


def _merged(tx: Connection, streams: Sequence[_Stream], offset: int, limit: int) -> list[int]:
    """The `n` of so many of all few *streams*, newest first, after the *offset* newest: the engine
    walks their indexes side by side."""
    # Each in its order and no further: PostgreSQL sorts the whole history otherwise.
    parts = " UNION ALL ".join(
        f"SELECT * FROM (SELECT starts_ns, n FROM alert_events WHERE {each.where} "  # noqa: S608
        f"ORDER BY starts_ns DESC, n DESC LIMIT {offset + limit}) AS s{s}"
        for s, each in enumerate(streams)
    )
    wanted = sql(f"{parts} ORDER BY starts_ns DESC, n DESC LIMIT {limit} OFFSET {offset}")
    return [n for _, n in tx.execute(wanted, _values(streams))]


def _newest(tx: Connection, streams: Sequence[_Stream], wanted: int) -> list[int]:
    """The `n` of the *wanted* newest of all many *streams*, newest first.

    Each stream yields a chunk; those that may still hold one of the newest yield more, until none
    may. So a thousand streams cost a thousand first chunks, and not a thousand pages.
    """
    chunk = wanted if len(streams) == 1 else wanted // len(streams) * 5 // 4 + _CHUNK_MIN
    found: list[tuple[int, int]] = []
    after: dict[int, tuple[int, int] | None] = dict.fromkeys(range(len(streams)))
    while after:
        last: dict[int, tuple[int, int]] = {}
        yielded = dict.fromkeys(after, 0)
        for some in batches.cut(list(after), _STREAMS_MAX):
            for s, starts_ns, n in _chunks(tx, streams, some, after, chunk):
                found.append((starts_ns, n))
                yielded[s] += 1
                last[s] = min(last.get(s, (starts_ns, n)), (starts_ns, n))
        found.sort(reverse=True)
        del found[wanted:]
        full = len(found) == wanted
        after = {
            s: last[s]
            for s, count in yielded.items()
            if count == chunk and not (full and last[s] <= found[-1])
        }
        chunk *= 2
    return [n for _, n in found]


def _chunks(
    tx: Connection,
    streams: Sequence[_Stream],
    some: Sequence[int],
    after: dict[int, tuple[int, int] | None],
    chunk: int,
) -> Any:
    parts = []
    for s in some:
        past = after[s]
        # Numbers of our own.
        more = "" if past is None else f" AND (starts_ns, n) < ({past[0]}, {past[1]})"
        parts.append(
            f"SELECT * FROM (SELECT {s} AS s, starts_ns, n FROM alert_events "  # noqa: S608
            f"WHERE {streams[s].where}{more} ORDER BY starts_ns DESC, n DESC LIMIT {chunk}) AS s{s}"
        )
    found = tx.execute(sql(" UNION ALL ".join(parts)), _values([streams[s] for s in some]))
    # Thousands of rows of three numbers: the driver's own tuples will do.
    return found.cursor.fetchall()


def _values(streams: Sequence[_Stream]) -> dict[str, Any]:
    # Every stream of a search has the same parameters; a statement names those that it needs.
    where = " ".join(each.where for each in streams)
    return {name: value for name, value in streams[0].values.items() if f":{name}" in where}
