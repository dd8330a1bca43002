"""What a line said → training rows: the values of an iteration, or a mark of a run's edge."""

from heliograph.core.training import TrainingRow
from heliograph.training.parse import Parsed

MARKERS = frozenset({"training_start", "training_end"})


def rows(parsed: Parsed, *, pod_uid: str, source: str, at_ns: int) -> tuple[TrainingRow, ...]:
    """The rows of one line: one of values, or one a mark; () for checkpoints and for noise.

    `rank_group` is the line's label, so that ranks whose launcher only says `[default3]:` are
    streams of their own too.
    """
    if parsed.kind == "performance":
        iteration = parsed.fields.get("current_iteration")
        return (_row(parsed, pod_uid, source, at_ns, iteration, None),)
    return tuple(
        _row(parsed, pod_uid, source, at_ns, None, event.event_type)
        for event in parsed.events
        if event.event_type in MARKERS
    )


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
