"""Records from before schemas, as version 3: what they call things, and what they leave out.

    {"timestamp": 1700000000.5, "memory_allocated": 1024, "device_id": 1, "message": "hello"}
      → timestamp_ns 1700000000500000000, event_type "sample", collector "stormlog.cuda_tracker",
        allocator_allocated_bytes, allocator_reserved_bytes and device_used_bytes 1024, device_id 1,
        context "hello", host "unknown", pid -1, session_id "legacy-…"

`timestamp` is seconds, `memory_mb` mebibytes, `metadata_x` is `metadata["x"]`. Other keys that nobody
knows are dropped. The collectors' names are those that the writers of such files bear. Source: tables
of what the upgrade answers.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from heliograph.projection.distributed import resolve_distributed_identity
from heliograph.projection.event import SCHEMA_VERSION_V3, is_integer
from heliograph.projection.session import stable_legacy_session_id

_BACKENDS = {
    "cuda": "stormlog.cuda_tracker",
    "rocm": "stormlog.rocm_tracker",
    "mps": "stormlog.mps_tracker",
    "cpu": "stormlog.cpu_tracker",
    "tensorflow": "stormlog.tensorflow.memory_tracker",
}
_IDENTITY = ("job_id", "rank", "local_rank", "world_size")
_DEVICE = re.compile(r"(?:.*[/:])?(?:gpu|cuda|hip|rocm|xpu)(?::(\d{1,9}))?", re.IGNORECASE)
_METADATA = "metadata_"
_MIB = 1024 * 1024


def upgraded(
    record: Mapping[str, Any],
    *,
    default_collector: str,
    default_sampling_interval_ms: int,
    default_session_id: str | None,
) -> dict[str, Any]:
    """*record* with the fields of version 3; not all of them checked.

    ValueError without a usable timestamp, with a number beyond all bounds, metadata that is no object,
    or an impossible rank.
    """
    metadata = _metadata(record)
    timestamp_ns = _timestamp_ns(record)
    told = {name: metadata.pop(name, None) for name in _IDENTITY}
    identity = resolve_distributed_identity(
        **{name: record.get(name) for name in _IDENTITY},
        metadata=told,
        env={},
    )
    megabytes = _number(record, "memory_mb", default=None)
    allocated = _number(
        record, "allocator_allocated_bytes", "memory_allocated",
        default=0 if megabytes is None else _whole("memory_mb", megabytes, _MIB),
    )  # fmt: skip
    device_id = _device_id(record, default=-1 if megabytes is None else 0)
    context = record.get("context")
    return {
        "schema_version": SCHEMA_VERSION_V3,
        "session_id": session_id(record, metadata, default_session_id),
        "timestamp_ns": timestamp_ns,
        "event_type": _text(record, "event_type", "type") or "sample",
        "collector": _collector(record, metadata, device_id, default_collector),
        "sampling_interval_ms": _number(
            record, "sampling_interval_ms", default=default_sampling_interval_ms
        ),
        "pid": _number(record, "pid", default=-1),
        "host": _host(record),
        **identity,
        "device_id": device_id,
        "allocator_allocated_bytes": allocated,
        "allocator_reserved_bytes": _number(
            record, "allocator_reserved_bytes", "memory_reserved", default=allocated
        ),
        "allocator_active_bytes": _number(record, "allocator_active_bytes", default=None),
        "allocator_inactive_bytes": _number(record, "allocator_inactive_bytes", default=None),
        "allocator_change_bytes": _number(
            record, "allocator_change_bytes", "memory_change", default=0
        ),
        "device_used_bytes": _number(record, "device_used_bytes", default=allocated),
        "device_free_bytes": _number(record, "device_free_bytes", default=None),
        "device_total_bytes": _number(record, "device_total_bytes", default=None),
        "context": record.get("message") if context is None else context,
        "metadata": metadata,
    }


def session_id(
    record: Mapping[str, Any], metadata: Mapping[str, Any], default: str | None
) -> str:
    """The session of a *record* of before version 3: its own, that of its *metadata*, else *default*,
    else one of its time, host and process."""
    told = _text(record, "session_id") or _text(metadata, "session_id") or default
    if told is not None:
        return told
    at = record.get("timestamp_ns")
    if not is_integer(at):
        at = record.get("timestamp")
    return stable_legacy_session_id(at, *session_key(record))


def session_key(record: Mapping[str, Any]) -> tuple[str, int]:
    """Host and process of *record*, "unknown" and -1 where it does not tell."""
    return _host(record), _number(record, "pid", default=-1)


def _metadata(record: Mapping[str, Any]) -> dict[str, Any]:
    told = record.get("metadata")
    if told is not None and not isinstance(told, Mapping):
        raise ValueError("metadata must be an object when provided")
    folded = {
        key.removeprefix(_METADATA): value
        for key, value in record.items()
        if isinstance(key, str) and key.startswith(_METADATA) and key != _METADATA
    }
    return {**folded, **(told or {})}


def _timestamp_ns(record: Mapping[str, Any]) -> int:
    at = record.get("timestamp_ns")
    if is_integer(at):
        return int(at)  # type: ignore[arg-type]
    at = record.get("timestamp")
    if is_integer(at) or (isinstance(at, float) and math.isfinite(at)):
        return _whole("timestamp", at, 1_000_000_000)  # type: ignore[arg-type]
    raise ValueError("Legacy record is missing a valid timestamp")


def _whole(name: str, number: float, unit: int) -> int:
    """*number* of *unit*, without its fraction. ValueError, naming *name*, where that is infinite."""
    product = number * unit
    if product in {math.inf, -math.inf}:
        raise ValueError(f"{name} must be a number of ordinary size, not {number}")
    return int(product)


def _collector(
    record: Mapping[str, Any], metadata: Mapping[str, Any], device_id: int, default: str
) -> str:
    if told := _text(record, "collector"):
        return told
    backend = _text(record, "backend") or _text(metadata, "backend")
    if backend is not None and (known := _BACKENDS.get(backend.strip().lower())):
        return known
    if "memory_allocated" in record:
        return _BACKENDS["cuda" if device_id >= 0 else "cpu"]
    return _BACKENDS["tensorflow"] if "memory_mb" in record else default


def _device_id(record: Mapping[str, Any], *, default: int) -> int:
    for name in ("device_id", "device"):
        if is_integer(told := record.get(name)):
            return int(told)  # type: ignore[arg-type]
    device = _text(record, "device")
    if device is None:
        return default
    found = _DEVICE.fullmatch(device.strip())
    return -1 if found is None else int(found[1] or 0)


def _host(record: Mapping[str, Any]) -> str:
    return _text(record, "host", "hostname") or "unknown"


def _text(record: Mapping[str, Any], *names: str) -> str | None:
    for name in names:
        value = record.get(name)
        if isinstance(value, str) and value.strip():
            return value
    return None


def _number(record: Mapping[str, Any], *names: str, default: Any) -> Any:
    for name in names:
        value = record.get(name)
        if is_integer(value):
            return value
        if isinstance(value, float) and math.isfinite(value):
            return value if name == "memory_mb" else int(value)
    return default
