"""What the benchmarks of the whole service share: real processes to measure, and senders.

    with tempfile.TemporaryDirectory() as folder, heliograph(Path(folder)) as server:
        sent = post_all(server.port, "/v1/prometheus", bodies, HEADERS, connections=4)

A server is a process of its own that is stopped at the end of its block, and nothing else is.
Senders are threads of this process, so that they share no interpreter with what is measured.
"""

import contextlib
import http.client
import importlib.util
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import psutil

from heliograph.core.clock import SystemClock

CLOCK = SystemClock()
START_S_MAX = 30
STOP_S_MAX = 30
TIMEOUT_S = 30


class Server:
    """A process that serves HTTP on *port* of loopback, and what it has used so far."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port
        self._seen = psutil.Process(process.pid)

    def cpu_s(self) -> float:
        """CPU seconds, user and system, of all its threads."""
        return sum(self._seen.cpu_times()[:2])

    def rss_mib(self) -> float:
        """Resident memory now."""
        return self._seen.memory_info().rss / 2**20

    def get(self, path: str) -> Any:
        """The JSON that GET *path* answers."""
        return json.loads(fetch(self.port, path))


@contextlib.contextmanager
def heliograph(data_dir: Path, config: Mapping[str, Any] | None = None) -> Iterator[Server]:
    """`heliograph serve` on *data_dir* with *config*, from ready to stopped."""
    file = data_dir.with_name(data_dir.name + ".yaml")
    file.write_text(json.dumps(dict(config or {})))
    port = free_port()
    command = [sys.executable, "-m", "heliograph.cli", "serve", "--config", str(file)]
    command += ["--data-dir", str(data_dir), "--listen", f"127.0.0.1:{port}"]
    with running([*command, "--log-level", "warning"], port, "/readyz") as server:
        yield server


@contextlib.contextmanager
def victoria_metrics(data_dir: Path) -> Iterator[Server | None]:
    """Debian's VictoriaMetrics, or None where it is not here (`make peers` fetches it)."""
    program, env = peer("victoria-metrics")
    if program is None:
        yield None
        return
    port = free_port()
    command = [
        str(program),
        f"-storageDataPath={data_dir}",
        f"-httpListenAddr=127.0.0.1:{port}",
    ]
    command += ["-search.latencyOffset=0s", "-search.disableCache", "-loggerLevel=ERROR"]
    with running(command, port, "/health", env=env) as server:
        yield server


def peer(name: str) -> tuple[Path | None, Mapping[str, str]]:
    """The program *name* of `tools/peers.py` if it is here, and the environment to run it in."""
    spec = importlib.util.spec_from_file_location(
        "peers", Path(__file__).parents[1] / "tools" / "peers.py"
    )
    assert spec is not None
    assert spec.loader is not None
    peers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(peers)
    return peers.found().get(name), {**os.environ, "LD_LIBRARY_PATH": peers.library_path()}


@contextlib.contextmanager
def running(
    command: Sequence[str], port: int, ready: str, *, env: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """*command* from the moment that GET *ready* is 200 until it has been asked to stop."""
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
    try:
        wait_ready(process, port, ready)
        yield Server(process, port)
    finally:
        process.terminate()
        try:
            process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_ready(process: subprocess.Popen[bytes], port: int, path: str) -> None:
    """Return as soon as GET *path* is answered 200."""
    until = CLOCK.monotonic_s() + START_S_MAX
    while CLOCK.monotonic_s() < until:
        if process.poll() is not None:
            sys.exit(f"{process.args} ended with {process.returncode}")
        with contextlib.suppress(OSError, http.client.HTTPException, RuntimeError):
            fetch(port, path)
            return
        CLOCK.sleep(0.005)
    sys.exit(f"{process.args} is not ready after {START_S_MAX} s")


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def fetch(port: int, path: str) -> bytes:
    """What GET *path* answers. Raises RuntimeError when that is not 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    with contextlib.closing(connection):
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{path}: {answer.status} {body[:200]!r}")
    return body


class Sent(NamedTuple):
    """What sending came to: seconds of each request, wall seconds of all, refusals for now."""

    latency_s: list[float]
    wall_s: float
    busy: int


def post(
    connection: http.client.HTTPConnection, path: str, body: bytes, headers: Mapping[str, str]
) -> int:
    """The status of one POST; of others than 2xx, 429 and 503 the run ends."""
    connection.request("POST", path, body, dict(headers))
    answer = connection.getresponse()
    text = answer.read()
    if answer.status not in {200, 204, 429, 503}:
        raise RuntimeError(f"{path}: {answer.status} {text[:300]!r}")
    return answer.status


def connected(port: int) -> http.client.HTTPConnection:
    """A keep-alive connection that does not wait for full packets."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def post_all(
    port: int,
    path: str,
    bodies: Sequence[bytes],
    headers: Mapping[str, str],
    *,
    connections: int,
) -> Sent:
    """Post *bodies*, number n on connection n mod *connections*, each until it is taken."""
    latency_s: list[float] = []
    busy: list[int] = []
    failed: list[Exception] = []

    def send(some: Sequence[bytes]) -> None:
        try:
            with contextlib.closing(connected(port)) as connection:
                for body in some:
                    began = time.perf_counter()
                    while post(connection, path, body, headers) not in {200, 204}:
                        busy.append(1)
                        CLOCK.sleep(0.1)
                    latency_s.append(time.perf_counter() - began)
        except (OSError, http.client.HTTPException, RuntimeError) as error:
            failed.append(error)

    senders = [
        threading.Thread(target=send, args=(bodies[n::connections],))
        for n in range(connections)
    ]
    began = time.perf_counter()
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    if failed:
        raise failed[0]
    return Sent(latency_s, time.perf_counter() - began, len(busy))


class Watch:
    """Asks for gauges of the service's own /metrics while the block runs; (seconds, values)."""

    def __init__(self, port: int, names: Sequence[str], *, every_s: float = 0.2) -> None:
        self._port = port
        self._names = names
        self._every_s = every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.seen: dict[str, list[float]] = {name: [] for name in names}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(self._every_s):
            values = gauges(self._port)
            for name in self._names:
                self.seen[name].append(values.get(name, 0.0))


def gauges(port: int) -> dict[str, float]:
    """Samples of /metrics by name with labels."""
    values = {}
    for line in fetch(port, "/metrics").decode().splitlines():
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            values[name] = float(value)
    return values


def wait_applied(port: int) -> None:
    """Return as soon as the applier has passed the log's end."""
    until = CLOCK.monotonic_s() + 60
    while gauges(port)["heliograph_applier_lag_frames"] > 0:
        if CLOCK.monotonic_s() > until:
            sys.exit("the applier does not catch up")
        CLOCK.sleep(0.05)


def ms(seconds: Sequence[float], *percentiles: float) -> str:
    """`p50 1.2 p99 3.4 ms` of *seconds*."""
    values = np.percentile(np.asarray(seconds) * 1e3, percentiles)
    parts = (f"p{p:g} {v:.1f}" for p, v in zip(percentiles, values, strict=True))
    return " ".join(parts) + " ms"


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below *folder*."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def machine() -> str:
    """One line on where this runs, for whoever reads the figures later."""
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    return f"{os.cpu_count()} CPUs, Python {sys.version.split()[0]}, load average {load}"
