"""What one sample of memory costs: the host's memory, a recorded accelerator, and both with phases.

    .venv/bin/python bench/memory_sample.py --samples 2000

The bound is one millisecond a sample, sinks and the flight recorder included.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

from heliograph.core.clock import SystemClock
from heliograph.projection.memory import MemoryTracker
from heliograph.projection.memory_devices import CpuDevice, Reading, RecordedDevice, host
from heliograph.projection.sink import TelemetrySink

CLOCK = SystemClock()
BOUND_MS = 1.0
RECORDED = Reading(10 << 30, 12 << 30, 10 << 30, 1 << 20, 20 << 30, 60 << 30, 80 << 30, 0)


def measured(call: Callable[[], object], times: int) -> list[float]:
    """Milliseconds of each of *times* calls, in order of size."""
    spent = []
    for _ in range(times):
        began_s = CLOCK.monotonic_s()
        call()
        spent.append((CLOCK.monotonic_s() - began_s) * 1000)
    return sorted(spent)


def told(what: str, spent: list[float]) -> None:
    """A line of the table."""
    p99 = spent[int(len(spent) * 0.99) - 1]
    within = "ok" if statistics.median(spent) <= BOUND_MS else "TOO SLOW"
    print(f"{what:44} median {statistics.median(spent):.4f} ms   p99 {p99:.4f} ms   {within}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=2000)
    times = parser.parse_args().samples
    cases = (
        ("host by psutil", [host()]),
        ("host by /proc", [CpuDevice()]),
        ("recorded accelerator", [RecordedDevice([RECORDED])]),
        ("accelerator and host", [RecordedDevice([RECORDED]), host()]),
    )
    for what, devices in cases:
        tracker = MemoryTracker([bool], devices=devices, every_s=0, environ={})
        told(what, measured(tracker.sample, times))
    with tempfile.TemporaryDirectory() as folder:
        sink = TelemetrySink(Path(folder) / "sink")
        sink.start_session("bench")
        tracker = MemoryTracker(
            [sink], devices=[host()], every_s=0, session_id="bench", environ={}
        )
        told("host, into a sink on disk (fsync each 50)", measured(tracker.sample, times))

        def phase() -> None:
            with tracker.phase("step"):
                pass

        told("a phase: two events, in the step's thread", measured(phase, times))
        tracker.stop()
        sink.close()


if __name__ == "__main__":
    main()
