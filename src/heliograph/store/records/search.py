"""What a reader asks, as the conditions of one SQL text that both engines take."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from heliograph.core.errors import Refused
from heliograph.core.record import Record
from heliograph.store.records.row import INT64_MAX, INT64_MIN
from heliograph.store.state import text

LIMIT_MAX = 1000
# Matches are counted, and pages reach, so far and no further.
TOTAL_MAX = 10_000
# Values of one filter: the pods of the largest workload.
VALUES_MAX = 10_000
# A reader is cut off after this long.
QUERY_S_MAX = 10


class Page(NamedTuple):
    """*items* of this page, and how many match in all, counted up to `TOTAL_MAX`."""

    items: list[Record]
    total: int


class Search(NamedTuple):
    """*where* is a SQL condition over the names of `row`, *values* its parameters by name; the time
    is there as `first` and `last`, both within, and the condition does not ask for it."""

    where: str
    values: dict[str, Any]
    start_ns: int
    end_ns: int
    newest_first: bool
    offset: int
    limit: int


def search(
    *,
    streams: Sequence[str] | None = None,
    types: Sequence[str] | None = None,
    severities: Sequence[str] | None = None,
    source_kinds: Sequence[str] | None = None,
    session_id: str | None = None,
    start_ns: int | None = None,
    end_ns: int | None = None,
    newest_first: bool = True,
    offset: int = 0,
    limit: int = 50,
) -> Search:
    """The search for records that match every filter given; an empty filter matches nothing.

    Refused: a page beyond `TOTAL_MAX`, more than `VALUES_MAX` values.
    """
    if not 0 <= offset <= TOTAL_MAX:
        raise Refused(f"{offset}, limit {TOTAL_MAX}: narrow the time", field="offset")
    first = INT64_MIN if start_ns is None else max(start_ns, INT64_MIN)
    # Half open, so the last nanosecond of all is found only without an end.
    past = INT64_MAX + 1 if end_ns is None else min(end_ns, INT64_MAX + 1)
    values: dict[str, Any] = {"first": min(first, INT64_MAX), "last": max(past - 1, INT64_MIN)}
    where = ["1 = 1"]
    lists = {
        "stream": streams,
        "type": types,
        "severity": severities,
        "source": source_kinds,
        "session": None if session_id is None else [session_id],
    }
    for column, wanted in lists.items():
        if wanted is not None:
            where.append(_is_one_of(column, wanted, values))
    return Search(
        where=" AND ".join(where),
        values=values,
        start_ns=first,
        end_ns=past,
        newest_first=newest_first,
        offset=offset,
        limit=max(0, min(limit, LIMIT_MAX)),
    )


def _is_one_of(column: str, wanted: Sequence[str], values: dict[str, Any]) -> str:
    if len(wanted) > VALUES_MAX:
        raise Refused(f"{len(wanted)} values, limit {VALUES_MAX}", field=column)
    if not wanted:
        return "1 = 0"
    names = {f"{column}{n}": text.key(each) for n, each in enumerate(wanted)}
    values |= names
    if len(names) == 1:
        return f"{column} = :{column}0"
    return f"{column} IN ({', '.join(f':{name}' for name in names)})"
