"""Sessions that were recorded (`sessions/README.md`), as tests read them.

    for line in read("ranks_raise"):  Line(at_ns, "stderr", "[rank3]: ValueError: …", partial=False)
    steps("ranks_tee")                what the job printed of its steps, read by this module

What a session ought to come to is read here by the formats of its own job, one each, and in no way
by what is tested.
"""

import ast
import re
from pathlib import Path
from typing import NamedTuple

from heliograph.core import instant

FOLDER = Path(__file__).parent / "sessions"
NAMES = sorted(path.stem for path in FOLDER.glob("*.log"))
_CRI = re.compile(r"(\S+) (stdout|stderr) ([FP]) (.*)", re.DOTALL)
_RANKS = re.compile(
    r"(?:\[(default\d)\]:)?step: (\d+)/(\d+) \| loss: (\S+) \| grad_norm: (\S+) \| lr: (\S+) "
    r"\| step time \(ms\): (\S+)"
)
_SPEED = re.compile(r".*\[Rank 0\] step=(\d+), skipped=(\d+), lr=\[(\S+)\], mom")
_TIMER = re.compile(
    r".*\] epoch=0/micro_step=(\d+)/global_step=(\d+), RunningAvgSamplesPerSec=(\S+), "
    r"CurrSamplesPerSec=(\S+), MemAllocated=(\S+)GB, MaxMemAllocated=(\S+)GB"
)
_DICT = re.compile(r"\{'(?:loss|train_runtime)'.*\}")


class Line(NamedTuple):
    """One line of a file: of the shipper's four facts of it."""

    at_ns: int
    stream: str
    text: str
    partial: bool


class Step(NamedTuple):
    """What the job printed of one step: *place* of its line, who, and the fields by name."""

    place: int
    label: str
    fields: dict


def read(name):
    """The lines of the session *name*."""
    found = []
    for raw in (FOLDER / f"{name}.log").read_bytes().split(b"\n")[:-1]:
        at, stream, tag, text = _CRI.fullmatch(raw.decode()).groups()
        found.append(Line(instant.parse(at), stream, text, tag == "P"))
    return found


def steps(name):
    """The steps of a session of `ranks`, `deepspeed` or `hf`, in order."""
    kind = name.partition("_")[0]
    reader = {"ranks": _of_ranks, "deepspeed": _of_speed, "hf": _of_hf}[kind]
    return [
        Step(place, *found)
        for place, line in enumerate(read(name))
        if (found := reader(line.text)) is not None
    ]


def _of_ranks(text):
    # Ranks that share a pipe print over each other now and then; of such a line the last counts.
    *before, last = text.split("step: ")
    if len(before) > 1:
        text = f"step: {last}"
    match = _RANKS.fullmatch(text)
    if match is None:
        return None
    label, step, target, loss, norm, rate, took = match.groups()
    return label or "", {
        "current_iteration": int(step),
        "target_iteration": int(target),
        "total_loss": float(loss),
        "grad_norm": float(norm),
        "learning_rate": float(rate),
        "elapsed_time_per_iteration_ms": float(took),
    }


def _of_speed(text):
    match = _SPEED.fullmatch(text.rpartition(", mom")[0] + ", mom") if ", mom" in text else None
    if match is not None:
        step, skipped, rate = match.groups()
        return "", {
            "current_iteration": int(step),
            "skipped_iterations": int(skipped),
            "learning_rate": float(rate),
        }
    match = _TIMER.fullmatch(text)
    if match is None:
        return None
    micro, step, average, present, held, most = match.groups()
    return "", {
        "epoch": 0.0,
        "current_iteration": int(step),
        "samples_per_second_avg": float(average),
        "samples_per_second": float(present),
        "mem_usage_gb": float(held),
        "mem_max_gb": float(most),
        "extra": {"micro_step": float(micro)},
    }


def _of_hf(text):
    """The values of the dict alone: a step is not among them."""
    match = _DICT.search(text)
    if match is None:
        return None
    said = {key: float(value) for key, value in ast.literal_eval(match[0]).items()}
    if "train_loss" in said:
        return "", {
            "total_loss": said["train_loss"],
            "samples_per_second": said["train_samples_per_second"],
            "steps_per_second": said["train_steps_per_second"],
            "epoch": said["epoch"],
            "extra": {"runtime_s": said["train_runtime"]},
        }
    return "", {
        "total_loss": said["loss"],
        "grad_norm": said["grad_norm"],
        "learning_rate": said["learning_rate"],
        "epoch": said["epoch"],
    }
