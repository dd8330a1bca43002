"""Pairs of one line → fields of one row: units, averages, doubled keys, memory quadruples.

A key that stands twice on a line: the first that can be read is the value, as a human reads from
left to right; what follows is another reading (or the next line, glued on) and is left alone.
Memory is the exception: `hip` is measured now, `rocm` is repeated from an earlier iteration, so
`hip` is the value wherever it stands, and `rocm` goes to `extra`.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from heliograph.training import fields as key_table
from heliograph.training import grammar
from heliograph.training.fields import (
    AVERAGED,
    FRACTION,
    MEASURED,
    MEMORY,
    PERCENT,
    QUADRUPLE,
    WHOLE,
    Key,
)

# A line of this many unknown keys is no training line that anyone will chart.
EXTRA_FIELDS_MAX = 64
# Decimals kept after a change of unit, which otherwise leaves 74.94000000000001.
DECIMALS = 9
# How far a printed ratio may be from usage / total, in points: it was rounded once or twice.
RATIO_TOLERANCE = 0.6

_FRESHNESS = {"hip": 0, "": 1, "rocm": 2}


class Reading(NamedTuple):
    """What the pairs of a line said.

    fields     training field → number; unknown keys under `extra`
    known      how many pairs are training fields
    measured   one of them can only come from a running step
    primus     a key that only Primus prints, or an inst/avg pair
    unread     how many pairs were no number
    """

    fields: dict[str, Any]
    known: int
    measured: bool
    primus: bool
    unread: int


def read(pairs: Iterable[tuple[str, str]]) -> Reading:
    """The fields of one line. Never raises; what cannot be read is counted and left out."""
    found: dict[str, Any] = {}
    extra: dict[str, float | int] = {}
    memory: list[tuple[Key, str]] = []
    known = unread = 0
    primus = False
    for raw, value in pairs:
        key = key_table.named(raw)
        if key is None:
            unread += 1
            continue
        if key.dimension == QUADRUPLE:
            memory.append((key, value))
            continue
        number = grammar.plain_number(value)
        if number is not None and key.known:
            fitted = _fit(key, number, key.scale)
            if fitted is not None:
                known += 1
                primus = primus or key.primus
                found.setdefault(key.field, fitted)
                continue
        values = _values(key, value)
        if not values:
            unread += 1
            if key.known:
                _keep_elsewhere(key, value, extra)
            continue
        if not key.known:
            _keep(extra, values)
            continue
        known += 1
        primus = primus or key.primus or len(values) > 1
        first = found.get(key.field)
        if first is None or first == values[key.field]:
            found.update(values)
    if memory:
        primus = primus or any(key.primus for key, _ in memory)
        read_here = _keep_memory(memory, found, extra)
        known, unread = known + read_here, unread + len(memory) - read_here
    measured = not MEASURED.isdisjoint(found)
    if extra:
        found["extra"] = extra
    return Reading(found, known, measured, primus, unread)


def _values(key: Key, value: str) -> dict[str, float | int]:
    """The field of *key*, and its average where one is printed; {} when *value* is not its."""
    number = grammar.plain_number(value)
    if number is not None:
        fitted = _fit(key, number, key.scale)
        return {} if fitted is None else {key.field: fitted}
    parts = grammar.pieces(value)
    if not parts:
        return {}
    if not key.known:
        return _extra_values(key, parts)
    return _parts(key, parts)


def _parts(key: Key, parts: tuple[grammar.Piece, ...]) -> dict[str, float | int]:
    """A known field in more than one piece, or with a unit of its own."""
    if len(parts) > 2 or parts[0].average:
        return {}
    result: dict[str, float | int] = {}
    for name, part in zip((key.field, f"{key.field}_avg"), parts, strict=False):
        scale = key_table.scale_of(key.dimension, part.unit) if part.unit else key.scale
        fitted = None if part.unit and scale is None else _fit(key, part.number, scale)
        if fitted is None:
            return {}
        result[name] = fitted
        if key.dimension not in AVERAGED:
            break
    if len(parts) == 2 and key.field == "current_iteration":
        target = grammar.whole(parts[1].number)
        return result if target is None else {**result, "target_iteration": target}
    return result


def _fit(key: Key, number: float, scale: float | None) -> float | int | None:
    """*number* in our unit, or None when it is not one of this key's."""
    if key.dimension == WHOLE:
        return grammar.whole(number) if scale == 1 else None
    if key.dimension == FRACTION and scale is None:
        # Without a per cent sign only a fraction can be told from gigabytes.
        return round(number * 100, DECIMALS) if 0 <= number <= 1 else None
    if scale is None:
        return None
    return number if scale == 1 else round(number * scale, DECIMALS)


def _extra_values(key: Key, parts: tuple[grammar.Piece, ...]) -> dict[str, float | int]:
    result: dict[str, float | int] = {}
    for place, part in enumerate(parts):
        unit = part.unit.lower().replace("%", "percent")
        name = f"{key.field}_{unit}" if unit and not key.field.endswith(unit) else key.field
        if place:
            name += "_avg" if part.average else f"_{place + 1}"
        result[name] = part.number
    return result


def _keep_elsewhere(key: Key, value: str, extra: dict[str, float | int]) -> None:
    """A number in a unit that its field cannot take (`mfu: 0.4`) is kept by its own name."""
    if key.dimension in {PERCENT, FRACTION, MEMORY} or key.scale is None:
        number = grammar.plain_number(value)
        if number is not None:
            name = "mem_usages" if key.dimension == FRACTION else key.field
            _keep(extra, {name: number})


def _keep_memory(
    memory: list[tuple[Key, str]], found: dict[str, Any], extra: dict[str, float | int]
) -> int:
    """Keeps the freshest quadruple as the row's memory; how many could be read."""
    read_here = 0
    kept = False
    for key, value in sorted(memory, key=lambda item: _FRESHNESS[item[0].source]):
        values = _memory(key, value)
        if not values:
            continue
        read_here += 1
        if not key.known:
            _keep(extra, values)
        elif not kept:
            found.update(values)
            kept = True
        elif key.source == "rocm":
            _keep(extra, {f"rocm_{name}": number for name, number in values.items()})
    return read_here


def _keep(extra: dict[str, float | int], values: Mapping[str, float | int]) -> None:
    for name, number in values.items():
        if name in extra or len(extra) < EXTRA_FIELDS_MAX:
            extra.setdefault(name, number)
        else:
            extra["fields_dropped"] = extra.get("fields_dropped", 0) + 1


def _memory(key: Key, value: str) -> dict[str, float | int]:
    """Usage, free, total and ratio. The values' own units decide which is which.

    `memory usage/free/total: 145.40GiB/142.58GiB(50.49%)` names three and prints three others.
    """
    sizes: list[float] = []
    ratio = None
    for part in grammar.pieces(value):
        scale = key_table.scale_of(MEMORY, part.unit)
        if part.unit == "%":
            ratio = part.number
        elif scale is None:
            return {}
        else:
            sizes.append(part.number if scale == 1 else round(part.number * scale, DECIMALS))
    names = [name for name in key.names if name != "ratio"]
    if len(sizes) > len(names):
        return {}
    if len(sizes) == 2 and names == ["usage", "free", "total"] and ratio is not None:
        names = ["usage", _second(sizes[0], sizes[1], ratio)]
    result: dict[str, float | int] = {}
    for name, size in zip(names, sizes, strict=False):
        if name:
            result[f"{key.field}_{name}_gb"] = size
    if ratio is not None:
        result[f"{key.field}_usage_ratio"] = ratio
    if result and key.rank >= 0:
        result[f"{key.field}_rank"] = key.rank
    return result


def _second(usage: float, second: float, ratio: float) -> str:
    """Whether *second* is `free` or `total`, by the ratio beside it; "" when it is neither."""
    for name, total in (("free", usage + second), ("total", second)):
        if total > 0 and abs(100 * usage / total - ratio) < RATIO_TOLERANCE:
            return name
    return ""
