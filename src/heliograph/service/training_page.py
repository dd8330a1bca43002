"""Which training rows a request wants of those that there are, and which of their fields.

    ?every=10                            the last row of each ten iterations
    ?every=30s                           the first row of each half minute
    ?field=lm_loss&field=extra.kl,kl     rows that have one of these, the last two of `extra`

Rows are thinned by run, pod, source and rank group.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from heliograph.core import duration
from heliograph.core.errors import Refused
from heliograph.service.trainings import Row

EXTRA = "extra"


def every(text: str) -> Callable[[list[Row]], list[Row]]:
    """What thins rows as *text* says. Refused for what is neither a number nor a duration."""
    if not text:
        return list
    if text.isascii() and text.isdigit() and int(text[:18]) > 0:
        number = int(text[:18])
        return lambda rows: _of_iterations(rows, number)
    try:
        width_ns = duration.parse(text)
    except ValueError as error:
        raise Refused(str(error), field="every") from error
    if width_ns <= 0:
        raise Refused("every must be greater than 0", field="every")
    return lambda rows: _of_windows(rows, width_ns)


def names(given: Iterable[str]) -> frozenset[str]:
    """The fields that parameters name, which take commas."""
    return frozenset(name for some in given for name in some.split(","))


def chosen(fields: Mapping[str, Any], wanted: Collection[str]) -> dict[str, Any]:
    """Those of *fields* that are *wanted*."""
    found = {name: value for name, value in fields.items() if name in wanted}
    extra = fields.get(EXTRA)
    if EXTRA not in found and isinstance(extra, Mapping):
        below = {
            name: value
            for name, value in extra.items()
            if name in wanted or f"{EXTRA}.{name}" in wanted
        }
        if below:
            found[EXTRA] = below
    return found


def having(rows: Iterable[Row], wanted: Collection[str]) -> list[Row]:
    """*rows* with those of their fields that are *wanted*, where they have any; all, where none are."""
    if not wanted:
        return list(rows)
    found = ((row, chosen(row.row.fields, wanted)) for row in rows)
    return [
        row._replace(row=row.row._replace(fields=fields)) for row, fields in found if fields
    ]


def _series(row: Row) -> tuple[int, str, str, str]:
    return row.run, row.row.pod_uid, row.row.source, row.row.rank_group


def _of_iterations(rows: list[Row], number: int) -> list[Row]:
    """Of each *number* iterations the last that there is: not all jobs print the tenth. Rows without
    an iteration are counted instead."""
    counted: Counter[tuple[int, str, str, str]] = Counter()
    places: list[tuple[tuple[object, ...], int]] = []
    last: dict[tuple[object, ...], int] = {}
    for row in rows:
        series, iteration = _series(row), row.row.iteration
        if iteration is None:
            counted[series] += 1
        place = counted[series] if iteration is None else iteration
        window = (series, iteration is None, -(-place // number))
        places.append((window, place))
        last[window] = max(last.get(window, place), place)
    return [
        row for row, (window, place) in zip(rows, places, strict=True) if last[window] == place
    ]


def _of_windows(rows: list[Row], width_ns: int) -> list[Row]:
    seen: set[tuple[object, ...]] = set()
    kept = []
    for row in rows:
        window = (_series(row), row.row.at_ns // width_ns)
        if window not in seen:
            seen.add(window)
            kept.append(row)
    return kept
