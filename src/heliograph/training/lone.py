"""Lines of one measure, or of measures that no step stands beside.

[batch=12/4800]:                                Composer: the step that the rows below are of
[batch=20/50]: Train loss/train/total: 0.5505  throughput/tokens_per_sec: 155825.3      … in one
     Train loss/train/total: 12.0000            … one row a metric
train_samples_per_second =     26.2             HF Trainer's table at the end
Throughput: 12.5 requests/s, 6400.00 total tokens/s, 3200.00 output tokens/s     vLLM
Avg latency: 0.25 seconds                       vLLM; milliseconds are kept
Output token throughput (tok/s):         812.5  vLLM's serving benchmark
1|52|Loss: 2.3697                               torchtune, its bar cut off
OVERFLOW! Rank 0 Skipping step. Attempted loss scale: 65536, reducing to 32768   DeepSpeed
Step Time : 5.83s GPU utilization: 701.4MODEL_TFLOP/s/GPU        Megatron Bridge, after a step
Setting work unit notes: 10.2 steps/s, 31.2% (312/1000), ETA: 1h53m              T5X, by clu
[Rank 0] Loss: 2.31                                       of whom a rank is named, and nothing else
[5,  2000] loss: 1.573                                    epoch and step, of PyTorch's first example
GPU memory usage while training: 18.062GB (+5.293GB cache, +1.112GB misc)        Axolotl
TrainOutput(global_step=500, training_loss=0.693)         Transformers, without its metrics
:::MLLOG {…, "key": "train_loss", "value": 11.8, "metadata": {"samples_count": 64, …}}  MLPerf
Job ID: 7↹# GPUs: 8↹Saved checkpoint↹Iteration: 100↹Job throughput: 364.8 TFLOP/s/GPU↹…   Megatron-LM's
    progress.txt, whose cells are parted by tabs: this job's speed, and that of all it continues
"""

import re

from heliograph.training import clean, evaluations, reading
from heliograph.training import fields as fields_of
from heliograph.training import framework as frameworks
from heliograph.training.grammar import NUMBER
from heliograph.training.outcome import Outcome

# Nothing but a loss, which may be an evaluation's.
LOSS = "lone_loss"
# Of a whole run, which is over: its means.
OUTPUT, TABLE = "lone_output", "lone_table"
# Its line says too that a checkpoint was saved.
PROGRESS = "lone_progress"
_BATCH = re.compile(
    r"\[(?:epoch=(\d{1,9})(?:/\d{1,9})?\]\s?\[)?batch=(\d{1,15})(?:/(\d{1,15}))?\]:?\s*\Z"
)
_ROW = re.compile(rf"Train ([A-Za-z][\w.-]{{0,60}}(?:/[\w.-]{{1,60}}){{1,5}}): ({NUMBER})\s*\Z")
_BATCH_ROW = re.compile(
    r"\[batch=(\d{1,15})(?:/(\d{1,15}))?\]:\s{1,8}Train ([A-Za-z][\w./: +-]{0,1000})\Z"
)
_IN_ROW = re.compile(rf"([A-Za-z][\w./-]{{0,120}}):\s{{1,8}}({NUMBER})\s{{0,16}}")
_TABLE = re.compile(
    r"(train_(?:loss|runtime|\w{1,16}_per_second))\s{1,40}=\s{1,40}"
    rf"({NUMBER}|(?:\d{{1,4}} days?, )?\d{{1,4}}:\d\d:\d\d(?:\.\d+)?)\s*\Z"
)
_THROUGHPUT = re.compile(
    rf"Throughput: ({NUMBER}) requests/s(?:, ({NUMBER})(?: total)? tokens/s)?"
    rf"(?:, ({NUMBER}) output tokens/s)?\s*\Z"
)
_LATENCY = re.compile(
    rf"(?:Avg|Average|Mean) latency: ({NUMBER})\s?(ms|milliseconds|s|secs?|seconds)\b\.?\s*\Z",
    re.IGNORECASE,
)
_SERVING = re.compile(
    rf"(Request|Output token|Total Token|Total token) throughput \((?:req|tok)/s\):\s+({NUMBER})"
    r"\s*\Z"
)
_SERVED = {
    "request": "samples per second",
    "total token": "tokens per second",
    "output token": "output_throughput_tokens_s",
}
_ENGINE = re.compile(
    rf"(?:Engine \d{{1,4}}: )?Avg prompt throughput: ({NUMBER}) tokens/s, "
    rf"Avg generation throughput: ({NUMBER}) tokens/s\b"
)


_OVERFLOW = re.compile(
    rf".{{0,200}}?\bSkipping step\. Attempted loss scale: ({NUMBER}), (?:reducing|but)\b"
)


_UTILISATION = re.compile(
    rf"Step Time : ({NUMBER})s GPU utilization: ({NUMBER})(?:MODEL_)?TFLOP/s/GPU\s*\Z"
)
_NOTES = re.compile(
    rf"(?:Setting work unit notes: )?({NUMBER}) steps/s, [\d.]{{1,8}}% "
    r"\((\d{1,15})/(\d{1,15})\)(?:, ETA: |\s*\Z)"
)


_TUNE = re.compile(rf"(\d{{1,9}})\|(\d{{1,15}})\|Loss: ({NUMBER})\s*\Z")
_OF_RANK = re.compile(rf"(?:(?:Train|Training) )?[Ll]oss\s?[:=]\s?({NUMBER})\s*\Z")
_MINI_BATCH = re.compile(
    rf"\[(\d{{1,9}}), {{1,8}}(\d{{1,15}})\] loss: ({NUMBER})\s*\Z", re.IGNORECASE
)
_MLLOG = re.compile(
    r":::MLLOG \{[^{}]{0,300}\"key\": \"train_loss\", \"value\": "
    rf"({NUMBER}), \"metadata\": \{{([^{{}}]{{0,600}})\}}"
)
_IN_MLLOG = re.compile(r"\"(samples_count|lr)\": ([-+\d.eE]{1,30})")
_IN_MLLOG_NAMES = {"samples_count": "consumed samples", "lr": "lr"}
_MEMORY_USED = re.compile(
    rf"GPU memory usage while training: ({NUMBER})GB \(\+[\d.]{{1,12}}GB cache\b"
)
_OUTPUT = re.compile(rf"TrainOutput\(global_step=(\d{{1,15}}), training_loss=({NUMBER})\)\s*\Z")
_PROGRESS = re.compile(
    r"Job ID: [^\t]{0,100}\t# GPUs: \d{1,7}\tSav(?:ed|ing)(?: async)? checkpoint"
    rf"\tIteration: (\d{{1,15}})\tJob throughput: ({NUMBER}) TFLOP/s/GPU"
    rf"\tCumulative throughput: ({NUMBER}) TFLOP/s/GPU(?:\t[^\t]{{0,60}}){{0,4}}?"
    rf"\tTokens \(in billions\): ({NUMBER})(?=\s|\Z)"
)


def hinted(text: str) -> bool:
    """Whether *text*, a raw line, can be of this shape: a few searches for fixed words."""
    return (
        "Train " in text
        or "batch=" in text
        or "hroughput" in text
        or "atency" in text
        or "train_" in text
        or "loss" in text
        or "Loss" in text
        or "Step Time : " in text
        or " steps/s, " in text
        or "memory usage while" in text
    )


def read(text: str, named: reading.Named = fields_of.named) -> Outcome | None:
    """The values of *text*, a cleaned line; None when it is no such line."""
    start = clean.message_at(text)
    while start < len(text) and text[start].isspace():
        start += 1
    head = text[:start]
    for pattern, pairs_of, framework, rule in _READERS:
        match = pattern.match(text, start)
        if match is not None:
            if pairs_of is _of_rank and clean.speaker(head).rank is None:
                continue
            if rule == LOSS and evaluations.signed(head):
                continue
            read_here = reading.read(pairs_of(match), named=named)
            if not read_here.fields:
                return None
            return Outcome(read_here.fields, framework, rule, head, read_here)
    return None


def _batch(match: re.Match[str]) -> list[tuple[str, str]]:
    pairs = [("step", match[2])]
    if match[3]:
        pairs.append(("total steps", match[3]))
    if match[1]:
        pairs.append(("epoch", match[1]))
    return pairs


def _batch_row(match: re.Match[str]) -> list[tuple[str, str]]:
    """The step and all the rows behind it; [] when one is none."""
    pairs = [("step", match[1])]
    if match[2]:
        pairs.append(("total steps", match[2]))
    end = 0
    for row in _IN_ROW.finditer(match[3]):
        if row.start() != end:
            return []
        pairs.append((row[1], row[2]))
        end = row.end()
    return pairs if end == len(match[3]) else []


def _row(match: re.Match[str]) -> list[tuple[str, str]]:
    return [(match[1], match[2])]


def _throughput(match: re.Match[str]) -> list[tuple[str, str]]:
    named = zip(
        ("samples per second", "tokens per second", "output_throughput_tokens_s"),
        match.groups(),
        strict=True,
    )
    return [(key, value) for key, value in named if value]


def _latency(match: re.Match[str]) -> list[tuple[str, str]]:
    unit = "ms" if match[2].lower().startswith("m") else "s"
    return [(f"step time ({unit})", match[1])]


def _serving(match: re.Match[str]) -> list[tuple[str, str]]:
    return [(_SERVED[match[1].lower()], match[2])]


def _tune(match: re.Match[str]) -> list[tuple[str, str]]:
    return [("epoch", match[1]), ("step", match[2]), ("loss", match[3])]


def _utilisation(match: re.Match[str]) -> list[tuple[str, str]]:
    return [("step time (s)", match[1]), ("tflops", match[2])]


def _notes(match: re.Match[str]) -> list[tuple[str, str]]:
    return [("steps per second", match[1]), ("step", match[2]), ("total steps", match[3])]


def _overflow(match: re.Match[str]) -> list[tuple[str, str]]:
    return [("loss scale", match[1])]


def _of_rank(match: re.Match[str]) -> list[tuple[str, str]]:
    return [("loss", match[1])]


def _mllog(match: re.Match[str]) -> list[tuple[str, str]]:
    # Its steps count samples, or tokens, as each benchmark likes.
    said = _IN_MLLOG.findall(match[2])
    return [("loss", match[1]), *[(_IN_MLLOG_NAMES[key], value) for key, value in said]]


def _memory_used(match: re.Match[str]) -> list[tuple[str, str]]:
    return [("memory allocated (GB)", match[1])]


def _output(match: re.Match[str]) -> list[tuple[str, str]]:
    return [("step", match[1]), ("loss", match[2])]


def _progress(match: re.Match[str]) -> list[tuple[str, str]]:
    iteration, of_job, of_all, billions = match.groups()
    return [
        ("step", iteration),
        ("tflops", f"{of_job}/{of_all}"),
        ("consumed tokens", f"{billions}B"),
    ]


def _engine(match: re.Match[str]) -> list[tuple[str, str]]:
    return [
        ("prompt_throughput_tokens_s", match[1]),
        ("generation_throughput_tokens_s", match[2]),
    ]


_READERS = (
    (_BATCH, _batch, frameworks.COMPOSER, "lone_batch"),
    (_BATCH_ROW, _batch_row, frameworks.COMPOSER, "lone_row"),
    (_ROW, _row, frameworks.COMPOSER, "lone_row"),
    (_TABLE, _row, frameworks.HF_TRAINER, TABLE),
    (_THROUGHPUT, _throughput, frameworks.VLLM, "lone_vllm"),
    (_LATENCY, _latency, frameworks.VLLM, "lone_vllm"),
    (_SERVING, _serving, frameworks.VLLM, "lone_vllm"),
    (_TUNE, _tune, frameworks.TORCHTUNE, "lone_tune"),
    (_OVERFLOW, _overflow, frameworks.DEEPSPEED, "lone_overflow"),
    (_ENGINE, _engine, frameworks.VLLM, "lone_vllm"),
    (_UTILISATION, _utilisation, frameworks.NEMO, "lone_utilisation"),
    (_NOTES, _notes, frameworks.T5X, "lone_notes"),
    (_MINI_BATCH, _tune, frameworks.UNKNOWN, LOSS),
    (_OF_RANK, _of_rank, frameworks.UNKNOWN, LOSS),
    (_MLLOG, _mllog, frameworks.UNKNOWN, "lone_mllog"),
    (_MEMORY_USED, _memory_used, frameworks.AXOLOTL, "lone_memory"),
    (_OUTPUT, _output, frameworks.HF_TRAINER, OUTPUT),
    (_PROGRESS, _progress, frameworks.MEGATRON_LM, PROGRESS),
)
