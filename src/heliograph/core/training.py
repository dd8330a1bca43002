"""Training rows: what one line (or one wandb step) said of one iteration."""

from collections.abc import Mapping
from typing import Any, NamedTuple

WANDB = "wandb"


class TrainingRow(NamedTuple):
    """Identity: (pod_uid, source, rank_group, at_ns, iteration), and of what was printed also `said`:
    storing a row again changes nothing, and rows of one identity are one row, `merged`, in whatever
    order they come. Lines of one instant that say different things are rows of their own.

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


def merged(a: TrainingRow, b: TrainingRow) -> TrainingRow:
    """The one row that two of one identity are: what wandb logged of a step at one instant, or a line
    that came again.

    Commutative, associative, and a row with itself is itself. Where both have a field, NaN wins,
    for it must not be hidden, else the greater number.
    """
    return a._replace(
        marker=max(filter(None, (a.marker, b.marker)), default=None),
        framework=max(a.framework, b.framework, key=lambda name: (name != "unknown", name)),
        fields=_union(a.fields, b.fields),
    )


def said(row: TrainingRow) -> str:
    """What *row* says beside its place, as text that is equal for rows that say the same: equal numbers
    and NaN, in whatever order. "" where all of one place is one row: a step of wandb is logged in
    parts."""
    return "" if row.source == WANDB else repr((row.marker or "", _plain(row.fields)))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return sorted((name, _plain(nested)) for name, nested in value.items())
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        # As hexadecimal, for the decimal form of a long one is refused.
        return hex(int(value))
    return value


def _union(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    union = dict(a)
    for name, value in b.items():
        other = union.get(name, value)
        if isinstance(value, Mapping) and isinstance(other, Mapping):
            union[name] = _union(other, value)
        else:
            union[name] = max(other, value, key=_weight)
    return dict(sorted(union.items()))


def _weight(value: Any) -> tuple[int, float, str]:
    if isinstance(value, int | float):
        return (1, 0.0, "") if value != value else (0, value, repr(value))  # noqa: PLR0124
    if isinstance(value, Mapping):
        return 2, 0.0, repr(sorted((name, _weight(nested)) for name, nested in value.items()))
    return 2, 0.0, repr(value)
