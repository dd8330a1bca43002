r"""What the simulated containers and kernels print, as Fluent Bit posts it.

    {"date": 1764666728.5, "stream": "stdout", "logtag": "F", "log": "[rank0]:[titan] … \n",
     "kubernetes": {"pod_name", "namespace_name", "pod_id", "host", "container_name", "labels"}}

Megatron-LM prints plain text, Primus colours whose ESC byte was lost on the way, and torchtitan
real colours from every rank. Now and then a line comes in two pieces (`logtag: P`, then `F`).
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from heliograph.simulator import progress
from heliograph.simulator.cluster import LOST_GPU, NAMESPACE, Happening, PodRun

# Every so many iterations the line is cut in two; containerd cuts at 16 KiB, we anywhere.
SPLIT_EVERY = 10
_SPLIT_CHARS = 120
# Primus prints the old field names until it has averages, and the new ones from then on.
OLD_NAMES_UNTIL = 3
PCI = "0000:91:00"
_ESC = "\x1b"

Entry = dict[str, Any]
Printed = tuple[PodRun, str]


def entries(happenings: Iterable[Happening], *, seed: int) -> list[Entry]:
    """The log entries of *happenings*, in order."""
    out: list[Entry] = []
    for happening in happenings:
        if happening.kind == "gpu_lost":
            out += _kernel(happening)
        for pod, text in _printed(happening, seed):
            out += _entries(happening, pod, text)
    return out


def _entries(happening: Happening, pod: PodRun, text: str) -> Iterator[Entry]:
    split = happening.kind == "iterated" and happening.iteration % SPLIT_EVERY == 0
    pieces = (
        [("P", text[:_SPLIT_CHARS]), ("F", text[_SPLIT_CHARS:])] if split else [("F", text)]
    )
    for logtag, piece in pieces:
        yield {
            "date": round(happening.at_ns / 1e9, 6),
            "stream": "stderr" if happening.kind == "watchdog" else "stdout",
            "logtag": logtag,
            "log": piece if logtag == "P" else piece + "\n",
            "kubernetes": {
                "pod_name": pod.name,
                "namespace_name": NAMESPACE,
                "pod_id": pod.uid,
                "host": pod.node,
                "container_name": "pytorch",
                "docker_id": pod.container_id,
                "labels": {"training.kubeflow.org/job-name": happening.job.name},
            },
        }


def _kernel(happening: Happening) -> Iterator[Entry]:
    """The kernel's journal of the node: it knows no pod."""
    off = "GPU has fallen off the bus."
    for text in (
        f"NVRM: Xid (PCI:{PCI}): 79, pid='<unknown>', name=<unknown>, {off}",
        f"NVRM: GPU {PCI}.0: {off}",
    ):
        yield {
            "date": round(happening.at_ns / 1e9, 6),
            "MESSAGE": text,
            "_HOSTNAME": happening.job.node,
            "_TRANSPORT": "kernel",
            "SYSLOG_IDENTIFIER": "kernel",
            "PRIORITY": "3",
        }


def _printed(happening: Happening, seed: int) -> Iterable[Printed]:
    if happening.kind == "watchdog":
        return _watchdog(happening)
    if happening.kind == "started":
        return _nccl(happening)
    if happening.job.framework == "torchtitan":
        return _titan(happening, seed)
    primus = happening.job.framework == "primus"
    line = _primus_line if primus else _megatron_line
    # Megatron and its descendants print from the last rank.
    return [(happening.pods[-1], text) for text in _megatron(happening, seed, line)]


def _time(happening: Happening) -> datetime:
    return datetime.fromtimestamp(happening.at_ns / 1e9, UTC)


def _nccl(happening: Happening) -> Iterator[Printed]:
    for pod in happening.pods:
        for local, _ in enumerate(pod.gpus):
            text = (
                f"{pod.name}:{214 + local}:{514 + local} [{local}] NCCL INFO NET/IB : Using "
                "[0]mlx5_0:1/IB [1]mlx5_1:1/IB [RO]; OOB eth0:10.0.0.11<0>"
            )
            yield pod, text


def _watchdog(happening: Happening) -> Iterator[Printed]:
    """Every rank of the other GPUs waits for the lost one, and says so; then all is torn down."""
    now = _time(happening)
    # PyTorch's own prefix leaves out the month's leading zero.
    glog = f"{now.month}{now:%d %H:%M:%S.%f}"
    sequence = 1000 + happening.iteration * 12
    for pod in happening.pods:
        for local, gpu in enumerate(pod.gpus):
            if gpu == LOST_GPU:
                continue
            rank = pod.first_rank + local
            caught = (
                f"[rank{rank}]:[E{glog}000 ProcessGroupNCCL.cpp:632] [Rank {rank}] Watchdog caught "
                f"collective operation timeout: WorkNCCL(SeqNum={sequence}, OpType=ALLREDUCE, "
                "NumelIn=8652160, NumelOut=8652160, Timeout(ms)=600000) ran for 600068 "
                "milliseconds before timing out."
            )
            yield pod, caught
        failed = (
            f"E{now:%m%d %H:%M:%S.%f} 139692391809664 torch/distributed/elastic/multiprocessing/"
            "api.py:881] failed (exitcode: -6) local_rank: 0 (pid: 222) of binary: /usr/bin/python"
        )
        yield pod, failed


def _megatron(happening: Happening, seed: int, line: Any) -> list[str]:
    folder = f"/checkpoints/{happening.job.name}"
    padded = f"{happening.iteration:7d}"
    match happening.kind:
        case "begun":
            return ["training ..."]
        case "resumed":
            at = f"at iteration {happening.iteration}"
            return [
                f" loading distributed checkpoint from {folder} {at}",
                f"  successfully loaded checkpoint from {folder} [ t 1/1, p 1/1 ] {at}",
                "training ...",
            ]
        case "iterated":
            return [line(happening, seed)]
        case "saving":
            return [f"saving checkpoint at iteration {padded} to {folder} in torch_dist format"]
        case "saved":
            return [f"  successfully saved checkpoint from iteration {padded} to {folder}"]
        case "ended" if happening.why == "completed":
            return [f"[after training is done] datetime: {_time(happening):%Y-%m-%d %H:%M:%S} "]
    return []


def _iteration(happening: Happening, seed: int) -> progress.Iteration:
    return progress.of(
        happening.job, happening.iteration, seed=seed, generation=happening.generation
    )


def _megatron_line(happening: Happening, seed: int) -> str:
    job, now = happening.job, _iteration(happening, seed)
    return (
        f" [{_time(happening):%Y-%m-%d %H:%M:%S}] "
        f"iteration {happening.iteration:8d}/{job.target:8d} | "
        f"consumed samples: {happening.iteration * job.batch:12d} | "
        f"elapsed time per iteration (ms): {now.elapsed_ms:.1f} | "
        f"throughput per GPU (TFLOP/s/GPU): {now.tflops:.1f} | "
        f"learning rate: {now.learning_rate:.6E} | global batch size: {job.batch:5d} | "
        f"lm loss: {now.loss:.6E} | loss scale: 1.0 | grad norm: {now.grad_norm:.3f} | "
        "number of skipped iterations:   0 | number of nan iterations:   0 |"
    )


def _primus_line(happening: Happening, seed: int) -> str:
    job, now = happening.job, _iteration(happening, seed)
    average_ms, average = job.step_s * 1000, 420.0
    if happening.iteration <= OLD_NAMES_UNTIL:
        rate = (
            f"throughput per GPU (TFLOP/s/GPU): {now.tflops:.1f}/{average:.1f} | "
            f"tokens per GPU (tokens/s/GPU): {now.tokens_per_s:.1f}/9800.0"
        )
    else:
        rate = (
            f"compute per GPU (TFLOP/s/GPU): {now.tflops:.1f} (avg {average:.1f}) | "
            f"tokens/s/GPU inst/harmonic mean: {now.tokens_per_s:.1f}/9800.0"
        )
    ranks = sum(len(pod.gpus) for pod in happening.pods)
    return (
        f"[[32m{_time(happening):%Y%m%d %H:%M:%S}[0m][[36mrank-{ranks - 1}/{ranks}[0m]"
        "[[1mINFO [0m] [1m[--------trainer.py:2560] : "
        f"iteration {happening.iteration:8d}/{job.target:8d} | "
        f"consumed samples: {happening.iteration * job.batch:12d} | "
        f"elapsed time per iteration (ms): {now.elapsed_ms:.1f}/{average_ms:.1f} | "
        "hip mem usage/free/total/usage_ratio: 153.81GB/102.17GB/255.98GB/60.09% | "
        f"{rate} | learning rate: {now.learning_rate:.6E} | "
        f"global batch size: {job.batch:5d} | lm loss: {now.loss:.6E} | loss scale: 1.0 | "
        f"grad norm: {now.grad_norm:.3f} | number of skipped iterations:   0 | "
        "number of nan iterations:   0 |[0m"
    )


def _titan(happening: Happening, seed: int) -> Iterator[Printed]:
    stamp = _time(happening)
    head = f"[titan] {stamp:%Y-%m-%d %H:%M:%S},{stamp.microsecond // 1000:03d} - root - INFO - "
    folder = f"/checkpoints/{happening.job.name}/step-{happening.iteration}"
    texts: list[str] = []
    match happening.kind:
        case "begun":
            texts = ["Training starts at step 1."]
        case "resumed":
            texts = [
                f"Loading the checkpoint from {folder}.",
                "Finished loading the checkpoint in 4.20 seconds.",
                f"Training starts at step {happening.iteration + 1}.",
            ]
        case "saving":
            texts = ["Saving the checkpoint (or staging if async is enabled)."]
        case "saved":
            took_s = happening.job.checkpoint_s
            texts = [f"Finished saving the checkpoint in {took_s:.2f} seconds."]
        case "ended" if happening.why == "completed":
            texts = ["Training completed"]
        case "iterated":
            texts = [_titan_step(happening, seed)]
    for pod in happening.pods:
        for local, _ in enumerate(pod.gpus):
            for text in texts:
                yield pod, f"[rank{pod.first_rank + local}]:{head}{text}"


def _titan_step(happening: Happening, seed: int) -> str:
    now = _iteration(happening, seed)
    return (
        f"{_ESC}[31mstep: {happening.iteration:2d}  "
        f"{_ESC}[32mloss: {now.loss:7.4f}  "
        f"{_ESC}[33mgrad_norm: {now.grad_norm:7.4f}  "
        f"{_ESC}[36mmemory: 63.36GiB(45.35%)  "
        f"{_ESC}[34mtps: {round(now.tokens_per_s):,}  "
        f"{_ESC}[36mtflops: {now.tflops:,.2f}  "
        f"{_ESC}[35mmfu: {now.tflops / 13.07:.2f}%{_ESC}[39m"
    )
