"""The structured form: what one payload adds, identity by identity, for a store to add atomically.

    counts_of({"network": "ResNet-50", …}, now=datetime(2025, 1, 15, 10))
    [Count("legacy", "total_action", (("action", "train"), ("status", "pass")),
           "total_action_train_pass", "sum", 1), …]

A store keeps one value per identity (builder, name, labels) and joins as `strategy` says: `sum` adds,
`max` keeps the greater, `last` takes the new one. `flat_of` gives the document of spec 000 back.
Keys that collide when flat ("a_action_b" + "c", "a" + "b_action_c") are two identities here.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from heliograph.usage.builders.base import (
    MetricBuilder,
    join,
    joined,
    name_of,
    says_what_it_adds,
)
from heliograph.usage.builders.time import DAY
from heliograph.usage.builders.time import KEY as TODAY
from heliograph.usage.keys import is_number
from heliograph.usage.moment import LAST_UPDATED
from heliograph.usage.order import ordered
from heliograph.usage.processor import default_builders
from heliograph.usage.types import LAST, MAX, SUM, TelemetryData
from heliograph.usage.types import Count as Count  # noqa: PLC0414 - users find it here
from heliograph.usage.utils import extract_telemetry_data

STORED = (SUM, MAX, LAST)
_DEFAULT = tuple(default_builders())


def counts_of(
    payload: Mapping[str, Any],
    *,
    now: datetime,
    builders: Sequence[MetricBuilder] | None = None,
) -> list[Count]:
    """What *payload* adds, each identity once, in the order of the builders.

    *now* is local to whoever asks what "today" is. Custom builders run over an empty mapping, and
    each number they leave is a sum. Raises what builders raise; TypeError for one that is async.
    """
    data = extract_telemetry_data(payload)
    context: dict[str, Any] = {"now": now, "old_now": now}
    found: dict[tuple[str, str, tuple[tuple[str, str], ...]], Count] = {}
    for builder in _DEFAULT if builders is None else ordered(builders):
        if says_what_it_adds(builder):
            made = builder.counts(data, context)
        else:
            made = _of_custom(builder, data, context)
        for count in made:
            same = found.get(count[:3])
            if same is None:
                found[count[:3]] = count
            else:
                value = join(count.strategy, same.value, count.value)
                found[count[:3]] = count._replace(value=value)
    return list(found.values())


def identity(count: Count) -> str:
    """32 hexadecimal digits of (builder, name, labels): a key of fixed size for a store."""
    parts = [count.builder, count.name, *(text for pair in count.labels for text in pair)]
    packed = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(packed.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def flat_of(counts: Iterable[Count], *, last_updated: datetime | None = None) -> dict[str, Any]:
    """The flat mapping of spec 000, of stored counts; of equal keys, the values are joined.

    `time_lapsed_today` is that of the day of *last_updated*, else of the latest day; 0 where that
    day has none but another has. `last` values of one key: the later in *counts* wins.
    """
    counts = list(counts)
    days = [dict(count.labels)[DAY] for count in counts if _is_of_a_day(count)]
    today = max(days, default="") if last_updated is None else last_updated.date().isoformat()
    changes = [
        # The constants themselves: strategies are told apart by identity, and a store's are copies.
        (count.key, STORED[STORED.index(count.strategy)], count.value)
        for count in counts
        if not _is_of_a_day(count) or (DAY, today) in count.labels
    ]
    if days and today not in days:
        changes.append((TODAY, SUM, 0))
    flat = joined({}, changes)
    if last_updated is not None:
        flat[LAST_UPDATED] = last_updated.isoformat()
    return flat


def _is_of_a_day(count: Count) -> bool:
    return count.name == TODAY and count.builder == "time"


def _of_custom(
    builder: MetricBuilder, data: TelemetryData, context: dict[str, Any]
) -> list[Count]:
    metrics: dict[str, Any] = {}
    outcome = builder.build(metrics, data, context)
    if outcome is not None and hasattr(outcome, "__await__"):
        if hasattr(outcome, "close"):
            outcome.close()
        raise TypeError(
            f"{type(builder).__name__}.build is awaitable: it has no structured form"
        )
    return [
        Count(name_of(builder), key, (), key, SUM, value)
        for key, value in metrics.items()
        if is_number(value)
    ]
