"""What a printed key means: its training field and the one unit we keep it in.

    elapsed time per iteration (s): 105.22          elapsed_time_per_iteration_ms 105220.0
    throughput per GPU (TFLOP/s/GPU): 567.6/568.0   tflops 567.6, tflops_avg 568.0
    compute per GPU (TFLOP/s/GPU): 615.5 (avg 61)   tflops 615.5, tflops_avg 61.0
    mem usages: 0.7494                              mem_usage_ratio 74.94
    tps: 6,785                                      tokens_per_gpu 6785.0
    CurrSamplesPerSec=171.9                         samples_per_second 171.9
    'tokens/train_per_sec_per_gpu': '1234'          tokens_per_gpu 1234.0

Field names are those of the HTTP contract. Milliseconds, TFLOP/s per GPU, per cent, GB (printed
GB and GiB are both 1024³ bytes). Keys are compared without case, `_`, `-`, camel humps and double
spaces; rates and memory sizes are read by their words, whatever their order. A key that means
nothing here is kept under `extra`, by its own words; a value that cannot be its key's
(`learning rate: 3GB`) is left out.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from heliograph.training import rates
from heliograph.training.rates import AVERAGE, COUNTED, DEVICE, FLOPS, SECOND, SHORT, STEPS
from heliograph.training.vocabulary import (
    COUNT,
    ELSEWHERE,
    MAX_MEMORY,
    MEASURED,
    MEASURED_ELSEWHERE,
    MEMORY,
    NAMES,
    NUMBER,
    PERCENT,
    QUADRUPLE,
    RATE,
    SCALES,
    TFLOPS,
    TIME,
    WHOLE,
)

# Distinct keys remembered; a format has about twenty, and a key with a number in it a few more.
KEYS_CACHED_MAX = 4096
# A longer one is a sentence.
KEY_CHARS_MAX = 120
EXTRA_KEY_CHARS_MAX = 64

_PRIMUS = re.compile(r"hip |rocm |memory usage/|compute per gpu|tokens per gpu|inst/")
_PART = "(?:usage ratio|usage|free|total|ratio)"
_QUADRUPLE = re.compile(
    r"(?:rank (?P<rank>\d{1,7}) )?(?:(?P<source>hip|rocm) )?(?P<max>max )?(?:mem|memory)"
    rf"(?: (?P<names>{_PART}(?:/{_PART}){{0,4}}))?"
)
_UNIT = re.compile(r"([^()]*)\(([^()]*)\)\s*\Z")
# `lr(1e-3): 0.01`
_MULTIPLE = re.compile(r"1e-?\d{1,2}")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_PAIRED = re.compile(r"\s*(?:inst/(?:harmonic )?(?:mean|avg|average))\Z")
_BLANKS = re.compile(r"[\s_-]+")
_NOT_NAME = re.compile(r"[^a-z0-9]+")
_GROUP = re.compile(r"(?:train|training|perf|performance|metrics|optim|optimizer)[ /]")
_PARAM_GROUP = re.compile(
    r"lr[ /][\w ]{0,40}(?:adam|lion|sgd|muon|adafactor)[\w ]{0,40}(?:/group0)?|lr/group0"
)
_WORD = re.compile(r"[^\s/@]+")
_MEMORY_NOUN = frozenset({"mem", "memory", "gib", "gb", "mib", "mb", "allocated", "reserved"})
_SIZE_UNIT = ("gib", "gb", "mib", "mb", "bytes")
_MEMORY_WORDS = frozenset(
    {
        *("mem", "memory", "gpu", "cuda", "hip", "npu", "device", "vram", "max", "peak"),
        *("current", "cur", "curr", "allocated", "alloc", "reserved", "rsvd", "active"),
        *("used", "usage", "free", "total", "in", "actor", "perf", "train", "training"),
        *("hbm", "before", "after", "forward", "backward", *_SIZE_UNIT),
    }
)


_PLAIN: dict[int, Callable[[str], float]] = {
    **dict.fromkeys((NUMBER, TIME, TFLOPS, RATE, PERCENT, MEMORY), float),
    **dict.fromkeys((WHOLE, COUNT), int),
}


class Key(NamedTuple):
    """A printed key, understood.

    field       training field, or the name under `extra` when *known* is False
    dimension   WHOLE … STEP; decides which units a value may carry
    unit        unit printed in the key, or implied by it; lower case
    scale       what a number without a unit is multiplied by; None where it needs one
    known       False for what goes to `extra`
    primus      only Primus prints such a key
    names       of a QUADRUPLE: what its values are, in order
    source      of a QUADRUPLE: `hip`, `rocm` or ""
    rank        of a QUADRUPLE that tells of one rank only: that rank, else -1
    measured    only a running step can tell such a value
    plain       what reads a value that is one number in our unit; None where more must be asked
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
    measured: bool = False
    plain: Callable[[str], float] | None = None


def scale_of(dimension: int, unit: str) -> float | None:
    """What a number in *unit* is multiplied by to be in ours; None where it cannot be."""
    return SCALES[dimension].get(unit.lower())


def canonical_of(text: str) -> str:
    """The words of a printed key: lower case, parted by single blanks."""
    return _BLANKS.sub(" ", _HUMP.sub(" ", text)).strip().lower()


def name_of(text: str) -> str:
    """*text* as a name: its letters and digits, in lower case, the rest between them as `_`."""
    return _NOT_NAME.sub("_", text.lower()).strip("_")


@lru_cache(maxsize=KEYS_CACHED_MAX)
def named(raw: str) -> Key | None:
    """The meaning of a key as printed, blanks and unit included; None when it is no key."""
    if len(raw) > KEY_CHARS_MAX:
        return None
    match = _UNIT.match(raw)
    text, unit = (match[1], match[2].strip().lower()) if match else (raw, "")
    canonical = canonical_of(text)
    primus = _PRIMUS.match(canonical) is not None or _PAIRED.search(canonical) is not None
    canonical = _PAIRED.sub("", canonical)
    found = _field(canonical, unit, primus)
    if found is None or found.scale is None:
        found = _quadruple(canonical, unit, primus) or _by_words(canonical, unit) or found
    if found is None and (group := _GROUP.match(canonical)) is not None:
        inner = canonical[group.end() :]
        found = _field(inner, unit, primus)
    return _with_plain(found) if found is not None else _extra(text, unit)


def _with_plain(key: Key) -> Key:
    if not key.known or key.scale != 1 or key.dimension not in _PLAIN:
        return key
    return key._replace(plain=_PLAIN[key.dimension])


def _field(canonical: str, unit: str, primus: bool) -> Key | None:
    """The key that the vocabulary has, with or without a unit as its last word."""
    found = NAMES.get(canonical)
    if found is None and " in " in canonical:
        canonical, _, unit = canonical.rpartition(" in ")
        found = NAMES.get(canonical)
    if found is None and (last := canonical.rpartition(" "))[2] in SCALES[TIME]:
        found = NAMES.get(last[0])
        if found is None or found[1] != TIME:
            return None
        unit = last[2]
    if found is not None:
        field, dimension, implied = found
        unit = unit or implied
        scale = float(unit) if _MULTIPLE.fullmatch(unit) else _scale(field, dimension, unit)
        return Key(field, dimension, unit, scale, primus=primus, measured=field in MEASURED)
    if _PARAM_GROUP.fullmatch(canonical):
        return Key("learning_rate", NUMBER)
    name = ELSEWHERE.get(canonical)
    if name is None and canonical.startswith("timing s/"):
        name = f"time_{name_of(canonical[9:])}_s"
    if name is None:
        return None
    return Key(name, NUMBER, known=False, measured=name in MEASURED_ELSEWHERE)


def _scale(field: str, dimension: int, unit: str) -> float | None:
    """As `scale_of`; a rate in the unit, `TFLOP/s/GPU`, is of *field* where it counts the same."""
    scale = scale_of(dimension, unit)
    if scale is None and dimension in {TFLOPS, RATE}:
        rate = _by_words("", unit)
        if rate is not None and rate.field.partition("_")[0] == field.partition("_")[0]:
            return rate.scale
    return scale


def _by_words(canonical: str, unit: str) -> Key | None:
    """A rate, a time per step or a memory size, in whatever order its words stand."""
    words = [word for word in _WORD.findall(f"{canonical} {unit}") if word != "per"]
    said = set(words)
    if said & SECOND:
        return _rate(words, said)
    short = said & SHORT
    if len(said) == 2 and len(short) == 1 and said - short <= STEPS:
        return _known("elapsed_time_per_iteration_ms", TIME, *short)
    flops = [word for word in words if word in FLOPS]
    if flops and said - set(flops) <= DEVICE:
        return _known("tflops", TFLOPS, flops[0])
    if said <= _MEMORY_WORDS and said & (_MEMORY_NOUN | {"forward"}):
        return _memory_size(said, unit)
    return None


def _rate(words: list[str], said: set[str]) -> Key | None:
    """`tokens/s/GPU`, `SamplesPerSec`, `throughput/device/tokens_per_sec`, `s/it`."""
    second = next(place for place, word in enumerate(words) if word in SECOND)
    of_each = any(word in COUNTED for word in words[second:])
    flops = [word for word in words if word in FLOPS]
    if flops:
        rest = said - SECOND - set(flops) - DEVICE - rates.WORDS
        # Composer's `throughput/flops_per_sec` is the whole job's.
        if rest or (flops == ["flops"] and "throughput" in said and not said & DEVICE):
            return None
        return _known("tflops", TFLOPS, flops[0])
    counted = {COUNTED[word] for word in words if word in COUNTED}
    if len(counted) != 1 or said - SECOND - DEVICE - rates.WORDS - COUNTED.keys():
        return None
    what = counted.pop()
    of_device = bool(said & DEVICE)
    if of_each:
        # Time for each, not each in a time.
        return _known("elapsed_time_per_iteration_ms", TIME, "s") if what == "steps" else None
    if of_device and what != "tokens":
        return None
    field = "tokens_per_gpu" if of_device else f"{what}_per_second"
    if said & AVERAGE:
        return _known(f"{field}_avg", RATE, "")
    return _known(field, RATE, "")


def _memory_size(said: set[str], unit: str) -> Key | None:
    size = unit or next((word for word in _SIZE_UNIT if word in said), "")
    highest = bool(said & {"max", "peak"})
    if said & {"reserved", "rsvd"}:
        return _known("mem_reserved_gb", MAX_MEMORY if highest else MEMORY, size)
    if "active" in said:
        return Key("mem_active_gb", MEMORY, size, scale_of(MEMORY, size), known=False)
    if said & {"allocated", "alloc", "used", "usage"} or highest:
        if not said & {"mem", "memory", "allocated", "alloc", "forward"}:
            return None
        return _known("mem_usage_gb", MAX_MEMORY if highest else MEMORY, size)
    if "free" in said:
        return _known("mem_free_gb", MEMORY, size)
    if "total" in said and said & {"mem", "memory"}:
        return _known("mem_total_gb", MEMORY, size)
    return None


def _known(field: str, dimension: int, unit: str) -> Key:
    return Key(field, dimension, unit, scale_of(dimension, unit), measured=field in MEASURED)


def _quadruple(canonical: str, unit: str, primus: bool) -> Key | None:
    match = _QUADRUPLE.fullmatch(canonical)
    if match is None or (match["max"] and not match["names"]):
        return None
    source = match["source"] or ""
    names = tuple((match["names"] or "usage/ratio").replace("usage ratio", "ratio").split("/"))
    if match["max"] or match["rank"]:
        # The fullest rank's memory, not this one's.
        field = "_".join(filter(None, (source, "max" if match["max"] else "other", "mem")))
        rank = int(match["rank"] or -1)
        return Key(field, QUADRUPLE, unit, known=False, primus=primus, names=names, rank=rank)
    return Key("mem", QUADRUPLE, unit, primus=primus, names=names, source=source, measured=True)


def _extra(text: str, unit: str) -> Key | None:
    printed = f"{text} {unit}" if unit else text
    name = name_of(printed)
    if not name or not name[0].isalpha() or len(name) > EXTRA_KEY_CHARS_MAX:
        return None
    return Key(name, NUMBER, known=False, measured=name in MEASURED_ELSEWHERE)
