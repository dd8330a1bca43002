"""The flight recorder: the last events in memory, and on the disk once memory has run out.

    <folder>/oom-1795311305123456789-4711-1/manifest.json      what this is, sizes, counts
                                            events.jsonl       the last events, oldest first
                                            metadata.json      the error, the allocator's own counts
                                            environment.json   versions and what the job was told

Bounded: EVENTS_MAX events in memory, DUMPS_MAX dumps and BYTES_MAX bytes on disk; the oldest dumps of
the folder go first, and of one dump the oldest events. A dump is written beside its place and renamed
into it, so that it is there whole or not at all. Of the environment only what is listed here is
written: no dump carries a secret.
"""

import json
import os
import platform
import re
import shutil
import sys
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

EVENTS_MAX = 10_000
DUMPS_MAX = 5
BYTES_MAX = 256 << 20
FORMAT = "heliograph.memory_dump"
SCHEMA_VERSION = 1
ERROR_CHARS_MAX = 4000

_ENVIRONMENT = (
    "RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "NODE_RANK", "GROUP_RANK",
    "TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT",
    "SLURM_JOB_ID", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NTASKS", "SLURMD_NODENAME",
    "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES",
    "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF", "PYTORCH_ALLOC_CONF",
    "PYTORCH_MPS_HIGH_WATERMARK_RATIO", "CUDA_LAUNCH_BLOCKING", "OMP_NUM_THREADS",
    "POD_NAME", "POD_NAMESPACE", "POD_UID", "NODE_NAME", "HOSTNAME",
)  # fmt: skip
_VERSIONS = ("torch", "numpy", "transformers", "deepspeed", "lightning", "accelerate")
# As CUDA, ROCm, MPS, the C library, TensorFlow and JAX put it.
_WORDS = re.compile(
    r"out of memory|OUT_OF_MEMORY|RESOURCE_EXHAUSTED|can't allocate memory|cannot allocate memory"
    r"|failed to allocate|CUBLAS_STATUS_ALLOC_FAILED|hipErrorOutOfMemory|bad_alloc",
    re.IGNORECASE,
)
_TYPES = frozenset({"OutOfMemoryError", "MemoryError", "ResourceExhaustedError"})
_DUMP = re.compile(r"oom-(\d{1,20})-\d+-\d+\Z")


def is_oom(error: BaseException) -> bool:
    """Whether *error* says that memory ran out, by its class or its words."""
    if any(kind.__name__ in _TYPES for kind in type(error).__mro__):
        return True
    return isinstance(error, Exception) and _WORDS.search(words_of(error)) is not None


def words_of(error: BaseException) -> str:
    """What *error* says, at most ERROR_CHARS_MAX characters."""
    return f"{type(error).__name__}: {error}"[:ERROR_CHARS_MAX]


class Bounds(NamedTuple):
    """Of the flight recorder. *dumps* and *bytes* are of the whole folder, whoever wrote in it."""

    events: int = EVENTS_MAX
    dumps: int = DUMPS_MAX
    bytes: int = BYTES_MAX


class FlightRecorder:
    """The last events; *folder* takes dumps and is made when there is one, None writes none."""

    def __init__(
        self, folder: str | os.PathLike[str] | None, bounds: Bounds | None = None
    ) -> None:
        self._folder = None if folder is None else Path(folder)
        self._bounds = bounds or Bounds()
        self._ring: deque[Mapping[str, Any]] = deque(maxlen=self._bounds.events)
        self.seen = 0
        self.dumps = 0

    @property
    def events(self) -> list[Mapping[str, Any]]:
        """The last events, oldest first."""
        return list(self._ring)

    def add(self, event: Mapping[str, Any]) -> None:
        """Keep *event* as the newest; the oldest goes when the ring is full."""
        self._ring.append(event)
        self.seen += 1

    def dump(
        self, metadata: Mapping[str, Any], environ: Mapping[str, str], at_ns: int
    ) -> Path | None:
        """Write all that is known of an end of memory at *at_ns*; its folder, None without one.

        Raises OSError; nothing half written stays under the name of a dump.
        """
        if self._folder is None or self._bounds.dumps < 1:
            return None
        self.dumps += 1
        name = f"oom-{at_ns}-{os.getpid()}-{self.dumps}"
        made = self._folder / f".{name}"
        made.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            self._write(made, metadata, environ, at_ns)
            place = made.rename(self._folder / name)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
        self._forget_old(place)
        return place

    def _write(
        self, made: Path, metadata: Mapping[str, Any], environ: Mapping[str, str], at_ns: int
    ) -> None:
        # Shared out, so that one dump cannot push all the others out of the folder.
        share = self._bounds.bytes // self._bounds.dumps
        kept = _json(metadata)[: share // 2]
        (made / "metadata.json").write_text(kept, encoding="utf-8")
        (made / "environment.json").write_text(_json(environment(environ)), encoding="utf-8")
        lines = _newest(self._ring, share - len(kept))
        with (made / "events.jsonl").open("w", encoding="utf-8") as out:
            out.writelines(lines)
        manifest = {
            "format": FORMAT,
            "schema_version": SCHEMA_VERSION,
            "at_ns": at_ns,
            "pid": os.getpid(),
            "events": len(lines),
            "events_seen": self.seen,
            "reason": metadata.get("reason"),
            "files": sorted([*(path.name for path in made.iterdir()), "manifest.json"]),
        }
        (made / "manifest.json").write_text(_json(manifest), encoding="utf-8")

    def _forget_old(self, newest: Path) -> None:
        assert self._folder is not None
        found = sorted(
            (int(name[1]), path)
            for path in self._folder.iterdir()
            if path != newest and (name := _DUMP.match(path.name)) is not None
        )
        sizes = {path: _size(path) for _, path in found}
        left = _size(newest) + sum(sizes.values())
        count = len(found) + 1
        for _, path in found:
            if count <= self._bounds.dumps and left <= self._bounds.bytes:
                break
            shutil.rmtree(path, ignore_errors=True)
            count -= 1
            left -= sizes[path]


def environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """What runs here: versions of what is loaded, and those variables of *environ* that are listed."""
    loaded = {name: sys.modules.get(name) for name in _VERSIONS}
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": platform.node(),
        "versions": {
            name: str(getattr(module, "__version__", "?"))
            for name, module in loaded.items()
            if module
        },
        "variables": {name: environ[name] for name in _ENVIRONMENT if name in environ},
    }


def _newest(events: Iterable[Mapping[str, Any]], bytes_max: int) -> list[str]:
    """The newest of *events* as lines, oldest first, as many as *bytes_max* takes."""
    lines: list[str] = []
    for event in reversed(list(events)):
        line = json.dumps(event, sort_keys=True, default=str) + "\n"
        bytes_max -= len(line)
        if bytes_max < 0:
            break
        lines.append(line)
    return lines[::-1]


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, sort_keys=True, default=str) + "\n"


def _size(folder: Path) -> int:
    try:
        return sum(path.stat().st_size for path in folder.iterdir())
    except OSError:
        return 0
