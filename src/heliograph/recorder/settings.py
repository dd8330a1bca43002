"""The recorder's configuration, as spec 002 spells it, and the store that it names.

{"logger_config": {"log_path": …, "enable_console": False},
 "storage_config": {"backend": "timeseries_db", "connection_string": "data/telemetry",
                    "durability": "buffered", "max_series": 100_000},
 "retention_policy": {"events": {"duration_days": 7}, "metrics": {"duration_days": 30},
                      "max_mb": 500},
 "error_threshold_percentage": 5, "version": "0.8.0"}

no storage_config, or backend "memory"     in memory: max_events, max_metrics_per_name
"timeseries_db" with a path                a data folder, which only one process can have
"timeseries_db" with http://… or https://  a service's POST /v1/events and /v1/metrics
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from heliograph.core.clock import Clock
from heliograph.core.duration import DAY_NS
from heliograph.core.errors import ConfigError
from heliograph.recorder import memory
from heliograph.recorder.store import Policy, RecorderStore

MEMORY, FOLDER = "memory", "timeseries_db"
DURABILITIES = ("durable", "buffered")
DAYS_TOLD = 30
MIB = 1 << 20


def section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The mapping *name* of *config*, empty when it is absent. Raises ConfigError."""
    if not isinstance(config, Mapping):
        raise ConfigError(f"a recorder's config is a mapping, not {type(config).__name__}")
    found = config.get(name)
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise ConfigError(f"{name}: expected a mapping, got {type(found).__name__}")
    return found


def policy(config: Mapping[str, Any]) -> Policy:
    """What is kept for how long; only what `retention_policy` names is ever removed by age."""
    given = section(config, "retention_policy")
    spans = [_days_ns(given, kind) for kind in ("events", "metrics")]
    most = given.get("max_mb")
    if most is None:
        return Policy(spans[0], spans[1])
    if isinstance(most, bool) or not isinstance(most, int | float) or not 0 < most < 1e12:
        raise ConfigError(f"retention_policy.max_mb: {most!r} is no size in MiB")
    return Policy(spans[0], spans[1], round(most * MIB))


def days_told(config: Mapping[str, Any]) -> Any:
    """`data_retention_days` of a health check."""
    metrics = section(section(config, "retention_policy"), "metrics")
    return metrics.get("duration_days", DAYS_TOLD)


def open_store(config: Mapping[str, Any], clock: Clock, session_id: str) -> RecorderStore:
    """The store that *config* names. Raises ConfigError for one there is not, or that cannot be had."""
    given = section(config, "storage_config")
    backend = given.get("backend", given.get("storage_type", MEMORY))
    target = str(given.get("connection_string") or "")
    if target.startswith(("http://", "https://")):
        from heliograph.recorder.remote import RemoteStore  # only who asks for it needs it

        remote: RecorderStore = RemoteStore(target, given, clock, session_id)
        return remote
    if "://" in target:
        raise ConfigError(
            f"storage_config.connection_string: {target!r} is neither a folder nor http://…"
        )
    if backend == MEMORY:
        if target:
            raise ConfigError(f"storage_config: memory has no connection_string {target!r}")
        return memory.MemoryStore(
            events_max=_number(given, "max_events", memory.EVENTS_MAX),
            points_per_metric_max=_number(
                given, "max_metrics_per_name", memory.POINTS_PER_METRIC_MAX
            ),
            metrics_max=_number(given, "max_metrics", memory.METRICS_MAX),
        )
    if backend != FOLDER:
        raise ConfigError(
            f"storage_config.backend: {backend!r} is none of {MEMORY!r}, {FOLDER!r}; for data that "
            f"lasts write {FOLDER!r} with a folder or http://… as connection_string"
        )
    if not target:
        raise ConfigError("storage_config.connection_string: a folder or http://… is needed")
    return _folder(Path(target), given, policy(config), clock, session_id)


def _folder(
    path: Path, given: Mapping[str, Any], keep: Policy, clock: Clock, session_id: str
) -> RecorderStore:
    durability = given.get("durability", DURABILITIES[0])
    if durability not in DURABILITIES:
        raise ConfigError(
            f"storage_config.durability: {durability!r} is none of {DURABILITIES}"
        )
    try:
        from heliograph.recorder.wiring import folder  # only who asks for it needs numpy
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"a data folder needs heliograph[server], which is not installed ({error.name} is missing)"
        ) from error
    limits = folder.FolderLimits(
        series_max=_number(given, "max_series", folder.SERIES_MAX),
        buffer_max=_number(given, "max_buffered", folder.BUFFER_MAX),
    )
    return folder.FolderStore(
        path,
        keep,
        clock,
        session_id=session_id,
        buffered=durability == "buffered",
        limits=limits,
    )


def _days_ns(given: Mapping[str, Any], kind: str) -> int | None:
    days = section(given, kind).get("duration_days")
    if days is None:
        return None
    if not isinstance(days, int | float) or isinstance(days, bool) or not 0 <= days <= 36_500:
        raise ConfigError(
            f"retention_policy.{kind}.duration_days: {days!r} is no number of days"
        )
    return round(days * DAY_NS)


def _number(given: Mapping[str, Any], name: str, default: int) -> int:
    value = given.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"storage_config.{name}: {value!r} is no positive number")
    return value
