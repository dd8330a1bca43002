"""This process as Linux sees it, under the names that dashboards know.

    process_cpu_seconds_total 41.5        user and system, all threads
    process_resident_memory_bytes …       process_virtual_memory_bytes …
    process_start_time_seconds …          process_open_fds …   process_max_fds …

Elsewhere than on Linux there is no /proc and nothing is shown; what cannot be read is left out.
Source: proc(5), /proc/[pid]/stat; the names are those of Prometheus' client libraries.
"""

import os
from pathlib import Path

from heliograph.instruments.family import Family, Point

# Places in /proc/self/stat, counted behind the command's closing bracket.
_UTIME, _STIME, _START, _VIRTUAL, _RESIDENT = 11, 12, 19, 20, 21
_NO_LIMIT = "unlimited"


class ProcessMetrics:
    """Call it for the families; *proc* is where /proc is mounted."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._booted_s: float | None = None

    def __call__(self) -> list[Family]:
        """The process that asks, now; a forked child reads its own."""
        return [*self._of_stat(), *self._of_descriptors()]

    def _of_stat(self) -> list[Family]:
        try:
            text = (self._proc / "self" / "stat").read_text(errors="replace")
            # The command may hold spaces and brackets; the last bracket ends it.
            fields = text.rpartition(")")[2].split()
            ticks_s = float(os.sysconf("SC_CLK_TCK"))
            page_bytes = os.sysconf("SC_PAGE_SIZE")
            cpu_s = (int(fields[_UTIME]) + int(fields[_STIME])) / ticks_s
            started_s = int(fields[_START]) / ticks_s
            virtual, resident = int(fields[_VIRTUAL]), int(fields[_RESIDENT]) * page_bytes
        except (OSError, ValueError, IndexError):
            return []
        found = [
            _family("virtual_memory_bytes", "gauge", "Virtual memory size", virtual),
            _family("resident_memory_bytes", "gauge", "Resident memory size", resident),
        ]
        if (booted_s := self._booted()) is not None:
            text = "Start of the process since the Unix epoch in seconds"
            found.append(_family("start_time_seconds", "gauge", text, booted_s + started_s))
        text = "User and system CPU time in seconds"
        return [*found, _family("cpu_seconds_total", "counter", text, cpu_s)]

    def _of_descriptors(self) -> list[Family]:
        found = []
        try:
            fds = len(os.listdir(self._proc / "self" / "fd"))  # noqa: PTH208 - names alone
            found.append(_family("open_fds", "gauge", "Open file descriptors", fds))
            limits = (self._proc / "self" / "limits").read_text()
            for line in limits.splitlines():
                if line.startswith("Max open files"):
                    soft = line.split()[3]
                    most = float("inf") if soft == _NO_LIMIT else int(soft)
                    text = "Most file descriptors that may be open"
                    found.append(_family("max_fds", "gauge", text, most))
        except (OSError, ValueError, IndexError):
            return found
        return found

    def _booted(self) -> float | None:
        """When the machine started, in epoch seconds."""
        if self._booted_s is None:
            try:
                lines = (self._proc / "stat").read_text().splitlines()
                line = next(line for line in lines if line.startswith("btime "))
                self._booted_s = float(line.split()[1])
            except (OSError, ValueError, StopIteration):
                return None
        return self._booted_s


def _family(name: str, kind: str, text: str, value: float) -> Family:
    return Family(f"process_{name}", kind, text, "", [Point("", (), value)])
