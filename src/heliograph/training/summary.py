"""A log's training in a few numbers: what a person asks first of a run."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median
from typing import NamedTuple

from heliograph.core.training import TrainingRow
from heliograph.training.events import Event
from heliograph.training.plausible import speeds_are_real

LOSSES = ("lm_loss", "total_loss")
THROUGHPUTS = ("tokens_per_gpu", "tokens_per_second", "tflops", "samples_per_second")


class Summary(NamedTuple):
    """Numbers of a set of rows; a part that no row tells is None.

    iterations         (first, last) named, in the order given
    target_iteration   the last one named
    loss               (field, first, last); NaN is kept, for it is how runs die
    step_ms            median time of one iteration
    throughput         (field, median) of each throughput field that is there
    checkpoints        saves that ended well
    events             event type → how many
    """

    rows: int
    iterations: tuple[int, int] | None
    target_iteration: int | None
    loss: tuple[str, float, float] | None
    step_ms: float | None
    throughput: tuple[tuple[str, float], ...]
    checkpoints: int
    events: tuple[tuple[str, int], ...]


def summary(rows: Sequence[TrainingRow], events: Iterable[Event]) -> Summary:
    """*rows* and *events* in the order of the log."""
    named = [row.iteration for row in rows if row.iteration is not None]
    targets = values(rows, "target_iteration")
    losses = [(name, found) for name in LOSSES if (found := values(rows, name))]
    real = [row for row in rows if speeds_are_real(row.fields)]
    steps_ms = _finite(values(real, "elapsed_time_per_iteration_ms"))
    told = list(events)
    counted = Counter(event.event_type for event in told)
    failed = sum(event.attributes.get("status") == "failed" for event in told)
    return Summary(
        len(rows),
        (named[0], named[-1]) if named else None,
        int(targets[-1]) if targets else None,
        (losses[0][0], losses[0][1][0], losses[0][1][-1]) if losses else None,
        median(steps_ms) if steps_ms else None,
        tuple(
            (name, median(found))
            for name in THROUGHPUTS
            if (found := _finite(values(real, name)))
        ),
        counted["checkpoint_save_end"] - failed,
        tuple(sorted(counted.items())),
    )


def values(rows: Iterable[TrainingRow], name: str) -> list[float]:
    """The values of field *name*, of the rows that have it."""
    return [row.fields[name] for row in rows if name in row.fields]


def _finite(found: Iterable[float]) -> list[float]:
    return [value for value in found if math.isfinite(value)]
