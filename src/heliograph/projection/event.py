"""TelemetryEvent: one sample or happening of a memory tracker, and what a valid one is.

    {"schema_version": 3, "session_id": "run-7", "timestamp_ns": 1700000000000000000,
     "event_type": "sample", "collector": "x.cuda_tracker", "sampling_interval_ms": 100, "pid": 1,
     "host": "h", "job_id": null, "rank": 0, "local_rank": 0, "world_size": 1, "device_id": 0,
     "allocator_allocated_bytes": 10, "allocator_reserved_bytes": 20, "allocator_active_bytes": null,
     "allocator_inactive_bytes": null, "allocator_change_bytes": -5, "device_used_bytes": 20,
     "device_free_bytes": 80, "device_total_bytes": 100, "context": null, "metadata": {}}

Version 2 has no session_id. Version 4 may leave any counter null and says in
`metadata.memory_capabilities` (texts and `supports_…` booleans) what its collector can tell.
job_id, rank, local_rank and world_size may be absent: null, 0, 0, 1. Source: the published schema of
TelemetryEvent v3, and tables of what its validator says.
"""
# ruff: noqa: TRY004 - what is wrong with a record is a ValueError, whatever it is

from collections.abc import Collection, Mapping
from operator import itemgetter
from typing import Any, NamedTuple

SCHEMA_VERSION_V2 = 2
SCHEMA_VERSION_V3 = 3
SCHEMA_VERSION_V4 = 4
STRICT_VERSIONS = (SCHEMA_VERSION_V2, SCHEMA_VERSION_V3)
READ_VERSIONS = (*STRICT_VERSIONS, SCHEMA_VERSION_V4)


class TelemetryEvent(NamedTuple):
    """One event, valid; fields in the order in which they are written. Counters are bytes.

    timestamp_ns         UTC nanoseconds, from 0
    pid, device_id       -1 where unknown
    context              text for people
    metadata             whatever else its tracker told; shared with whoever made the event
    """

    schema_version: int
    session_id: str
    timestamp_ns: int
    event_type: str
    collector: str
    sampling_interval_ms: int
    pid: int
    host: str
    job_id: str | None
    rank: int
    local_rank: int
    world_size: int
    device_id: int
    allocator_allocated_bytes: int | None
    allocator_reserved_bytes: int | None
    allocator_active_bytes: int | None
    allocator_inactive_bytes: int | None
    allocator_change_bytes: int | None
    device_used_bytes: int | None
    device_free_bytes: int | None
    device_total_bytes: int | None
    context: str | None
    metadata: Mapping[str, Any]


FIELDS = TelemetryEvent._fields
OPTIONAL = {"job_id": None, "rank": 0, "local_rank": 0, "world_size": 1}
COUNTERS = FIELDS[13:21]
values_of = itemgetter(*FIELDS)
_KNOWN = frozenset(FIELDS)
_REQUIRED = _KNOWN - OPTIONAL.keys()
_MINIMA = {"timestamp_ns": 0, "sampling_interval_ms": 0, "pid": -1}
_NULLABLE = frozenset(
    (
        *("allocator_active_bytes", "allocator_inactive_bytes"),
        *("device_free_bytes", "device_total_bytes"),
    )
)
_CAPABILITIES = "memory_capabilities"


def validate_telemetry_record(
    record: Mapping[str, Any], *, versions: Collection[int] = STRICT_VERSIONS
) -> None:
    """ValueError, naming the field, unless *record* is a valid event of one of *versions*."""
    version = record.get("schema_version")
    if not is_integer(version):
        raise ValueError("schema_version must be an integer")
    if version not in versions:
        raise ValueError(f"Unsupported schema_version: {version}")
    _check_names(record, version)
    for name in ("session_id", "event_type", "collector", "host"):
        if name in record:
            _check_text(name, record[name])
    for name, least in _MINIMA.items():
        _check_integer(name, record[name], least=least)
    if record.get("job_id") is not None:
        _check_text("job_id", record["job_id"])
    check_place(*(record.get(name, OPTIONAL[name]) for name in ("rank", "local_rank")),
                world_size=record.get("world_size", 1))  # fmt: skip
    _check_integer("device_id", record["device_id"])
    _check_counters(record, all_nullable=version == SCHEMA_VERSION_V4)
    if not isinstance(record["context"], str | None):
        raise ValueError("context must be a string")
    if not isinstance(record["metadata"], Mapping):
        raise ValueError("metadata must be an object")
    if version == SCHEMA_VERSION_V4:
        _check_capabilities(record["metadata"])


def is_integer(value: object) -> bool:
    """Whether *value* is an integer, which booleans are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def check_place(rank: object, local_rank: object, *, world_size: object) -> None:
    """ValueError unless both ranks are integers from 0 below *world_size*."""
    _check_integer("world_size", world_size, least=1)
    for name, value in (("rank", rank), ("local_rank", local_rank)):
        _check_integer(name, value, least=0)
        if value >= world_size:  # type: ignore[operator]
            raise ValueError(f"{name} must be < world_size")


def _check_names(record: Mapping[str, Any], version: object) -> None:
    needed, known = _REQUIRED, _KNOWN
    if version == SCHEMA_VERSION_V2:
        needed, known = needed - {"session_id"}, known - {"session_id"}
    names = record.keys()
    if missing := needed - names:
        raise ValueError(f"Missing required telemetry fields: {', '.join(sorted(missing))}")
    if unknown := names - known:
        raise ValueError(f"Unknown telemetry fields: {', '.join(sorted(map(str, unknown)))}")


def _check_text(name: str, value: object) -> None:
    if value is None or (isinstance(value, str) and not value.strip()):
        raise ValueError(f"{name} must be a non-empty string")
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a string")


def _check_integer(name: str, value: object, *, least: int | None = None) -> None:
    if not is_integer(value):
        raise ValueError(f"{name} must be an integer")
    if least is not None and value < least:  # type: ignore[operator]
        raise ValueError(f"{name} must be >= {least}")


def _check_counters(record: Mapping[str, Any], *, all_nullable: bool) -> None:
    for name in COUNTERS:
        value = record[name]
        nullable = name in _NULLABLE
        if value is None and (nullable or all_nullable):
            continue
        _check_integer(name, value)
        if value < 0 and name != "allocator_change_bytes":
            raise ValueError(f"{name} must be >= 0{' when provided' if nullable else ''}")
    total = record["device_total_bytes"]
    for name in ("device_used_bytes", "device_free_bytes"):
        if total is not None and record[name] is not None and record[name] > total:
            raise ValueError(f"{name} cannot exceed device_total_bytes")


def _check_capabilities(metadata: Mapping[str, Any]) -> None:
    told = metadata.get(_CAPABILITIES)
    if not isinstance(told, Mapping):
        raise ValueError(f"metadata.{_CAPABILITIES} must be an object")
    for name, value in told.items():
        kind, wanted = (
            (bool, "boolean") if str(name).startswith("supports_") else (str, "string")
        )
        if not isinstance(value, kind):
            raise ValueError(f"metadata.{_CAPABILITIES}.{name} must be a {wanted}")


_KINDS_MAX = 256
# The types of the fields of events that were met and are right; few of all there could be.
_right_kinds: set[tuple[type, ...]] = set()


def ordinary(record: Mapping[str, Any]) -> TelemetryEvent | None:
    """The event of a valid version 3 *record* that has every field; else None: look closer."""
    if len(record) != len(FIELDS):
        return None
    try:
        event = TelemetryEvent._make(values_of(record))
    except KeyError:
        return None
    kinds = tuple(map(type, event))
    if kinds not in _right_kinds:
        if not _are_right(kinds) or len(_right_kinds) >= _KINDS_MAX:
            return None
        _right_kinds.add(kinds)
    total = event.device_total_bytes
    fine = (
        event.schema_version == SCHEMA_VERSION_V3
        and (event.job_id is None or event.job_id.strip())
        and event.session_id.strip()
        and event.event_type.strip()
        and event.collector.strip()
        and event.host.strip()
        and min(_FROM_ZERO(event)) >= 0
        and event.pid >= -1
        and event.rank < event.world_size > event.local_rank
        and (event.allocator_active_bytes is None or event.allocator_active_bytes >= 0)
        and (event.allocator_inactive_bytes is None or event.allocator_inactive_bytes >= 0)
        and (event.device_free_bytes is None or event.device_free_bytes >= 0)
        and (
            total is None
            or (event.device_used_bytes or 0) <= total >= (event.device_free_bytes or 0)
        )
    )
    return event if fine else None


def _places(*names: str) -> "itemgetter[tuple[Any, ...]]":
    return itemgetter(*map(FIELDS.index, names))


_FROM_ZERO = _places(
    *("timestamp_ns", "sampling_interval_ms", "rank", "local_rank", "world_size"),
    *("allocator_allocated_bytes", "allocator_reserved_bytes", "device_used_bytes"),
)


def _are_right(kinds: tuple[type, ...]) -> bool:
    return all(kind in _KINDS[name] for name, kind in zip(FIELDS, kinds, strict=True))


_KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(FIELDS, (int,)),
    **dict.fromkeys(("session_id", "event_type", "collector", "host"), (str,)),
    **dict.fromkeys(("job_id", "context"), (str, type(None))),
    **dict.fromkeys(_NULLABLE, (int, type(None))),
    "metadata": (dict,),
}
