"""What usage telemetry is made of: attributes of a job, the normalised payload, counts.

    MetricAttribute("framework", "framework", AttributeType.STRING, "pytorch", metric_order=6)
    TelemetryData(network="resnet_50", action="train", version="5_3_0", success=True, gpus=[…])
    Count("legacy", "total_action", (("action", "train"), ("status", "pass")),
          "total_action_train_pass", "sum", 1)

Source: spec 000, "Type Definitions".
"""

from collections.abc import MutableMapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, NamedTuple, TypeAlias, TypedDict

Metrics: TypeAlias = MutableMapping[str, Any]
Number: TypeAlias = int | float
# (flat key, how it joins what is there, value)
Change: TypeAlias = tuple[str, str, Number]

SUM = "sum"
MAX = "max"
LAST = "last"
DISTINCT = "distinct"
QUANTILE = "quantile"
# What an attribute may ask for; a count itself is only ever joined by SUM, MAX or LAST.
STRATEGIES = (SUM, MAX, LAST, DISTINCT, QUANTILE)


class AttributeType(Enum):
    """How a value is treated: a STRING is sanitised, all others are taken as they are."""

    STRING = "string"
    BOOLEAN = "boolean"
    INTEGER = "integer"
    LIST = "list"


@dataclass
class MetricAttribute:
    """One attribute of a job.

    name                       in the normalised data and in keys
    raw_key                    in the payload
    default                    where the payload has no such key
    include_in_comprehensive   whether the comprehensive key has it
    metric_order               its place there; `status` stands before the first of 4 or more
    aggregation                None: a label of the labelled metrics (as spec 000 has it). One of
                               STRATEGIES: a value per job that is aggregated, and no label
    """

    name: str
    raw_key: str
    attr_type: AttributeType
    default: Any
    include_in_comprehensive: bool = True
    metric_order: int = 100
    aggregation: str | None = None

    # Edits of any attribute so far: whoever has derived something from attributes compares it.
    edits: ClassVar[int] = 0

    def __setattr__(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)
        MetricAttribute.edits += 1


class TelemetryData(TypedDict, total=False):
    """A payload, normalised. Attributes that are added at run time are added here as well."""

    version: str
    action: str
    network: str
    success: bool
    user_error: bool | None
    time_lapsed: float | None
    gpus: list[str]
    client_type: str
    automl_triggered: bool | None


class Count(NamedTuple):
    """What one payload adds to one metric. Additive: two of the same identity may be joined.

    builder    `legacy`, `comprehensive`, `time`, `labeled`, or a custom builder's name
    name       of the metric, without what its labels say
    labels     (name, value) sorted by name; with *builder* and *name*, the identity
    key        the flat key; several identities may share one, as in the system of spec 000
    strategy   `sum`, `max` or `last`: how *value* joins what is stored
    """

    builder: str
    name: str
    labels: tuple[tuple[str, str], ...]
    key: str
    strategy: str
    value: Number
