"""The three mappings of a projected record: what it came from, what it tells, what it belongs to.

    resource      {"source_kind": "cuda", "collector": …, "host": …, "pid": …, "device_id": …,
                   "job_id": …, "rank": …, "local_rank": …, "world_size": …}
    attributes    the metadata, then {"sampling.interval_ms": …, "memory.device.used_bytes": …, …}
    correlation   {"session_id": …, "job_id": …, …, "phase.scope_id": …, "phase.sequence": …}

What an event does not have is None, but for `phase.…`, which is left out. Source: spec 003.
"""

from collections.abc import Mapping
from operator import itemgetter
from typing import Any

from heliograph.kernels.canonical import frozen_items
from heliograph.projection.frozen import FrozenMapping, freeze

_WHO = ("collector", "host", "pid", "device_id", "job_id", "rank", "local_rank", "world_size")
_PLACE = _WHO[4:]
# As attributes and as fields of the event.
_COUNTERS = {
    "sampling.interval_ms": "sampling_interval_ms",
    "memory.allocator.allocated_bytes": "allocator_allocated_bytes",
    "memory.allocator.reserved_bytes": "allocator_reserved_bytes",
    "memory.allocator.active_bytes": "allocator_active_bytes",
    "memory.allocator.inactive_bytes": "allocator_inactive_bytes",
    "memory.allocator.change_bytes": "allocator_change_bytes",
    "memory.device.used_bytes": "device_used_bytes",
    "memory.device.free_bytes": "device_free_bytes",
    "memory.device.total_bytes": "device_total_bytes",
}
_NAMES = ("session_id", "metadata", *_WHO, *_COUNTERS.values())
_values_of = itemgetter(*_NAMES)
_ABSENT: dict[str, Any] = {**dict.fromkeys(_NAMES), "metadata": {}}
_SCOPE = ("scope_id", "parent_scope_id", "sequence")

Source = tuple[Any, ...]


def source_of(event: Mapping[str, Any], *, plain: bool) -> Source:
    """What the mappings of *event* are made of, frozen; *plain* is what `kernels.canonical` says."""
    try:
        values = _values_of(event)
    except KeyError:
        values = _values_of({**_ABSENT, **event})
    return frozen_items(values, FrozenMapping) if plain else tuple(map(freeze, values))


def of(source: Source, source_kind: str) -> dict[str, FrozenMapping]:
    """The mappings, by name, of the record whose source is *source*."""
    session_id, metadata = source[:2]
    who = dict(zip(_WHO, source[2:10], strict=True))
    correlation = {"session_id": session_id, **{name: who[name] for name in _PLACE}}
    scope = metadata.get("phase_scope")
    if isinstance(scope, Mapping):
        for key in _SCOPE:
            value = scope.get(key)
            if value is not None:
                correlation[f"phase.{key}"] = value
    counters = zip(_COUNTERS, source[10:], strict=True)
    return {
        "resource": FrozenMapping({"source_kind": source_kind, **who}),
        "attributes": FrozenMapping({**metadata, **dict(counters)}),
        "correlation": FrozenMapping(correlation),
    }
