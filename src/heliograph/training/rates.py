"""The words of rates, the same in a key, in its unit and behind a value.

    tokens/s/GPU  samples_per_second  seqs/sec  it/s      MANY: so many in a second
    s/it  ms/step  sec/batch                              EACH: the time of one step
    TFLOP/s/device  TFLOPS                                WORK

A rate of something else (`img/s`, `requests/s`, `MB/s`) is not the training's: it has no words here.
"""

from collections.abc import Iterable

SECOND = frozenset({"s", "sec", "secs", "second", "seconds"})
# The times of one step that stand before its word without a second's: `ms/step`, `step_ms`.
SHORT = frozenset({"ms", "us"})
STEPS = frozenset(
    {
        *("steps", "step", "iters", "iter", "iterations", "iteration", "it"),
        *("batches", "batch", "updates", "update"),
    }
)
# printed → what is counted
COUNTED = {
    **dict.fromkeys(("tokens", "token", "tok", "toks"), "tokens"),
    **dict.fromkeys(("samples", "sample", "sequences", "sequence", "seqs", "seq"), "samples"),
    **dict.fromkeys(sorted(STEPS), "steps"),
}
DEVICE = frozenset(
    {"gpu", "gpus", "npu", "device", "devices", "chip", "xpu", "accelerator", "gcd"}
)
AVERAGE = frozenset({"avg", "average", "mean", "running"})
# What else stands in the key of a rate.
WORDS = AVERAGE | {
    *("throughput", "train", "training", "inst", "instant", "cur", "curr", "current"),
    *("per", "perf", "timing", "tgs", "rate", "speed", "metrics", "performance", "total"),
    *("global", "overall", "system", "ips"),
}
# printed → TFLOP
FLOPS = {
    **dict.fromkeys(("tflop", "tflops"), 1.0),
    **dict.fromkeys(("gflop", "gflops"), 1e-3),
    **dict.fromkeys(("pflop", "pflops"), 1e3),
    **dict.fromkeys(("flop", "flops"), 1e-12),
}


def _any(words: Iterable[str]) -> str:
    return f"(?:{'|'.join(sorted(words, key=lambda word: (-len(word), word)))})"


EACH = rf"{_any(SECOND | SHORT)}/{_any(STEPS)}"
# What is worked in a second.
WORK = rf"{_any(FLOPS)}/{_any(SECOND)}(?:/{_any(DEVICE)})?"
MANY = rf"{_any(COUNTED)}/{_any(SECOND)}(?:/{_any(DEVICE)})?"
# How one of these begins.
BEGINS = "".join(sorted({word[0] for word in (*SECOND, *SHORT, *COUNTED, *FLOPS)}))
