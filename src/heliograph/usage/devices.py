"""The GPUs of one job as metrics see them; the same few lists come with every job, and are remembered.

    ["NVIDIA A100", "NVIDIA A100", "NVIDIA V100"]
    identifier 3_NVIDIA_A100_2_NVIDIA_V100_1      primary A100      types A100 2, V100 1

A plain string is a list of its characters, as in the system of spec 000.
"""

from collections.abc import Iterable
from typing import NamedTuple

from heliograph.usage.gpu_names import gpu_type, newest
from heliograph.usage.keys import written
from heliograph.usage.sanitize import sanitize_field_value

TOTAL = "tao_job_gpu_total"
TYPE = "tao_gpu_type"
REMEMBERED_MAX = 1024
# Of longer lists, and lists of longer names, only the last is remembered, for the next builder;
# and not even that beyond what one payload may say.
REMEMBERED_GPUS_MAX = 128
REMEMBERED_CHARS_MAX = 8192


class Devices(NamedTuple):
    """What a list of GPUs comes to.

    names     (sanitised, how many), in the order of the list
    types     (type, how many), in the order of the list
    totals    (key of `tao_job_gpu_total` of a type, how many), likewise
    """

    count: int  # type: ignore[assignment]  # a list's length is worth tuple's method
    identifier: str
    primary: str
    names: tuple[tuple[str, int], ...]
    types: tuple[tuple[str, int], ...]
    totals: tuple[tuple[str, int], ...]


LAST_CHARS_MAX = 2 * 1024 * 1024
_remembered: dict[tuple[str, ...], Devices] = {}
_last: dict[tuple[str, ...], Devices] = {}


def of(gpus: Iterable[object]) -> Devices:
    """The devices of *gpus*. Raises TypeError where that is no list."""
    names = tuple(map(str, gpus))
    found = _remembered.get(names) or _last.get(names)
    if found is None:
        found = _made(names)
        _remember(names, found)
    return found


def _remember(names: tuple[str, ...], found: Devices) -> None:
    chars = len(found.identifier) + sum(map(len, names))
    kept, names_max = _remembered, REMEMBERED_MAX
    if len(names) > REMEMBERED_GPUS_MAX or chars > REMEMBERED_CHARS_MAX:
        kept, names_max = _last, 1
    if chars <= LAST_CHARS_MAX:
        if len(kept) >= names_max:
            kept.clear()
        kept[names] = found


def _made(gpus: tuple[str, ...]) -> Devices:
    counts: dict[str, int] = {}
    for gpu in gpus:
        counts[gpu] = counts.get(gpu, 0) + 1
    lower: dict[str, int] = {}
    upper: dict[str, int] = {}
    types: dict[str, int] = {}
    known = []
    for gpu, count in counts.items():
        name, kind = sanitize_field_value(gpu), gpu_type(gpu)
        lower[name] = lower.get(name, 0) + count
        upper[name.upper()] = upper.get(name.upper(), 0) + count
        types[kind] = types.get(kind, 0) + count
        known.append((kind, gpu, count))
    parts = [f"{name}_{count}" for name, count in sorted(upper.items())]
    return Devices(
        len(gpus),
        f"{len(gpus)}_{'_'.join(parts)}",
        newest(known),
        tuple(lower.items()),
        tuple(types.items()),
        tuple((written(TOTAL, ((TYPE, kind),)), count) for kind, count in types.items()),
    )


def create_gpu_identifier(gpus: Iterable[object]) -> str:
    """`TOTAL_NAME_COUNT_NAME_COUNT…`, names sanitised to upper case and sorted; `0_` of none."""
    return of(gpus).identifier
