"""How a server reads PromQL, told by asking: versions lie, since each names itself as another.

    count_over_time(vector(1)[1s:1s])   "2": a range holds its left end too (Prometheus before 3)
    union(1)                            known: MetricsQL, so VictoriaMetrics

VictoriaMetrics replaces what a stepped query says of the last half minute by what was before, for
that may still be on its way; windows that are asked for as of another day are told as they are.
Source: Prometheus 3.0 migration guide, range selectors; VictoriaMetrics, `-search.latencyOffset`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import msgspec

QUESTIONS = MappingProxyType(
    {"left": "count_over_time(vector(1)[1s:1s])", "metricsql": "union(1)"}
)


class Dialect(NamedTuple):
    """What must be known to ask exactly.

    closed_left      a range of d ms reaches back to t - d itself
    nan_is_stale     raw NaNs are stale markers, and no other NaN is kept
    guesses_newest   the newest windows of a stepped query are not what was stored
    """

    closed_left: bool
    nan_is_stale: bool
    guesses_newest: bool


class _Sample(msgspec.Struct):
    value: tuple[float, str]


class _Result(msgspec.Struct):
    result: list[_Sample]


class Vector(msgspec.Struct):
    """The answer to an instant query."""

    data: _Result


def value(vector: Vector) -> str:
    """The value of the first sample; "" for none."""
    return vector.data.result[0].value[1] if vector.data.result else ""


def of(answers: Mapping[str, str | None]) -> Dialect:
    """The dialect of who gave *answers* to QUESTIONS; None for what was refused."""
    metricsql = answers["metricsql"] is not None
    return Dialect(
        closed_left=answers["left"] == "2", nan_is_stale=metricsql, guesses_newest=metricsql
    )
