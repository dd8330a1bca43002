"""What a printed key means: its training field and the one unit we keep it in.

    elapsed time per iteration (s): 105.22          elapsed_time_per_iteration_ms 105220.0
    throughput per GPU (TFLOP/s/GPU): 567.6/568.0   tflops 567.6, tflops_avg 568.0
    compute per GPU (TFLOP/s/GPU): 615.5 (avg 61)   tflops 615.5, tflops_avg 61.0
    mem usages: 0.7494                              mem_usage_ratio 74.94
    tps: 6,785                                      tokens_per_gpu 6785.0

Field names are those of the HTTP contract. Milliseconds, TFLOP/s per GPU, per cent, GB (printed
GB and GiB are both 1024³ bytes). Keys are compared without case, `_`, `-` and double spaces.
A key that is not here is kept under `extra`, by its own words; a value that cannot be its key's
(`learning rate: 3GB`) is left out.
"""

import re
from functools import lru_cache
from typing import NamedTuple

# Distinct keys remembered; a format has about twenty, and a key with a number in it a few more.
KEYS_CACHED_MAX = 2048
EXTRA_KEY_CHARS_MAX = 64

WHOLE, NUMBER, TIME, TFLOPS, RATE, PERCENT, MEMORY, FRACTION, QUADRUPLE = range(9)
# A number beside these is their running average; beside a count it is a target or a total.
AVERAGED = frozenset({TIME, TFLOPS, RATE, NUMBER, PERCENT})

_SCALES: dict[int, dict[str, float]] = {
    TIME: {"ms": 1, "s": 1e3, "sec": 1e3, "secs": 1e3, "seconds": 1e3, "us": 1e-3, "µs": 1e-3},
    TFLOPS: {
        **dict.fromkeys(("", "tflop", "tflops", "tflop/s", "tflops/s", "tflop/s/gpu"), 1.0),
        **dict.fromkeys(("tflops/gpu", "tflops/s/gpu", "tflop/gpu/s"), 1.0),
        **dict.fromkeys(("gflop/s/gpu", "gflops", "gflop/s"), 1e-3),
        **dict.fromkeys(("pflop/s/gpu", "pflops", "pflop/s"), 1e3),
    },
    RATE: dict.fromkeys(("", "tokens/s/gpu", "tokens/gpu/s", "tokens/s", "samples/s"), 1.0),
    PERCENT: {"%": 1},
    MEMORY: {
        **dict.fromkeys(("tb", "tib"), 1024.0),
        **dict.fromkeys(("gb", "gib", "g"), 1.0),
        **dict.fromkeys(("mb", "mib", "m"), 1 / 1024),
        **dict.fromkeys(("kb", "kib"), 1 / 1024**2),
        **dict.fromkeys(("b", "bytes"), 1 / 1024**3),
    },
    FRACTION: {"%": 1},
    WHOLE: {"": 1},
    NUMBER: {"": 1},
}

# canonical key → (field, dimension, unit where neither key nor value prints one)
_NAMES: dict[str, tuple[str, int, str]] = {
    "consumed samples": ("consumed_samples", WHOLE, ""),
    "consumed tokens": ("consumed_tokens", WHOLE, ""),
    "step": ("current_iteration", WHOLE, ""),
    "epoch": ("epoch", NUMBER, ""),
    "elapsed time per iteration": ("elapsed_time_per_iteration_ms", TIME, ""),
    "train step timing in s": ("elapsed_time_per_iteration_ms", TIME, "s"),
    "throughput per gpu": ("tflops", TFLOPS, ""),
    "compute per gpu": ("tflops", TFLOPS, ""),
    "tflops": ("tflops", TFLOPS, ""),
    "tokens per gpu": ("tokens_per_gpu", RATE, ""),
    "tokens/s/gpu": ("tokens_per_gpu", RATE, ""),
    "tps": ("tokens_per_gpu", RATE, ""),
    "wps": ("tokens_per_gpu", RATE, ""),
    "tokens per second": ("tokens_per_second", RATE, ""),
    "tokens/s": ("tokens_per_second", RATE, ""),
    "samples per second": ("samples_per_second", RATE, ""),
    "steps per second": ("steps_per_second", RATE, ""),
    "mfu": ("mfu", PERCENT, ""),
    "learning rate": ("learning_rate", NUMBER, ""),
    "lr": ("learning_rate", NUMBER, ""),
    "global batch size": ("global_batch_size", WHOLE, ""),
    "lm loss": ("lm_loss", NUMBER, ""),
    "reduced train loss": ("lm_loss", NUMBER, ""),
    "loss": ("total_loss", NUMBER, ""),
    "total loss": ("total_loss", NUMBER, ""),
    "load balancing loss": ("load_balancing_loss", NUMBER, ""),
    "aux loss": ("auxiliary_loss", NUMBER, ""),
    "auxiliary loss": ("auxiliary_loss", NUMBER, ""),
    "loss scale": ("loss_scale", NUMBER, ""),
    "grad norm": ("grad_norm", NUMBER, ""),
    "params norm": ("params_norm", NUMBER, ""),
    "num zeros": ("num_zeros", NUMBER, ""),
    "number of skipped iterations": ("skipped_iterations", WHOLE, ""),
    "number of nan iterations": ("nan_iterations", WHOLE, ""),
    "max memory allocated": ("mem_usage_gb", MEMORY, ""),
    "max allocated memory": ("mem_max_gb", MEMORY, ""),
    "max memory reserved": ("mem_reserved_gb", MEMORY, ""),
    # A fraction, although an early model of it said GB.
    "mem usages": ("mem_usage_ratio", FRACTION, ""),
}
# What only a running step can tell; a list of settings has none of these.
MEASURED = frozenset(
    {
        *("elapsed_time_per_iteration_ms", "tflops", "mfu", "tokens_per_gpu"),
        *("tokens_per_second", "samples_per_second", "lm_loss", "total_loss"),
        *("load_balancing_loss", "grad_norm", "params_norm", "num_zeros"),
        *("mem_usage_gb", "mem_usage_ratio", "skipped_iterations"),
    }
)
_PRIMUS = re.compile(r"hip |rocm |memory usage/|compute per gpu|tokens per gpu|inst/")
_PART = "(?:usage ratio|usage|free|total|ratio)"
_QUADRUPLE = re.compile(
    r"(?:rank (?P<rank>\d{1,7}) )?(?:(?P<source>hip|rocm) )?(?P<max>max )?(?:mem|memory)"
    rf"(?: (?P<names>{_PART}(?:/{_PART})*))?"
)
_UNIT = re.compile(r"(.*?)\s*\(([^()]*)\)\s*\Z")
_PAIRED = re.compile(r"\s*(?:inst/(?:harmonic )?(?:mean|avg|average))\Z")
_BLANKS = re.compile(r"[\s_-]+")
_NOT_NAME = re.compile(r"[^a-z0-9]+")


class Key(NamedTuple):
    """A printed key, understood.

    field       training field, or the name under `extra` when *known* is False
    dimension   WHOLE … QUADRUPLE; decides which units a value may carry
    unit        unit printed in the key, or implied by it; lower case
    scale       what a number without a unit is multiplied by; None where it needs one
    known       False for what goes to `extra`
    primus      only Primus prints such a key
    names       of a QUADRUPLE: what its values are, in order
    source      of a QUADRUPLE: `hip`, `rocm` or ""
    rank        of a QUADRUPLE that tells of one rank only: that rank, else -1
    """

    field: str
    dimension: int
    unit: str = ""
    scale: float | None = 1.0
    known: bool = True
    primus: bool = False
    names: tuple[str, ...] = ()
    source: str = ""
    rank: int = -1


def scale_of(dimension: int, unit: str) -> float | None:
    """What a number in *unit* is multiplied by to be in ours; None where it cannot be."""
    return _SCALES[dimension].get(unit.lower())


@lru_cache(maxsize=KEYS_CACHED_MAX)
def named(raw: str) -> Key | None:
    """The meaning of a key as printed, blanks and unit included; None when it is no key."""
    match = _UNIT.match(raw)
    text, unit = (match[1], match[2].strip().lower()) if match else (raw, "")
    canonical = _BLANKS.sub(" ", text).strip().lower()
    primus = _PRIMUS.match(canonical) is not None or _PAIRED.search(canonical) is not None
    canonical = _PAIRED.sub("", canonical)
    found = _NAMES.get(canonical)
    if found is not None:
        field, dimension, implied = found
        unit = unit or implied
        return Key(field, dimension, unit, scale_of(dimension, unit), primus=primus)
    quadruple = _QUADRUPLE.fullmatch(canonical)
    if quadruple is not None:
        return _quadruple(quadruple, primus)
    return _extra(f"{text} {unit}" if unit else text)


def _quadruple(match: re.Match[str], primus: bool) -> Key:
    source = match["source"] or ""
    names = tuple((match["names"] or "usage/ratio").replace("usage ratio", "ratio").split("/"))
    if match["max"] or match["rank"]:
        # The fullest rank's memory, not this one's.
        field = "_".join(filter(None, (source, "max" if match["max"] else "other", "mem")))
        rank = int(match["rank"] or -1)
        return Key(field, QUADRUPLE, known=False, primus=primus, names=names, rank=rank)
    return Key("mem", QUADRUPLE, primus=primus, names=names, source=source)


def _extra(text: str) -> Key | None:
    name = _NOT_NAME.sub("_", text.lower()).strip("_")
    if not name or not name[0].isalpha() or len(name) > EXTRA_KEY_CHARS_MAX:
        return None
    return Key(name, NUMBER, known=False)
