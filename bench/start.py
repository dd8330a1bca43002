"""What a start costs: seconds until ready, idle memory, the command line, the SDK's import.

    python bench/start.py [--times 5] [--samples 1000000]

"ready" is from the start of the process until GET /readyz is 200: on an empty folder, on one that
was stopped in order with a million samples in segments, and on one whose service was killed, so
that the log is read again. Wall-clock medians; each with what a bare interpreter needs beside it.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _shared import CLOCK, folder_bytes, heliograph, machine, post_all, wait_applied
from heliograph.wire import remote_write as wire
from ingest_seam import rounds

SERIES = 20_000
IDLE_S = 0.5


def median_ms(command: list[str], times: int) -> float:
    """Median milliseconds of running *command* to its end."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        took.append((time.perf_counter() - began) * 1e3)
    return statistics.median(took)


def commands(times: int) -> None:
    """The command line and the SDK, beside the interpreter alone."""
    bare = median_ms([sys.executable, "-c", "pass"], times)
    for name, arguments in (
        ("import heliograph", ["-c", "import heliograph"]),
        ("heliograph --help", ["-m", "heliograph.cli", "--help"]),
        ("import heliograph.service.wiring", ["-c", "import heliograph.service.wiring"]),
    ):
        took = median_ms([sys.executable, *arguments], times)
        print(f"  {name:34}{took:7.0f} ms, {took - bare:6.1f} over an interpreter's {bare:.0f}")


def ready(data_dir: Path, times: int) -> tuple[float, float, float]:
    """Starting on copies of *data_dir*: median seconds and CPU seconds to ready, and idle MiB."""
    took, cpu_s, rss = [], [], []
    for _ in range(times):
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "data"
            if data_dir.exists():
                shutil.copytree(data_dir, copy)
            began = time.perf_counter()
            with heliograph(copy) as server:
                took.append(time.perf_counter() - began)
                cpu_s.append(server.cpu_s())
                CLOCK.sleep(IDLE_S)
                rss.append(server.rss_mib())
    return statistics.median(took), statistics.median(cpu_s), statistics.median(rss)


def filled(data_dir: Path, made: list[bytes], *, killed: bool) -> None:
    """Leave *made* in *data_dir*: sealed by an orderly stop, or in the log by a kill."""
    with heliograph(data_dir) as server:
        post_all(server.port, "/v1/prometheus", made, wire.HEADERS, connections=4)
        wait_applied(server.port)
        if killed:
            server.process.kill()
            server.process.wait()


def shown(name: str, data_dir: Path, times: int) -> None:
    """Print what a start on *data_dir* costs."""
    size = folder_bytes(data_dir) / 2**20 if data_dir.exists() else 0
    took, cpu_s, rss = ready(data_dir, times)
    print(
        f"  {name:34}{took * 1e3:7.0f} ms to ready ({cpu_s * 1e3:.0f} CPU-ms), idle RSS {rss:.0f} MiB "
        f"({size:.0f} MiB on disk)"
    )


def main() -> None:
    """All of it."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--times", type=int, default=5)
    options.add_argument("--samples", type=int, default=1_000_000)
    args = options.parse_args()
    print(machine())
    commands(args.times)
    made = [body for one in rounds(SERIES, args.samples // SERIES) for body in one]
    with tempfile.TemporaryDirectory() as folder:
        shown("empty folder", Path(folder) / "none", args.times)
        for name, killed in (("after a stop", False), ("after a kill", True)):
            data_dir = Path(folder) / name.replace(" ", "-")
            filled(data_dir, made, killed=killed)
            shown(f"{args.samples / 1e6:g} M samples, {name}", data_dir, args.times)


if __name__ == "__main__":
    main()
