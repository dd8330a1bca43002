"""Where a workload stands: its newest row, and what that leaves out as it was last said in the run.

{"current_iteration": 7, "lm_loss": 2.5, "mem_usage_gb": 63.4}     a line, at 12:00:00
{"current_iteration": 8, "eval_loss": 2.7}                         wandb, at 12:00:05
{"current_iteration": 8, "eval_loss": 2.7, "lm_loss": 2.5, "mem_usage_gb": 63.4}   what is shown
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from heliograph.core.training import WANDB, TrainingRow
from heliograph.service.trainings import Present, Trainings
from heliograph.store.state import recent_training, training
from heliograph.store.state.state import State
from heliograph.training.rows import STEP

TARGET = "target_iteration"
# Fields that are one thing to know: all of a group are those of one row, that they may agree.
GROUPS = (
    (STEP,),
    (TARGET,),
    ("lm_loss", "total_loss"),
    (
        "tflops", "tokens_per_gpu", "tokens_per_second", "samples_per_second",
        "steps_per_second", "elapsed_time_per_iteration_ms", "mfu",
    ),
    (
        "mem_usage_gb", "mem_usage_ratio", "mem_max_gb", "mem_free_gb", "mem_total_gb",
        "mem_reserved_gb",
    ),
)  # fmt: skip


def standing(state: State, trainings: Trainings, uid: str) -> Present | None:
    """Where workload *uid* stands; None when it never printed a row."""
    present = trainings.present(uid)
    if present is None or not _lacking(present.row.fields):
        return present
    others = [pod.uid for pod in trainings.pods(uid) if pod.uid != present.row.pod_uid]
    return state.read(
        lambda tx: present._replace(
            row=filled(present.row, _before(tx, present.row, others, present.run.start_ns))
        )
    )


def filled(row: TrainingRow, before: Iterable[TrainingRow]) -> TrainingRow:
    """*row* with what it lacks from the rows *before* it, the last of these first."""
    fields, iteration = dict(row.fields), row.iteration
    lacking = _lacking(fields)
    for one in before:
        if not lacking:
            break
        if one.iteration is not None and iteration is None and STEP not in row.fields:
            iteration = one.iteration
        for group in lacking:
            if group == (TARGET,) and not _goes_on(one, fields):
                continue
            fields |= {name: one.fields[name] for name in group if name in one.fields}
        lacking = _lacking(fields)
    return row._replace(fields=fields, iteration=iteration)


def _lacking(fields: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [group for group in GROUPS if not any(name in fields for name in group)]


def _goes_on(one: TrainingRow, fields: Mapping[str, Any]) -> bool:
    """Whether the target of *one* is that of the iteration in *fields*: a bar that counts within its
    epoch, or one of an evaluation, has another."""
    step = one.fields.get(STEP)
    ours = fields.get(STEP)
    return step == one.iteration and step is not None and ours is not None and step <= ours


def _before(
    tx: Connection, row: TrainingRow, others: Sequence[str], start_ns: int
) -> Iterator[TrainingRow]:
    """Rows of the run before *row*: of its pod, then the last of each of the *others*."""
    back = recent_training.rows_back(tx, row.pod_uid, start_ns=start_ns, end_ns=row.at_ns + 1)
    yield from (one for one in back if _beside(one, row))
    if others:
        last = training.latest(tx, others)
        yield from (one for one in reversed(last) if start_ns <= one.at_ns <= row.at_ns)


def _beside(one: TrainingRow, row: TrainingRow) -> bool:
    """Whether *one* may speak for *row*: of two wandb runs neither does for the other."""
    return WANDB not in {one.source, row.source} or (
        one.source != row.source or one.rank_group == row.rank_group
    )
