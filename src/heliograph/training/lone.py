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
"""

import re

from heliograph.training import clean, reading
from heliograph.training import fields as fields_of
from heliograph.training import framework as frameworks
from heliograph.training.outcome import Outcome

_NUMBER = (
    r"[-+]?(?:\d[\d,]{0,24}(?:\.\d{0,20})?|\.\d{1,20})(?:[eE][-+]?\d{1,4})?|[-+]?(?:nan|inf)"
)
_BATCH = re.compile(
    r"\[(?:epoch=(\d{1,9})(?:/\d{1,9})?\]\s?\[)?batch=(\d{1,15})(?:/(\d{1,15}))?\]:?\s*\Z"
)
_ROW = re.compile(
    rf"Train ([A-Za-z][\w.-]{{0,60}}(?:/[\w.-]{{1,60}}){{1,5}}): ({_NUMBER})\s*\Z"
)
_BATCH_ROW = re.compile(
    r"\[batch=(\d{1,15})(?:/(\d{1,15}))?\]:\s{1,8}Train ([A-Za-z][\w./: +-]{0,1000})\Z"
)
_IN_ROW = re.compile(rf"([A-Za-z][\w./-]{{0,120}}):\s{{1,8}}({_NUMBER})\s{{0,16}}")
_TABLE = re.compile(
    r"(train_(?:loss|runtime|\w{1,16}_per_second))\s{1,40}=\s{1,40}"
    rf"({_NUMBER}|(?:\d{{1,4}} days?, )?\d{{1,4}}:\d\d:\d\d(?:\.\d+)?)\s*\Z"
)
_THROUGHPUT = re.compile(
    rf"Throughput: ({_NUMBER}) requests/s(?:, ({_NUMBER})(?: total)? tokens/s)?"
    rf"(?:, ({_NUMBER}) output tokens/s)?\s*\Z"
)
_LATENCY = re.compile(
    rf"(?:Avg|Average|Mean) latency: ({_NUMBER})\s?(ms|milliseconds|s|secs?|seconds)\b\.?\s*\Z",
    re.IGNORECASE,
)
_SERVING = re.compile(
    rf"(Request|Output token|Total Token|Total token) throughput \((?:req|tok)/s\):\s+({_NUMBER})"
    r"\s*\Z"
)
_SERVED = {
    "request": "samples per second",
    "total token": "tokens per second",
    "output token": "output_throughput_tokens_s",
}
_ENGINE = re.compile(
    rf"(?:Engine \d{{1,4}}: )?Avg prompt throughput: ({_NUMBER}) tokens/s, "
    rf"Avg generation throughput: ({_NUMBER}) tokens/s\b"
)


_OVERFLOW = re.compile(
    rf".{{0,200}}?\bSkipping step\. Attempted loss scale: ({_NUMBER}), (?:reducing|but)\b"
)


_UTILISATION = re.compile(
    rf"Step Time : ({_NUMBER})s GPU utilization: ({_NUMBER})(?:MODEL_)?TFLOP/s/GPU\s*\Z"
)
_NOTES = re.compile(
    rf"(?:Setting work unit notes: )?({_NUMBER}) steps/s, [\d.]{{1,8}}% "
    r"\((\d{1,15})/(\d{1,15})\)(?:, ETA: |\s*\Z)"
)


_TUNE = re.compile(rf"(\d{{1,9}})\|(\d{{1,15}})\|Loss: ({_NUMBER})\s*\Z")


def hinted(text: str) -> bool:
    """Whether *text*, a raw line, can be of this shape: a few searches for fixed words."""
    return (
        "Train " in text
        or "batch=" in text
        or "hroughput" in text
        or "atency" in text
        or "train_" in text
        or "Attempted loss" in text
        or "|Loss: " in text
        or "Step Time : " in text
        or " steps/s, " in text
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


def _engine(match: re.Match[str]) -> list[tuple[str, str]]:
    return [
        ("prompt_throughput_tokens_s", match[1]),
        ("generation_throughput_tokens_s", match[2]),
    ]


_READERS = (
    (_BATCH, _batch, frameworks.COMPOSER, "lone_batch"),
    (_BATCH_ROW, _batch_row, frameworks.COMPOSER, "lone_row"),
    (_ROW, _row, frameworks.COMPOSER, "lone_row"),
    (_TABLE, _row, frameworks.HF_TRAINER, "lone_table"),
    (_THROUGHPUT, _throughput, frameworks.VLLM, "lone_vllm"),
    (_LATENCY, _latency, frameworks.VLLM, "lone_vllm"),
    (_SERVING, _serving, frameworks.VLLM, "lone_vllm"),
    (_TUNE, _tune, frameworks.TORCHTUNE, "lone_tune"),
    (_OVERFLOW, _overflow, frameworks.DEEPSPEED, "lone_overflow"),
    (_ENGINE, _engine, frameworks.VLLM, "lone_vllm"),
    (_UTILISATION, _utilisation, frameworks.NEMO, "lone_utilisation"),
    (_NOTES, _notes, frameworks.T5X, "lone_notes"),
)
