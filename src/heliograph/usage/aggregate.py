"""Aggregation of an attribute over jobs: sum, max, last, number of values, quantiles.

    rows("tokens", "sum", 4096)       tao_job_tokens_sum                          sum 4096
    rows("user", "distinct", "ann")   tao_job_user_distinct{tao_value="ann"}      sum 1
    rows("batch", "quantile", 60)     tao_job_batch_quantile{tao_bucket="64"}     sum 1

All but max and last are sums, so that any two halves of the data add up to the whole. Buckets grow
by an eighth of a power of two: a quantile is off by at most 9 %. `readings` gives the answers.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from heliograph.usage import keys
from heliograph.usage.types import DISTINCT, QUANTILE, SUM, Number

VALUE = "tao_value"
BUCKET = "tao_bucket"
BUCKETS_PER_DOUBLING = 8
# 2 to the ±128: beyond it, values fall into the outermost bucket.
BUCKET_INDEX_MAX = 128 * BUCKETS_PER_DOUBLING
VALUE_CHARS_MAX = 128
# Of a list, so many different values count for one job.
VALUES_MAX = 64
QUANTILES = (0.5, 0.9, 0.99)

Row = tuple[str, tuple[tuple[str, str], ...], str, Number]


def rows(name: str, strategy: str, value: Any) -> list[Row]:
    """(metric, labels besides the job's, strategy, value) of one attribute of one job.

    Raises TypeError where a number is wanted and *value* is none.
    """
    metric = f"tao_job_{name}_{strategy}"
    if strategy == DISTINCT:
        listed = value if isinstance(value, list | tuple | set) else [value]
        texts = dict.fromkeys(str(one)[:VALUE_CHARS_MAX] for one in listed)
        return [(metric, ((VALUE, text),), SUM, 1) for text in list(texts)[:VALUES_MAX]]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name}: {strategy} of {type(value).__name__}")
    if strategy == QUANTILE:
        return [(metric, ((BUCKET, _bucket(value)),), SUM, 1)]
    return [(metric, (), strategy, value)]


def readings(
    metrics: Mapping[str, Any], quantiles: Iterable[float] = QUANTILES
) -> dict[str, Any]:
    """*metrics* with the rows of distinct values and buckets replaced by what they say:
    `tao_job_user_distinct{…} 3` and `tao_job_batch{…,quantile="0.5"} 61.7`.
    """
    read: dict[str, Any] = {}
    values: dict[tuple[str, keys.Pairs], int] = {}
    buckets: dict[tuple[str, keys.Pairs], list[tuple[str, float]]] = {}
    for key, value in metrics.items():
        found = keys.parsed(key)
        if found is None or not keys.is_number(value):
            read[key] = value
        elif found.name.endswith(f"_{DISTINCT}") and found.get(VALUE) is not None:
            rest = found.without(VALUE)
            values[found.name, rest] = values.get((found.name, rest), 0) + 1
        elif found.name.endswith(f"_{QUANTILE}") and (bucket := found.get(BUCKET)) is not None:
            rest = found.without(BUCKET)
            buckets.setdefault((found.name, rest), []).append((bucket, value))
        else:
            read[key] = value
    read |= {keys.written(name, pairs): count for (name, pairs), count in values.items()}
    wanted = tuple(quantiles)
    for (name, pairs), counted in buckets.items():
        base = name.removesuffix(f"_{QUANTILE}")
        at = _quantile_of(counted)
        for q in wanted:
            read[keys.written(base, sorted([*pairs, ("quantile", f"{q:g}")]))] = at(q)
    return read


def _quantile_of(buckets: list[tuple[str, float]]) -> Callable[[float], float]:
    """The value at quantile *q* of counted buckets; NaN where there is none but NaN."""
    middles = sorted((_middle(text), n) for text, n in buckets if text != "nan" and n > 0)
    total = sum(n for _, n in middles)

    def at(q: float) -> float:
        passed = 0.0
        for middle, n in middles:
            passed += n
            if passed >= q * total:
                return middle
        return math.nan

    return at


def _bucket(value: Number) -> str:
    """The bucket of *value*, named by its outer bound: `64` holds (58.7, 64], `-64` [-64, -58.7)."""
    if value != value:  # noqa: PLR0124 - NaN
        return "nan"
    if value == 0:
        return "0"
    try:
        index = math.ceil(math.log2(abs(value)) * BUCKETS_PER_DOUBLING)
    except OverflowError:  # infinite
        index = BUCKET_INDEX_MAX
    index = max(-BUCKET_INDEX_MAX, min(BUCKET_INDEX_MAX, index))
    bound = math.pow(2.0, index / BUCKETS_PER_DOUBLING)
    return f"{bound if value > 0 else -bound:.6g}"


def _middle(text: str) -> float:
    """Half way between a bucket's bounds, by their ratio."""
    return float(text) * math.pow(2.0, -0.5 / BUCKETS_PER_DOUBLING)
