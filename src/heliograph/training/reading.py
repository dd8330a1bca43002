"""Pairs of one line → fields of one row: units, averages, doubled keys, memory sizes.

A key that stands twice on a line: the first that can be read is the value, as a human reads from
left to right; what follows is another reading (or the next line, glued on) and is left alone.
Memory is the exception: `hip` is measured now, `rocm` is repeated from an earlier iteration, so
`hip` is the value wherever it stands, and `rocm` goes to `extra`. A highest size is `mem_max_gb`
beside a present one, and where it is all there is, the usage.

Of several counts of steps (`iteration 4 | global_step: 4`) the first is the row's.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from heliograph.training import fields as key_table
from heliograph.training import grammar
from heliograph.training.fields import Key
from heliograph.training.grammar import WHOLE_MAX
from heliograph.training.sizes import DECIMALS, bare_gb, sizes_of
from heliograph.training.vocabulary import (
    AVERAGED,
    COUNT,
    FRACTION,
    MAX_MEMORY,
    MEMORY,
    PERCENT,
    QUADRUPLE,
    SHARE,
    STEP,
    THOUSANDS,
    TIME,
    WHOLE,
)

# A line of this many unknown keys is no training line that anyone will chart.
EXTRA_FIELDS_MAX = 128

# `loss: 2,345` may be 2.345 in half of the world; a count cannot.
_FRACTIONS = frozenset(
    {
        *("lm_loss", "total_loss", "load_balancing_loss", "auxiliary_loss"),
        *("learning_rate", "grad_norm"),
    }
)
_FRESHNESS = {"hip": 0, "": 1, "rocm": 2}
_CLOCK = re.compile(r"(?:(\d{1,4}) days?, )?(\d{1,4}):(\d\d):(\d\d(?:\.\d+)?)")


Named = Callable[[str], Key | None]


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


class _Taken:
    """What was taken so far of one line's pairs."""

    __slots__ = ("extra", "found", "known", "measured", "memory", "primus", "steps", "unread")

    def __init__(self, *, stepped: bool) -> None:
        self.found: dict[str, Any] = {}
        self.extra: dict[str, float | int] = {}
        self.memory: list[tuple[Key, str]] = []
        self.known = self.unread = 0
        self.measured = self.primus = False
        # The words by which the row's own step is counted.
        self.steps = "iteration" if stepped else ""


def read(
    pairs: Iterable[tuple[str, str]], *, stepped: bool = False, named: Named = key_table.named
) -> Reading:
    """The fields of one line. Never raises; what cannot be read is counted and left out.

    *named* says what a printed key means, or None. *stepped* says that the line's own iteration
    is known: further counts of steps are extra.
    """
    taken = _Taken(stepped=stepped)
    found = taken.found
    known = 0
    measured = primus = False
    for raw, value in pairs:
        key = named(raw)
        if key is None:
            taken.unread += 1
            continue
        if key.plain is not None:
            # The common case by itself: one number, in our unit.
            try:
                number = key.plain(value)
            except ValueError:
                if key.dimension in AVERAGED and _take_marked(taken, key, value):
                    continue
            else:
                if "_" not in value and (key.plain is float or 0 <= number <= WHOLE_MAX):
                    known += 1
                    measured = measured or key.measured
                    primus = primus or key.primus
                    if key.field not in found:
                        found[key.field] = number
                    continue
        _take(taken, raw, key, value)
    if taken.memory:
        _take_memory(taken)
    if (epochs := found.pop("total_epochs", None)) is not None:
        _keep(taken.extra, {"total_epochs": epochs})
    if taken.extra:
        found["extra"] = taken.extra
    return Reading(
        found,
        known + taken.known,
        measured or taken.measured,
        primus or taken.primus,
        taken.unread,
    )


def _take_marked(taken: _Taken, key: Key, value: str) -> bool:
    """Per cent, or a value and its running average, in our unit; whether *value* was that."""
    if key.dimension == PERCENT and value[-1:] == "%":
        try:
            share = float(value[:-1])
        except ValueError:
            return False
        if "_" in value:
            return False
        taken.known += 1
        taken.measured = taken.measured or key.measured
        taken.found.setdefault(key.field, share)
        return True
    first, slash, second = value.partition("/")
    if not slash:
        return False
    try:
        pair = float(first), float(second)
    except ValueError:
        return False
    if "_" in value or key.field == "epoch":
        return False
    taken.known += 1
    taken.primus = True
    taken.measured = taken.measured or key.measured
    if key.field not in taken.found or taken.found[key.field] == pair[0]:
        taken.found[key.field], taken.found[f"{key.field}_avg"] = pair
    return True


def _take(taken: _Taken, raw: str, key: Key, value: str) -> None:
    """One pair that is more than a number in our unit."""
    if key.dimension in {QUADRUPLE, MAX_MEMORY}:
        taken.memory.append((key, value))
        return
    if value[-1:] == "%" and key.dimension == PERCENT and _take_marked(taken, key, value):
        return
    values = _values(key, value)
    if key.dimension == STEP:
        if taken.steps:
            _keep_step(raw, values, taken.steps, taken.extra)
            return
        if values:
            taken.steps = key_table.name_of(raw)
    if not values:
        taken.unread += 1
        if key.known:
            _keep_elsewhere(key, value, taken.extra, raw)
        return
    taken.measured = taken.measured or key.measured
    if not key.known:
        _keep(taken.extra, values)
        return
    taken.known += 1
    taken.primus = taken.primus or key.primus or (key.dimension != STEP and len(values) > 1)
    first = taken.found.get(key.field)
    if first is None or first == values[key.field]:
        taken.found.update(values)


def _take_memory(taken: _Taken) -> None:
    taken.primus = taken.primus or any(key.primus for key, _ in taken.memory)
    read_here = _keep_memory(taken.memory, taken.found, taken.extra)
    taken.known += read_here
    taken.unread += len(taken.memory) - read_here
    taken.measured = taken.measured or read_here > 0


def _keep_step(
    raw: str, values: dict[str, float | int], steps: str, extra: dict[str, float | int]
) -> None:
    """Another count of steps, by its own name; a repetition of the row's is none."""
    name = key_table.name_of(raw)
    if name != steps and "current_iteration" in values:
        _keep(extra, {name: values["current_iteration"]})


def _values(key: Key, value: str) -> dict[str, float | int]:
    """The field of *key*, and its average where one is printed; {} when *value* is not its."""
    number = grammar.plain_number(value)
    if number is not None:
        fitted = _fit(key, number, key.scale)
        return {} if fitted is None else {key.field: fitted}
    if key.field == "runtime_s" and (clock := _CLOCK.fullmatch(value.strip())) is not None:
        days, hours, minutes, seconds = clock.groups()
        whole = (int(days or 0) * 24 + int(hours)) * 3600 + int(minutes) * 60
        return {key.field: round(whole + float(seconds), 3)}
    parts = grammar.pieces(value)
    if not parts or ("," in value and "." not in value and key.field in _FRACTIONS):
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
        if scale is None and key.dimension == TIME and part.unit in {"k", "K"} and key.scale:
            scale = key.scale * THOUSANDS["k"]
        fitted = None if part.unit and scale is None else _fit(key, part.number, scale)
        if fitted is None:
            return {}
        result[name] = fitted
        if key.dimension not in AVERAGED or key.field == "epoch":
            break
    if len(parts) == 2 and key.field in {"current_iteration", "epoch"}:
        target = grammar.whole(parts[1].number)
        name = "total_epochs" if key.field == "epoch" else "target_iteration"
        return result if target is None else {**result, name: target}
    return result


def _fit(key: Key, number: float, scale: float | None) -> float | int | None:
    """*number* in our unit, or None when it is not one of this key's."""
    dimension = key.dimension
    if dimension in {WHOLE, STEP}:
        return grammar.whole(number) if scale == 1 else None
    if dimension == COUNT:
        return None if scale is None else grammar.whole(round(number * scale, DECIMALS))
    if dimension == FRACTION and scale is None:
        # Without a per cent sign only a fraction can be told from gigabytes.
        return round(number * 100, DECIMALS) if 0 <= number <= 1 else None
    if dimension == SHARE and scale == 100:
        # Nought is what stands where the share is not known.
        return round(number * 100, DECIMALS) if 0 < number <= 1 else None
    if dimension == PERCENT and scale is None:
        return number if 1 < number <= 100 else None
    if dimension in {MEMORY, MAX_MEMORY} and scale is None and not key.unit:
        return None if number < 0 else bare_gb(number)
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


def _keep_elsewhere(key: Key, value: str, extra: dict[str, float | int], raw: str = "") -> None:
    """A number in a unit that its field cannot take (`mfu: 0.4`) is kept by its own name, and a time
    without any by the name that was printed, *raw*."""
    if key.dimension in {PERCENT, FRACTION, MEMORY} or key.scale is None:
        number = grammar.plain_number(value)
        if number is not None:
            name = key.field.removesuffix("_gb")
            if key.dimension == TIME:
                name = key_table.name_of(raw)
            _keep(extra, {"mem_usages" if key.dimension == FRACTION else name: number})


def _keep_memory(
    memory: list[tuple[Key, str]], found: dict[str, Any], extra: dict[str, float | int]
) -> int:
    """Keeps the freshest quadruple as the row's memory; how many could be read."""
    read_here = 0
    kept = False
    for key, value in sorted(memory, key=_freshness):
        if key.dimension == MAX_MEMORY:
            read_here += _keep_highest(key, value, found, extra)
            continue
        values = sizes_of(key, value)
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


def _keep_highest(
    key: Key, value: str, found: dict[str, Any], extra: dict[str, float | int]
) -> bool:
    """A highest size, as the usage where the line has no other; whether it could be read."""
    values = _values(key, value)
    if not values:
        _keep_elsewhere(key, value, extra)
        return False
    if key.field not in found:
        found[key.field] = values[key.field]
    elif key.field == "mem_usage_gb":
        found.setdefault("mem_max_gb", values[key.field])
    else:
        _keep(extra, {"mem_reserved_max_gb": values[key.field]})
    return True


def _freshness(item: tuple[Key, str]) -> int:
    key = item[0]
    return len(_FRESHNESS) if key.dimension == MAX_MEMORY else _FRESHNESS[key.source]


def _keep(extra: dict[str, float | int], values: Mapping[str, float | int]) -> None:
    for name, number in values.items():
        if name in extra or len(extra) < EXTRA_FIELDS_MAX:
            extra.setdefault(name, number)
        else:
            extra["fields_dropped"] = extra.get("fields_dropped", 0) + 1
