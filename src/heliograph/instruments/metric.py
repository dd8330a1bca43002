"""What all metrics have in common (spec 004): a name, a value at a time, and a way back.

class Temperature(Metric):
    def get_value(self) -> MetricValue:
        return MetricValue(read_sensor())
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from enum import Enum
    from typing import Any

    from heliograph.instruments.family import Family

    class MetricType(Enum):
        """The kinds of spec 004."""

        COUNTER = "counter"
        GAUGE = "gauge"
        HISTOGRAM = "histogram"
        SUMMARY = "summary"


def __getattr__(name: str) -> "Any":
    """`MetricType`, made when it is wanted: an Enum is slow to import."""
    if name != "MetricType":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from enum import Enum

    kinds = {"COUNTER": "counter", "GAUGE": "gauge", "HISTOGRAM": "histogram"}
    made = Enum(name, kinds | {"SUMMARY": "summary"}, module=__name__)  # type: ignore[misc]
    return globals().setdefault(name, made)


def now_s() -> float:
    """Seconds since 1970 UTC."""
    # Loaded late: `typing`, which it needs, is half of what importing all this costs.
    from heliograph.core.clock import SystemClock

    return SystemClock().now_ns() / 1e9


class MetricValue:
    """A value at a time, in seconds since 1970 UTC, with its labels."""

    __slots__ = ("labels", "timestamp", "value")

    def __init__(
        self,
        value: float,
        timestamp: float | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        self.value = value
        self.timestamp = now_s() if timestamp is None else timestamp
        self.labels: dict[str, str] = dict(labels or {})

    def __repr__(self) -> str:
        parts = (f"{name}={getattr(self, name)!r}" for name in ("value", "timestamp", "labels"))
        return f"MetricValue({', '.join(parts)})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MetricValue):
            return NotImplemented
        return (self.value, self.timestamp, self.labels) == (
            other.value,
            other.timestamp,
            other.labels,
        )

    __hash__ = None  # type: ignore[assignment]  # its labels are a dict


class Metric(ABC):
    """What has a name and a value. Metrics of users are subclasses of it."""

    __slots__ = ()
    if TYPE_CHECKING:
        name: str
        description: str
        labels: Any

    def __init__(
        self, name: str, description: str = "", labels: Mapping[str, str] | None = None
    ) -> None:
        # Whoever derives from it without slots has a place for them.
        self.name = name  # type: ignore[misc]
        self.description = description  # type: ignore[misc]
        self.labels = dict(labels or {})

    @abstractmethod
    def get_value(self) -> MetricValue | list[MetricValue]:
        """The value now."""

    @abstractmethod
    def reset(self) -> None:
        """Back to the beginning."""

    def children(self) -> "list[Any]":
        """The label children there are."""
        return []

    def family(self) -> "Family":
        """All of it and its children, for exporters."""
        from heliograph.instruments.family import Family, Point

        values = self.get_value()
        points = [
            Point("", tuple(sorted(value.labels.items())), value.value)
            for value in (values if isinstance(values, list) else [values])
        ]
        return Family(self.name, "unknown", self.description, "", points)
