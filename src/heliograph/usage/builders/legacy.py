"""Counters by two attributes at a time, as the first users of spec 000 know them.

total_action_train_pass 1               network_resnet50_action_train 1
version_5_3_0_action_train 1            gpu_nvidia_a100_action_train 2     (one a GPU)
"""

from collections.abc import Mapping
from typing import Any

from heliograph.usage import devices
from heliograph.usage.builders.base import Plan, PlannedBuilder
from heliograph.usage.devices import Devices
from heliograph.usage.types import Count


class LegacyMetricsBuilder(PlannedBuilder):
    """Needs action, version, network, success and gpus; raises KeyError without."""

    name = "legacy"

    def plan(self, data: Mapping[str, Any], gpus: Devices | None = None) -> Plan:
        action = data["action"]
        passed = "pass" if data["success"] else "fail"
        made = [
            (f"total_action_{action}_{passed}", 1),
            (f"version_{data['version']}_action_{action}", 1),
            (f"network_{data['network']}_action_{action}", 1),
        ]
        if gpus is None:
            gpus = devices.of(data["gpus"])
        for name, count in gpus.names:
            made.append((f"gpu_{name}_action_{action}", count))
        return Plan(made, [])

    def counts(self, data: Mapping[str, Any], context: Mapping[str, Any]) -> list[Count]:
        action = str(data["action"])
        passed = "pass" if data["success"] else "fail"
        by_action = ("action", action)
        gpus = devices.of(data["gpus"])
        labels = [
            ("total_action", (by_action, ("status", passed))),
            ("version_action", (by_action, ("version", str(data["version"])))),
            ("network_action", (by_action, ("network", str(data["network"])))),
            *(("gpu_action", (by_action, ("gpu", name))) for name, _ in gpus.names),
        ]
        return [
            Count(self.name, name, pairs, key, strategy, value)
            for (name, pairs), (key, strategy, value) in zip(
                labels, self.changes(data, context, gpus), strict=True
            )
        ]
