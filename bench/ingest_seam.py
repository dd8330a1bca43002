"""A million samples through a real `heliograph serve`: HTTP, decode, log, applier, segment, query.

    python bench/ingest_seam.py [--series 40000] [--rounds 25] [--no-peer]

25 metrics × nodes × 8 GPUs, 13 labels each, 2,000 samples a request on 4 keep-alive connections; the
GPUs of every second node belong to a pod. One sample a series and round: in the first round all
series are new, the others are steady. Beside it, where `make peers` has fetched it, Debian's
VictoriaMetrics with the same bodies. CPU seconds are those of the server process, until the
applier has taken everything in; disk is what is there after both have stopped.
"""

import argparse
import contextlib
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

import msgspec
import numpy as np

from _shared import (
    CLOCK,
    Sent,
    Server,
    Watch,
    connected,
    folder_bytes,
    gauges,
    heliograph,
    machine,
    ms,
    post,
    post_all,
    victoria_metrics,
    wait_applied,
)
from heliograph.core import labels as label
from heliograph.wire import remote_write as wire
from heliograph.wire import snappy

METRICS, GPUS = 25, 8
PER_REQUEST = 2000
CONNECTIONS = 4
STEP_MS = 15_000
LAG = ("heliograph_applier_lag_seconds", "heliograph_applier_lag_frames")
QUERY_TIMES = 15


class Round(NamedTuple):
    """One measured part of a run."""

    samples: int
    sent: Sent
    cpu_s: float


def labels_of(metric: int, node: int, gpu: int) -> label.Labels:
    """13 labels as the DCGM exporter and a scraper set them."""
    return label.of(
        {
            "__name__": f"DCGM_FI_DEV_METRIC_{metric:02}",
            "Hostname": f"gpu-node-{node:04}",
            "UUID": uuid(node, gpu),
            "cluster": "c1",
            "container": "dcgm-exporter",
            "device": f"nvidia{gpu}",
            "gpu": str(gpu),
            "instance": f"10.0.{node // 256}.{node % 256}:9400",
            "job": "dcgm",
            "modelName": "NVIDIA H100 80GB HBM3",
            "node": f"gpu-node-{node:04}",
            "pci_bus_id": f"00000000:{gpu:02}:00.0",
            "rack": f"r{node // 16}",
        }
    )


def uuid(node: int, gpu: int) -> str:
    """The UUID of a GPU."""
    return f"GPU-604ac76c-d9cf-fef3-{node:04x}-d92044ab{gpu:04x}"


def placements(nodes: int) -> bytes:
    """A document that places one pod on all GPUs of every second node."""
    pods = [
        {
            "uid": f"p-{node}", "name": f"llm-worker-{node}", "namespace": "train",
            "node": f"gpu-node-{node:04}", "workload_uid": "w-1", "start": "2026-01-01T00:00:00Z",
            "devices": [
                {"type": "gpu", "id": str(gpu), "uuid": uuid(node, gpu)} for gpu in range(GPUS)
            ],
        }
        for node in range(0, nodes, 2)
    ]  # fmt: skip
    workload = {"uid": "w-1", "name": "llm", "kind": "PyTorchJob", "namespace": "train"}
    return msgspec.json.encode({"workloads": [{**workload, "status": "Running"}], "pods": pods})


def rounds(series: int, count: int) -> list[list[bytes]]:
    """*count* lists of bodies, each with one sample of every series; ends now."""
    rng = np.random.default_rng(7)
    nodes = series // (METRICS * GPUS)
    fields = [
        wire.label_fields(labels_of(metric, node, gpu))
        for node in range(nodes)
        for gpu in range(GPUS)
        for metric in range(METRICS)
    ]
    value = np.round(50 + rng.normal(0, 1, len(fields)), 2)
    whole = np.arange(len(fields)) % 5 < 2
    end_ms = CLOCK.now_ns() // 10**6
    made = []
    for number in range(count):
        value = np.where(whole, np.round(value), value) + np.round(
            rng.normal(0, 1, len(fields)), 2
        )
        value[whole] = np.round(value[whole])
        at_ms = np.full(1, end_ms - (count - 1 - number) * STEP_MS, np.int64)
        made.append(
            [
                snappy.compress(
                    wire.encode_fields(
                        (fields[n], at_ms, value[n : n + 1])
                        for n in range(start, min(start + PER_REQUEST, len(fields)))
                    )
                )
                for start in range(0, len(fields), PER_REQUEST)
            ]
        )
    return made


def driven(
    server: Server, path: str, bodies: Sequence[bytes], samples: int, *, ours: bool
) -> Round:
    """Post *bodies* and wait until they are applied."""
    cpu_s = server.cpu_s()
    sent = post_all(server.port, path, bodies, wire.HEADERS, connections=CONNECTIONS)
    if ours:
        wait_applied(server.port)
    return Round(samples, sent, server.cpu_s() - cpu_s)


def shown(name: str, one: Round) -> float:
    """Print *one*; its samples a CPU second."""
    per_cpu = one.samples / one.cpu_s
    print(
        f"  {name:22}{one.samples / one.sent.wall_s / 1e6:7.3f} M/s acked {per_cpu / 1e6:7.3f} M/CPU-s   "
        f"request {ms(one.sent.latency_s, 50, 99)}   busy {one.sent.busy}"
    )
    return per_cpu


def asked(server: Server, path: str, **parameters: object) -> str:
    """The median latency of one query, and how many series it answers."""
    target = f"{path}?{urlencode(parameters, doseq=True)}"
    took, found = [], 0
    for _ in range(QUERY_TIMES):
        began = time.perf_counter()
        answer = server.get(target)
        took.append(time.perf_counter() - began)
        found = len(answer["series"] if "series" in answer else answer["data"]["result"])
    return f"{statistics.median(took) * 1e3:.1f} ms ({found} series)"


def queries(server: Server, series: int, where: str) -> None:
    """Latency of reading one series, many, and many through the view."""
    end_s = CLOCK.now_ns() / 1e9 + 60
    span = {"start": end_s - 3600, "end": end_s}
    one = {"match[]": [f'UUID="{uuid(0, 0)}"']}
    racks = {"match[]": [f'rack=~"r[0-{max(0, min(9, series // 3200 - 1))}]"']}
    name = "DCGM_FI_DEV_METRIC_03"
    path = "/v1/query/range"
    print(
        f"  query, {where}: {asked(server, path, metric=name, **one, **span)}; "
        f"{asked(server, path, metric=name, step='60s', **racks, **span)}; "
        f"view {asked(server, path, metric='workload_' + name, step='60s', **racks, **span)}"
    )


def peer_queries(server: Server, series: int) -> None:
    """The same of VictoriaMetrics, as an instant roll-up over the hour in steps of a minute."""
    end_s = CLOCK.now_ns() / 1e9 + 60
    span = {"start": end_s - 3600, "end": end_s, "step": "60s"}
    name = "DCGM_FI_DEV_METRIC_03"
    path = "/api/v1/query_range"
    racks = f"r[0-{max(0, min(9, series // 3200 - 1))}]"
    one = f'{name}{{UUID="{uuid(0, 0)}"}}'
    many = f'avg_over_time({name}{{rack=~"{racks}"}}[1m])'
    print(
        f"  query: {asked(server, path, query=one, **span)}; "
        f"{asked(server, path, query=many, **span)}"
    )


def ours(folder: Path, made: list[list[bytes]], series: int) -> tuple[float, float]:
    """Measure heliograph; steady samples a CPU second, and bytes a sample."""
    samples = series * len(made)
    data_dir = folder / "heliograph"
    with heliograph(data_dir) as server:
        with contextlib.closing(connected(server.port)) as connection:
            post(
                connection,
                "/v1/placements",
                placements(series // (METRICS * GPUS)),
                {"Content-Type": "application/json"},
            )
        shown(
            "heliograph, all new", driven(server, "/v1/prometheus", made[0], series, ours=True)
        )
        steady = [body for one in made[1:] for body in one]
        with Watch(server.port, LAG) as watch:
            rate = shown(
                "heliograph, steady",
                driven(server, "/v1/prometheus", steady, samples - series, ours=True),
            )
        seconds, frames = (watch.seen[name] for name in LAG)
        told = gauges(server.port)
        owned = sum(v for k, v in told.items() if k.startswith("heliograph_attributed_total"))
        print(
            f"  applier lag: {statistics.median(seconds or [0]):.2f} s median, {max(seconds, default=0):.2f} s "
            f"most ({max(frames, default=0):.0f} frames); RSS {server.rss_mib():.0f} MiB; "
            f"attributed {owned / samples:.0%}"
        )
        queries(server, series, "in memory")
    size = folder_bytes(data_dir / "segments") / samples
    log_bytes = folder_bytes(data_dir / "log")
    print(
        f"  on disk after the stop: {size:.2f} B/sample in segments; log {log_bytes >> 20} MiB"
    )
    with heliograph(data_dir) as server:
        queries(server, series, "from files")
    return rate, size


def theirs(folder: Path, made: list[list[bytes]], series: int) -> tuple[float, float] | None:
    """Measure VictoriaMetrics, if it is here."""
    samples = series * len(made)
    data_dir = folder / "peer"
    with victoria_metrics(data_dir) as server:
        if server is None:
            print("  victoria-metrics is not here; `make peers` fetches it")
            return None
        path = "/api/v1/write"
        shown("victoria-metrics, new", driven(server, path, made[0], series, ours=False))
        steady = [body for one in made[1:] for body in one]
        rate = shown(
            "victoria-metrics",
            driven(server, path, steady, samples - series, ours=False),
        )
        print(f"  RSS {server.rss_mib():.0f} MiB")
        CLOCK.sleep(2)  # what it acknowledged can be read a second or so later
        peer_queries(server, series)
    size = folder_bytes(data_dir / "data") + folder_bytes(data_dir / "indexdb")
    print(f"  on disk after the stop: {size / samples:.2f} B/sample")
    return rate, size / samples


def main() -> None:
    """Run both and compare."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--series", type=int, default=40_000)
    options.add_argument("--rounds", type=int, default=25)
    options.add_argument("--no-peer", action="store_true")
    args = options.parse_args()
    made = rounds(args.series, args.rounds)
    size = sum(len(body) for one in made for body in one) / (args.series * args.rounds)
    print(
        f"{args.series} series × {args.rounds}, {size:.0f} B a sample as sent; {machine()}",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        mine = ours(Path(folder), made, args.series)
        peer = None if args.no_peer else theirs(Path(folder), made, args.series)
    if peer is not None:
        print(
            f"  ratio to victoria-metrics, steady: {mine[0] / peer[0]:.2f} samples a CPU second, "
            f"{mine[1] / peer[1]:.2f} bytes a sample"
        )


if __name__ == "__main__":
    main()
