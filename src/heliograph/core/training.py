"""Training rows: what one line (or one wandb step) said of one iteration."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class TrainingRow(NamedTuple):
    """Identity: (pod_uid, source, rank_group, at_ns, iteration); storing a row again changes nothing.

    pod_uid     who printed it
    source      `log` or `wandb`
    rank_group  the rank named on the line ("7"), or "" where none is
    at_ns       event time of the line
    iteration   current iteration or step; None for a marker
    marker      `training_start` or `training_end` for lines that mark a run's edge, else None
    framework   as guessed: `megatron-lm`, `primus`, `torchtitan`, …
    fields      training field names → numbers (NaN and infinities are kept); `extra` is a mapping
    """

    pod_uid: str
    source: str
    rank_group: str
    at_ns: int
    iteration: int | None
    marker: str | None
    framework: str
    fields: Mapping[str, Any]
