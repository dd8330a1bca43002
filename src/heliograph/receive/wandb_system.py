"""The names of wandb's system metrics → metric names and labels of their own.

    system.cpu                         wandb_system_cpu
    system.gpu.0.temp                  wandb_system_gpu_temp{gpu="0"}
    system.gpu.process.0.powerWatts    wandb_system_gpu_process_power_watts{gpu="0"}
    system.gpu.3.gfx_activity          wandb_system_gpu_gfx_activity{gpu="3"}
    system.disk./data.usagePercent     wandb_system_disk_usage_percent{path="/data"}
    system.disk.nvme0n1.in             wandb_system_disk_in{disk="nvme0n1"}
    system.proc.memory.rssMB           wandb_system_proc_memory_rss_mb

A number that stands between dots is the index of what stands before it. Values and units stay as
they are. Source: wandb, core/pkg/monitor.
"""

import re
from functools import lru_cache
from typing import NamedTuple

PREFIX = "wandb_system_"
NAMES_CACHED_MAX = 4096
LABEL_CHARS_MAX = 128
METRIC_CHARS_MAX = 128
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NOT_NAME = re.compile(r"[^a-z0-9]+")
_DISK = re.compile(r"disk\.(?P<what>.+)\.(?P<value>[A-Za-z_]+)")


class SystemName(NamedTuple):
    """A metric, and its labels beside those of the run."""

    metric: str
    labels: tuple[tuple[str, str], ...]


@lru_cache(maxsize=NAMES_CACHED_MAX)
def named(name: str) -> SystemName:
    """What a key of `wandb-events.jsonl` (`system.gpu.0.temp`) is called here."""
    rest = name.removeprefix("system.").removeprefix("system/")
    if (match := _DISK.fullmatch(rest)) is not None:
        what = match["what"][:LABEL_CHARS_MAX]
        label = "path" if what.startswith("/") or "\\" in what else "disk"
        return SystemName(_metric(["disk", match["value"]]), ((label, what),))
    parts = rest.replace("/", ".").split(".")
    labels: dict[str, str] = {}
    words: list[str] = []
    for part in parts:
        if part.isascii() and part.isdigit() and words:
            labels.setdefault(_word(words[0]), part[:LABEL_CHARS_MAX])
        else:
            words.append(part)
    return SystemName(_metric(words), tuple(sorted(labels.items())))


def _metric(words: list[str]) -> str:
    text = "_".join(filter(None, map(_word, words))) or "value"
    return f"{PREFIX}{text}"[:METRIC_CHARS_MAX]


def _word(part: str) -> str:
    return _NOT_NAME.sub("_", _CAMEL.sub("_", part).lower()).strip("_")
