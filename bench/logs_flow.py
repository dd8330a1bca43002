"""Log entries through a real `heliograph serve`: to the fsynced log, and through the applier.

    python bench/logs_flow.py [--entries 120000] [--connections 4]

Bodies of 500 entries as Fluent Bit posts them, about 600 bytes each, of 64 pods: half Megatron
iteration lines, a third NCCL INFO, the rest checkpoint lines and the odd Xid. CPU seconds are
those of the server process; "through the applier" ends when rows, samples and records are stored.
Of the same run, "to the fsynced log" counts the threads that a request waits for alone (the event
loop, `lines`, `ingest`), by the names that the kernel knows them by, until the last request has its
answer: asking for `/metrics` until all is applied is no part of it. The first 20,000 entries warm
the server up: what a job prints is learned from its first lines.

Beside it, as a measure of the machine in the same minute: the same bodies through `json.loads` and
one regular expression a format, which is what a log shipper's parser does; in this process.
"""

import argparse
import json
import random
import tempfile
import time
from pathlib import Path

import psutil

from _shared import (
    CLOCK,
    Watch,
    gauges,
    heliograph,
    machine,
    ms,
    post_all,
    wait_applied,
)
from extraction import baseline
from heliograph.receive.logs import LogLimits, decode
from heliograph.training.parse import parse_line
from heliograph.training.shapes import Shapes

PER_BODY = 500
PODS = 64
HEADERS = {"Content-Type": "application/json"}
LAG = "heliograph_applier_lag_seconds"
WARM_BODIES = 40
# Threads that go on where a request's answer does not wait for them.
BEHIND = {"applier", "state-writer", "rules", "alerts", "maintenance", "reader"}


def megatron(rng: random.Random, iteration: int) -> str:
    """An iteration line."""
    ms_ = rng.uniform(2000, 4000)
    return (
        f" iteration {iteration:8}/  100000 | consumed samples: {iteration * 512:12} | elapsed time per "
        f"iteration (ms): {ms_:.1f} | throughput per GPU (TFLOP/s/GPU): {rng.uniform(300, 500):.1f} | "
        f"learning rate: {rng.uniform(1e-5, 3e-4):.6E} | global batch size:   512 | lm loss: "
        f"{rng.uniform(1.5, 9):.6E} | loss scale: 1.0 | grad norm: {rng.uniform(0.1, 2):.3f} | number of "
        "skipped iterations:   0 | number of nan iterations:   0 |"
    )


def text_of(rng: random.Random, number: int) -> str:
    """A line as the mixture has it."""
    kind = number % 100
    if kind % 2 == 0:
        return megatron(rng, number)
    if kind < 60:
        return (
            f"llm-{number % PODS}:{rng.randrange(10**5)}:{rng.randrange(10**5)} [{number % 8}] NCCL INFO "
            f"Channel {number % 32:02}/0 : {number % 8}[{number % 8}] -> {number % 7}[{number % 7}] via P2P/CUMEM"
        )
    if kind < 64:
        return f"NVRM: Xid (PCI:0000:{number % 8:02}:00): 63, pid={number}, Row Remapper: New row marked"
    return f"saving checkpoint at iteration {number:7} to /checkpoints/llm-{number % PODS} in torch_dist format"


def entry(rng: random.Random, number: int, at_s: float) -> dict[str, object]:
    """One entry of Fluent Bit."""
    pod = rng.randrange(PODS)
    return {
        "date": round(at_s, 6),
        "stream": "stdout",
        "logtag": "F",
        "log": text_of(rng, number) + "\n",
        "kubernetes": {
            "pod_name": f"llm-worker-{pod}",
            "namespace_name": "train",
            "pod_id": f"6f2a4c1e-0000-4000-8000-{pod:012}",
            "host": f"gpu-node-{pod // 8:04}",
            "container_name": "pytorch",
            "docker_id": f"{pod:064x}",
            "container_image": "registry.example/pytorch:24.10",
            "labels": {"training.kubeflow.org/job-name": "llm", "replica": str(pod)},
        },
    }


def bodies(count: int) -> list[bytes]:
    """*count* bodies of the last minutes, all lines different."""
    rng = random.Random(7)
    start_s = CLOCK.now_ns() / 1e9 - count
    return [
        json.dumps(
            [
                entry(rng, number * PER_BODY + n, start_s + number + n / PER_BODY)
                for n in range(PER_BODY)
            ]
        ).encode()
        for number in range(count)
    ]


def cpu_s_by_thread(pid: int) -> dict[str, float]:
    """CPU seconds of each thread of *pid*, by `name/id`; to the nanosecond, not to the clock's tick."""
    found = {}
    for one in psutil.Process(pid).threads():
        task = Path(f"/proc/{pid}/task/{one.id}")
        name = (task / "comm").read_text().strip()
        found[f"{name}/{one.id}"] = int((task / "schedstat").read_text().split()[0]) / 1e9
    return found


def used_s(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """CPU seconds between, of each thread."""
    return {name: spent - before.get(name, 0.0) for name, spent in after.items()}


def plainly(body: bytes) -> int:
    """How many entries *body* has, read with `json.loads` and a pattern for each format."""
    entries = json.loads(body)
    for one in entries:
        baseline(one["log"])
    return len(entries)


def fields_of(body: bytes, shapes: Shapes, limits: LogLimits) -> int:
    """How many entries *body* has, read as the service reads them, from body to fields."""
    batch = decode(body, content_encoding=None, arrival_ns=0, sender="", limits=limits)
    read = shapes.read(batch.lines.blob, batch.lines.ends, bytes(len(batch.lines)))
    # What a line says is made when it is asked for.
    _ = [read[place] for place in read.telling]
    return batch.received


def rates(made: list[bytes]) -> tuple[float, float]:
    """Entries of *made* a CPU second, by us once the shapes are known, and plainly; body by body in
    turns, for the clock of a machine does not stand still."""
    shapes, limits = Shapes(parse_line), LogLimits()
    for body in made:
        fields_of(body, shapes, limits)
    spent_s, count = [0.0, 0.0], 0
    for body in made:
        for place, read in enumerate((lambda one: fields_of(one, shapes, limits), plainly)):
            began_s = time.process_time()
            entries = read(body)
            spent_s[place] += time.process_time() - began_s
        count += entries
    own_s, plain_s = spent_s
    return count / own_s, count / plain_s


def main() -> None:
    """Send, wait, tell."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--entries", type=int, default=120_000)
    options.add_argument("--connections", type=int, default=4)
    args = options.parse_args()
    made = bodies(args.entries // PER_BODY + WARM_BODIES)
    size = sum(map(len, made)) / len(made) / PER_BODY
    entries = args.entries // PER_BODY * PER_BODY
    print(f"{entries} entries of {size:.0f} B, {PER_BODY} a body; {machine()}")
    with tempfile.TemporaryDirectory() as folder, heliograph(Path(folder) / "data") as server:
        post_all(server.port, "/v1/logs", made[:WARM_BODIES], HEADERS, connections=1)
        wait_applied(server.port)
        cpu_s, threads = server.cpu_s(), cpu_s_by_thread(server.process.pid)
        began = time.perf_counter()
        with Watch(server.port, [LAG], every_s=1.0) as watch:
            sent = post_all(
                server.port,
                "/v1/logs",
                made[WARM_BODIES:],
                HEADERS,
                connections=args.connections,
            )
            front = used_s(threads, cpu_s_by_thread(server.process.pid))
            wait_applied(server.port)
        wall_s = time.perf_counter() - began
        cpu_s = server.cpu_s() - cpu_s
        used = used_s(threads, cpu_s_by_thread(server.process.pid))
        front = {
            name: s
            for name, s in front.items()
            if name.split("/")[0].split("_")[0] not in BEHIND
        }
        front_s = sum(front.values())
        told = gauges(server.port)
        stored = {
            kind: int(told.get(f'heliograph_stored_total{{kind="{kind}"}}', 0))
            for kind in ("rows", "records")
        }
        print(
            f"  to the fsynced log {entries / sent.wall_s / 1e3:.1f} k/s, {entries / front_s / 1e3:.1f} k/CPU-s; request {ms(sent.latency_s, 50, 99)}; told to wait {sent.busy} times"
        )
        print(
            f"  through the applier {entries / wall_s / 1e3:.1f} k/s, {entries / cpu_s / 1e3:.1f} k/CPU-s; "
            f"lag at most {max(watch.seen[LAG], default=0):.1f} s; stored {stored}; RSS {server.rss_mib():.0f} MiB"
        )
        for name, spent in sorted(used.items(), key=lambda item: -item[1])[:6]:
            until = f", {front[name] / entries * 1e6:.2f} to the log" if name in front else ""
            print(f"    {name.split('/')[0]:14}{spent / entries * 1e6:6.2f} us an entry{until}")
    own, plain = rates(made[:60])
    print(
        f"  from body to fields alone {own / 1e3:.0f} k/CPU-s; json and patterns {plain / 1e3:.0f} "
        f"k/CPU-s: {own / plain:.1f} times"
    )


if __name__ == "__main__":
    main()
