"""Which rank of which job a process is: `resolve_distributed_identity`.

    resolve_distributed_identity(env={"RANK": "1", "WORLD_SIZE": "2"})
      == {"job_id": None, "rank": 1, "local_rank": 1, "world_size": 2}

What is given counts before what metadata says, and that before the environment. There, the first
launcher that set both rank and world size counts, whole: torchrun, Open MPI, Slurm.
"""

import os
from collections.abc import Mapping
from typing import Any, TypedDict

from heliograph.projection.event import check_place, is_integer

# rank, local rank, world size
_LAUNCHERS = (
    ("RANK", "LOCAL_RANK", "WORLD_SIZE"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NTASKS"),
)
_JOB_IDS = ("TORCHELASTIC_RUN_ID", "SLURM_JOB_ID")
_NAMES = ("job_id", "rank", "local_rank", "world_size")


class Identity(TypedDict):
    """Who a process is among those of its job; ranks below *world_size*."""

    job_id: str | None
    rank: int
    local_rank: int
    world_size: int


def resolve_distributed_identity(
    *,
    job_id: str | None = None,
    rank: int | None = None,
    local_rank: int | None = None,
    world_size: int | None = None,
    metadata: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
) -> Identity:
    """The identity of this process; of *env* instead of its environment, where given.

    Without a local rank it is the rank. ValueError naming what is no integer, blank or out of range.
    """
    given = dict(zip(_NAMES, (job_id, rank, local_rank, world_size), strict=True))
    told = {name: (metadata or {}).get(name) for name in _NAMES}
    around = _of_environment(os.environ if env is None else env)
    found: dict[str, Any] = {
        name: next((one[name] for one in (given, told, around) if one[name] is not None), None)
        for name in _NAMES
    }
    if (name := found["job_id"]) is not None and not (isinstance(name, str) and name.strip()):
        raise ValueError("job_id must be a non-empty string")
    rank = _integer("rank", found["rank"], default=0)
    world_size = _integer("world_size", found["world_size"], default=1)
    local_rank = _integer("local_rank", found["local_rank"], default=rank)
    check_place(rank, local_rank, world_size=world_size)
    return Identity(
        job_id=found["job_id"], rank=rank, local_rank=local_rank, world_size=world_size
    )


def _of_environment(env: Mapping[str, str]) -> dict[str, Any]:
    job_id = next((env[name] for name in _JOB_IDS if env.get(name, "").strip()), None)
    for names in _LAUNCHERS:
        rank, local_rank, world_size = (env.get(name) for name in names)
        if rank is not None and world_size is not None:
            return {
                "job_id": job_id,
                "rank": _parsed("rank", rank),
                "local_rank": None if local_rank is None else _parsed("local_rank", local_rank),
                "world_size": _parsed("world_size", world_size),
            }
    return {"job_id": job_id, "rank": None, "local_rank": None, "world_size": None}


def _parsed(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{name} must be an integer") from None


def _integer(name: str, value: object, *, default: int) -> int:
    if value is None:
        return default
    if not is_integer(value):
        raise ValueError(f"{name} must be an integer")
    return value  # type: ignore[return-value]
