"""Whole sessions of trainers that cannot run here: two pods of four ranks each, two attempts.

    told = session("torchtitan", seed=1)
    told.lines       Said(at_ns, pod, stream, text), in time
    told.steps       Step(pod, label, fields) of each line of a step, in time
    told.findings    (event_type, role or "") → how many

The first attempt begins at iteration 1 and saves at 50 and 100. At 117 rank 5 runs out of memory; the
others wait for it until their watchdogs end them, and each launcher reports. The second attempt, of the
same pods under other uids, loads 100 and goes to 200. Between the lines stands what trainers print
besides: timers, evaluations, settings, NCCL's own words, warnings. All by a seed.
"""

import random
from collections import Counter
from datetime import UTC, datetime
from typing import NamedTuple

SECOND_NS = 10**9
START_NS = 1_795_300_000 * SECOND_NS
RANKS, LOCAL = 8, 4
CRASH, LOADED, LAST = 117, 100, 200
GUILTY = 5
FRAMEWORKS = ("megatron-lm", "megatron-deepspeed", "primus", "torchtitan")
NOISE = (
    "node-{node}:4{rank}1:5{rank}2 [{local}] NCCL INFO Channel 0{local}/0 : {rank}[{local}] -> {peer}[0] via P2P/CUMEM",
    "(min, max) time across ranks (ms):",
    "    forward-backward ...............................: (1930.12, 1934.55)",
    "time (ms) | forward-compute: 53.79 | backward-compute: 103.14 | batch-generator: 1.02",
    "validation loss at iteration 40 | lm loss value: 2.301000E+00 | lm loss PPL: 9.984100E+00 |",
    "  seq_length ...................................... 4096",
    "UserWarning: the given array is not writable; step 3 of the loader is a copy",
    "> building train, validation, and test datasets for GPT ...",
    "wandb: Tracking run with wandb version 0.31.0",
    "Number of parameters in transformer layers in billions:  6.98",
)


class Said(NamedTuple):
    """A line, when, by which pod's uid, and on which of its streams."""

    at_ns: int
    pod: str
    stream: str
    text: str


class Step(NamedTuple):
    """A step as a line tells it."""

    pod: str
    label: str
    fields: dict


class Told(NamedTuple):
    """A whole session; *pods* is uid → (namespace, name), *rows* the rows of each attempt."""

    lines: list[Said]
    steps: list[Step]
    findings: Counter
    pods: dict[str, tuple[str, str]]
    rows: list[int]


class _Writer:
    """Two pods that print; *attempt* is part of their uids."""

    def __init__(self, framework, rng):
        self.framework = framework
        self.rng = rng
        self.at_ns = START_NS
        self.attempt = 1
        self.told = Told([], [], Counter(), {}, [0, 0])

    def pod(self, rank):
        uid = f"u{self.attempt}-{rank // LOCAL}"
        self.told.pods[uid] = ("train", f"job-{rank // LOCAL}")
        return uid

    def say(self, rank, text, *, finding=None, stream="stdout"):
        self.at_ns += self.rng.randrange(1, 40) * 10**6
        self.told.lines.append(Said(self.at_ns, self.pod(rank), stream, text))
        if finding is not None:
            self.told.findings[finding] += 1

    def noise(self):
        rank = self.rng.randrange(RANKS)
        text = self.rng.choice(NOISE)
        values = {"rank": rank, "local": rank % LOCAL, "node": rank // LOCAL}
        self.say(rank, text.format(peer=(rank + 1) % RANKS, **values))

    def step(self, rank, label, text, fields):
        self.say(rank, text)
        self.told.steps.append(Step(self.pod(rank), label, fields))
        self.told.rows[self.attempt - 1] += 1

    def stamp(self):
        return datetime.fromtimestamp(self.at_ns // SECOND_NS, UTC)


def session(framework, seed):
    """One whole session of *framework*, by *seed*."""
    writer = _Writer(framework, random.Random(f"{framework} {seed}"))
    for attempt, first, last in ((1, 1, CRASH), (2, LOADED + 1, LAST)):
        writer.attempt = attempt
        _start(writer, first)
        for iteration in range(first, last + 1):
            while writer.rng.random() < 0.3:
                writer.noise()
            _iteration(writer, iteration)
            if iteration % 50 == 0:
                _save(writer, iteration)
        if attempt == 1:
            _crash(writer)
        else:
            _end(writer)
        writer.at_ns += 90 * SECOND_NS
    return writer.told


def _titan(writer, rank):
    stamp = f"{writer.stamp():%Y-%m-%d %H:%M:%S},{writer.rng.randrange(1000):03d}"
    return f"[rank{rank}]:[titan] {stamp} - root - INFO - "


def _start(writer, first):
    for _ in range(20):
        writer.noise()
    loads = first > 1
    start = ("training_start", "")
    if writer.framework == "torchtitan":
        for rank in range(RANKS):
            if loads:
                text = f"Loading the checkpoint at step {first - 1}."
                writer.say(rank, _titan(writer, rank) + text, finding=("checkpoint_load", ""))
            text = f"Training starts at step {first}."
            writer.say(rank, _titan(writer, rank) + text, finding=start)
        return
    if loads:
        text = f" loading checkpoint from /ckpt at iteration {first - 1}"
        writer.say(0, text, finding=("checkpoint_load", ""))
        text = f"  successfully loaded checkpoint from /ckpt [ t 1/1, p 1/1 ] at iteration {first - 1}"
        writer.say(0, text, finding=("checkpoint_load", ""))
    writer.say(0, "training ...", finding=start)


def _iteration(writer, iteration):
    rng = writer.rng
    if writer.framework == "torchtitan":
        ranks = list(range(RANKS))
        rng.shuffle(ranks)
        for rank in ranks:
            _titan_step(writer, rank, iteration)
        return
    loss, norm = f"{12 / (1 + iteration) ** 0.3:.6E}", f"{rng.uniform(0.2, 3):.3f}"
    ms, rate = rng.uniform(4000, 4400), f"{1e-5 * min(iteration, 20):.6E}"
    fields = {
        "current_iteration": iteration,
        "target_iteration": LAST,
        "consumed_samples": iteration * 256,
        "learning_rate": float(rate),
        "global_batch_size": 256,
        "lm_loss": float(loss),
        "loss_scale": 1.0,
        "grad_norm": float(norm),
        "skipped_iterations": 0,
        "nan_iterations": 0,
    }
    middle, end = _measures(writer, fields, ms)
    text = (
        f"iteration {iteration:8d}/{LAST:8d} | consumed samples: {iteration * 256:12d} | {middle} "
        f"learning rate: {rate} | global batch size:   256 | lm loss: {loss} | loss scale: 1.0 | "
        f"grad norm: {norm} | number of skipped iterations:   0 | number of nan iterations:   0 |{end}"
    )
    rank = RANKS - 1
    if writer.framework == "primus":
        # As a shipper leaves it that drops the ESC byte.
        head = (
            f"0[[32m{writer.stamp():%Y%m%d %H:%M:%S}[0m][[36mrank-{rank}/{RANKS}[0m][[1mINFO [0m] "
            "[--------trainer.py:2560] : "
        )
        writer.step(rank, str(rank), head + text, {**fields, "rank": rank, "world_size": RANKS})
        return
    label = f"default{rank % LOCAL}"
    stamp = f" [{writer.stamp():%Y-%m-%d %H:%M:%S}] "
    writer.step(rank, label, f"[{label}]:{stamp}{text}", fields)


def _measures(writer, fields, ms):
    """What stands before the learning rate and after all, by framework; into *fields* too."""
    rng = writer.rng
    if writer.framework == "megatron-deepspeed":
        seconds, samples, tflops = (
            f"{ms / 1000:.3f}",
            f"{256000 / ms:.3f}",
            f"{rng.uniform(140, 150):.2f}",
        )
        fields["elapsed_time_per_iteration_ms"] = round(float(seconds) * 1000, 6)
        fields["consumed_tokens"] = fields["consumed_samples"] * 2048
        fields["samples_per_second"], fields["tflops"] = float(samples), float(tflops)
        tokens = f"consumed tokens: {fields['consumed_tokens']:12d}"
        return (
            f"{tokens} | elapsed time per iteration (s): {seconds} |",
            f" samples per second: {samples} | TFLOPs: {tflops} |",
        )  # fmt: skip
    fields["elapsed_time_per_iteration_ms"] = float(f"{ms:.1f}")
    tflops = f"{rng.uniform(400, 420):.1f}"
    fields["tflops"] = float(tflops)
    if writer.framework == "megatron-lm":
        return (
            f"elapsed time per iteration (ms): {ms:.1f} | throughput per GPU (TFLOP/s/GPU): {tflops} |",
            "",
        )
    mean_ms, mean, tokens = (
        f"{ms + 3:.1f}",
        f"{float(tflops) - 1.25:.2f}",
        f"{rng.uniform(9000, 9100):.1f}",
    )
    fields |= {
        "elapsed_time_per_iteration_ms_avg": float(mean_ms),
        "tflops_avg": float(mean),
        "tokens_per_gpu": float(tokens),
        "tokens_per_gpu_avg": 9050.5,
        "mem_usage_gb": 153.81,
        "mem_free_gb": 102.17,
        "mem_total_gb": 255.98,
        "mem_usage_ratio": 60.09,
    }
    present = (
        f"elapsed time per iteration (ms): {ms:.1f}/{mean_ms} | "
        "hip mem usage/free/total/usage_ratio: 153.81GB/102.17GB/255.98GB/60.09% | "
        f"compute per GPU (TFLOP/s/GPU): {tflops} (avg {mean}) | "
        f"tokens/s/GPU inst/harmonic mean: {tokens}/9050.5 |"
    )
    return present, ""


def _titan_step(writer, rank, iteration):
    rng = writer.rng
    loss, norm, tps = (
        f"{12 / (1 + iteration) ** 0.3:.4f}",
        f"{rng.uniform(0.2, 3):.4f}",
        rng.randrange(800, 1900),
    )
    tflops, mfu = f"{rng.uniform(20, 30):.2f}", f"{rng.uniform(2, 3):.2f}"
    text = (
        f"step: {iteration:2d}  loss: {loss:>8}  grad_norm: {norm:>7}  memory: 63.36GiB(45.35%)  "
        f"tps: {tps:,}  tflops: {tflops}  mfu: {mfu}%"
    )
    fields = {
        "current_iteration": iteration,
        "total_loss": float(loss),
        "grad_norm": float(norm),
        "mem_usage_gb": 63.36,
        "mem_usage_ratio": 45.35,
        "tokens_per_gpu": float(tps),
        "tflops": float(tflops),
        "mfu": float(mfu),
        "rank": rank,
    }
    writer.step(rank, str(rank), _titan(writer, rank) + text, fields)


def _save(writer, iteration):
    begins, ends = ("checkpoint_save_start", ""), ("checkpoint_save_end", "")
    if writer.framework == "torchtitan":
        for rank in range(RANKS):
            head = _titan(writer, rank)
            writer.say(
                rank,
                f"{head}Saving the checkpoint (or staging if async is enabled).",
                finding=begins,
            )
        for rank in range(RANKS):
            text = "Finished saving the checkpoint (or staging if async is enabled)in 5.53 seconds."
            writer.say(rank, _titan(writer, rank) + text, finding=ends)
        return
    writer.say(
        0,
        f"saving checkpoint at iteration {iteration:7d} to /ckpt in torch_dist format",
        finding=begins,
    )
    writer.noise()
    writer.say(
        0,
        f"  successfully saved checkpoint from iteration {iteration:7d} to /ckpt [ t 1/1, p 1/1 ]",
        finding=ends,
    )


def _crash(writer):
    own = f"[rank{GUILTY}]: "
    for text in (
        "Traceback (most recent call last):",
        '  File "/job/pretrain.py", line 88, in <module>',
        "    pretrain(provider, model)",
        '  File "/job/training.py", line 1210, in train_step',
        "    losses = forward_backward(model)",
    ):
        writer.say(GUILTY, own + text, stream="stderr")
    writer.say(
        GUILTY,
        f"{own}torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 1 has a "
        "total capacity of 79.11 GiB of which 4.94 MiB is free. Of the allocated memory 70.10 GiB is "
        "allocated by PyTorch, and 1.20 GiB is reserved by PyTorch but unallocated.",
        finding=("oom", "root"),
        stream="stderr",
    )
    writer.told.findings[("traceback", "confirmation")] += 1
    writer.at_ns += 600 * SECOND_NS
    for rank in range(RANKS):
        if rank == GUILTY:
            continue
        head = f"[rank{rank}]:[E{writer.stamp():%m%d %H:%M:%S}.123456789 ProcessGroupNCCL.cpp:632] [Rank {rank}] "
        writer.say(
            rank,
            f"{head}Watchdog caught collective operation timeout: WorkNCCL(SeqNum=4711, OpType=ALLREDUCE, "
            f"NumelIn=8388608, NumelOut=8388608, Timeout(ms)=600000) ran for 600{rank:03d} milliseconds "
            "before timing out.",
            finding=("nccl_timeout", "cascade"),
            stream="stderr",
        )
    for node, guilty in ((0, 0), (1, GUILTY)):
        _report(writer, node, guilty)


def _report(writer, node, guilty):
    first = node * LOCAL
    local = guilty % LOCAL
    for rank in range(first, first + LOCAL):
        if rank != guilty:
            text = f"W1122 10:00:00.000000 77 torch/distributed/elastic/multiprocessing/api.py:1028] Sending process 9{rank} closing signal SIGTERM"
            writer.say(rank, text, finding=("process_failed", "cascade"), stream="stderr")
    role = "root" if guilty == GUILTY else "confirmation"
    code = 1 if role == "root" else -6
    told = ("process_failed", "confirmation")
    writer.say(
        first,
        f"E1122 10:00:00.500000 77 torch/distributed/elastic/multiprocessing/api.py:1002] failed "
        f"(exitcode: {code}) local_rank: {local} (pid: 9{guilty}) of binary: /usr/bin/python3",
        finding=told,
        stream="stderr",
    )
    lines = [
        "Traceback (most recent call last):",
        '  File "/usr/bin/torchrun", line 8, in <module>',
        "    sys.exit(main())",
        "torch.distributed.elastic.multiprocessing.errors.ChildFailedError: ",
        "=" * 60,
        "pretrain.py FAILED",
        "-" * 60,
        "Failures:",
        "  <NO_OTHER_FAILURES>",
        "-" * 60,
        "Root Cause (first observed failure):",
        "[0]:",
        "  time      : 2026-11-22_10:00:00",
        f"  host      : node-{node}",
        f"  rank      : {guilty} (local_rank: {local})",
        f"  exitcode  : {code} (pid: 9{guilty})",
        "  error_file: <N/A>",
        "  traceback : To enable traceback see: https://pytorch.org/docs/stable/elastic/errors.html",
        "=" * 60,
    ]
    for text in lines:
        writer.say(first, text, stream="stderr")
    writer.told.findings[told] += 1


def _end(writer):
    end = ("training_end", "")
    if writer.framework == "torchtitan":
        for rank in range(RANKS):
            writer.say(rank, _titan(writer, rank) + "Training completed", finding=end)
        return
    writer.say(
        0, f"[after training is done] datetime: {writer.stamp():%Y-%m-%d %H:%M:%S}", finding=end
    )
