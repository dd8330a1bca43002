"""What people ask of the statistics: groups of anything, of any time, by any filter.

    table(tx, ("day", "severity"), Filters(workload_id="w-1"))     # newest first

Hours and days are read day by day from the newest on, until the page is full and so many groups are
counted as are shown: so a million episodes are 10 ms. Without them all is one: whole eras and spans
are read, then the days and hours at the ends. Where no workload is asked for, chunks without are.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection

from heliograph.core.duration import DAY_NS, HOUR_NS
from heliograph.core.errors import Refused
from heliograph.store.state import alert_kinds, alert_sums, sum_columns, sum_groups, text
from heliograph.store.state.alert_sums import (
    DAY,
    DAY_KIND,
    ERA,
    ERA_KIND,
    ERA_NS,
    HOUR,
    SPAN,
    SPAN_KIND,
    SPAN_NS,
)
from heliograph.store.state.sum_columns import Numbers, Rows, Sums
from heliograph.store.state.sum_groups import Counted, Part

LIMIT_MAX = 1000
# Groups are counted, and pages reach, so far and no further; as alerts are.
TOTAL_MAX = 10_000
GROUP_BY = (
    *("hour", "day", "alert_name", "severity", "source", "workload_id", "cluster_name"),
)
# Days that are read at once, at most: 10 MB where each has 10,000 rows.
_DAYS_MAX = 32
_HOURS = DAY_NS // HOUR_NS


class Filters(NamedTuple):
    """What is counted; None: anything. Hours that begin in `[start_ns, end_ns)`."""

    alert_name: str | None = None
    source: str | None = None
    severity: str | None = None
    workload_id: str | None = None
    cluster_name: str | None = None
    start_ns: int | None = None
    end_ns: int | None = None


class Group(NamedTuple):
    """*names*: value by what was grouped by; `hour` and `day` are their first instant, in ns."""

    names: dict[str, str | int]
    firing: int
    resolved: int
    duration_ns: int


class _Asked:
    """One question, on one connection: what it reads, and of that what it counts."""

    def __init__(self, tx: Connection, group_by: Sequence[str], filters: Filters) -> None:
        self._tx = tx
        self._group_by = group_by
        self._start_ns, self._end_ns = _bounds(tx, filters)
        self._kind = {
            n: text.key(value)
            for n, name in enumerate(alert_kinds.COLUMNS)
            if (value := getattr(filters, name)) is not None
        }
        of = filters.workload_id
        self._workload = None if of is None else text.key(of)
        self._of_kind = not set(group_by).isdisjoint(alert_kinds.COLUMNS)
        # By kind, in the order of `alert_kinds.COLUMNS`, and kinds that are asked for.
        self._texts: dict[int, tuple[str, ...]] = {}
        self._fitting: set[int] = set()
        of_workload = of is not None or "workload_id" in group_by
        self._wide = (ERA, SPAN, DAY) if of_workload else (ERA_KIND, SPAN_KIND, DAY_KIND)

    def days(self, counted: Callable[[], bool]) -> Iterator[tuple[int, Sums]]:
        """When each day begins that has something, the newest first, and its sums, or their keys
        alone where they need not be *counted*."""
        end_ns, days = self._end_ns, 1
        while end_ns > self._start_ns:
            newest_ns = alert_sums.newest_ns(self._tx, end_ns)
            if newest_ns is None:
                return
            last_ns = newest_ns - newest_ns % DAY_NS + DAY_NS
            begin_ns = max(last_ns - days * DAY_NS, self._start_ns - self._start_ns % DAY_NS)
            found: dict[int, list[Sums]] = {}
            until_ns = min(last_ns, end_ns)
            for at_ns, sums in self._read(
                (HOUR, self._wide[-1]), begin_ns, until_ns, counted()
            ):
                found.setdefault(at_ns - at_ns % DAY_NS, []).append(sums)
            for day_ns in sorted(found, reverse=True):
                of_day = found[day_ns]
                # What one chunk has, another may take out again.
                only = len(of_day) == 1 or of_day[0].counted
                yield day_ns, sum_columns.joined(of_day) if only else self.day(day_ns)
            end_ns, days = begin_ns, min(days * 4, _DAYS_MAX)

    def day(self, day_ns: int) -> Sums:
        """The sums of a day that has something."""
        found = self._read((HOUR, self._wide[-1]), day_ns, min(day_ns + DAY_NS, self._end_ns))
        return sum_columns.joined([sums for _, sums in found])

    def whole(self) -> Iterator[tuple[int, Sums]]:
        """The sums of all of it at once, where there is something, as if of one day."""
        start_ns, end_ns = self._start_ns, self._end_ns
        found = [sums for _, sums in self._read((HOUR,), start_ns, end_ns)]
        for grain, begin_ns, past_ns in _pieces(start_ns, end_ns, self._wide):
            found += [sums for _, sums in self._read((grain,), begin_ns, past_ns)]
        if found:
            yield 0, sum_columns.joined(found)

    def parts(self, sums: Sums, day_ns: int) -> list[Part]:
        """What the rows of *sums* are grouped by; those of one day, where that matters."""
        return [self._part(name, sums, day_ns) for name in self._group_by]

    def _part(self, name: str, sums: Sums, day_ns: int) -> Part:
        if name == "workload_id":
            return Part(sums.workload, sums.workloads)
        if name == "hour":
            hours = [day_ns + n * HOUR_NS for n in range(_HOURS)]
            return Part(sums.hour - day_ns // HOUR_NS, hours)
        if name == "day":
            return Part(sum_columns.zeros(sums.rows), [day_ns])
        column = alert_kinds.COLUMNS.index(name)
        values: dict[str, int] = {}
        places = [
            values.setdefault(self._texts[kind][column], len(values))
            for kind in self._known(sums)
        ]
        return Part(np.array(places, dtype=np.int64)[sums.kind], list(values))

    def _read(
        self, grains: Sequence[int], start_ns: int, end_ns: int, counted: bool = True
    ) -> Iterator[tuple[int, Sums]]:
        """When each chunk begins in which something is asked for, and those rows of it. What is not
        grouped by is made one."""
        read = alert_sums.read(self._tx, grains, start_ns, end_ns, numbers=counted)
        for at_ns, keys, numbers in read:
            rows = self._rows(keys, at_ns, partly=grains[-1] <= DAY_KIND)
            sums = sum_columns.taken(keys, rows)
            if not sums.rows:
                continue
            if counted:
                sums = sum_columns.counted(sums, numbers, rows)
            none = sum_columns.zeros(sums.rows)
            if "workload_id" not in self._group_by:
                sums = sums._replace(workload=none, workloads=[""])
            if not self._of_kind:
                sums = sums._replace(kind=none, kinds=np.zeros(1, dtype=np.int64))
            yield at_ns, sums

    def _rows(self, keys: Sums, at_ns: int, *, partly: bool) -> Rows:
        """The rows of *keys* that are asked for."""
        rows: Rows = None
        if self._workload is not None:
            there = self._workload in keys.workloads
            place = keys.workloads.index(self._workload) if there else -1
            rows = np.flatnonzero(keys.workload == place)
        if self._kind:
            fits = [kind in self._fitting for kind in self._known(keys)]
            if not all(fits):
                rows = _those(rows, np.array(fits)[_at(keys.kind, rows)])
        if partly and not self._start_ns <= at_ns <= self._end_ns - DAY_NS:
            hours = _at(keys.hour, rows)
            after = hours >= self._start_ns // HOUR_NS
            rows = _those(rows, after & (hours < self._end_ns // HOUR_NS))
        return rows

    def _known(self, sums: Sums) -> list[int]:
        """The kinds of *sums*, of each of which the texts are known now, and whether it fits."""
        kinds: list[int] = sums.kinds.tolist()
        new = [kind for kind in kinds if kind not in self._texts]
        for kind, texts in alert_kinds.texts(self._tx, new).items():
            self._texts[kind] = texts
            if all(texts[n] == value for n, value in self._kind.items()):
                self._fitting.add(kind)
        return kinds


class _Groups:
    """The groups of a day, or of all. Their sums are read when they are asked for."""

    def __init__(self, asked: _Asked, day_ns: int, sums: Sums) -> None:
        self._asked, self._day_ns = asked, day_ns
        self._have(sums)

    def count(self) -> int:
        """How many there are."""
        totals = self._totals
        return sum_groups.count(*self._numbered) if totals is None else len(totals.groups)

    def page(self, begin: int, end: int, falling: int | None) -> list[Counted]:
        """Those `[begin, end)`, in order."""
        if self._totals is None:
            self._have(self._asked.day(self._day_ns))
        assert self._totals is not None
        return sum_groups.ordered(
            self._totals, self._parts, *self._numbered, begin=begin, end=end, falling=falling
        )

    def _have(self, sums: Sums) -> None:
        self._parts = self._asked.parts(sums, self._day_ns)
        self._numbered = sum_groups.numbered(sums.rows, self._parts)
        self._totals = sum_groups.summed(sums, *self._numbered) if sums.counted else None


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
    asked = _Asked(tx, group_by, filters)
    end = min(offset + max(0, min(limit, LIMIT_MAX)), TOTAL_MAX)
    falling = next((n for n, name in enumerate(group_by) if name in {"hour", "day"}), None)
    found: list[Counted] = []
    total = 0
    steps = (
        asked.whole()
        if falling is None
        else asked.days(lambda: not offset and total < end)  # else most of it is only counted
    )
    for day_ns, keys in steps:
        groups = _Groups(asked, day_ns, keys)
        here = groups.count()
        if offset < total + here and total < end:
            found += groups.page(max(0, offset - total), end - total, falling)
        total += here
        if total >= TOTAL_MAX:
            break
    return [_group(group_by, each) for each in found], min(total, TOTAL_MAX)


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


def _bounds(tx: Connection, filters: Filters) -> tuple[int, int]:
    """The hours to read, `[start_ns, end_ns)`, no further than there are chunks; where no filter
    ends them they end with a whole era."""
    oldest_ns, newest_ns = alert_sums.oldest_ns(tx), alert_sums.newest_ns(tx)
    if oldest_ns is None or newest_ns is None:
        return 0, 0
    start_ns, end_ns = oldest_ns - oldest_ns % ERA_NS, newest_ns - newest_ns % ERA_NS + ERA_NS
    if filters.start_ns is not None:
        start_ns = max(start_ns, _up(filters.start_ns, HOUR_NS))
    if filters.end_ns is not None:
        end_ns = min(end_ns, _up(filters.end_ns, HOUR_NS))
    return start_ns, end_ns


def _pieces(
    start_ns: int, end_ns: int, grains: Sequence[int]
) -> Iterator[tuple[int, int, int]]:
    """`[start_ns, end_ns)` in the widest of *grains*, an era, a span and a day, that fit; days also
    where they do not."""
    *wide, day = zip(grains, (ERA_NS, SPAN_NS, DAY_NS), strict=True)

    def pieces(start_ns: int, end_ns: int, level: int) -> Iterator[tuple[int, int, int]]:
        if start_ns >= end_ns:
            return
        if level == len(wide):
            yield day[0], start_ns // DAY_NS * DAY_NS, end_ns
            return
        grain, width_ns = wide[level]
        first_ns, last_ns = _up(start_ns, width_ns), end_ns // width_ns * width_ns
        if first_ns >= last_ns:
            yield from pieces(start_ns, end_ns, level + 1)
            return
        yield grain, first_ns, last_ns
        yield from pieces(start_ns, first_ns, level + 1)
        yield from pieces(last_ns, end_ns, level + 1)

    return pieces(start_ns, end_ns, 0)


def _at(column: Numbers, rows: Rows) -> Numbers:
    return column if rows is None else column[rows]


def _those(rows: Rows, mask: npt.NDArray[np.bool_]) -> Numbers:
    """Those of *rows* where *mask* holds."""
    return np.flatnonzero(mask) if rows is None else rows[mask]


def _up(at_ns: int, width_ns: int) -> int:
    return -(-at_ns // width_ns) * width_ns


def _group(group_by: Sequence[str], one: Counted) -> Group:
    names = {
        name: value if isinstance(value, int) else text.original(value)
        for name, value in zip(group_by, one.key, strict=True)
    }
    return Group(names, one.firing, one.resolved, one.duration_ns)
