"""One counter a combination: every included attribute, the status and the GPUs in one key.

network_resnet50_action_train_version_5_3_0_status_pass_gpu_1_NVIDIA_A100_1
"""

from collections.abc import Mapping
from typing import Any

from heliograph.usage import devices, layout
from heliograph.usage.builders.base import Plan, PlannedBuilder
from heliograph.usage.devices import Devices
from heliograph.usage.types import SUM, Count

_NO_GPUS = ("unknown",)


class ComprehensiveMetricsBuilder(PlannedBuilder):
    """Attributes in their order, what is absent left out; `status` before the first of order 4."""

    name = "comprehensive"

    def plan(self, data: Mapping[str, Any], gpus: Devices | None = None) -> Plan:
        now = layout.current()
        try:
            values = now.comprehensive_of(data) if now.comprehensive_of else None
        except KeyError:
            values = None
        if values is None:
            return Plan([(_key_of(self._parts(data)), 1)], [])
        if now.comprehensive_booleans:
            values = tuple(
                str(value).lower() if is_boolean else value
                for value, (_, is_boolean) in zip(values, now.comprehensive, strict=True)
            )
        passed = "pass" if data.get("success") else "fail"
        if gpus is None:
            gpus = devices.of(data.get("gpus", _NO_GPUS))
        at = now.status_at
        values = (*values[:at], passed, *values[at:], gpus.identifier)
        return Plan([(now.comprehensive_text % values, 1)], [])

    def counts(
        self,
        data: Mapping[str, Any],
        context: Mapping[str, Any],  # noqa: ARG002 - the contract's
    ) -> list[Count]:
        parts = self._parts(data)
        key = _key_of(parts)
        return [Count(self.name, self.name, tuple(sorted(parts)), key, SUM, 1)]

    def _parts(self, data: Mapping[str, Any]) -> list[tuple[str, str]]:
        """(name, value) in the order of the key."""
        now = layout.current()
        parts = [
            (name, str(data[name]).lower() if is_boolean else str(data[name]))
            for name, is_boolean in now.comprehensive
            if name in data
        ]
        before = sum(name in data for name, _ in now.comprehensive[: now.status_at])
        parts.insert(before, ("status", "pass" if data.get("success") else "fail"))
        parts.append(("gpu", devices.of(data.get("gpus", _NO_GPUS)).identifier))
        return parts


def _key_of(parts: list[tuple[str, str]]) -> str:
    return "_".join(f"{name}_{value}" for name, value in parts)
