"""Readings as events: TelemetryEvent v3, the shape that files, sinks and the service know.

    {"schema_version": 3, "session_id": "…", "timestamp_ns": …, "event_type": "sample", "rank": 3,
     "collector": "heliograph.memory.cuda", "device_id": 0, "allocator_allocated_bytes": …,
     "device_used_bytes": …, "metadata": {"backend": "cuda", "node": "gpu-01", "phase_scope": {…}}, …}

v3 asks for every counter. What a device did not tell this time is the last that it told, and is named
in `metadata.collector_partial_fields`, so that nobody takes it for measured.
"""

import os
import platform
from collections.abc import Mapping
from typing import Any, NamedTuple

from heliograph.core.errors import ConfigError
from heliograph.projection.events import resolve_distributed_identity
from heliograph.projection.memory_devices import Device, Reading

SCHEMA_VERSION = 3
VALUE_CHARS_MAX = 256

# What a cluster tells of where a process runs → the key in `metadata`.
_PLACES = {
    "node": ("NODE_NAME", "K8S_NODE_NAME", "SLURMD_NODENAME"),
    "pod_name": ("POD_NAME", "K8S_POD_NAME"),
    "namespace": ("POD_NAMESPACE", "K8S_NAMESPACE_NAME"),
    "pod_uid": ("POD_UID", "K8S_POD_UID"),
}
_FIELDS = {
    "allocated_bytes": "allocator_allocated_bytes",
    "reserved_bytes": "allocator_reserved_bytes",
    "active_bytes": "allocator_active_bytes",
    "inactive_bytes": "allocator_inactive_bytes",
    "used_bytes": "device_used_bytes",
    "free_bytes": "device_free_bytes",
    "total_bytes": "device_total_bytes",
}


class Identity(NamedTuple):
    """Who writes events: the same in all of one tracker."""

    session_id: str
    host: str
    pid: int
    job_id: str | None
    rank: int
    local_rank: int
    world_size: int


def identity(session_id: str, environ: Mapping[str, str], given: Mapping[str, Any]) -> Identity:
    """Of this process: *given* (job_id, rank, local_rank, world_size; None is not given) before what
    launchers leave in *environ*, which is ignored where it makes no sense. Raises ConfigError."""
    try:
        who = resolve_distributed_identity(**given, env=environ)
    except ValueError:
        try:
            who = resolve_distributed_identity(**given, env={})
        except ValueError as error:
            raise ConfigError(str(error)) from error
    return Identity(session_id, platform.node() or "unknown", os.getpid(), **who)


def places(environ: Mapping[str, str]) -> dict[str, str]:
    """Where this process runs, as far as *environ* tells."""
    found: dict[str, str] = {}
    for key, names in _PLACES.items():
        texts = (environ.get(name, "").strip() for name in names)
        if text := next((text for text in texts if text), ""):
            found[key] = text[:VALUE_CHARS_MAX]
    return found


class Told(NamedTuple):
    """What is said with a reading."""

    event_type: str
    context: str | None = None
    metadata: Mapping[str, Any] = {}


class Writer:
    """Events of one device, in order: what changed is since the one before."""

    def __init__(
        self, who: Identity, device: Device, metadata: Mapping[str, Any], every_s: float
    ) -> None:
        self._who = who
        self._device = device
        self._metadata = {"backend": device.backend, **metadata}
        self._interval_ms = max(round(every_s * 1000), 0)
        self._last = Reading()

    @property
    def last(self) -> Reading:
        """What was last told."""
        return self._last

    def event(self, reading: Reading | None, at_ns: int, told: Told) -> dict[str, Any]:
        """The event of *reading* at *at_ns*; None is a device that could not be read at all."""
        before = self._last
        now, partial = self._filled(reading or Reading(partial=tuple(_FIELDS)), before)
        self._last = now
        metadata = {**self._metadata, **told.metadata}
        if partial:
            metadata["telemetry_partial"] = True
            metadata["collector_partial_fields"] = sorted(_FIELDS[name] for name in partial)
        allocated = now.allocated_bytes or 0
        change = 0 if before.allocated_bytes is None else allocated - before.allocated_bytes
        return {
            "schema_version": SCHEMA_VERSION,
            "session_id": self._who.session_id,
            "timestamp_ns": at_ns,
            "event_type": told.event_type,
            "collector": f"heliograph.memory.{self._device.backend}",
            "sampling_interval_ms": self._interval_ms,
            "pid": self._who.pid,
            "host": self._who.host,
            "job_id": self._who.job_id,
            "rank": self._who.rank,
            "local_rank": self._who.local_rank,
            "world_size": self._who.world_size,
            "device_id": self._device.device_id,
            "allocator_allocated_bytes": allocated,
            "allocator_reserved_bytes": now.reserved_bytes or 0,
            "allocator_active_bytes": now.active_bytes,
            "allocator_inactive_bytes": now.inactive_bytes,
            "allocator_change_bytes": change,
            "device_used_bytes": now.used_bytes or 0,
            "device_free_bytes": now.free_bytes,
            "device_total_bytes": now.total_bytes,
            "context": told.context,
            "metadata": metadata,
        }

    @staticmethod
    def _filled(reading: Reading, before: Reading) -> tuple[Reading, set[str]]:
        """*reading* with what it lacks; the names that are not measured."""
        partial = set(reading.partial)
        if reading.allocated_bytes is None:
            partial.add("allocated_bytes")
        now = reading._replace(**{name: getattr(before, name) for name in partial})
        if now.reserved_bytes is None:
            now = now._replace(reserved_bytes=now.allocated_bytes)
        if now.used_bytes is None:
            # What a device that tells nothing of others is known to hold at least.
            most = max(now.allocated_bytes or 0, now.reserved_bytes or 0)
            now = now._replace(used_bytes=most)
        if now.total_bytes is not None:
            # Two counts of two moments may not agree; v3 takes none above the total.
            used = min(now.used_bytes or 0, now.total_bytes)
            free = now.total_bytes - used if now.free_bytes is None else now.free_bytes
            now = now._replace(used_bytes=used, free_bytes=min(free, now.total_bytes))
        return now, partial
