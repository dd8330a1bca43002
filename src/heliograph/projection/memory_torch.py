"""Devices that torch computes on: CUDA, ROCm (torch calls it cuda too) and MPS.

torch is handed in, and asked only for what it has counted already: no question here allocates,
waits for the device or begins to use it.
Source: PyTorch reference, `torch.cuda.memory_stats`, `torch.cuda.mem_get_info`, `torch.mps`.
"""

from collections.abc import Mapping
from typing import Any

from heliograph.projection.memory_devices import Device, DeviceError, NotInUse, Reading

# What torch raises when the driver, the device or its own state does not let it answer.
_FAILURES = (RuntimeError, AttributeError, KeyError, TypeError, ValueError, OSError)


class CudaDevice:
    """One device of `torch.cuda`; *index* is torch's, None for the one that is current."""

    def __init__(self, torch: Any, index: int | None = None) -> None:
        self._torch = torch
        self._index = index
        self.backend = "rocm" if getattr(torch.version, "hip", None) else "cuda"
        self.device_id = index or 0

    def read(self) -> Reading:
        """By the allocator's own counts, and the driver's of the whole device."""
        cuda = self._torch.cuda
        try:
            if not cuda.is_initialized():
                raise NotInUse
            index = cuda.current_device() if self._index is None else self._index
            self.device_id = int(index)
            stats = cuda.memory_stats_as_nested_dict(index)
            counted = [_current(stats, kept) for kept in _COUNTED.values()]
            ooms = stats.get("num_ooms")
        except _FAILURES as error:
            raise DeviceError(f"torch.cuda: {error}") from error
        partial = [name for name, value in zip(_COUNTED, counted, strict=True) if value is None]
        allocated, reserved, active, inactive = counted
        found = Reading(allocated, reserved, active, inactive, ooms=ooms)
        try:
            free, total = (int(value) for value in cuda.mem_get_info(index))
        except _FAILURES:
            return found._replace(partial=(*partial, *_OF_THE_DEVICE))
        return found._replace(
            used_bytes=max(total - free, 0),
            free_bytes=free,
            total_bytes=total,
            partial=tuple(partial),
        )

    def details(self) -> Mapping[str, Any]:
        """All counts of the allocator, flat."""
        try:
            stats: dict[str, Any] = dict(self._torch.cuda.memory_stats(self.device_id))
            stats["device_name"] = str(self._torch.cuda.get_device_name(self.device_id))
        except _FAILURES as error:
            raise DeviceError(f"torch.cuda: {error}") from error
        return stats


# The name here, in the order of `Reading` → where torch keeps it, in all pools together.
_COUNTED = {
    "allocated_bytes": "allocated_bytes",
    "reserved_bytes": "reserved_bytes",
    "active_bytes": "active_bytes",
    "inactive_bytes": "inactive_split_bytes",
}
_OF_THE_DEVICE = ("used_bytes", "free_bytes", "total_bytes")


def _current(stats: Mapping[str, Any], kept: str) -> int | None:
    try:
        return int(stats[kept]["all"]["current"])
    except (KeyError, TypeError, ValueError):
        return None


class MpsDevice:
    """Apple's device: it shares the host's memory, and has no counts of active pieces."""

    backend = "mps"
    device_id = 0

    def __init__(self, torch: Any) -> None:
        self._torch = torch

    def read(self) -> Reading:
        """By torch's counts; *total* is what the driver advises to stay under."""
        mps = self._torch.mps
        try:
            allocated = int(mps.current_allocated_memory())
            reserved = int(mps.driver_allocated_memory())
        except _FAILURES as error:
            raise DeviceError(f"torch.mps: {error}") from error
        try:
            total = int(mps.recommended_max_memory())
        except _FAILURES:
            return Reading(
                allocated, reserved, used_bytes=reserved, partial=("free_bytes", "total_bytes")
            )
        used = min(max(allocated, reserved), total)
        return Reading(
            allocated,
            reserved,
            used_bytes=used,
            free_bytes=total - used,
            total_bytes=total,
        )

    def details(self) -> Mapping[str, Any]:
        """Nothing that a reading does not tell."""
        return {}


def accelerator(torch: Any) -> Device | None:
    """The device that *torch* computes on in this process; None where it has none, or is None.

    Whether there is a CUDA device is not asked, for that begins to use the driver, which a forked
    child then cannot: a torch that was built for one is believed, and is not in use until it is.
    """
    if torch is None:
        return None
    try:
        version = torch.version
        if getattr(version, "cuda", None) or getattr(version, "hip", None):
            return CudaDevice(torch)
        if torch.backends.mps.is_available():
            return MpsDevice(torch)
    except _FAILURES:
        return None
    return None
