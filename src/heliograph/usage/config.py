"""The registry of attributes: what is added here is known to every builder, nothing else to do.

    METRIC_ATTRIBUTES.append(MetricAttribute("framework", "framework", AttributeType.STRING, "?"))
    extend_attributes("attributes.json")

    {"attributes": [{"name": "tokens", "type": "integer", "default": 0, "aggregation": "sum"}]}

Files are JSON, or YAML where PyYAML is installed. The order is that of spec 000's registry.
"""

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from heliograph.core.errors import ConfigError
from heliograph.usage.types import STRATEGIES, AttributeType, MetricAttribute

ATTRIBUTES_MAX = 64
FILE_BYTES_MAX = 1024 * 1024
# Label names that the builders give themselves.
RESERVED = frozenset({"status", "gpu", "gpu_count", "gpu_type", "primary_gpu"})
_FIELDS = {
    *("name", "raw_key", "type", "default", "aggregation"),
    *("include_in_comprehensive", "metric_order"),
}
_DEFAULTS: dict[AttributeType, object] = {
    AttributeType.STRING: "unknown",
    AttributeType.BOOLEAN: False,
    AttributeType.INTEGER: 0,
    AttributeType.LIST: [],
}

_S, _B, _I, _L = AttributeType
METRIC_ATTRIBUTES: list[MetricAttribute] = [
    MetricAttribute("version", "version", _S, "unknown", metric_order=3),
    MetricAttribute("action", "action", _S, "unknown", metric_order=2),
    MetricAttribute("network", "network", _S, "unknown", metric_order=1),
    MetricAttribute("success", "success", _B, False, False, 4),
    MetricAttribute("user_error", "user_error", _B, False, False, 5),
    MetricAttribute("time_lapsed", "time_lapsed", _I, 0, False),
    MetricAttribute("gpus", "gpu", _L, ["unknown"], False),
    MetricAttribute("client_type", "client_type", _S, "container", False, 6),
    MetricAttribute("automl_triggered", "automl_triggered", _B, False, False),
]


def get_attribute_map() -> dict[str, MetricAttribute]:
    """The attributes by name."""
    return {attribute.name: attribute for attribute in METRIC_ATTRIBUTES}


def get_raw_key_map() -> dict[str, MetricAttribute]:
    """The attributes by their key in the payload."""
    return {attribute.raw_key: attribute for attribute in METRIC_ATTRIBUTES}


def extend_attributes(path: str | Path) -> list[MetricAttribute]:
    """Add the attributes of the file *path*; one of a known name replaces it, in its place.

    Returns what was read. Raises ConfigError, and then nothing has been added.
    """
    found = load_attributes(path)
    merged = {**get_attribute_map(), **{one.name: one for one in found}}
    if len(merged) > ATTRIBUTES_MAX:
        raise ConfigError(f"{path}: {len(merged)} attributes, limit {ATTRIBUTES_MAX}")
    METRIC_ATTRIBUTES[:] = merged.values()
    return found


def load_attributes(path: str | Path) -> list[MetricAttribute]:
    """The attributes of a JSON or YAML file. Raises ConfigError that names file and place."""
    try:
        size_bytes = Path(path).stat().st_size
        if size_bytes > FILE_BYTES_MAX:
            raise ConfigError(f"{path}: {size_bytes} bytes, limit {FILE_BYTES_MAX}")
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    document = _parsed(text, Path(path))
    listed = document.get("attributes") if isinstance(document, Mapping) else document
    if not isinstance(listed, list):
        raise ConfigError(f"{path}: no list of attributes")
    found = [_attribute(one, f"{path}: attributes[{at}]") for at, one in enumerate(listed)]
    for what in ("name", "raw_key"):
        named = [getattr(one, what) for one in found]
        if len(set(named)) < len(named):
            raise ConfigError(f"{path}: a {what} occurs twice")
    return found


def _parsed(text: str, path: Path) -> object:
    if path.suffix.lower() not in {".yaml", ".yml"}:
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{path}: {error}") from error
    try:
        yaml: Any = importlib.import_module("yaml")
    except ImportError as error:
        raise ConfigError(f"{path}: YAML needs PyYAML; JSON does not: {error}") from error
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: {error}") from error


def _attribute(fields: object, where: str) -> MetricAttribute:
    """One attribute as files write it; only `name` and `type` must be there."""
    if not isinstance(fields, Mapping):
        raise ConfigError(f"{where}: not a mapping")
    if unknown := set(fields) - _FIELDS:
        raise ConfigError(f"{where}: unknown key {min(map(str, unknown))}")
    name = fields.get("name")
    if not isinstance(name, str) or not (name.isascii() and name.isidentifier()):
        raise ConfigError(f"{where}.name: {name!r} is not letters, digits and underscores")
    if name in RESERVED:
        raise ConfigError(f"{where}.name: {name} is a label of the builders' own")
    try:
        kind = AttributeType(fields.get("type", "string"))
    except ValueError as error:
        raise ConfigError(f"{where}.type: {error}") from error
    raw_key, order = fields.get("raw_key", name), fields.get("metric_order", 100)
    included = fields.get("include_in_comprehensive", False)
    aggregation = fields.get("aggregation")
    for key, value, is_right in (
        ("raw_key", raw_key, isinstance(raw_key, str) and raw_key != ""),
        ("metric_order", order, type(order) is int),
        ("include_in_comprehensive", included, isinstance(included, bool)),
        ("aggregation", aggregation, aggregation is None or aggregation in STRATEGIES),
    ):
        if not is_right:
            raise ConfigError(f"{where}.{key}: {value!r} will not do")
    default = fields.get("default", _DEFAULTS[kind])
    return MetricAttribute(name, raw_key, kind, default, included, order, aggregation)
