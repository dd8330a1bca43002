"""What an instrument shows at one instant: a family, its points, and an exemplar of a point.

    Family("steps_total", "counter", "Steps done", "", [
        Point("", (("rank", "3"),), 41.0, Exemplar((("trace_id", "4bf9"),), 1.0, 1767225600.0)),
    ])

A family is a snapshot: nothing in it changes later. Renderers and senders see families only, so
whatever yields them is a source: a metric, a collector, a platform collector.
"""

from typing import NamedTuple, TypeAlias

Labels: TypeAlias = tuple[tuple[str, str], ...]


class Exemplar(NamedTuple):
    """One observation that stands for many: *labels* name where to look, a trace id mostly.

    at_s is when it was observed, in seconds since 1970 UTC, or None where nobody said.
    """

    labels: Labels
    value: float
    at_s: float | None = None


class Point(NamedTuple):
    """One number of a family.

    suffix  what the family's name is followed by: "", "_total", "_bucket", "_sum", "_count", "_created"
    labels  sorted by name, with `le` or `quantile` where the suffix needs one
    value   an int where the text shall say `42` and not `42.0`
    """

    suffix: str
    labels: Labels
    value: float
    exemplar: Exemplar | None = None


class Family(NamedTuple):
    """All points of one name.

    kind  counter, gauge, histogram, summary, info or unknown
    unit  the last word of the name where it is a unit, or ""
    """

    name: str
    kind: str
    help: str
    unit: str
    points: list[Point]
