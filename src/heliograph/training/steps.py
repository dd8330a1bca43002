"""Steps that a training script logged itself (wandb) ⇄ the records that carry them ⇄ training rows.

    {"train/loss": 2.31, "train/learning_rate": 3e-4, "eval/loss": 2.5, "my/thing": 7.0}, step 120
      total_loss 2.31, learning_rate 0.0003, current_iteration 120, extra {eval_loss 2.5, my_thing 7.0}

A name means what it means on a log line (`training.fields`), also below `train/` and its like; what
is measured on other data than the training's (`eval/loss`) is never the training's loss. A step
travels in the log as a record of type `training_step` and becomes a row of source `wandb` whose
`rank_group` is the run's id: rows of one run and iteration are one step.
"""

import hashlib
import math
import re
from functools import lru_cache
from typing import NamedTuple

from heliograph.core.record import Record, record_id
from heliograph.core.training import TrainingRow
from heliograph.training import fields
from heliograph.training.vocabulary import COUNT, QUADRUPLE, WHOLE

STEP = "training_step"
SOURCE = "wandb"
NAMES_CACHED_MAX = 8192
EXTRA_CHARS_MAX = fields.EXTRA_KEY_CHARS_MAX
_DIGEST_CHARS = 8
_INT_BITS_MAX = 63

# First parts of a name that say nothing but "of the training".
_TRAINING = frozenset(
    {"train", "training", "trainer", "metrics", "perf", "performance", "optim", "optimizer"}
)
# What frameworks call in wandb what they call otherwise on a line.
_ALIASES = {
    "loss metrics/global avg loss": "loss",
    "throughput(tps)": "tps",
    "iteration time": "elapsed time per iteration (s)",
    "time metrics/end to end(s)": "elapsed time per iteration (s)",
    "batch size": "global batch size",
}
_BLANKS = re.compile(r"[\s_-]+")


class Meaning(NamedTuple):
    """*field* of a row, or of `extra` where not *known*; a value is multiplied by *scale*."""

    field: str
    known: bool
    scale: float
    whole: bool


def record_of(row: TrainingRow, *, observed_ns: int) -> Record:
    """The record that carries *row* through the log; the same row gives the same id."""
    return Record(
        record_id=record_id(
            SOURCE, row.pod_uid, row.rank_group, row.at_ns, row.iteration or 0, row.marker or ""
        ),
        timestamp_ns=row.at_ns,
        observed_timestamp_ns=observed_ns,
        session_id=row.rank_group,
        source_kind=SOURCE,
        event_type=STEP,
        resource={"pod_uid": row.pod_uid},
        attributes=row.fields,
        correlation={
            "iteration": row.iteration,
            "marker": row.marker,
            "framework": row.framework,
        },
    )


def row_of(record: Record) -> TrainingRow | None:
    """The row that *record* carries; None for a record of another type, or one that `record_of`
    cannot have made."""
    if record.event_type != STEP or record.source_kind != SOURCE:
        return None
    pod_uid, correlation = record.resource.get("pod_uid"), record.correlation
    iteration, marker = correlation.get("iteration"), correlation.get("marker")
    framework = correlation.get("framework", "unknown")
    texts = isinstance(pod_uid, str) and isinstance(framework, str)
    numbers = isinstance(iteration, int | None) and isinstance(marker, str | None)
    if not (texts and numbers) or (iteration is None and marker is None):
        return None
    return TrainingRow(
        str(pod_uid), SOURCE, record.session_id, record.timestamp_ns, iteration, marker,
        str(framework), record.attributes,
    )  # fmt: skip


def in_unit(value: float, meaning: Meaning) -> float | int:
    """*value* in the unit that we keep what is so meant in."""
    scaled = value if meaning.scale == 1.0 else value * meaning.scale
    if meaning.whole and math.isfinite(scaled) and scaled == int(scaled):
        whole = int(scaled)
        return whole if whole.bit_length() <= _INT_BITS_MAX else scaled
    return scaled


@lru_cache(maxsize=NAMES_CACHED_MAX)
def meaning(name: str) -> Meaning:
    """What a script means by *name*."""
    canonical = _BLANKS.sub(" ", name.replace(".", "/")).strip().lower()
    parts = canonical.split("/")
    candidates = [canonical]
    if len(parts) > 1 and parts[0] in _TRAINING:
        candidates.append("/".join(parts[1:]))
    for candidate in candidates:
        key = fields.named(_ALIASES.get(candidate, candidate))
        usable = key is not None and key.known and key.dimension != QUADRUPLE
        if not usable or key is None or key.scale is None:
            continue
        # A metric that somebody called "step" is a metric: the step is the one it was logged at.
        if key.field == "current_iteration":
            break
        return Meaning(key.field, True, key.scale, key.dimension in {WHOLE, COUNT})
    return Meaning(extra_key(name), False, 1.0, False)


def extra_key(name: str) -> str:
    """*name* as a key of `extra`; a long one keeps its beginning and gets a digest."""
    plain = fields.name_of(name) or "value"
    plain = plain if plain[0].isalpha() else f"n_{plain}"
    if len(plain) <= EXTRA_CHARS_MAX:
        return plain
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{plain[: EXTRA_CHARS_MAX - _DIGEST_CHARS - 1]}_{digest[:_DIGEST_CHARS]}"
