"""The machine that this process runs on, by psutil: optional, for nodes without an exporter.

    collector.add_source(HostMetrics.here())

    host_cpu_seconds_total{mode="user"} …          host_load_average{window="1m"} …
    host_memory_total_bytes …                      host_memory_available_bytes …
    host_disk_read_bytes_total …                   host_disk_written_bytes_total …
    host_network_received_bytes_total{device="ib0"} …

One process a node should show them; of `torchrun`'s, that of `local_rank` 0. What a system does not
have, or this user may not read, is left out.
"""

from collections.abc import Iterator
from typing import Any

from heliograph.instruments.family import Family, Labels, Point
from heliograph.instruments.optional import load

# Containers make interfaces by the hundred; the first of them, by name, are shown.
DEVICES_MAX = 64
_LOOPBACK = ("lo", "lo0")


class HostMetrics:
    """Call it for the families; *psutil* is that library, or what answers like it."""

    def __init__(self, psutil: Any) -> None:
        self._psutil = psutil
        self._failures = (
            psutil.Error,
            OSError,
            NotImplementedError,
            AttributeError,
            RuntimeError,
        )

    @classmethod
    def here(cls) -> "HostMetrics":
        """Of this machine. Raises ConfigError where psutil is missing."""
        return cls(load("psutil", "host metrics", "pip install psutil"))

    def __call__(self) -> list[Family]:
        """The machine, now."""
        found: list[Family] = []
        for part in (self._cpu, self._load, self._memory, self._disks, self._network):
            try:
                found.extend(part())
            except self._failures:
                # A part that cannot be read must not take the others with it.
                continue
        return found

    def _cpu(self) -> Iterator[Family]:
        times = self._psutil.cpu_times()._asdict()
        # Linux counts guests in user too; shown twice they would be summed twice.
        points = [
            _point(seconds, mode=mode)
            for mode, seconds in sorted(times.items())
            if not mode.startswith("guest")
        ]
        yield _family("cpu_seconds_total", "counter", "CPU time of all CPUs", points)
        count = self._psutil.cpu_count() or 0
        yield _family("cpus", "gauge", "CPUs that the system has", [_point(count)])

    def _load(self) -> Iterator[Family]:
        averages = zip(("1m", "5m", "15m"), self._psutil.getloadavg(), strict=False)
        points = [_point(value, window=window) for window, value in averages]
        yield _family("load_average", "gauge", "Processes that run or wait to", points)

    def _memory(self) -> Iterator[Family]:
        memory = self._psutil.virtual_memory()
        for name in ("total", "available", "used"):
            value = getattr(memory, name)
            text = f"Memory, {name}"
            yield _family(f"memory_{name}_bytes", "gauge", text, [_point(value)])
        swap = self._psutil.swap_memory()
        yield _family("swap_used_bytes", "gauge", "Swap, used", [_point(swap.used)])

    def _disks(self) -> Iterator[Family]:
        disks = self._psutil.disk_io_counters(perdisk=False)
        if disks is None:
            return
        read, written = [_point(disks.read_bytes)], [_point(disks.write_bytes)]
        yield _family("disk_read_bytes_total", "counter", "Read from all disks", read)
        yield _family("disk_written_bytes_total", "counter", "Written to all disks", written)

    def _network(self) -> Iterator[Family]:
        devices = self._psutil.net_io_counters(pernic=True)
        names = sorted(name for name in devices if name not in _LOOPBACK)[:DEVICES_MAX]
        for name, key, text in (
            ("received_bytes", "bytes_recv", "Received"),
            ("sent_bytes", "bytes_sent", "Sent"),
            ("receive_errors", "errin", "Errors while receiving"),
            ("send_errors", "errout", "Errors while sending"),
        ):
            points = [_point(getattr(devices[device], key), device=device) for device in names]
            yield _family(f"network_{name}_total", "counter", text, points)


def _family(name: str, kind: str, text: str, points: list[Point]) -> Family:
    return Family(f"host_{name}", kind, text, "", points)


def _point(value: float, **labels: str) -> Point:
    pairs: Labels = tuple(sorted(labels.items()))
    return Point("", pairs, float(value))
