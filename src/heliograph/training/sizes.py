"""Memory as trainers print it: one size or several, with a ratio or without.

    memory: 63.36GiB(45.35%)                                            usage, ratio
    memory=70.1GiB/80GiB (87.6%)                                        usage, total, ratio
    hip mem usage/free/total/usage_ratio: 145.40GiB/142.58GiB/287.98GiB/50.49%

What a number is its unit and the others tell, more than the key's words do.
"""

from collections.abc import Mapping
from functools import lru_cache

from heliograph.training import fields as key_table
from heliograph.training import grammar
from heliograph.training.fields import Key
from heliograph.training.vocabulary import MEMORY

# Decimals kept after a change of unit, which otherwise leaves 74.94000000000001.
DECIMALS = 9
# How far a printed ratio may be from usage / total, in points: it was rounded once or twice.
RATIO_TOLERANCE = 0.6
# A size without a unit is in GB when it can be one card's, in bytes when only they can be, else in MB.
BARE_GB_MAX = 512.0
BARE_BYTES_MIN = 1e7
# Memory is printed alike for thousands of steps.
MEMORY_CACHED_MAX = 1024


def bare_gb(number: float) -> float:
    """*number*, a size without a unit, in GB."""
    if number < BARE_GB_MAX:
        return number
    return round(number / 1024 ** (3 if number >= BARE_BYTES_MIN else 1), DECIMALS)


@lru_cache(maxsize=MEMORY_CACHED_MAX)
def sizes_of(key: Key, value: str) -> Mapping[str, float | int]:
    """Usage, free, total and ratio, by field; {} when *value* is none. The values' own units
    decide which is which.

    `memory usage/free/total: 145.40GiB/142.58GiB(50.49%)` names three and prints three others.
    """
    sizes: list[float] = []
    ratio = None
    parts = grammar.pieces(value)
    # `12.3/80GB`: the one unit is of both.
    common = key.unit or next((part.unit for part in parts if part.unit not in {"", "%"}), "")
    for part in parts:
        unit = part.unit or common
        scale = key_table.scale_of(MEMORY, unit)
        if part.unit == "%":
            ratio = part.number
        elif scale is None and (unit or part.number < BARE_GB_MAX):
            return {}
        elif scale is None:
            sizes.append(bare_gb(part.number))
        else:
            sizes.append(part.number if scale == 1 else round(part.number * scale, DECIMALS))
    names = [name for name in key.names if name != "ratio"]
    if len(sizes) == 2 and names == ["usage"]:
        # What the other is only a ratio can tell.
        names.append("" if ratio is None else _second(sizes[0], sizes[1], ratio))
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
