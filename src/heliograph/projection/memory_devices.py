"""The port behind which memory is: a device answers `read()`, and that is all the tracker knows of it.

    CpuDevice().read() == Reading(123_456, 123_456, used_bytes=…, free_bytes=…, total_bytes=…)

`found()` lists the devices of this process: the accelerator of its own that torch works on, where
the program has imported torch and used it, and the host's memory. Nothing here imports torch, and
nothing begins to use a device that the program has not begun to use. psutil is asked where it is
installed, else /proc, else `resource`.
Source: proc(5) `/proc/[pid]/statm`, `/proc/meminfo`; kernel, "Control Group v2", memory.
"""

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

HOST_DEVICE_ID = -1
_CGROUP = Path("/sys/fs/cgroup")
_PROC = Path("/proc")
_KIB = 1024


class DeviceError(Exception):
    """The device could not be read: why. The tracker pauses it and comes again."""


class NotInUse(Exception):
    """The program has not begun to use the device: nothing to read, and nothing wrong."""


class Reading(NamedTuple):
    """One reading; None for what this device does not tell, or did not tell this time.

    allocated_bytes   what the program holds in tensors; of the host: resident memory of this process
    reserved_bytes    what the allocator holds of the device, the above included
    active_bytes      allocated, and what waits to be given back
    inactive_bytes    free pieces in blocks that are partly used: they cannot be given to others
    used_bytes, free_bytes, total_bytes   of the whole device, by whomever; *free* may still be had
    ooms              times that the allocator had to say no since the program began
    partial           names above that this device tells, but did not this time
    """

    allocated_bytes: int | None = None
    reserved_bytes: int | None = None
    active_bytes: int | None = None
    inactive_bytes: int | None = None
    used_bytes: int | None = None
    free_bytes: int | None = None
    total_bytes: int | None = None
    ooms: int | None = None
    partial: tuple[str, ...] = ()


class Device(Protocol):
    """One device. Used by one thread at a time.

    backend     `cpu`, `cuda`, `rocm`, `mps`
    device_id   its number, HOST_DEVICE_ID for the host's memory
    """

    backend: str
    device_id: int

    def read(self) -> Reading:
        """How full it is now. Raises DeviceError, or NotInUse."""
        ...

    def details(self) -> Mapping[str, Any]:
        """All that its allocator tells, for a dump after running out of memory. Raises DeviceError."""
        ...


class RecordedDevice:
    """A device that answers *readings* one after the other, the last for ever; an exception among
    them is raised. For tests, and for replays."""

    def __init__(
        self,
        readings: Sequence[Reading | Exception],
        *,
        backend: str = "cuda",
        device_id: int = 0,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        self.backend = backend
        self.device_id = device_id
        self._readings = list(readings)
        self._details = dict(details or {})
        self.asked = 0

    def read(self) -> Reading:
        """The next reading."""
        found = self._readings[min(self.asked, len(self._readings) - 1)]
        self.asked += 1
        if isinstance(found, Exception):
            raise found
        return found

    def details(self) -> Mapping[str, Any]:
        """What was handed in."""
        return self._details


class CpuDevice:
    """The host's memory: this process's part of it, and all of it within its control group's bound."""

    backend = "cpu"
    device_id = HOST_DEVICE_ID

    def __init__(
        self, *, psutil: Any = None, proc: Path = _PROC, cgroup: Path = _CGROUP
    ) -> None:
        self._psutil = psutil
        self._process = None if psutil is None else psutil.Process()
        self._pid = os.getpid()
        self._proc = proc
        self._cgroup = cgroup
        self._page_bytes = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096

    def read(self) -> Reading:
        """Resident memory, and the machine's; with the bound of a container where that is less."""
        resident = self._resident()
        used, total = self._machine()
        within = self._container()
        if within is not None and (total is None or within[1] < total):
            used, total = within
        if total is None or used is None:
            return Reading(resident, resident)
        used = min(used, total)
        return Reading(
            resident, resident, used_bytes=used, free_bytes=total - used, total_bytes=total
        )

    def details(self) -> Mapping[str, Any]:
        """Every line of `/proc/self/status` on memory."""
        try:
            text = (self._proc / "self" / "status").read_text(errors="replace")
        except OSError:
            return {}
        pairs = (line.partition(":")[::2] for line in text.splitlines())
        return {name: value.strip() for name, value in pairs if name.startswith(("Vm", "Rss"))}

    def _resident(self) -> int:
        if self._psutil is not None:
            if self._pid != os.getpid():
                self._pid, self._process = os.getpid(), self._psutil.Process()
            try:
                return int(self._process.memory_info().rss)  # type: ignore[union-attr]
            except self._psutil.Error as error:
                raise DeviceError(f"psutil: {error}") from error
        try:
            pages = (self._proc / "self" / "statm").read_bytes().split()[1]
            return int(pages) * self._page_bytes
        except (OSError, IndexError, ValueError):
            return _peak()

    def _machine(self) -> tuple[int | None, int | None]:
        """(used, total): what cannot be had without pushing somebody out counts as used."""
        if self._psutil is not None:
            try:
                memory = self._psutil.virtual_memory()
                return int(memory.total - memory.available), int(memory.total)
            except (self._psutil.Error, OSError) as error:
                raise DeviceError(f"psutil: {error}") from error
        found: dict[bytes, int] = {}
        try:
            with (self._proc / "meminfo").open("rb") as lines:
                for line in lines:
                    name, _, value = line.partition(b":")
                    if name in {b"MemTotal", b"MemAvailable"}:
                        found[name] = int(value.split()[0]) * _KIB
                    if len(found) == 2:
                        break
            total = found[b"MemTotal"]
            return total - found[b"MemAvailable"], total
        except (OSError, KeyError, IndexError, ValueError):
            return None, None

    def _container(self) -> tuple[int, int] | None:
        """(used, bound) of the control group, as what kills for lack of memory sees it; None where
        there is none, or no bound."""
        try:
            bound = (self._cgroup / "memory.max").read_bytes().strip()
            if bound == b"max":
                return None
            current = int((self._cgroup / "memory.current").read_bytes())
            stat = (self._cgroup / "memory.stat").read_bytes()
            _, _, rest = stat.partition(b"\ninactive_file ")
            return max(current - int(rest.split(None, 1)[0] if rest else 0), 0), int(bound)
        except (OSError, ValueError, IndexError):
            return None


def _peak() -> int:
    """The most that was ever resident: all that systems without /proc tell without psutil."""
    try:
        import resource
    except ImportError as error:  # pragma: no cover - not on POSIX
        raise DeviceError("neither psutil nor /proc nor resource") from error
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * _KIB


def host() -> CpuDevice:
    """The host's memory, by psutil where it is installed."""
    try:
        return CpuDevice(psutil=importlib.import_module("psutil"))
    except (ImportError, OSError):
        return CpuDevice()


def accelerator() -> Device | None:
    """What torch computes on, where the program has imported torch; else None."""
    from heliograph.projection import memory_torch

    return memory_torch.accelerator(sys.modules.get("torch"))


def found() -> list[Device]:
    """The devices of this process: what torch computes on, then the host."""
    device = accelerator()
    return [*([device] if device else []), host()]
