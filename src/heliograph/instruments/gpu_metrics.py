"""The GPUs of this machine: one shape, whoever made them.

    collector.add_source(GpuMetrics.here())

    gpu_utilization_ratio{gpu="0",uuid="GPU-5a…",model="NVIDIA H100 80GB HBM3"} 0.97
    gpu_memory_used_bytes{…} …      gpu_memory_total_bytes{…} …
    gpu_temperature_celsius{…} …    gpu_power_watts{…} …
    gpu_energy_joules_total{…} …    gpu_clock_hertz{…} …

`gpu` and `uuid` are what Heliograph attributes by, on the node that the series names. A probe reads
one vendor's library (`gpu_nvidia`, `gpu_amd`); what a device does not measure is absent, never 0.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from heliograph.core.errors import ConfigError
from heliograph.instruments.family import Family, Labels, Point


class Reading(NamedTuple):
    """One device, now; None is what it does not measure."""

    index: int  # type: ignore[assignment]  # a device's index is worth tuple's method
    uuid: str
    model: str
    serial: str = ""
    utilization_ratio: float | None = None
    memory_used_bytes: float | None = None
    memory_total_bytes: float | None = None
    temperature_celsius: float | None = None
    power_watts: float | None = None
    energy_joules: float | None = None
    clock_hertz: float | None = None


class Probe(Protocol):
    """One vendor's devices."""

    def read(self) -> list[Reading]:
        """All devices, now; those that do not answer are left out."""
        ...

    def close(self) -> None:
        """Give the library back; repeating it is harmless."""
        ...


class GpuMetrics:
    """Call it for the families of all devices of *probes*."""

    def __init__(self, probes: Sequence[Probe]) -> None:
        self._probes = probes

    @classmethod
    def here(cls) -> "GpuMetrics":
        """Of this machine, whatever is in it. Raises ConfigError where no library answers."""
        from heliograph.instruments.gpu_amd import AmdProbe
        from heliograph.instruments.gpu_nvidia import NvidiaProbe

        probes: list[Probe] = []
        reasons = []
        kinds: tuple[Callable[[], Probe], ...] = (NvidiaProbe.here, AmdProbe.here)
        for kind in kinds:
            try:
                probes.append(kind())
            except ConfigError as error:
                reasons.append(str(error))
        if not probes:
            raise ConfigError("; ".join(reasons))
        return cls(probes)

    def __call__(self) -> list[Family]:
        """The devices, now."""
        readings = [reading for probe in self._probes for reading in probe.read()]
        families = []
        for field, kind, text in _SHOWN:
            points = [
                Point("", _labels(reading), float(value))
                for reading in readings
                if (value := getattr(reading, field)) is not None
            ]
            name = f"gpu_{field}{'_total' if kind == 'counter' else ''}"
            families += [Family(name, kind, text, "", points)] if points else []
        return families

    def close(self) -> None:
        """Give the libraries back."""
        for probe in self._probes:
            probe.close()


_SHOWN = (
    ("utilization_ratio", "gauge", "Share of the time in which a kernel ran"),
    ("memory_used_bytes", "gauge", "Device memory, used"),
    ("memory_total_bytes", "gauge", "Device memory, all of it"),
    ("temperature_celsius", "gauge", "Temperature of the chip"),
    ("power_watts", "gauge", "Power drawn"),
    ("energy_joules", "counter", "Energy since the driver was loaded"),
    ("clock_hertz", "gauge", "Clock of the multiprocessors"),
)


def _labels(reading: Reading) -> Labels:
    pairs = {
        "gpu": str(reading.index),
        "model": reading.model,
        "serial_number": reading.serial,
        "uuid": reading.uuid,
    }
    return tuple((name, value) for name, value in pairs.items() if value)
