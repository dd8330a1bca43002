"""Queries over whatever holds points: aggregates, buckets over time, groups of the context.

    {"took_ms": {"value": 135.7, "aggregation": "MEAN", "sample_count": 127,
                 "time_range": {"start": "2025-05-21T14:00:00Z", "end": "2025-05-21T15:00:00Z"},
                 "skipped": 2,                                                    text values, if any
                 "buckets": [{"start": "2025-05-21T14:00:00Z", "value": 130.0, "sample_count": 5}],
                 "groups": [{"by": {"command_type": "X"}, "value": 140.0, "sample_count": 9}]}}

`sample_count` counts text values too, which no aggregate but COUNT sees: they cost no query.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from heliograph.core import duration, instant
from heliograph.core.errors import Refused
from heliograph.recorder.aggregation import COUNT
from heliograph.recorder.points import Part
from heliograph.recorder.store import Arithmetic, Asked, Source

BUCKETS_MAX = 1_000_000
GROUPS_MAX = 100_000
# Pairs of buckets below which a correlation says nothing.
PAIRS_MIN = 3


class Correlation(NamedTuple):
    """How two metrics move together: *value* in [-1, 1], over so many *pairs* of buckets; None where
    there is no telling."""

    value: float | None
    pairs: int


def answer(source: Source, asked: Asked) -> dict[str, Any]:
    """What *asked* comes to, by metric, in the order asked; else by name."""
    found: dict[str, list[Part]] = {}
    for part in source.parts(asked.names, asked.start_ns, asked.end_ns):
        found.setdefault(part.name, []).append(part)
    order = sorted(found) if asked.names is None else dict.fromkeys(asked.names)
    arithmetic = source.arithmetic
    return {name: _metric(arithmetic, found[name], asked) for name in order if name in found}


def every_ns_of(every: object) -> int | None:
    """Nanoseconds of `1m`, `90s` or a number of seconds. Raises ValueError or TypeError."""
    if every is None:
        return None
    if isinstance(every, str):
        width_ns = duration.parse(every)
    elif isinstance(every, int | float) and not isinstance(every, bool):
        if not math.isfinite(every):
            raise ValueError(f"not a duration: {every!r}")
        width_ns = round(every * duration.SECOND_NS)
    else:
        raise TypeError(f"every must be a duration, not {type(every).__name__}")
    if width_ns <= 0:
        raise ValueError(f"every must be above 0: {every!r}")
    return width_ns


def correlation(first: dict[str, Any], second: dict[str, Any], *, ranked: bool) -> Correlation:
    """Of two metrics' answers with buckets: Pearson's, or of ranks (Spearman's) when *ranked*."""
    of_second = {bucket["start"]: bucket["value"] for bucket in second.get("buckets", ())}
    pairs = [
        (bucket["value"], of_second[bucket["start"]])
        for bucket in first.get("buckets", ())
        if bucket["start"] in of_second
    ]
    known = [(a, b) for a, b in pairs if _is_finite(a) and _is_finite(b)]
    if len(known) < PAIRS_MIN:
        return Correlation(None, len(known))
    columns = [list(column) for column in zip(*known, strict=True)]
    if ranked:
        columns = [_ranks(column) for column in columns]
    return Correlation(_pearson(columns[0], columns[1]), len(known))


def _metric(arithmetic: Arithmetic, parts: Sequence[Part], asked: Asked) -> dict[str, Any]:
    start, end = asked.told
    figures = _figures(arithmetic, parts, asked)
    found = {
        "value": figures.pop("value"),
        "aggregation": asked.aggregation.name,
        "sample_count": figures.pop("sample_count"),
        "time_range": {"start": start, "end": end},
        **figures,
    }
    if asked.by:
        found["groups"] = _groups(arithmetic, parts, asked)
    return found


def _groups(
    arithmetic: Arithmetic, parts: Sequence[Part], asked: Asked
) -> list[dict[str, Any]]:
    groups: dict[tuple[str, ...], list[Part]] = {}
    for part in parts:
        key = tuple(part.labels.get(name, "") for name in asked.by)
        groups.setdefault(key, []).append(part)
    if len(groups) > GROUPS_MAX:
        raise Refused(f"{len(groups)} groups, limit {GROUPS_MAX}", field="by", code="too_large")
    return [
        {"by": dict(zip(asked.by, key, strict=True)), **_figures(arithmetic, of_key, asked)}
        for key, of_key in sorted(groups.items())
    ]


def _figures(arithmetic: Arithmetic, parts: Sequence[Part], asked: Asked) -> dict[str, Any]:
    at_ns, values = arithmetic.joined(parts)
    texts = sorted(at for part in parts for at in part.texts)
    found = _value(arithmetic, asked, values, len(texts))
    if asked.every_ns is not None:
        found["buckets"] = _buckets(arithmetic, asked, at_ns, values, texts)
    return found


def _buckets(
    arithmetic: Arithmetic, asked: Asked, at_ns: Any, values: Any, texts: list[int]
) -> list[dict[str, Any]]:
    every_ns = asked.every_ns
    assert every_ns is not None
    spans = {start: (low, high) for start, low, high in arithmetic.windows(at_ns, every_ns)}
    words: dict[int, int] = {}
    for at in texts:
        start_ns = at - at % every_ns
        words[start_ns] = words.get(start_ns, 0) + 1
    starts = sorted({*spans, *words})
    if len(starts) > BUCKETS_MAX:
        raise Refused(
            f"{len(starts)} buckets, limit {BUCKETS_MAX}", field="every", code="too_large"
        )
    found = []
    for start_ns in starts:
        low, high = spans.get(start_ns, (0, 0))
        figures = _value(arithmetic, asked, values[low:high], words.get(start_ns, 0))
        found.append({"start": instant.text_of(start_ns), **figures})
    return found


def _value(arithmetic: Arithmetic, asked: Asked, values: Any, texts: int) -> dict[str, Any]:
    count = arithmetic.count(values) + texts
    if asked.aggregation.name == COUNT and asked.aggregation.function is None:
        return {"value": count, "sample_count": count}
    value = arithmetic.reduce(asked.aggregation, values) if len(values) else None
    found = {"value": value, "sample_count": count}
    if texts:
        found["skipped"] = texts
    return found


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _ranks(column: Sequence[float]) -> list[float]:
    """The rank of each value, equal values sharing the middle of theirs."""
    order = sorted(range(len(column)), key=lambda place: column[place])
    ranks = [0.0] * len(column)
    low = 0
    while low < len(order):
        high = low
        while high < len(order) and column[order[high]] == column[order[low]]:
            high += 1
        for place in order[low:high]:
            ranks[place] = (low + high - 1) / 2
        low = high
    return ranks


def _pearson(first: Sequence[float], second: Sequence[float]) -> float | None:
    mean_a, mean_b = math.fsum(first) / len(first), math.fsum(second) / len(second)
    off_a = [value - mean_a for value in first]
    off_b = [value - mean_b for value in second]
    spread = math.sqrt(math.fsum(a * a for a in off_a) * math.fsum(b * b for b in off_b))
    if spread == 0 or not math.isfinite(spread):
        return None
    together = math.fsum(a * b for a, b in zip(off_a, off_b, strict=True))
    return max(-1.0, min(1.0, together / spread))
