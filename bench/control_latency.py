"""How long a change of owners takes while bulk data keeps the service busy.

    python bench/control_latency.py [--seconds 10] [--logs 3] [--writers 2]

A process of its own floods POST /v1/logs (Megatron lines) on some connections and remote write on
others, each as fast as it is answered. Meanwhile this one posts container events and placements,
one after the other, each of which changes an owner, and asks /readyz. Goal: p99 ≤ 500 ms.
"""

import argparse
import contextlib
import http.client
import itertools
import json
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from multiprocessing.synchronize import Event
from pathlib import Path

from _shared import (
    CLOCK,
    Watch,
    connected,
    gauges,
    heliograph,
    machine,
    ms,
    post,
)
from heliograph.core import instant
from heliograph.wire import remote_write as wire
from ingest_seam import rounds
from logs_flow import bodies as log_bodies

GOAL_S = 0.5
JSON = {"Content-Type": "application/json"}
LAG = "heliograph_applier_lag_seconds"
CONTROL_EVERY_S = 0.02
SERIES = 20_000


def flood(
    port: int,
    kinds: Mapping[str, int],
    began: Event,
    over: Event,
    counts: "multiprocessing.Queue",
) -> None:
    """Post bulk data on as many connections as *kinds* says until *over*; sums go to *counts*."""
    made = {
        "logs": ("/v1/logs", log_bodies(40), JSON),
        "remote write": (
            "/v1/prometheus",
            [body for one in rounds(SERIES, 4) for body in one],
            wire.HEADERS,
        ),
    }
    sums = dict.fromkeys(kinds, 0)
    busy = dict.fromkeys(kinds, 0)

    def send(kind: str, offset: int) -> None:
        path, bodies, headers = made[kind]
        with contextlib.closing(connected(port)) as connection:
            for body in itertools.cycle(bodies[offset:] + bodies[:offset]):
                if over.is_set():
                    return
                if post(connection, path, body, headers) in {429, 503}:
                    busy[kind] += 1
                    CLOCK.sleep(0.2)
                else:
                    sums[kind] += 1

    threads = [
        threading.Thread(target=send, args=(kind, 7 * n))
        for kind, count in kinds.items()
        for n in range(count)
    ]
    for thread in threads:
        thread.start()
    began.set()
    for thread in threads:
        thread.join()
    counts.put((sums, busy))


def events() -> Iterator[tuple[str, bytes]]:
    """Container events and placements by turns, all of them news."""
    for number in itertools.count():
        stamp = instant.text_of(CLOCK.now_ns())
        data = {
            "id": f"c-{number}", "name": "main", "status": "Running", "pod_name": f"pod-{number}",
            "pod_namespace": "train", "pod_uuid": f"u-{number}", "created_at": CLOCK.now_ns(),
            "devices": {"gpu": [{"name": f"card{number % 8}", "id": number % 8, "serial": "S"}]},
        }  # fmt: skip
        event = {
            "source": "k8s", "node": f"gpu-node-{number % 50:04}",
            "type": "task_start", "container_id": f"c-{number}", "data": data,
        }  # fmt: skip
        yield "/v1/container-events", json.dumps(event).encode()
        pod = {
            "uid": f"q-{number % 500}", "name": f"q-{number % 500}", "namespace": "train",
            "node": f"gpu-node-{number % 50:04}", "start": stamp,
            "devices": [{"type": "gpu", "id": str(number % 7), "uuid": f"GPU-x-{number}"}],
        }  # fmt: skip
        yield "/v1/placements", json.dumps({"pods": [pod]}).encode()


def measured(port: int, seconds: float) -> dict[str, list[float]]:
    """Seconds of each control request, by path, over *seconds*."""
    took: dict[str, list[float]] = {}
    until = time.perf_counter() + seconds
    with contextlib.closing(connected(port)) as connection:
        for path, body in events():
            if time.perf_counter() > until:
                return took
            for target, method in ((path, "POST"), ("/readyz", "GET")):
                began = time.perf_counter()
                status = asked(connection, method, target, body)
                took.setdefault(target, []).append(time.perf_counter() - began)
                if status != 200:
                    took.setdefault(f"{target} not 200", []).append(0.0)
            CLOCK.sleep(CONTROL_EVERY_S)
    return took


def asked(connection: http.client.HTTPConnection, method: str, path: str, body: bytes) -> int:
    """The status of one request."""
    connection.request(method, path, body if method == "POST" else None, JSON)
    answer = connection.getresponse()
    text = answer.read()
    if method == "POST" and answer.status != 200:
        raise RuntimeError(f"{path}: {answer.status} {text[:300]!r}")
    return answer.status


def shown(title: str, took: Mapping[str, list[float]]) -> bool:
    """Print the latencies; whether the goal was met."""
    print(f"  {title}")
    met = True
    for path, seconds in took.items():
        if path.endswith("not 200"):
            print(f"    {path}: {len(seconds)} times")
            continue
        print(f"    {path:22}{ms(seconds, 50, 99, 100):>40}   of {len(seconds)}")
        met = met and sorted(seconds)[int(0.99 * len(seconds))] <= GOAL_S
    return met


def main() -> None:
    """Alone, under a flood of logs, and under logs with remote write."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--seconds", type=float, default=10.0)
    options.add_argument("--logs", type=int, default=3)
    options.add_argument("--writers", type=int, default=2)
    args = options.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder, heliograph(Path(folder) / "data") as server:
        shown("idle", measured(server.port, args.seconds / 4))
        for kinds in ({"logs": args.logs}, {"logs": args.logs, "remote write": args.writers}):
            flooded(server.port, kinds, args.seconds, server.cpu_s)
        slow = {
            name: count
            for name, count in gauges(server.port).items()
            if name.startswith("heliograph_state_slow_transactions")
        }
        print(f"  transactions over 20 ms: {slow or 'none'}; RSS {server.rss_mib():.0f} MiB")


def flooded(port, kinds, seconds, cpu_s):
    """Measure under a flood of *kinds*."""
    made = multiprocessing.get_context("spawn")
    began, over, counts = made.Event(), made.Event(), made.Queue()
    flooding = made.Process(target=flood, args=(port, kinds, began, over, counts))
    flooding.start()
    began.wait(60)
    CLOCK.sleep(0.5)
    spent, wall = cpu_s(), time.perf_counter()
    with Watch(port, [LAG], every_s=0.5) as watch:
        took = measured(port, seconds)
    spent, wall = cpu_s() - spent, time.perf_counter() - wall
    over.set()
    sums, busy = counts.get(timeout=60)
    flooding.join()
    title = ", ".join(
        f"{kinds[one]} × {one}: {count / wall:.0f}/s" for one, count in sums.items()
    )
    met = shown(
        f"{title}; {spent / wall:.0%} of a CPU, told to wait {sum(busy.values())} times", took
    )
    print(
        f"    applier lag at most {max(watch.seen[LAG], default=0):.1f} s; "
        f"goal p99 ≤ {GOAL_S * 1e3:.0f} ms {'met' if met else 'MISSED'}"
    )


if __name__ == "__main__":
    main()
