"""What a line said → training rows: the values of an iteration, or a mark of a run's edge."""

from collections.abc import Iterable, Mapping
from typing import Any

from heliograph.core.training import TrainingRow
from heliograph.training.parse import SUMMARIES, Parsed
from heliograph.training.piped import OF_EPOCH

MARKERS = frozenset({"training_start", "training_end"})
# What counts steps within an epoch.
BAR = "bar"
STEP = "current_iteration"
COUNT_EPOCHS_FROM_1 = frozenset({"torchtune", "fairseq"})
# A greater epoch is no epoch.
EPOCHS_MAX = 10**9


def rows(parsed: Parsed, *, pod_uid: str, source: str, at_ns: int) -> tuple[TrainingRow, ...]:
    """The rows of one line: one of values, or one a mark; () for checkpoints and for noise.

    `rank_group` is the line's label, so that ranks whose launcher only says `[default3]:` are
    streams of their own too.
    """
    if parsed.kind == "performance":
        if parsed.rule in SUMMARIES:
            parsed = parsed._replace(fields=_of_run(parsed.fields))
        return (_row(parsed, pod_uid, source, at_ns, iteration_of(parsed), None),)
    found: tuple[TrainingRow, ...] = ()
    for event in parsed.events:
        if event.event_type in MARKERS:
            found += (_row(parsed, pod_uid, source, at_ns, None, event.event_type),)
    return found


def iteration_of(parsed: Parsed) -> int | None:
    """Which step of its run a line is of; None where it does not say.

    NeMo's line counts within its epoch, and says beside it how many steps there were in all. A
    progress bar counts within its epoch too. One that names no epoch may be an evaluation's, which
    begins anew while training goes on: what it counts is a value, but no step of the run.
    """
    fields = parsed.fields
    iteration: int | None = fields.get(STEP)
    if parsed.rule == OF_EPOCH:
        step_of_all: int = fields["extra"]["global_step"]
        return step_of_all
    if parsed.rule != BAR or iteration is None:
        return iteration
    epoch, target = fields.get("epoch"), fields.get("target_iteration")
    if epoch is None or target is None or not 0 <= epoch < EPOCHS_MAX:
        return None
    done = int(epoch) - (parsed.framework in COUNT_EPOCHS_FROM_1)
    step = max(done, 0) * int(target) + iteration
    return step if step < 2**63 else None


def _of_run(fields: dict[str, Any]) -> dict[str, Any]:
    """*fields* of a whole run: its mean loss is none of a step, beside which it would be a jump."""
    if "total_loss" not in fields:
        return fields
    rest = {name: value for name, value in fields.items() if name != "total_loss"}
    return {**rest, "extra": {**fields.get("extra", {}), "train_loss": fields["total_loss"]}}


def one_step(rows: Iterable[TrainingRow]) -> TrainingRow:
    """The one step that *rows* (≥ 1) of one wandb run and iteration are: of a field that several
    have the later holds, of equal times that of the greater pod uid; in whatever order they come.
    """
    ordered = sorted(rows, key=lambda row: (row.at_ns, row.pod_uid))
    fields: dict[str, Any] = {}
    for row in ordered:
        fields = _over(fields, row.fields)
    return ordered[-1]._replace(fields=fields)


def _over(fields: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    joined = {**fields, **later}
    for name, value in later.items():
        earlier = fields.get(name)
        if isinstance(value, Mapping) and isinstance(earlier, Mapping):
            joined[name] = {**earlier, **value}
    return joined


def _row(
    parsed: Parsed,
    pod_uid: str,
    source: str,
    at_ns: int,
    iteration: int | None,
    marker: str | None,
) -> TrainingRow:
    return TrainingRow(
        pod_uid, source, parsed.label, at_ns, iteration, marker, parsed.framework, parsed.fields
    )
