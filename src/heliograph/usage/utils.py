"""Core functions, and under one roof what users of spec 000 import from here.

    extract_telemetry_data({"network": "ResNet-50", "gpu": ["NVIDIA A100"]})
    == {"network": "resnet_50", "gpus": ["NVIDIA A100"], "version": "unknown", …}

Source: spec 000, "Core Utilities".
"""

# ruff: noqa: PLC0414 - by these aliases type checkers know that it is meant

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from heliograph.usage import layout
from heliograph.usage.config import METRIC_ATTRIBUTES as METRIC_ATTRIBUTES
from heliograph.usage.config import get_attribute_map as get_attribute_map
from heliograph.usage.config import get_raw_key_map as get_raw_key_map
from heliograph.usage.devices import create_gpu_identifier as create_gpu_identifier
from heliograph.usage.sanitize import TELEMETRY_SANITIZE_PATTERN as TELEMETRY_SANITIZE_PATTERN
from heliograph.usage.sanitize import lower, lowered
from heliograph.usage.sanitize import sanitize_field_value as sanitize_field_value
from heliograph.usage.types import AttributeType as AttributeType
from heliograph.usage.types import MetricAttribute as MetricAttribute
from heliograph.usage.types import TelemetryData as TelemetryData

_OWN = METRIC_ATTRIBUTES


def is_registry_replaced() -> bool:
    """Whether somebody put another list in the place of this module's METRIC_ATTRIBUTES."""
    return METRIC_ATTRIBUTES is not _OWN


def extract_telemetry_data(raw_data: Mapping[str, Any]) -> TelemetryData:
    """Every attribute of the registry out of a payload, by name; STRINGs sanitised.

    A key that is there with None is not replaced by the default; unknown keys are left out.
    """
    now = layout.of(METRIC_ATTRIBUTES) if is_registry_replaced() else layout.current()
    get = raw_data.get
    data: dict[str, Any] = {
        name: get(raw_key, default) for name, raw_key, default in now.fields
    }
    for name in now.strings:
        value = data[name]
        if type(value) is not str or (known := lowered.get(value)) is None:
            known = lower(value)
        data[name] = known
    for name, default in now.defaults:
        if data[name] is default:
            # A caller may add to what it is given; the registry's own default must not grow.
            data[name] = list(default)
    return cast("TelemetryData", data)


# The rest of what the system of spec 000 has, loaded when it is asked for: it needs this module.
_FOUND_IN = {
    "ComprehensiveMetricsBuilder": "builders.comprehensive",
    "LabeledMetricsBuilder": "builders.labeled",
    "LegacyMetricsBuilder": "builders.legacy",
    "MetricBuilder": "builders.base",
    "MetricProcessor": "processor",
    "TimeMetricsBuilder": "builders.time",
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _FOUND_IN:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = importlib.import_module(f"heliograph.usage.{_FOUND_IN[name]}")
        return getattr(found, name)
