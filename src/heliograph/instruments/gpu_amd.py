"""AMD's devices by AMD SMI (the module `amdsmi`, which ROCm brings).

A question that a device has no answer to is refused, or answered with "N/A".
Source: AMD SMI Python API reference, ROCm 6.
"""

import contextlib
import os
from collections.abc import Callable
from typing import Any

from heliograph.core.errors import ConfigError
from heliograph.instruments.gpu_metrics import Reading
from heliograph.instruments.optional import load

DEVICES_MAX = 64
_MIB = 1024.0 * 1024.0


class AmdProbe:
    """Reads by *smi*: the module `amdsmi`, or what answers like it."""

    def __init__(self, smi: Any) -> None:
        self._smi = smi
        self._pid = 0
        self._begin()

    @classmethod
    def here(cls) -> "AmdProbe":
        """Of this machine. Raises ConfigError where AMD SMI is missing or has no driver."""
        smi = load("amdsmi", "AMD's GPU metrics", "it comes with ROCm")
        try:
            return cls(smi)
        except smi.AmdSmiException as error:
            raise ConfigError(f"AMD's GPU metrics: {error}") from error

    def read(self) -> list[Reading]:
        """All devices that answer."""
        smi = self._smi
        found = []
        try:
            self._begin()
            devices = smi.amdsmi_get_processor_handles()[:DEVICES_MAX]
        except smi.AmdSmiException:
            return []
        for index, device in enumerate(devices):
            with contextlib.suppress(smi.AmdSmiException):
                found.append(self._device(index, device))
        return found

    def close(self) -> None:
        """Give AMD SMI back."""
        if self._pid == os.getpid():
            self._pid = 0
            with contextlib.suppress(self._smi.AmdSmiException):
                self._smi.amdsmi_shut_down()

    def _begin(self) -> None:
        if self._pid != os.getpid():
            self._smi.amdsmi_init()
            self._pid = os.getpid()

    def _device(self, index: int, device: Any) -> Reading:
        smi = self._smi
        chip = self._asked(lambda: smi.amdsmi_get_gpu_asic_info(device))
        memory = self._asked(lambda: smi.amdsmi_get_gpu_vram_usage(device))
        activity = self._asked(lambda: smi.amdsmi_get_gpu_activity(device))
        power = self._asked(lambda: smi.amdsmi_get_power_info(device))
        clock = self._asked(lambda: smi.amdsmi_get_clock_info(device, smi.AmdSmiClkType.GFX))
        energy = self._asked(lambda: smi.amdsmi_get_energy_count(device))
        return Reading(
            index,
            str(smi.amdsmi_get_gpu_device_uuid(device)),
            str(chip.get("market_name", "")),
            str(chip.get("asic_serial", "")),
            utilization_ratio=_number(activity, "gfx_activity", 0.01),
            memory_used_bytes=_number(memory, "vram_used", _MIB),
            memory_total_bytes=_number(memory, "vram_total", _MIB),
            temperature_celsius=self._temperature(device),
            # Newer parts measure it now, older ones on average.
            power_watts=_number(power, "current_socket_power", 1.0)
            or _number(power, "average_socket_power", 1.0),
            energy_joules=_energy(energy),
            clock_hertz=_number(clock, "clk", 1e6) or _number(clock, "cur_clk", 1e6),
        )

    def _temperature(self, device: Any) -> float | None:
        smi = self._smi
        for kind in (smi.AmdSmiTemperatureType.EDGE, smi.AmdSmiTemperatureType.HOTSPOT):
            with contextlib.suppress(smi.AmdSmiException):
                now = smi.AmdSmiTemperatureMetric.CURRENT
                answer = smi.amdsmi_get_temp_metric(device, kind, now)
                # Instinct parts have no edge sensor, and answer 0 for it.
                if isinstance(answer, int | float) and answer:
                    return float(answer)
        return None

    def _asked(self, question: Callable[[], Any]) -> dict[str, Any]:
        try:
            return dict(question())
        except self._smi.AmdSmiException:
            return {}


def _number(answer: dict[str, Any], key: str, unit: float) -> float | None:
    value = answer.get(key)
    return float(value) * unit if isinstance(value, int | float) else None


def _energy(answer: dict[str, Any]) -> float | None:
    """The counter times its resolution, which is in microjoules."""
    count = answer.get("energy_accumulator", answer.get("power"))
    unit = answer.get("counter_resolution")
    if isinstance(count, int | float) and isinstance(unit, int | float):
        return float(count) * float(unit) * 1e-6
    return None
