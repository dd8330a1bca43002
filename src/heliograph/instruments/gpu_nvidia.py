"""NVIDIA's devices by NVML (`pynvml` of nvidia-ml-py).

Source: NVML API reference, "Device Queries"; nvidia-ml-py 13.
"""

import contextlib
import os
from collections.abc import Callable
from typing import Any

from heliograph.core.errors import ConfigError
from heliograph.instruments.gpu_metrics import Reading
from heliograph.instruments.optional import load

# A node has 16 at most today; a MIG-sliced one shows its whole devices here.
DEVICES_MAX = 64


class NvidiaProbe:
    """Reads by *nvml*: the module `pynvml`, or what answers like it."""

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml
        self._pid = 0
        self._begin()

    @classmethod
    def here(cls) -> "NvidiaProbe":
        """Of this machine. Raises ConfigError where NVML is missing or has no driver."""
        nvml = load("pynvml", "NVIDIA's GPU metrics", "pip install nvidia-ml-py")
        try:
            return cls(nvml)
        except nvml.NVMLError as error:
            raise ConfigError(f"NVIDIA's GPU metrics: {error}") from error

    def read(self) -> list[Reading]:
        """All devices that answer."""
        nvml = self._nvml
        found = []
        try:
            self._begin()
            count = min(nvml.nvmlDeviceGetCount(), DEVICES_MAX)
        except nvml.NVMLError:
            return []
        for index in range(count):
            # A device that has fallen off the bus answers no question at all.
            with contextlib.suppress(nvml.NVMLError):
                found.append(self._device(index))
        return found

    def close(self) -> None:
        """Give NVML back."""
        if self._pid == os.getpid():
            self._pid = 0
            with contextlib.suppress(self._nvml.NVMLError):
                self._nvml.nvmlShutdown()

    def _begin(self) -> None:
        # NVML does not survive a fork; the child begins anew.
        if self._pid != os.getpid():
            self._nvml.nvmlInit()
            self._pid = os.getpid()

    def _device(self, index: int) -> Reading:
        nvml = self._nvml
        device = nvml.nvmlDeviceGetHandleByIndex(index)
        memory = self._asked(lambda: nvml.nvmlDeviceGetMemoryInfo(device))
        return Reading(
            index,
            _text(nvml.nvmlDeviceGetUUID(device)),
            _text(nvml.nvmlDeviceGetName(device)),
            utilization_ratio=self._scaled(
                lambda: nvml.nvmlDeviceGetUtilizationRates(device).gpu, 0.01
            ),
            memory_used_bytes=None if memory is None else float(memory.used),
            memory_total_bytes=None if memory is None else float(memory.total),
            temperature_celsius=self._scaled(
                lambda: nvml.nvmlDeviceGetTemperature(device, nvml.NVML_TEMPERATURE_GPU), 1.0
            ),
            power_watts=self._scaled(lambda: nvml.nvmlDeviceGetPowerUsage(device), 1e-3),
            energy_joules=self._scaled(
                lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(device), 1e-3
            ),
            clock_hertz=self._scaled(
                lambda: nvml.nvmlDeviceGetClockInfo(device, nvml.NVML_CLOCK_SM), 1e6
            ),
        )

    def _asked(self, question: Callable[[], Any]) -> Any:
        """What *question* answers, or None where this device has no answer to it."""
        try:
            return question()
        except self._nvml.NVMLError:
            return None

    def _scaled(self, question: Callable[[], Any], unit: float) -> float | None:
        answer = self._asked(question)
        return None if answer is None else float(answer) * unit


def _text(answer: str | bytes) -> str:
    # Older versions of the library answer in bytes.
    return answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
